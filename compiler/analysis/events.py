"""What happened in a run, per layer and per core, in the events that cost energy and time.

Where every spike is recorded, ``traced.py`` counts what each one caused. Here only counts per layer are known. Where
they fell is taken in proportion: a core has the share of its layer's events that it has of the layer's neurons, and a
spike causes the mean messages and hops of its layer.

A sample of T steps takes T + L chip steps, L being the network's latency, and every neuron is updated in all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ranvier.compiler.analysis.carried import carried
from ranvier.compiler.analysis.flows import senders
from ranvier.compiler.analysis.resources_blocks import blocks_of
from ranvier.compiler.analysis.resources_synapses import fan_in
from ranvier.compiler.analysis.states import membrane_read
from ranvier.compiler.analysis.traffic import mean, traffic
from ranvier.compiler.ir.arrays import FloatArray, size
from ranvier.compiler.ir.chip import ChipNetwork, ChipSynapse, Population, SparseSynapse
from ranvier.compiler.ir.program import CoreSite, Placement

Format = Literal["dense", "sparse", "conv"]


class Counts(Protocol):
    """What an executor counts for one population, over all samples and steps."""

    @property
    def spikes(self) -> int:
        """Spikes sent."""

    @property
    def synaptic_operations(self) -> int:
        """Synapses that a spike arrived at, of the connections that end in the population."""


@dataclass(frozen=True)
class LayerEvents:
    """Events of one layer over all samples and steps; messages and hops of the spikes that it sends."""

    neuron_updates: int
    spikes: int
    synaptic_operations: int
    format: Format
    messages: float
    east_west: float
    north_south: float


@dataclass(frozen=True)
class LayerPass:
    """One layer if every neuron and every input sent once: what that causes, and the bits that take part.

    ``synapse_bits``: the widths of all weights, ``state_bits`` of all states that carry something from step to step,
    ``payload_bits`` of one message. Messages and hops are those that the layer sends.
    """

    neurons: int
    synapses: int
    synapse_bits: int
    state_bits: int
    payload_bits: int
    messages: float
    east_west: float
    north_south: float


@dataclass(frozen=True, eq=False)
class CoreEvents:
    """Events of one core in a chip step, (rows,): in each one of the run, or in the mean one; operations by format."""

    tile: tuple[int, int, int]
    neuron_updates: FloatArray
    spikes: FloatArray
    synaptic_operations: Mapping[Format, FloatArray]
    messages_in: FloatArray
    messages_out: FloatArray


@dataclass(frozen=True, eq=False)
class Events:
    """All events of ``samples`` runs of ``steps`` steps, each of ``chip_steps`` chip steps, on ``chips`` chips.

    ``once`` is a single pass of everything. ``mesh_known`` tells whether hops could be counted; ``between_chips``
    messages left their chip; ``exact`` says that spikes were followed one by one.
    """

    layers: Mapping[str, LayerEvents]
    once: Mapping[str, LayerPass]
    cores: Mapping[int, CoreEvents]
    samples: int
    steps: int
    chip_steps: int
    chips: int
    mesh_known: bool
    between_chips: float
    exact: bool


def events(
    chip: ChipNetwork,
    placement: Placement,
    counts: Mapping[str, Counts],
    samples: int,
    steps: int,
    port_spikes: Mapping[str, int] | None = None,
) -> Events:
    """The events of a run whose populations counted ``counts``; ``port_spikes`` are those that came from outside."""
    flow = traffic(chip, placement)
    layers, chip_steps = {}, steps + chip.latency
    for p in chip.populations:
        c, t = counts[p.name], flow[p.name]
        hops = (c.spikes * mean(t.east_west), c.spikes * mean(t.north_south))
        updates, format_ = p.size * samples * chip_steps, layer_format(chip, p.name)
        sent = c.spikes * mean(t.messages)
        layers[p.name] = LayerEvents(updates, c.spikes, c.synaptic_operations, format_, sent, *hops)
    sent_by = {name: layer.spikes for name, layer in layers.items()} | dict(port_spikes or {})
    sums = {name: (float(t.messages.sum()), float(t.east_west.sum()), float(t.north_south.sum()))
            for name, t in flow.items()}  # fmt: skip
    return Events(
        layers,
        {p.name: layer_pass(chip, p, sums[p.name]) for p in chip.populations},
        _cores(chip, placement, layers, sent_by, samples * chip_steps),
        samples,
        steps,
        chip_steps,
        placement.chips,
        mesh_known(placement),
        sum(layers[name].spikes * mean(flow[name].between_chips) for name in layers),
        exact=False,
    )


def layer_pass(chip: ChipNetwork, population: Population, sent: tuple[float, float, float]) -> LayerPass:
    """The single pass of a layer whose neurons together send ``sent``: messages, east-west and north-south hops."""
    kept = carried(population.program, population.params, membrane_read(chip, population.name))
    counts = [(_stored(c.synapse), c.bits) for c in chip.into[population.name]]
    return LayerPass(
        population.size,
        sum(synapses for synapses, _ in counts),
        sum(synapses * bits for synapses, bits in counts),
        population.size * sum(state.bits for state in population.program.states if state.name in kept),
        max(1, population.bits),
        *sent,
    )


def _stored(synapse: ChipSynapse) -> int:
    """The synapses that executors count: of a sparse connection all that are written down."""
    return int(synapse.data.size if isinstance(synapse, SparseSynapse) else fan_in(synapse).sum())


def mesh_known(placement: Placement) -> bool:
    """Whether all cores have a place on their chip's mesh."""
    return all(site.x >= 0 for site in placement.sites)


def tile_of(site: CoreSite) -> tuple[int, int, int]:
    """The tile of a core; on an unknown mesh each core counts as one."""
    return (site.chip, site.x, site.y) if site.x >= 0 else (site.chip, site.core, 0)


def layer_format(chip: ChipNetwork, population: str) -> Format:
    """The storage of most synapses that end in a population; dense, the dearest, where several are mixed."""
    kinds = {connection.lists for connection in chip.into[population]}
    return kinds.pop() if len(kinds) == 1 else "dense"


def _cores(
    chip: ChipNetwork,
    placement: Placement,
    layers: Mapping[str, LayerEvents],
    sent_by: Mapping[str, int],
    rows: int,
) -> dict[int, CoreEvents]:
    sites = {site.core: site for site in placement.sites}
    found = {}
    for core, blocks in blocks_of(chip, placement.pieces).items():
        share = {b.population: b.size / size(b.shape) for b in blocks}
        operations: dict[Format, float] = {}
        arriving = 0.0
        for block in blocks:
            layer = layers[block.population]
            part = share[block.population] * layer.synaptic_operations
            operations[layer.format] = operations.get(layer.format, 0.0) + part
        for source, neurons in senders(chip, blocks):
            arriving += sent_by.get(source, 0) * neurons.size / size(chip.by_name[source].shape)
        found[core] = CoreEvents(
            tile_of(sites[core]),
            _mean_step(sum(share[name] * layers[name].neuron_updates for name in share), rows),
            _mean_step(sum(share[name] * layers[name].spikes for name in share), rows),
            {kind: _mean_step(count, rows) for kind, count in operations.items()},
            _mean_step(arriving, rows),
            _mean_step(sum(share[name] * layers[name].messages for name in share), rows),
        )
    return found


def _mean_step(count: float, rows: int) -> FloatArray:
    """One row: ``count`` events of the whole run in the mean of its ``rows`` chip steps."""
    return np.array([count / rows])
