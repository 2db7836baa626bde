"""What every schedule costs at least, block by block: a proof that the rest need not be looked at.

A block's choice decides how its layers are cut, so it decides what its computations cost on the array. Off chip a layer
moves, in its own computations, at least

* what does not fit: the store never holds more than its capacity, so of a computation's operands all that is beyond it
  comes from DRAM or goes there;
* what has to come and go once: its weights, data that only it reads, answers, and states where their ends are charged;

and the larger of the two is a bound. Delayed reads are left out. Every transfer belongs to one computation, therefore
the bounds of layers add up, and the least cost of all schedules is at least the sum over blocks of the least bound of a
choice.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from ranvier.compiler.schedule.choices import CHOICES, Choice, Rules, Schedule
from ranvier.compiler.schedule.cost import Floats, computation
from ranvier.compiler.schedule.tables import Ints
from ranvier.compiler.schedule.workload import Layer, Workload, tile_starts
from ranvier.targets.hierarchies import HierarchyCore

SLACK: Final = 1.0 - 1e-9
"""Sums of energies are made in another order than those of the costs: a bound may not be above them by rounding."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """(blocks, choices) least ``energy`` in pJ, off-chip ``traffic`` in bits, ``cycles``; choices as in ``CHOICES``."""

    energy: Floats
    traffic: Floats
    cycles: Floats

    def of(self, objective: Literal["energy", "traffic", "cycles"]) -> Floats:
        """The table of one objective."""
        return {"energy": self.energy, "traffic": self.traffic, "cycles": self.cycles}[objective]


def bounds(workload: Workload, core: HierarchyCore, rules: Rules) -> Bounds:
    """The bounds of every block under every choice."""
    found = np.zeros((3, len(workload.blocks), len(CHOICES)))
    parts = _Parts(workload, core, rules)
    for layer in workload.layers:
        block = workload.block_of[layer.name]
        for number, choice in enumerate(CHOICES):
            found[:, block, number] += parts.least(layer, choice)
    return Bounds(found[0] * SLACK, found[1], found[2])


def below(table: Floats, limit: Callable[[], float]) -> Iterator[Schedule]:
    """The schedules whose bound in ``table`` is below ``limit()``, which may fall meanwhile; in ``every``'s order."""
    rest = np.append(np.cumsum(table.min(axis=1)[::-1])[::-1], 0.0)

    def extend(schedule: Schedule, sure: float) -> Iterator[Schedule]:
        block = len(schedule)
        if block == len(table):
            yield schedule
            return
        for choice, cost in zip(CHOICES, table[block].tolist(), strict=True):
            if sure + cost + rest[block + 1] < limit():
                yield from extend((*schedule, choice), sure + cost)

    return extend((), 0.0)


class _Parts:
    """What the layers of a workload need at least."""

    def __init__(self, workload: Workload, core: HierarchyCore, rules: Rules) -> None:
        self.workload, self.core, self.rules = workload, core, rules
        self.nodes = {node.name: node for node in workload.nodes}

    def least(self, layer: Layer, choice: Choice) -> tuple[float, int, int]:
        """Energy, traffic and cycles that ``layer`` needs at least."""
        steps, core = self.workload.steps, self.core
        tiles = min(layer.width, self.workload.columns[self.workload.block_of[layer.name]]) if choice.fused else 1
        times = 1 if choice.batched else steps
        starts = np.array(tile_starts(layer.width, tiles))
        over = np.maximum(self._operands(layer, choice, starts) - core.store.size_bits.v, 0)
        widths, place, count = np.unique(np.diff(starts), return_inverse=True, return_counts=True)
        costs = [computation(layer, int(width), choice.batched, steps, self.rules, core) for width in widths]
        array = sum(int(n) * (cost.compute + float(cost.memory.sum())) for n, cost in zip(count, costs, strict=True))
        cycles = np.maximum(np.array([cost.cycles for cost in costs])[place], -(-over // core.dram.word_bits.v))
        beyond, (entering, leaving) = times * int(over.sum()), self._once(layer)
        read, written = self._pj
        moved = max(min(read, written) * beyond, read * entering + written * leaving)
        return times * array + moved, max(beyond, entering + leaving), times * int(cycles.sum())

    @cached_property
    def _pj(self) -> tuple[float, float]:
        """What a bit costs that comes from DRAM into the chip, and one that leaves."""
        dram, store = self.core.dram.access_pj_per_bit.v, self.core.store.access_pj_per_bit.v
        return dram.read + store.write, dram.write + store.read

    def _operands(self, layer: Layer, choice: Choice, starts: Ints) -> Ints:
        """By tile, cut at ``starts``: bits that its computation needs and that somebody has to bring or to take."""
        steps = self.workload.steps if choice.batched else 1
        charged = self.rules.state_io == "charged"
        kept = charged or (not choice.batched and self.workload.steps > 1)
        state = layer.column * layer.state_bits * np.diff(starts) if kept else 0
        wanted = np.add.reduceat(self._wanted(layer), starts[:-1])
        total = layer.weight_bits + state + steps * layer.column * layer.bits * wanted
        for source in {operand.source for operand in layer.operands if operand.delay == 0}:
            node = self.nodes[source]
            total = total + steps * node.column * node.bits * self._columns_read(layer, source, starts)
        return np.asarray(total, np.int64)

    def _columns_read(self, layer: Layer, source: str, starts: Ints) -> Ints:
        """By tile: how many columns of ``source`` it reads in the same step."""
        most = np.zeros(len(starts) - 1, np.int64)
        for operand in layer.operands:
            if operand.source == source and operand.delay == 0:
                columns = np.array(operand.columns, np.int64)
                empty = columns[:, 0] >= columns[:, 1]
                low = np.minimum.reduceat(np.where(empty, self.nodes[source].width, columns[:, 0]), starts[:-1])
                high = np.maximum.reduceat(np.where(empty, 0, columns[:, 1]), starts[:-1])
                most = np.maximum(most, high - low)
        return most

    def _wanted(self, layer: Layer) -> Ints:
        """By column of what ``layer`` sends: 1 where it leaves the chip or another layer reads it in the same step."""
        if layer.name in self.workload.answers:
            return np.ones(layer.width, np.int64)
        return self._read(layer.name, [other for other in self.workload.layers if other.name != layer.name])

    def _read(self, source: str, readers: Iterable[Layer]) -> Ints:
        """By column of ``source``: 1 where a reader needs it in the same step, however it is cut."""
        read = np.zeros(self.nodes[source].width, np.int64)
        for operand in (o for layer in readers for o in layer.operands if o.source == source and o.delay == 0):
            for low, high in operand.columns:
                read[low:high] = 1
        return read

    def _once(self, layer: Layer) -> tuple[int, int]:
        """Bits that come in at least once, and that go out, in the computations of ``layer``."""
        steps, entering, leaving = self.workload.steps, layer.weight_bits, 0
        for source in self.workload.sources:
            readers = {other.name for other in self.workload.layers for o in other.operands if o.source == source.name}
            if readers == {layer.name}:
                entering += steps * source.column * source.bits * int(self._read(source.name, [layer]).sum())
        if layer.name in self.workload.answers:
            leaving += steps * layer.step_bits
        if self.rules.state_io == "charged":
            entering, leaving = entering + layer.total_state_bits, leaving + layer.total_state_bits
        return entering, leaving
