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
    from ranvier.compiler.passes.mapping.axon_kernels import listed, transposed  # noqa: PLC0415 -- Numba is slow to load

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
    pointers, members = listed(sources, targets, neurons)
    near, axons = transposed(pointers, members)
    weights = np.repeat([rates.get(p.name, 1.0) for p in chip.populations], sizes)
    return Axons(first, pointers, members, near, axons, weights)


def _most(connection: Connection) -> int:
    synapse = connection.synapse
    return int(synapse.weight.size if isinstance(synapse, DenseSynapse | ConvSynapse) else synapse.data.size)


def _pairs(connection: Connection, first: Mapping[str, int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(synapses,) source and target neurons of the nonzero weights, by rising target."""
    synapse = connection.synapse
    assert not isinstance(synapse, ConvSynapse)
    if isinstance(synapse, DenseSynapse):
        targets, sources = np.nonzero(synapse.weight)
    else:
        targets = np.repeat(np.arange(synapse.out_size, dtype=np.int32), np.diff(synapse.indptr))
        sources = synapse.indices
        if not (kept := synapse.data != 0).all():
            targets, sources = targets[kept], sources[kept]
    begin, end = np.int32(first[connection.source]), np.int32(first[connection.target])
    return sources.astype(np.int32) + begin, targets.astype(np.int32) + end
