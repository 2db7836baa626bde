"""Cores grown along axons: a start for refinement that does not depend on the order of the neurons."""

import heapq
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.passes.mapping.compiled import compiled
from ranvier.compiler.passes.mapping.partition_kernels import Hypergraph

Numbers = NDArray[np.int32]
Heap = list[tuple[float, np.int64]]


class Growth(NamedTuple):
    """The core of each neuron (-1: none yet), the last core that touched it and its cost there; its cost elsewhere.

    ``touched`` is the last core that each axon has a neuron on.
    """

    core: Numbers
    seen: Numbers
    touched: Numbers
    cost: FloatArray
    whole: FloatArray


@compiled
def _costs(graph: Hypergraph) -> FloatArray:
    """(neurons,) weights of all axons of each neuron: what it costs to put it on a core that none of them touches."""
    found = np.zeros(graph.near.size - 1)
    for v in range(found.size):
        for i in range(graph.near[v], graph.near[v + 1]):
            found[v] += graph.weights[graph.axons[i]]
    return found


@compiled
def _offer(graph: Hypergraph, growth: Growth, heap: Heap, v: np.int64, c: int) -> None:
    """Makes neurons cheaper on core c that share an axon with v which c had not touched before."""
    for i in range(graph.near[v], graph.near[v + 1]):
        e = graph.axons[i]
        if growth.touched[e] == c:
            continue
        growth.touched[e] = c
        for k in range(graph.pointers[e], graph.pointers[e + 1]):
            u = np.int64(graph.members[k])
            if growth.core[u] < 0:
                known = growth.cost[u] if growth.seen[u] == c else growth.whole[u]
                growth.seen[u], growth.cost[u] = c, known - graph.weights[e]
                heapq.heappush(heap, (growth.cost[u], u))


@compiled
def _next(growth: Growth, heap: Heap, free: np.int64) -> np.int64:
    """The cheapest neuron of the heap that is on no core, else the first such from ``free`` on, else -1."""
    while len(heap) > 0:
        u = heapq.heappop(heap)[1]
        if growth.core[u] < 0:
            return u
    while free < growth.core.size and growth.core[free] >= 0:
        free += 1
    return np.int64(free if free < growth.core.size else -1)


@compiled
def grown(graph: Hypergraph, sizes: IntArray) -> Numbers:
    """(neurons,) an assignment in which core c has ``sizes[c]`` neurons, in sum all of them.

    Core after core takes the neuron whose axons outside of it weigh least. The next core starts with the neuron that
    the last one would have taken, so that little is left between them. The heap holds a neuron once for each of its
    costs on the core; the least, which comes first, is the valid one.
    """
    neurons = graph.near.size - 1
    nobody = np.full(neurons, -1, dtype=np.int32)
    growth = Growth(nobody, nobody.copy(), nobody.copy(), np.zeros(neurons), _costs(graph))
    free, seed = np.int64(0), np.int64(0)
    for c in range(sizes.size):
        heap: Heap = [(0.0, seed)]
        for _ in range(sizes[c]):
            v = _next(growth, heap, free)
            growth.core[v] = c
            _offer(graph, growth, heap, v, c)
            while free < neurons and growth.core[free] >= 0:
                free += 1
        seed = _next(growth, heap, free)
    return growth.core
