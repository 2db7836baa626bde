"""Events of a run of which every spike is known: what each caused, on the core and in the chip step where it did.

A spike sends one message to each core on which it has synapses, its own included, however many connections lead there,
and crosses the mesh by X-Y routing. What is sent in a chip step is worked off in that step. These are the counts of
SANA-FE, whose constants the target files hold; the mapper's limits count the axons of each connection apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ranvier.compiler.analysis.events import (
    CoreEvents,
    Events,
    Format,
    LayerEvents,
    LayerPass,
    layer_format,
    layer_pass,
    mesh_known,
    tile_of,
)
from ranvier.compiler.analysis.flows import homes_of
from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.compiler.ir.matrix import Matrix, synapse_matrix
from ranvier.compiler.ir.program import Placement

Sent = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, eq=False)
class _Reach:
    """Where the spikes of one source go: (neurons, cores) synapses by target population, and messages (0 or 1)."""

    synapses: Mapping[str, Matrix]
    messages: Matrix


def traced(chip: ChipNetwork, placement: Placement, sent: Sent) -> Events:
    """The events of a run that ``sent`` this: (samples, steps, ...) by port and population, 0 where nothing was."""
    run = _Run(chip, placement, sent)
    layers = {p.name: run.layer(p) for p in chip.populations}
    return Events(
        layers,
        run.once,
        run.core_events(),
        run.samples,
        run.steps,
        run.steps + chip.latency,
        placement.chips,
        mesh_known(placement),
        run.between_chips,
        exact=True,
    )


class _Run:
    """The tables that :func:`traced` adds up, (samples, chip steps, cores)."""

    def __init__(self, chip: ChipNetwork, placement: Placement, sent: Sent) -> None:
        self.chip, self.placement = chip, placement
        self.homes = homes_of(chip, placement.pieces)
        self.samples, self.steps = (int(n) for n in next(iter(sent.values())).shape[:2])
        self.cores = 1 + max(site.core for site in placement.sites)
        self.spikes = {name: _rows(values) for name, values in sent.items()}
        self.reach = {name: self._reach(name) for name in sent}
        self.sites = {site.core: site for site in placement.sites}
        self.between_chips = 0.0
        self.once: dict[str, LayerPass] = {}
        shape = (self.samples, self.steps + chip.latency, self.cores)
        self.fired, self.out, self.arrived = (np.zeros(shape) for _ in range(3))
        self.operations: dict[Format, FloatArray] = {}
        self.by_layer = dict.fromkeys((p.name for p in chip.populations), 0.0)
        for name in sent:
            self._receive(name)

    def layer(self, population: Population) -> LayerEvents:
        """One population's events; what it sends also goes into the tables of its cores."""
        name = population.name
        spikes, messages = self.spikes[name], self.reach[name].messages
        home = sparse.csr_array((np.ones(population.size), (np.arange(population.size), self.homes[name])),
                                shape=(population.size, self.cores))  # fmt: skip
        copies = np.asarray(messages.sum(axis=1)).reshape(-1)
        self._add(self.fired, name, spikes @ home)
        self._add(self.out, name, spikes @ (sparse.diags_array(copies) @ home))
        counts = np.asarray(spikes.sum(axis=0)).reshape(-1)
        east_west, north_south, away = self._hops(messages, self.homes[name])
        self.between_chips += float(counts @ away)
        sent = float(copies.sum()), float(east_west.sum()), float(north_south.sum())
        self.once[name] = layer_pass(self.chip, population, sent)
        return LayerEvents(
            population.size * self.samples * (self.steps + self.chip.latency),
            int(counts.sum()),
            int(self.by_layer[name]),
            layer_format(self.chip, name),
            float(counts @ copies),
            float(counts @ east_west),
            float(counts @ north_south),
        )

    def core_events(self) -> dict[int, CoreEvents]:
        """The events of each core that holds neurons, in every chip step."""
        held = np.bincount(np.concatenate(list(self.homes.values())), minlength=self.cores)
        return {
            core: CoreEvents(
                tile_of(self.sites[core]),
                np.full(self.fired[..., core].size, float(held[core])),
                self.fired[..., core].reshape(-1),
                {kind: table[..., core].reshape(-1) for kind, table in self.operations.items()},
                self.arrived[..., core].reshape(-1),
                self.out[..., core].reshape(-1),
            )
            for core in np.flatnonzero(held).tolist()
        }

    def _reach(self, source: str) -> _Reach:
        found: dict[str, Matrix] = {}
        size = self.spikes[source].shape[1]
        any_ = sparse.csr_array((size, self.cores))
        for c in self.chip.connections:
            if c.source == source:
                there = synapse_matrix(c.synapse).astype(np.float64)
                there.data[:] = 1.0  # whatever is stored is worked off, zeros among sparse weights too
                home = self.homes[c.target]
                onto = sparse.csr_array((np.ones(home.size), (home, np.arange(home.size))), (self.cores, home.size))
                reached = sparse.csr_array((onto @ there).T)
                found[c.target] = found[c.target] + reached if c.target in found else reached
                any_ = any_ + reached
        return _Reach(found, (any_ > 0).astype(np.float64))

    def _receive(self, source: str) -> None:
        reach, spikes = self.reach[source], self.spikes[source]
        self._add(self.arrived, source, spikes @ reach.messages)
        for target, synapses in reach.synapses.items():
            caused = spikes @ synapses
            self.by_layer[target] += float(caused.sum())
            kind = layer_format(self.chip, target)
            table = self.operations.setdefault(kind, np.zeros_like(self.arrived))
            self._add(table, source, caused)

    def _add(self, table: FloatArray, source: str, rows: Matrix) -> None:
        """Add (samples * steps, cores) ``rows``, which the source caused in its own steps."""
        node = self.chip.by_name[source]
        start = node.latency if isinstance(node, Population) else 0
        table[:, start : start + self.steps] += rows.toarray().reshape(self.samples, self.steps, self.cores)

    def _hops(self, messages: Matrix, home: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(neurons,) east-west and north-south hops, and messages to other chips, of one spike."""
        place = np.full((self.cores, 3), -1)
        for site in self.placement.sites:
            place[site.core] = (site.chip, site.x, site.y)
        pairs = messages.tocoo()
        a, b = place[home[pairs.row]], place[pairs.col]
        same = a[:, 0] == b[:, 0]
        known = same & (a[:, 1] >= 0) & (b[:, 1] >= 0)

        def each(cost: NDArray[np.generic]) -> FloatArray:
            return np.asarray(np.bincount(pairs.row, cost, minlength=home.size), np.float64)

        east_west, north_south = (each(known * np.abs(a[:, axis] - b[:, axis])) for axis in (1, 2))
        return east_west, north_south, each(~same)


def _rows(values: NDArray[np.generic]) -> Matrix:
    """(samples * steps, neurons) 1 where something was sent."""
    flat = values.reshape(values.shape[0] * values.shape[1], -1)
    return sparse.csr_array(flat != 0).astype(np.float64)
