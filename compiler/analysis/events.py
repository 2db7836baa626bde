"""What happened in a run, per layer and per core, in the events that cost energy and time.

A run counts spikes and synaptic operations per layer. Where they fell is taken in proportion: a core has the share of
its layer's events that it has of the layer's neurons, and a spike causes the mean messages and hops of its layer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ranvier.compiler.analysis.resources_blocks import blocks_of
from ranvier.compiler.analysis.resources_synapses import reach
from ranvier.compiler.analysis.traffic import mean, traffic
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import Placement

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
class CoreEvents:
    """Events of one core; synaptic operations by storage format."""

    tile: tuple[int, int, int]
    neuron_updates: float
    spikes: float
    synaptic_operations: Mapping[Format, float]
    messages_in: float
    messages_out: float


@dataclass(frozen=True)
class Events:
    """All events of ``samples`` runs of ``steps`` steps on ``chips`` chips.

    ``mesh_known`` tells whether hops could be counted; ``between_chips`` messages left their chip.
    """

    layers: Mapping[str, LayerEvents]
    cores: Mapping[int, CoreEvents]
    samples: int
    steps: int
    chips: int
    mesh_known: bool
    between_chips: float


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
    layers = {}
    for p in chip.populations:
        c, t = counts[p.name], flow[p.name]
        hops = (c.spikes * mean(t.east_west), c.spikes * mean(t.north_south))
        updates, format_ = p.size * samples * steps, layer_format(chip, p.name)
        sent = c.spikes * mean(t.messages)
        layers[p.name] = LayerEvents(updates, c.spikes, c.synaptic_operations, format_, sent, *hops)
    sent_by = {name: layer.spikes for name, layer in layers.items()} | dict(port_spikes or {})
    return Events(
        layers,
        _cores(chip, placement, layers, sent_by),
        samples,
        steps,
        placement.chips,
        all(site.x >= 0 for site in placement.sites),
        sum(layers[name].spikes * mean(flow[name].between_chips) for name in layers),
    )


def layer_format(chip: ChipNetwork, population: str) -> Format:
    """The storage of most synapses that end in a population; dense, the dearest, where several are mixed."""
    kinds = {connection.synapse.kind for connection in chip.into[population]}
    return kinds.pop() if len(kinds) == 1 else "dense"


def _cores(
    chip: ChipNetwork, placement: Placement, layers: Mapping[str, LayerEvents], sent_by: Mapping[str, int]
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
            for connection in chip.into[block.population]:
                arriving += sent_by.get(connection.source, 0) * float(np.mean(reach(connection, block)))
        site = sites[core]
        found[core] = CoreEvents(
            (site.chip, site.x, site.y) if site.x >= 0 else (site.chip, core, 0),
            sum(share[name] * layers[name].neuron_updates for name in share),
            sum(share[name] * layers[name].spikes for name in share),
            operations,
            arriving,
            sum(share[name] * layers[name].messages for name in share),
        )
    return found
