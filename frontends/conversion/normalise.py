"""Batch norms into the layer before them, in float64, so that nothing but weights and biases is left."""

from dataclasses import replace

import numpy as np

from ranvier.compiler.ir.compose import compose
from ranvier.compiler.ir.linear import Conv, Dense, Linear, Scale
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset
from ranvier.frontends.conversion.graph import Graph


def fold_scales(graph: Graph) -> Graph:
    """``graph`` with every scale (batch norm) that follows a layer with weights alone folded into that layer.

    ``s (W x + b) + t = (s W) x + (s b + t)``. A scale that cannot be folded (after a sum, a pool, or behind a layer
    that something else reads too) stays a layer of its own and is folded later, when synapses are made.
    """
    for scale in [op for op in graph.ops if isinstance(op, Scale)]:
        before = graph.sources[scale.name]
        first = graph.by_name.get(before[0]) if len(before) == 1 else None
        if not isinstance(first, Dense | Conv) or graph.consumers[first.name] != (scale.name,):
            continue
        merged = _merged(first, scale)
        if merged is not None:
            graph = _without(graph, scale.name, merged)
    return graph


def _merged(first: Dense | Conv, scale: Scale) -> Linear | None:
    """``scale(first(x))`` as one layer, None where a kernel cannot take a factor or shift per element."""
    op = compose(first, scale)
    if not isinstance(op, Dense | Conv):
        return None
    offset = linear_matrix(scale) @ linear_offset(first) + linear_offset(scale)
    by_channel = offset.reshape(op.out_shape[0], -1)
    if not bool(np.all(by_channel == by_channel[:, :1])):
        return None
    return replace(op, bias=by_channel[:, 0])


def _without(graph: Graph, name: str, merged: Linear) -> Graph:
    """``graph`` without the operation ``name``, whose readers now read ``merged``, which replaces its namesake."""
    ops = tuple(merged if op.name == merged.name else op for op in graph.ops if op.name != name)
    sources = {op.name: tuple(merged.name if s == name else s for s in graph.sources[op.name]) for op in ops}
    return replace(graph, ops=ops, sources=sources, output=merged.name if graph.output == name else graph.output)
