"""Runs a network in the order of a plan and counts what moves between DRAM and the chip."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.matrix import Matrix
from ranvier.compiler.ir.network import Network
from ranvier.compiler.schedule.manager import Event
from ranvier.compiler.schedule.plan import Moved, Plan
from ranvier.compiler.schedule.tables import Role
from ranvier.compiler.schedule.workload import tile_starts
from ranvier.runtimes.recording import check_inputs, encode, flat_frames, predict
from ranvier.runtimes.scheduled.cells import Cell, cells
from ranvier.runtimes.scheduled.machine import Machine

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ScheduledRun:
    """What came of a run: ``spikes`` and ``membrane`` per population, (samples, steps, *shape), and ``predictions``;
    ``moved``: the bits counted by layer and operand, one sample's; ``peak_bits``: the most that the store held.
    """

    spikes: Mapping[str, Values]
    membrane: Mapping[str, Values]
    predictions: NDArray[np.int64]
    moved: Mapping[tuple[str, Role], Moved]
    peak_bits: int


def run(plan: Plan, network: Network | ChipNetwork, inputs: Values) -> ScheduledRun:
    """Run ``network``, whose workload ``plan`` schedules, on ``inputs`` (samples, steps, *shape).

    A folded float network runs in float64, a chip network in its integers; the samples run side by side, and what is
    counted is one sample's. Raises ``RanvierError`` for inputs that do not fit, RV538 for another number of steps.
    """
    check_inputs(inputs, network)
    if inputs.shape[1] != plan.workload.steps:
        text = f"the data have {inputs.shape[1]} steps, the schedule is for {plan.workload.steps}"
        raise error("RV538", plan.workload.name, text, f"explore with --steps {inputs.shape[1]}")
    executor = _Executor(plan, network, _frames(network, inputs))
    tiles = plan.tables.tiles
    for event, what in plan.events.tolist():
        if event == Event.RUN:
            executor.compute(*plan.sequence[what].tolist())
        else:
            executor.machine.move(Event(event), what, int(tiles.bits[what]))
    return executor.result(network)


def _frames(network: Network | ChipNetwork, inputs: Values) -> Values:
    if isinstance(network, ChipNetwork):
        return flat_frames(encode(network.ports[0], inputs), network.ports[0].shape).astype(np.int64)
    return flat_frames(np.asarray(inputs, np.float64), network.inputs[0].shape)


class _Executor:
    def __init__(self, plan: Plan, network: Network | ChipNetwork, frames: Values) -> None:
        self.plan, self.samples = plan, frames.shape[0]
        self.nodes = plan.workload.nodes
        self.index = {node.name: i for i, node in enumerate(self.nodes)}
        self.cells: dict[str, Cell] = cells(network, plan.core.bits.v)
        steps = plan.workload.steps
        self.spikes = {name: np.zeros((self.samples, steps, size(c.layer.shape))) for name, c in self.cells.items()}
        self.membrane = {name: np.zeros_like(array) for name, array in self.spikes.items()}
        self._reads: dict[tuple[str, int, int], tuple[Matrix, list[int]]] = {}
        core = plan.core
        self.machine = Machine(self.measure, core.store.size_bits.v, core.dram.word_bits.v, self._dram(frames))

    @cached_property
    def neurons(self) -> dict[tuple[int, int], Values]:
        """The flat indices of the elements in each column tile of each node."""
        found = {}
        for i, node in enumerate(self.nodes):
            starts = tile_starts(node.width, int(self.plan.tables.nodes.tiles[i]))
            column = np.arange(node.width * node.column) % node.width
            for j, (low, high) in enumerate(pairwise(starts)):
                found[i, j] = np.flatnonzero((column >= low) & (column < high))
        return found

    def _dram(self, frames: Values) -> dict[int, Any]:
        """What DRAM holds from the start: data, weights, and initial states where they are charged."""
        found: dict[int, Any] = {}
        table, layout = self.plan.tables, self.plan.tables.nodes
        for step in range(self.plan.workload.steps):
            for j in range(int(layout.tiles[0])):
                found[self._output(0, step, j)] = frames[:, step, self.neurons[0, j]]
        for i in range(table.sources, len(self.nodes)):
            cell = self.cells[self.nodes[i].name]
            found[int(layout.weight_tile[i])] = tuple(synapse.weights for synapse in cell.synapses)
            for j in range(int(layout.tiles[i])) if self.plan.rules.state_io == "charged" else ():
                found[int(layout.state_tile[i]) + j] = self._kept(cell, cell.start(self.neurons[i, j], self.samples))
        return {tile: value for tile, value in found.items() if tile < table.tiles.bits.size}

    def _output(self, node: int, step: int, column: int) -> int:
        layout = self.plan.tables.nodes
        return int(layout.output_tile[node] + step * layout.tiles[node] + column)

    def _kept(self, cell: Cell, states: Mapping[str, Values]) -> dict[str, Values]:
        return {name: states[name] for name in cell.layer.states}

    def measure(self, tile: int, value: Any) -> int:
        """Bits of one sample of a tile's contents, from the arrays themselves."""
        table = self.plan.tables.tiles
        node = self.nodes[int(table.node[tile])]
        match Role(int(table.role[tile])):
            case Role.WEIGHT:
                paths = self.cells[node.name].layer.paths
                return sum(int(w.size) * path.bits for w, path in zip(value, paths, strict=True))
            case Role.STATE:
                bits = self.cells[node.name].layer.states
                return sum(int(array.shape[1]) * bits[name] for name, array in value.items())
            case _:
                return int(value.shape[1]) * node.bits

    def compute(self, node: int, step: int, column: int) -> None:
        """One computation: a column tile of a layer in one step, or in all steps of a batched block."""
        machine, layout = self.machine, self.plan.tables.nodes
        machine.begin()
        cell, neurons = self.cells[self.nodes[node].name], self.neurons[node, column]
        if layout.weight[node]:
            machine.take(int(layout.weight_tile[node]))
        states = cell.start(neurons, self.samples)
        state_tile = int(layout.state_tile[node]) + column
        if layout.state[node] and machine.holds(state_tile):
            states |= machine.take(state_tile)
        batched = bool(layout.batched[node])
        own: dict[int, Values] = {}
        for now in range(self.plan.workload.steps) if batched else (step,):
            arriving = self._arriving(node, now, column, own)
            sent, membrane, new = cell.advance(neurons, states, arriving, self.samples)
            states = cell.start(neurons, self.samples) | self._kept(cell, new)
            own[self._output(node, now, column)] = sent
            self.spikes[cell.layer.name][:, now, neurons] = sent
            self.membrane[cell.layer.name][:, now, neurons] = membrane
        if layout.state[node]:
            machine.give(state_tile, self._kept(cell, states))
        for tile, sent in own.items():
            machine.give(tile, sent)
        machine.end()

    def _arriving(self, node: int, now: int, column: int, own: Mapping[int, Values]) -> list[Values]:
        """What each synapse brings to a column tile in step ``now``; ``own``: what the computation itself has sent."""
        cell, found = self.cells[self.nodes[node].name], []
        for number, synapse in enumerate(cell.synapses):
            then = now - synapse.path.delay
            if then < 0:
                continue
            source = self.index[synapse.path.source]
            rows, wanted = self._rows(node, column, number, source)
            sent = np.zeros((self.samples, rows.shape[1]), cell.number)
            for j in wanted:
                tile = self._output(source, then, j)
                sent[:, self.neurons[source, j]] = own[tile] if tile in own else self.machine.take(tile)
            found.append(synapse.arriving(rows, sent))
        return found

    def _rows(self, node: int, column: int, number: int, source: int) -> tuple[Matrix, list[int]]:
        """The rows of a synapse for a column tile, and the tiles of the source in which they have entries."""
        cell = self.cells[self.nodes[node].name]
        key = (cell.layer.name, column, number)
        if key not in self._reads:
            rows = cell.synapses[number].matrix[self.neurons[node, column]]
            read = np.zeros(rows.shape[1], bool)
            read[rows.indices] = True
            tiles = range(int(self.plan.tables.nodes.tiles[source]))
            self._reads[key] = rows, [j for j in tiles if read[self.neurons[source, j]].any()]
        return self._reads[key]

    def result(self, network: Network | ChipNetwork) -> ScheduledRun:
        """Everything that was recorded and counted."""
        tiles, sources = self.plan.tables.tiles, self.plan.tables.sources

        def name(tile: int) -> tuple[str, Role]:
            node = int(tiles.node[tile])
            return self.nodes[node].name, Role.INPUT if node < sources else Role(int(tiles.role[tile]))

        spikes, membrane = (
            {n: values.reshape(*values.shape[:2], *self.cells[n].layer.shape) for n, values in recorded.items()}
            for recorded in (self.spikes, self.membrane)
        )
        readout = network.readout
        predictions = predict(readout, (spikes if readout.reads_spikes else membrane)[readout.node])
        return ScheduledRun(spikes, membrane, predictions, self.machine.counted(name), self.machine.peak)
