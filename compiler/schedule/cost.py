"""What a plan costs: energy by level, operand and layer, and the time of every computation.

``E = sum over operations N e_op + sum over levels and operands (bits read e_read + bits written e_write)``. A transfer
between DRAM and the chip is paid at both ends in whole words. The array takes the loop order with the least energy for
every computation (``loops.py``). A computation lasts as long as the array needs, or as DRAM's port needs for what is
moved for it, whichever is longer: transfers run beside computations.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ranvier.compiler.schedule.loops import Nest, best
from ranvier.compiler.schedule.manager import INCOMING, OUTGOING, Event
from ranvier.compiler.schedule.plan import Moved, Plan
from ranvier.compiler.schedule.tables import Ints, Role
from ranvier.compiler.schedule.workload import Kernel, Layer, tile_starts
from ranvier.targets.hierarchies import HierarchyCore

LEVELS = ("compute", "registers", "buffers", "store", "dram")


@dataclass(frozen=True)
class ArrayCost:
    """What computations cost on the array: energy in pJ by level, and cycles."""

    compute: float = 0.0
    registers: float = 0.0
    buffers: float = 0.0
    store: float = 0.0
    cycles: int = 0

    def __add__(self, other: "ArrayCost") -> "ArrayCost":
        return ArrayCost(
            self.compute + other.compute,
            self.registers + other.registers,
            self.buffers + other.buffers,
            self.store + other.store,
            self.cycles + other.cycles,
        )

    def times(self, count: int) -> "ArrayCost":
        """The cost of ``count`` of them."""
        return ArrayCost(
            self.compute * count, self.registers * count, self.buffers * count, self.store * count, self.cycles * count
        )


@dataclass(frozen=True, eq=False)
class Costs:
    """The costs of a plan: ``energy_pj`` by layer (or source) and level, ``cycles`` from begin to end."""

    plan: Plan
    energy_pj: Mapping[str, Mapping[str, float]]

    @property
    def total_pj(self) -> float:
        """All energy."""
        return sum(sum(levels.values()) for levels in self.energy_pj.values())

    def level_pj(self, level: str) -> float:
        """The energy of one level over all layers."""
        return sum(levels[level] for levels in self.energy_pj.values())

    @cached_property
    def spans(self) -> Ints:
        """(computations, 2): first cycle and the one after the last."""
        by_tile = [np.zeros(0, np.int64)] * self.plan.tables.sources
        by_tile += [_cycles(layer, widths, batched, self.plan) for layer, widths, batched in _layers(self.plan)]
        starts = np.cumsum([0, *(len(cycles) for cycles in by_tile)])
        lasting = np.concatenate(by_tile)[starts[self.plan.sequence[:, 0]] + self.plan.sequence[:, 2]]
        ends = np.cumsum(np.maximum(lasting, self._port_cycles))
        return np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)

    @property
    def cycles(self) -> int:
        """Cycles of the whole run."""
        return int(self.spans[-1, 1])

    @cached_property
    def _port_cycles(self) -> Ints:
        """Cycles of DRAM's port for every computation: what comes in before it, and what leaves after it."""
        plan = self.plan
        kinds, what = plan.events[:, 0], plan.events[:, 1]
        moves = np.isin(kinds, (*INCOMING, *OUTGOING))
        runs = np.cumsum(kinds == Event.RUN)
        after = (kinds == Event.SEND) | ((kinds == Event.WRITE) & (runs == len(plan.sequence)))
        owner = np.minimum(runs - after, len(plan.sequence) - 1)
        words = -(-plan.tables.tiles.bits[np.where(moves, what, 0)] // plan.core.dram.word_bits.v)
        found = np.zeros(len(plan.sequence), np.int64)
        np.add.at(found, owner[moves], words[moves])
        return found


def costs(plan: Plan) -> Costs:
    """What ``plan`` costs."""
    found = {layer.name: _energies(cost) for layer, cost in _array_costs(plan)}
    found |= {source.name: dict.fromkeys(LEVELS, 0.0) for source in plan.workload.sources}
    for (name, _), moved in plan.moved.items():
        found[name]["dram"] += dram_pj(moved, plan.core)
    for name, pj in _store_ends(plan).items():
        found[name]["store"] += pj
    return Costs(plan, found)


def dram_pj(moved: Moved, core: HierarchyCore) -> float:
    """What DRAM pays for a transfer, in whole words."""
    access, word = core.dram.access_pj_per_bit.v, core.dram.word_bits.v
    return word * (moved.read_words * access.read + moved.written_words * access.write)


def _store_ends(plan: Plan) -> dict[str, float]:
    """What the store pays for transfers from and to DRAM, by layer or source."""
    names = [node.name for node in plan.workload.nodes]
    access, word = plan.core.store.access_pj_per_bit.v, plan.core.store.word_bits.v
    found = np.zeros(len(names))
    for kinds, pj in ((INCOMING, access.write), (OUTGOING, access.read)):
        tiles = plan.events[np.isin(plan.events[:, 0], kinds), 1]
        np.add.at(found, plan.tables.tiles.node[tiles], -(-plan.tables.tiles.bits[tiles] // word) * word * pj)
    return dict(zip(names, found.tolist(), strict=True))


def _energies(cost: ArrayCost) -> dict[str, float]:
    return {level: float(getattr(cost, level, 0.0)) for level in LEVELS}


def _layers(plan: Plan) -> Iterator[tuple[Layer, Ints, bool]]:
    """Every layer with the widths of its column tiles, and whether it is batched."""
    nodes, sources = plan.tables.nodes, plan.tables.sources
    for number, layer in enumerate(plan.workload.layers):
        starts = tile_starts(layer.width, int(nodes.tiles[sources + number]))
        yield layer, np.diff(starts), bool(nodes.batched[sources + number])


def _cycles(layer: Layer, widths: Ints, batched: bool, plan: Plan) -> Ints:
    """The array's cycles for each column tile."""
    found, place = np.unique(widths, return_inverse=True)
    return np.array([computation(layer, int(width), batched, plan).cycles for width in found], np.int64)[place]


def _array_costs(plan: Plan) -> Iterator[tuple[Layer, ArrayCost]]:
    """Every layer with what all its computations cost on the array."""
    for layer, widths, batched in _layers(plan):
        total = ArrayCost()
        for width, count in zip(*np.unique(widths, return_counts=True), strict=True):
            times = int(count) * (1 if batched else plan.workload.steps)
            total += computation(layer, int(width), batched, plan).times(times)
        yield layer, total


def computation(layer: Layer, width: int, batched: bool, plan: Plan) -> ArrayCost:
    """What one computation of ``layer`` costs on the array: ``width`` columns in one step, or ``batched`` in all."""
    steps = plan.workload.steps if batched else 1
    internal = batched and plan.rules.state_io == "dead"
    bits = (layer.weight_width, layer.partial_bits, layer.bits, layer.state_bits)
    return _computation(layer.kernels, bits, width, steps, internal, plan.core)


@lru_cache(maxsize=4096)
def _computation(
    kernels: tuple[Kernel, ...], bits: tuple[int, int, int, int], width: int, steps: int, internal: bool,
    core: HierarchyCore,
) -> ArrayCost:  # fmt: skip
    total, (weight, partial, sent, state) = ArrayCost(), bits
    for number, kernel in enumerate(kernels):
        if kernel.unit == "vector":
            operations = steps * kernel.operations(width)
            total += ArrayCost(compute=operations * core.vector.op_pj.v, cycles=-(-operations // core.vector.lanes.v))
            continue
        own = state if number == len(kernels) - 1 else 0
        sizes = (("K", kernel.outputs), ("C", kernel.inputs), ("OY", kernel.rows), ("OX", width),
                 ("FY", kernel.kernel[0]), ("FX", kernel.kernel[1]), ("T", steps))  # fmt: skip
        nest = Nest(sizes, kernel.stride, kernel.input_bits, weight, partial, sent, own, state > 0, internal)
        found = best(nest, core)
        total += ArrayCost(found.compute, found.registers, found.buffers, found.store, found.cycles)
    return total


def by_operand(plan: Plan) -> Mapping[str, int]:
    """Off-chip bits: weights, states, and activations (what layers send, and data that enter)."""
    return {
        "weights": plan.by_role(Role.WEIGHT),
        "states": plan.by_role(Role.STATE),
        "activations": plan.by_role(Role.INPUT, Role.OUTPUT),
    }
