"""What arrives at a population: its synapses with real weights per integer sent, and what their senders do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.linear import SYNAPSES, Conv, Grid, SignMode, Sparse, Synapse
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
    """

    synapse: Synapse
    weights: FloatArray
    sign: SignMode
    bits: int
    moments: Moments
    source: FloatArray

    @property
    def levels(self) -> WeightLevels:
        """The integers that the weights may be."""
        return weight_levels(self.bits, self.sign)

    @property
    def exponents(self) -> bool:
        """Whether the weights may be shifted by a power of two: not those of a convolution."""
        return not isinstance(self.synapse, Conv)

    @cached_property
    def peak(self) -> float:
        """The largest abs weight."""
        return float(np.abs(self.weights).max(initial=0.0))

    def quantized(self, integers: FloatArray, scale: float, exponent: int) -> Synapse:
        """The synapse with ``integers`` (as ``weights`` is shaped) for weights."""
        grid = Grid(scale, exponent, self.sign, self.bits)
        if isinstance(self.synapse, Sparse):
            return replace(self.synapse, data=integers.reshape(-1), grid=grid)
        return replace(self.synapse, weight=integers.reshape(self.synapse.weight.shape), grid=grid)


def arrival(network: Network, synapse: Synapse, bits: int, known: Mapping[str, Moments]) -> Arrival:
    """``synapse`` of a folded network whose weights get ``bits``; ``known`` are moments by synapse, in source units."""
    source = network.by_name[source_of(network, synapse.name)]
    payload = sent_units(network, synapse.name)
    weights = weights_of(synapse) / payload
    sign = sign_of(weights)
    moments = known.get(synapse.name)
    if moments is None:
        seen = network.observed.get(source.name)
        rate = seen.rate if seen is not None and seen.rate > 0 else 1.0
        groups = synapse.groups if isinstance(synapse, Conv) else 1
        moments = identity(weights.shape[1], groups, rate)
    aligned = _kept_sign(moments.align(weights), sign)
    return Arrival(synapse, aligned, sign, bits, moments.scaled(payload), weights)


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
