"""The axon hypergraph of a network without convolutions: one hyperedge per source neuron, itself included."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, DenseSynapse

# Larger hypergraphs take more memory than their refinement is worth.
_MOST_MEMBERS = 100_000_000


@dataclass(frozen=True, eq=False)
class Axons:
    """Axon e, that of neuron e, has ``members[pointers[e]:pointers[e + 1]]``.

    Neuron v is a member of ``axons[near[v]:near[v + 1]]``.

    Neurons count through the populations: ``first`` is the number of each population's first one. ``weights`` are
    spikes per step. An axon without targets has no members.
    """

    first: Mapping[str, int]
    pointers: IntArray
    members: NDArray[np.int32]
    near: IntArray
    axons: NDArray[np.int32]
    weights: FloatArray

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return self.pointers.size - 1


def axons_of(chip: ChipNetwork, rates: Mapping[str, float]) -> Axons | None:
    """The hypergraph of ``chip``, None where convolutions share weights or it would be too large."""
    inner = [c for c in chip.connections if c.source in {p.name for p in chip.populations}]
    if any(isinstance(c.synapse, ConvSynapse) for c in chip.connections) or not inner:
        return None
    if sum(_most(c) for c in inner) > _MOST_MEMBERS:
        return None
    sizes = np.array([p.size for p in chip.populations])
    first = {p.name: int(n) for p, n in zip(chip.populations, np.cumsum(sizes) - sizes, strict=True)}
    neurons = int(sizes.sum())
    pairs = [_pairs(c, first) for c in inner]
    sources, targets = (np.concatenate(part) for part in zip(*pairs, strict=True))
    pointers, members = _listed(sources, targets, neurons)
    near, axons = _listed(members, np.repeat(np.arange(neurons, dtype=np.int32), np.diff(pointers)), neurons, own=False)
    weights = np.repeat([rates.get(p.name, 1.0) for p in chip.populations], sizes)
    return Axons(first, pointers, members, near, axons, weights)


def _most(connection: Connection) -> int:
    synapse = connection.synapse
    return int(synapse.weight.size if isinstance(synapse, DenseSynapse | ConvSynapse) else synapse.data.size)


def _pairs(connection: Connection, first: Mapping[str, int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(synapses,) source and target neurons of the nonzero weights."""
    synapse = connection.synapse
    assert not isinstance(synapse, ConvSynapse)
    if isinstance(synapse, DenseSynapse):
        targets, sources = np.nonzero(synapse.weight)
    else:
        kept = synapse.data != 0
        targets = np.repeat(np.arange(synapse.out_size), np.diff(synapse.indptr))[kept]
        sources = synapse.indices[kept]
    return (sources + first[connection.source]).astype(np.int32), (targets + first[connection.target]).astype(np.int32)


def _listed(
    keys: NDArray[np.int32], values: NDArray[np.int32], neurons: int, *, own: bool = True
) -> tuple[IntArray, NDArray[np.int32]]:
    """Values by key as pointers and one array, each once; with ``own``, every key that occurs is a value of itself."""
    from scipy.sparse import coo_array  # noqa: PLC0415 -- importing the compiler stays fast

    if own:
        there = np.unique(keys)
        keys, values = np.concatenate([keys, there]), np.concatenate([values, there])
    ones = np.ones(keys.size, dtype=np.int8)
    table = coo_array((ones, (keys, values)), shape=(neurons, neurons)).tocsr()
    table.sum_duplicates()
    return table.indptr.astype(np.int64), table.indices.astype(np.int32)
