"""Lists of an axon hypergraph, by counting instead of sorting: time grows with the synapses."""

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.passes.mapping.compiled import compiled

Numbers = NDArray[np.int32]


@compiled
def _starts(keys: Numbers, count: int) -> IntArray:
    """(count + 1,) where the values of each key start when they are sorted by key."""
    pointers = np.zeros(count + 1, dtype=np.int64)
    for key in keys:
        pointers[key + 1] += 1
    for key in range(count):
        pointers[key + 1] += pointers[key]
    return pointers


@compiled
def listed(sources: Numbers, targets: Numbers, neurons: int) -> tuple[IntArray, Numbers]:
    """The members of each neuron's axon as pointers and one array: itself, then its targets, each once.

    An axon without targets has no members.
    """
    start = _starts(sources, neurons)
    filled, sorted_ = start[:-1].copy(), np.empty(sources.size, dtype=np.int32)
    for i in range(sources.size):
        sorted_[filled[sources[i]]] = targets[i]
        filled[sources[i]] += 1
    pointers, seen = np.zeros(neurons + 1, dtype=np.int64), np.full(neurons, -1, dtype=np.int32)
    members, size = np.empty(sources.size + neurons, dtype=np.int32), 0
    for axon in range(neurons):
        if start[axon] < start[axon + 1]:
            seen[axon], members[size] = axon, axon
            size += 1
        for i in range(start[axon], start[axon + 1]):
            if seen[sorted_[i]] != axon:
                seen[sorted_[i]], members[size] = axon, sorted_[i]
                size += 1
        pointers[axon + 1] = size
    return pointers, members[:size].copy()


@compiled
def transposed(pointers: IntArray, members: Numbers) -> tuple[IntArray, Numbers]:
    """The axons that each neuron is a member of, as pointers and one array."""
    near = _starts(members, pointers.size - 1)
    filled, axons = near[:-1].copy(), np.empty(members.size, dtype=np.int32)
    for axon in range(pointers.size - 1):
        for i in range(pointers[axon], pointers[axon + 1]):
            axons[filled[members[i]]] = axon
            filled[members[i]] += 1
    return near, axons
