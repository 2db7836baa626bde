"""Annealing of a partition on the axon hypergraph: single neurons move, or two change places.

An axon is a hyperedge of its source and its targets. ``counts[e, c]`` are the members of axon e on core c, so
``cost = sum over e of weights[e] * (cores that e touches - 1)``, the (axon, core) pairs off the axon's own core.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.passes.mapping.compiled import Random, accepted, below, compiled

_TRIES = 4
# Moves that cost more temperatures than this are not worth looking for a companion that comes back.
_HOPELESS = 8


class Hypergraph(NamedTuple):
    """Axon e has ``members[pointers[e]:pointers[e + 1]]``; neuron v is in ``axons[near[v]:near[v + 1]]``."""

    pointers: IntArray
    members: NDArray[np.int32]
    near: IntArray
    axons: NDArray[np.int32]
    weights: FloatArray


class Assigned(NamedTuple):
    """The core of each neuron, members of each axon on each core, neurons on each core."""

    core: NDArray[np.int32]
    counts: NDArray[np.uint16]
    load: IntArray


@compiled
def cost_of(graph: Hypergraph, core: NDArray[np.int32], cores: int) -> float:
    """The cost of an assignment, found without the table of counts."""
    cost, last = 0.0, np.full(cores, -1, dtype=np.int64)
    for e in range(graph.pointers.size - 1):
        touched = -1
        for i in range(graph.pointers[e], graph.pointers[e + 1]):
            c = core[graph.members[i]]
            if last[c] != e:
                last[c] = e
                touched += 1
        if touched > 0:
            cost += graph.weights[e] * touched
    return cost


@compiled
def count_members(graph: Hypergraph, state: Assigned) -> float:
    """Fills ``state.counts`` and ``state.load`` from ``state.core``; the cost."""
    cost = 0.0
    for e in range(graph.pointers.size - 1):
        if graph.pointers[e + 1] > graph.pointers[e]:
            cost -= graph.weights[e]
        for i in range(graph.pointers[e], graph.pointers[e + 1]):
            c = state.core[graph.members[i]]
            if state.counts[e, c] == 0:
                cost += graph.weights[e]
            state.counts[e, c] += 1
    for c in state.core:
        state.load[c] += 1
    return cost


@compiled
def _gain(graph: Hypergraph, state: Assigned, neuron: int, a: int, b: int) -> float:
    """What it costs to move a neuron from core a to core b."""
    change = 0.0
    for i in range(graph.near[neuron], graph.near[neuron + 1]):
        e = graph.axons[i]
        if state.counts[e, a] == 1:
            change -= graph.weights[e]
        if state.counts[e, b] == 0:
            change += graph.weights[e]
    return change


@compiled
def _move(graph: Hypergraph, state: Assigned, neuron: int, a: int, b: int) -> None:
    for i in range(graph.near[neuron], graph.near[neuron + 1]):
        state.counts[graph.axons[i], a] -= 1
        state.counts[graph.axons[i], b] += 1
    state.core[neuron] = b
    state.load[a] -= 1
    state.load[b] += 1


@compiled
def _companion(graph: Hypergraph, random: Random, neuron: int) -> int:
    """A random neuron that shares a random axon with ``neuron``."""
    first, last = graph.near[neuron], graph.near[neuron + 1]
    e = graph.axons[first + below(random, last - first)]
    size = graph.pointers[e + 1] - graph.pointers[e]
    return int(graph.members[graph.pointers[e] + below(random, size)])


@compiled
def _exchange(
    graph: Hypergraph, state: Assigned, random: Random, neuron: int, b: int, change: float, temperature: float
) -> float:
    """Moves ``neuron`` to the full core b, for ``change``, if a companion there goes the other way; the change made."""
    a, back = state.core[neuron], -1
    for _ in range(_TRIES):
        other = _companion(graph, random, neuron)
        if other != neuron and state.core[other] == b:
            back = other
    if back < 0:
        return 0.0
    _move(graph, state, neuron, a, b)
    change += _gain(graph, state, back, b, a)
    if accepted(random, change, temperature):
        _move(graph, state, back, b, a)
        return change
    _move(graph, state, neuron, b, a)
    return 0.0


@compiled
def anneal(graph: Hypergraph, state: Assigned, random: Random, room: int, moves: int, hot: float, cold: float) -> float:
    """Tries ``moves`` moves while cooling from ``hot`` to ``cold``; no core comes to hold more than ``room`` neurons.

    A neuron is offered to the core of a companion; where that is full, another companion there has to come back.
    ``state`` changes in place. Returns the change of the cost.
    """
    total = 0.0
    for step in range(moves):
        temperature = hot * (cold / hot) ** (step / moves)
        v = below(random, state.core.size)
        if graph.near[v + 1] == graph.near[v]:
            continue
        a, b = state.core[v], state.core[_companion(graph, random, v)]
        if a == b:
            continue
        change = _gain(graph, state, v, a, b)
        if state.load[b] < room:
            if accepted(random, change, temperature):
                _move(graph, state, v, a, b)
                total += change
        elif change <= _HOPELESS * temperature:
            total += _exchange(graph, state, random, v, b, change, temperature)
    return total
