"""What arrives at a population: its synapses with real weights per integer sent, and what their senders do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.ir.linear import SYNAPSES, Conv, Dense, Grid, SignMode, Sparse, Synapse
from ranvier.compiler.ir.moments import Moments, identity
from ranvier.compiler.ir.network import Input, Network, Neurons
from ranvier.compiler.ir.programs import INPUT_SHIFT
from ranvier.compiler.ir.weight_levels import WeightLevels, weight_levels
from ranvier.compiler.passes.demands import sent_scale

UNIT = 2.0**INPUT_SHIFT


@dataclass(frozen=True, eq=False)
class Arrival:
    """One synapse into a population.

    ``weights`` are real, in membrane units of the source per integer on the wire, (rows, inputs): a row is a neuron, of
    a convolution an output channel with its kernel; of a ``Sparse`` synapse there is one row with all its weights. They
    are aligned to what the sender sends on the chip (``moments``, in integers sent); ``source``: those of the source.
    ``kept``: those that may be other than zero; ``aim``: what all of them together should come near to, which is more
    than ``weights`` where some were pruned.
    """

    synapse: Synapse
    weights: FloatArray
    sign: SignMode
    bits: int
    moments: Moments
    source: FloatArray
    kept: NDArray[np.bool_]
    aim: FloatArray

    @property
    def levels(self) -> WeightLevels:
        """The integers that the weights may be."""
        return weight_levels(self.bits, self.sign)

    def nearest(self, wanted: FloatArray) -> FloatArray:
        """The level nearest to each of ``wanted``; zero where a weight must be."""
        return np.where(self.kept, self.levels.nearest(wanted), 0.0)

    @property
    def exponents(self) -> bool:
        """Whether the weights may be shifted by a power of two: not those of a convolution."""
        return not isinstance(self.synapse, Conv)

    @cached_property
    def peak(self) -> float:
        """The largest abs weight."""
        return float(np.abs(self.weights).max(initial=0.0))

    @cached_property
    def wires(self) -> IntArray:
        """(inputs,) the source wire of each column of ``weights``."""
        return wires_of(self.synapse)

    def quantized(self, integers: FloatArray, scale: float, exponent: int) -> Synapse:
        """The synapse with ``integers`` (as ``weights`` is shaped) for weights."""
        grid = Grid(scale, exponent, self.sign, self.bits)
        if isinstance(self.synapse, Sparse):
            return replace(self.synapse, data=integers.reshape(-1), grid=grid)
        return replace(self.synapse, weight=integers.reshape(self.synapse.weight.shape), grid=grid)

    def parts(self, integers: FloatArray, scale: float, exponents: IntArray) -> list[Synapse]:
        """The synapse as one for each of ``exponents``, () or (inputs,): with those columns of ``integers`` alone."""
        distinct = np.unique(exponents)
        if distinct.size == 1:
            return [self.quantized(integers, scale, int(distinct[0]))]
        return [self._part(integers, scale, int(e), exponents == e) for e in distinct]

    def _part(self, integers: FloatArray, scale: float, exponent: int, held: NDArray[np.bool_]) -> Synapse:
        whole, name = self.synapse, f"{self.synapse.name}.e{exponent}"
        grid = Grid(scale, exponent, self.sign, self.bits, whole.name)
        data, indices = integers[:, held].reshape(-1), self.wires[held]
        if isinstance(whole, Sparse):
            kept = np.concatenate([[0], np.cumsum(held)])[whole.indptr]
            return Sparse(name, data, indices, kept, whole.in_size, whole.out_shape, grid)
        assert isinstance(whole, Dense)
        rows = len(integers)
        indptr = np.arange(rows + 1) * indices.size
        return Sparse(name, data, np.tile(indices, rows), indptr, whole.in_size, whole.out_shape, grid)


def arrival(
    network: Network, synapse: Synapse, bits: int, known: Mapping[str, Moments], whole: Synapse | None = None
) -> Arrival:
    """``synapse`` of a folded network whose weights get ``bits``; ``known`` are moments by synapse, in source units.

    ``whole`` is the synapse before it was pruned.
    """
    source = network.by_name[source_of(network, synapse.name)]
    payload = sent_units(network, synapse.name)
    kept = weights_of(synapse) != 0
    weights = weights_of(whole or synapse) / payload
    sign = sign_of(weights_of(synapse))
    moments = known.get(synapse.name)
    if moments is None:
        seen = network.observed.get(source.name)
        rate = seen.rate if seen is not None and seen.rate > 0 else 1.0
        groups = synapse.groups if isinstance(synapse, Conv) else 1
        moments = identity(weights.shape[1], groups, rate)
    aligned = _kept_sign(moments.align(weights), sign)
    left = np.where(kept, aligned, 0.0)
    return Arrival(synapse, left, sign, bits, moments.scaled(payload), weights, kept, aligned)


def sent_units(network: Network, synapse: str) -> float:
    """Integers on the wires of ``synapse`` per unit that its sender sends."""
    source = network.by_name[source_of(network, synapse)]
    if isinstance(source, Neurons):
        return sent_scale(source)
    return source.payload.scale if isinstance(source, Input) and source.payload is not None else 1.0


def _kept_sign(weights: FloatArray, sign: SignMode) -> FloatArray:
    """``weights`` within the sign mode ``sign``."""
    low, high = (0.0 if sign == "excitatory" else -np.inf), (0.0 if sign == "inhibitory" else np.inf)
    return np.clip(weights, low, high)


def weights_of(synapse: Synapse) -> FloatArray:
    """The weights of ``synapse`` as (rows, inputs)."""
    if isinstance(synapse, Sparse):
        return synapse.data.reshape(1, -1)
    return synapse.weight.reshape(synapse.weight.shape[0], -1)


def wires_of(synapse: Synapse) -> IntArray:
    """(inputs,) the source wire of each column of ``weights_of(synapse)``, which is no convolution."""
    assert not isinstance(synapse, Conv)
    return synapse.indices if isinstance(synapse, Sparse) else np.arange(synapse.in_size)


def sign_of(weights: FloatArray) -> SignMode:
    """The sign mode of ``weights``; without any weight but zero, excitatory."""
    if weights.min(initial=0.0) >= 0:
        return "excitatory"
    return "mixed" if weights.max(initial=0.0) > 0 else "inhibitory"


def incoming(network: Network, population: str) -> list[Synapse]:
    """The synapses of a folded network that end at ``population``."""
    nodes = [network.by_name[edge.source] for edge in network.into[population]]
    return [node for node in nodes if isinstance(node, SYNAPSES)]


def source_of(network: Network, synapse: str) -> str:
    """The input or population at which a folded network's synapse starts."""
    return network.into[synapse][0].source
