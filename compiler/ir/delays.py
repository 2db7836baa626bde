"""Delays that differ from neuron to neuron: one branch for each delay that occurs.

An edge has one delay. Where the elements of a frame are delayed by different numbers of steps, as by the axons of
SLAYER's layers, the elements of each delay pass through a branch of their own, which lets only them pass.
Folding makes each branch one sparse synapse.
"""

import numpy as np

from ranvier.compiler.ir.arrays import IntArray, Shape, size
from ranvier.compiler.ir.compose import selection
from ranvier.compiler.ir.linear import Linear, Reshape
from ranvier.compiler.ir.network import Edge


def delayed(name: str, source: str, shape: Shape, delays: IntArray) -> tuple[tuple[Linear, ...], tuple[Edge, ...]]:
    """Nodes and edges that end in node ``name``: element i of ``source``, ``delays[i]`` steps late.

    ``shape`` is that of the frames; ``delays`` holds whole numbers of steps (not negative), one per element, or one
    for all. Put them before a layer for the delays of what it receives, behind it for those of its results (a bias
    in front of a delay is refused when it is folded).
    """
    steps = np.broadcast_to(np.asarray(delays).reshape(-1), (size(shape),))
    assert steps.min() >= 0, "a delay leads into the past"
    end = Reshape(name, shape, shape)
    if steps.min() == steps.max():
        return (end,), (Edge(source, name, int(steps[0])),)
    branches = [(int(d), selection(f"{name}.by{int(d)}", steps == d, shape)) for d in np.unique(steps)]
    edges = [edge for d, op in branches for edge in (Edge(source, op.name, d), Edge(op.name, name))]
    return (*(op for _, op in branches), end), tuple(edges)
