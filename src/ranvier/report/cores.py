"""What the pictures of a placed program show, as plain numbers: cores, their layers, traffic, use, cost by layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ranvier.app import App
from ranvier.cli.tables import plural
from ranvier.compiler.analysis.flows import Flows, MeshLoad, flows, mesh_load
from ranvier.compiler.analysis.links import Links, links
from ranvier.compiler.analysis.traffic import traffic
from ranvier.compiler.ir.program import Placement, Program
from ranvier.report.layout import Layout, layout, tile_of
from ranvier.summary import Report

MEASURED = "at the spike rates of the data"
CALIBRATED = "at the spike rates of the calibration data"
ALWAYS = "as if every neuron fired in every step (give data for real rates)"


@dataclass(frozen=True, eq=False)
class Held:
    """What lies on a unit: neurons by layer, in the order of the layers."""

    neurons: Mapping[str, int]

    def bands(self, count: int) -> tuple[str, ...]:
        """The layer of each of ``count`` bands of the unit's cell, by the share of neurons."""
        names, upto = list(self.neurons), np.cumsum(list(self.neurons.values()))
        middles = (np.arange(count) + 0.5) / count * upto[-1]
        return tuple(names[int(i)] for i in np.searchsorted(upto, middles, side="right"))


@dataclass(frozen=True)
class Use:
    """A core and the share of its limit that its scarcest resource takes."""

    core: int
    resource: str
    used: int
    limit: int

    @property
    def percent(self) -> float:
        """The share in per cent."""
        return 100 * self.used / self.limit


@dataclass(frozen=True)
class Cost:
    """What a layer takes; ``energy_nj`` is None without data, or where constants are missing."""

    layer: str
    cores: int
    weights_kib: float
    states_kib: float
    messages: float
    energy_nj: float | None


@dataclass(frozen=True, eq=False)
class Cores:
    """A placed program as drawn: ``held`` and ``place`` by unit of ``map``, ``messages`` by unit of ``mesh``.

    ``busiest`` is None where meshes are not known or no link is used. ``rates`` says in words which spike rates count.
    """

    map: Layout
    mesh: Layout
    layers: tuple[str, ...]
    held: Mapping[int, Held]
    where: Mapping[int, str]
    messages: Mapping[int, float]
    load: MeshLoad
    busiest: tuple[float, int, tuple[int, int], tuple[int, int]] | None
    uses: tuple[Use, ...]
    costs: tuple[Cost, ...]
    rates: str

    @property
    def size(self) -> str:
        """``12 cores on 2 chips``."""
        if self.map.unit == "chip":
            return plural(len(self.held), "chip")
        return f"{plural(len(self.held), 'core')} on {plural(len(self.map.frames), 'chip')}"


def cores(app: App, report: Report) -> Cores:
    """The pictures' content; ``report`` is that of ``app``, with or without a recording."""
    program = app.program
    placement, chip = program.placement, program.chip
    rates, said = _rates(program, report)
    flow = flows(chip, placement.pieces, rates)
    numbered = sorted(placement.sites, key=lambda site: site.core)
    dense = numbered[-1].core == len(numbered) - 1
    plan, mesh = layout(placement), layout(placement, tiles=True)
    found = links(flow, numbered) if plan.meshed and dense else None
    busiest = found.busiest() if found is not None else None
    return Cores(
        plan,
        mesh,
        tuple(p.name for p in chip.populations),
        _held(program, plan),
        _where(placement, plan),
        _messages(placement, plan, flow, found),
        mesh_load(flow, numbered) if dense else MeshLoad(float(flow.messages.sum()), 0.0, 0.0, 0.0),
        busiest if busiest and busiest[0] > 0 else None,
        _uses(report),
        _costs(program, report, rates),
        said,
    )


def _rates(program: Program, report: Report) -> tuple[Mapping[str, float], str]:
    measured = {layer.name: layer.rate for layer in report.layers if layer.rate is not None}
    if measured:
        return measured, MEASURED
    return program.chip.rates, CALIBRATED if program.chip.rates else ALWAYS


def _unit(placement: Placement, plan: Layout) -> Mapping[int, int]:
    """The unit that stands for each core."""
    return {site.core: site.chip if plan.unit == "chip" else site.core for site in placement.sites}


def _held(program: Program, plan: Layout) -> dict[int, Held]:
    unit, counts = _unit(program.placement, plan), dict[int, dict[str, int]]()
    for piece in program.placement.pieces:
        on = counts.setdefault(unit[piece.core], {})
        on[piece.population] = on.get(piece.population, 0) + piece.stop - piece.start
    names = [p.name for p in program.chip.populations]
    return {u: Held({name: on[name] for name in names if name in on}) for u, on in sorted(counts.items())}


def _where(placement: Placement, plan: Layout) -> dict[int, str]:
    """Each unit's place in words."""
    if plan.unit == "chip":
        return {site.chip: f"chip {site.chip}" for site in placement.sites}
    return {
        site.core: f"core {site.core}, chip {site.chip}" + (f", tile ({site.x}, {site.y})" if plan.meshed else "")
        for site in placement.sites
    }


def _messages(placement: Placement, plan: Layout, flow: Flows, found: Links | None) -> dict[int, float]:
    """Messages per step: through the router of each tile, or sent and received by each unit where there is no mesh."""
    if found is not None and plan.unit == "core":
        index = {int(chip): n for n, chip in enumerate(found.chips)}
        lowest = set(tile_of(placement).values())
        return {s.core: float(found.routers[index[s.chip], s.y, s.x]) for s in placement.sites if s.core in lowest}
    unit = _unit(placement, plan)
    through = np.zeros(max(unit.values()) + 1)
    to = np.zeros(max(unit) + 1, dtype=np.int64)
    to[list(unit)] = list(unit.values())
    apart = to[flow.sources] != to[flow.targets]
    for ends in (flow.sources, flow.targets):
        np.add.at(through, to[ends[apart]], flow.messages[apart])
    return {u: float(through[u]) for u in sorted(set(unit.values()))}


def _uses(report: Report) -> tuple[Use, ...]:
    if report.memory is None:
        return ()
    binding = [(core.core, core.binding) for core in report.memory.cores]
    return tuple(Use(core, b.resource, b.used, b.limit) for core, b in binding)


def _costs(program: Program, report: Report, rates: Mapping[str, float]) -> tuple[Cost, ...]:
    sent = traffic(program.chip, program.placement)
    energies: Mapping[str, Any] = {}
    if report.energy is not None and report.energy.dynamic_nj is not None:
        energies = report.energy.layers
    return tuple(
        Cost(
            layer.name,
            layer.cores,
            (layer.weight_bytes or 0) / 1024,
            (layer.state_bytes or 0) / 1024,
            float(sent[layer.name].messages.sum()) * rates.get(layer.name, 1.0),
            energies[layer.name].total if layer.name in energies else None,
        )
        for layer in report.layers
    )
