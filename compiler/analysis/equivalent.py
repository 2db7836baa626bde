"""The equivalent conventional network on the same constants, beside the spiking one.

The twin has the same layers on the same cores and runs once where the spiking network runs T steps. Each neuron sends
one activation of ``ceil(log2(T + 1))`` bits, for as many values as there are spike counts, so that every synapse
multiplies once. Per column, over all layers::

    E = operations * e_synapse * factor + updates * e_neuron + sent * e_spike + messages * e_message + hops * e_hop

with ``factor`` 1 for the accumulation that a spike causes and 16/7 for a multiplication with an activation. The chip
updates every neuron in every chip step, so the twin pays 1 + L updates where the spiking network pays T + L (L: steps
of latency). State bits are those that carry something from step to step; the twin has none. The bits that move:
weights that are read, states that are read and written, and the payloads of messages.

The *break-even spike rate* is the rate at which both spend the same, were all spikes that many times rarer or more
frequent: what the spikes cause is proportional to them, the updates are not. Rates are shares: of all synapses, those
that a step uses.

Sources: Ottati et al., arXiv 2306.15749 (what to count); Yan et al., arXiv 2409.08290 (bits of the twin); the factor is
the compute energy of STEMS' layers with 4-bit inputs against those with spikes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ranvier.compiler.analysis.estimate import Estimate
from ranvier.compiler.analysis.events import Events, LayerEvents, LayerPass

if TYPE_CHECKING:
    from ranvier.compiler.analysis.energy import LayerEnergy

MAC_FACTOR = 16 / 7
"""Energy of a multiply-accumulate in units of an accumulate."""


@dataclass(frozen=True)
class Column:
    """What one of the two takes for an inference, over all layers; energy is dynamic, in nJ."""

    operations: float
    updates: float
    messages: float
    weight_bits: float
    state_traffic_bits: float
    message_bits: float
    state_bits: int
    energy_nj: Estimate


@dataclass(frozen=True)
class Equivalent:
    """Both columns; ``rate`` and ``break_even`` are shares of the synapses that a step uses.

    ``activation_bits`` are those of the twin. ``break_even`` is 0 where the neuron updates alone cost more than the
    twin, None where no spike was counted that could be scaled.
    """

    steps: int
    activation_bits: int
    mac_factor: float
    spiking: Column
    ann: Column
    rate: float
    break_even: float | None
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Energy of the spiking network in units of its twin's."""
        return self.spiking.energy_nj.value / self.ann.energy_nj.value

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        columns = {
            name: {**vars(column), "energy_nj": vars(column.energy_nj)}
            for name, column in (("spiking", self.spiking), ("ann", self.ann))
        }
        return {**vars(self), **columns, "ratio": self.ratio, "notes": list(self.notes)}


@dataclass(frozen=True)
class TwinCosts:
    """Energy per event in pJ of a layer: an accumulation, a neuron update, a spike sent, the messages of a pass."""

    synapse: float
    update: float
    spike: float
    network: float


def equivalent(
    happened: Events,
    spent: Mapping[str, "LayerEnergy"],
    dynamic: Estimate,
    costs: Mapping[str, TwinCosts],
    error: float | None,
) -> Equivalent:
    """The twin of what ``happened`` and ``spent`` that energy; ``costs`` by layer, ``error`` of the constants."""
    bits = happened.steps.bit_length()
    ann, plain = _twin(happened, costs, MAC_FACTOR, bits), _twin(happened, costs, 1.0, bits)
    if error is not None:
        value = ann.energy_nj.value
        band = Estimate(value, plain.energy_nj.value * (1 - error), value * (1 + error))
        ann = Column(**{**vars(ann), "energy_nj": band})
    synapses = sum(layer.synapses for layer in happened.once.values())
    spiking = _spiking(happened, dynamic)
    rate = spiking.operations / (synapses * happened.steps) if synapses else 0.0
    updates = sum(layer.neurons for layer in spent.values())
    by_spikes = sum(layer.total for layer in spent.values()) - updates
    even = max(0.0, ann.energy_nj.value - updates) / by_spikes * rate if by_spikes > 0 else None
    text = (
        f"ANN: same layers in one pass, {bits}-bit activations, a MAC at {MAC_FACTOR:.3g} times a synaptic operation, "
        f"its memory access included ({plain.energy_nj.value / 1e3:.3g} uJ if it cost no more than one)"
    )
    return Equivalent(happened.steps, bits, MAC_FACTOR, spiking, ann, rate, even, (text,))


def _spiking(happened: Events, dynamic: Estimate) -> Column:
    """The counts of the run, by the sample."""
    pairs = [(layer, happened.once[name]) for name, layer in happened.layers.items()]
    each = 1 / happened.samples
    return Column(
        each * sum(layer.synaptic_operations for layer, _ in pairs),
        each * sum(layer.neuron_updates for layer, _ in pairs),
        each * sum(layer.messages for layer, _ in pairs),
        each * sum(layer.synaptic_operations * _width(once) for layer, once in pairs),
        each * sum(2 * _updates_each(layer, once) * once.state_bits for layer, once in pairs),
        each * sum(layer.messages * once.payload_bits for layer, once in pairs),
        sum(once.state_bits for _, once in pairs),
        dynamic,
    )


def _twin(happened: Events, costs: Mapping[str, TwinCosts], factor: float, bits: int) -> Column:
    layers = happened.once
    passes = 1 + happened.chip_steps - happened.steps
    energy = sum(
        once.synapses * costs[name].synapse * factor
        + once.neurons * (passes * costs[name].update + costs[name].spike)
        + costs[name].network
        for name, once in layers.items()
    )
    return Column(
        sum(once.synapses for once in layers.values()),
        passes * sum(once.neurons for once in layers.values()),
        sum(once.messages for once in layers.values()),
        sum(once.synapse_bits for once in layers.values()),
        0.0,
        bits * sum(once.messages for once in layers.values()),
        0,
        Estimate(energy * 1e-3),
    )


def _width(once: LayerPass) -> float:
    """Mean bits of a weight."""
    return once.synapse_bits / once.synapses if once.synapses else 0.0


def _updates_each(layer: LayerEvents, once: LayerPass) -> float:
    """Updates of each neuron, all samples together."""
    return layer.neuron_updates / once.neurons
