"""What a plan costs: energy by level, operand and layer, and the time of every computation.

``E = sum over operations d N e_op + sum over levels and operands (bits read e_read + bits written e_write)``, d the
density of what is read: a product with a zero input is not made, but nothing is stored, moved or timed differently for
it, because maps are not compressed. A transfer between DRAM and the chip is paid at both ends in whole words. The array
takes the loop order with the least energy for every computation (``loops.py``). A computation lasts as long as the
array needs, or as DRAM's port needs for what is moved for it, whichever is longer: transfers run beside computations.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.schedule.choices import Rules
from ranvier.compiler.schedule.loops import Nest, NestCost, best
from ranvier.compiler.schedule.manager import INCOMING, OUTGOING, Event
from ranvier.compiler.schedule.plan import Moved, Plan
from ranvier.compiler.schedule.tables import Ints, Role
from ranvier.compiler.schedule.workload import Kernel, Layer, tile_starts
from ranvier.targets.hierarchies import HierarchyCore, OperandName

MEMORIES: Final = ("registers", "buffers", "store", "dram")
"""Levels of memory, innermost first."""
LEVELS: Final = ("compute", *MEMORIES)
OPERANDS: Final[Mapping[str, tuple[Role, ...]]] = {
    "weights": (Role.WEIGHT,), "states": (Role.STATE,), "activations": (Role.INPUT, Role.OUTPUT)
}  # fmt: skip
"""Operands as they are reported; activations are what layers read and send, and data that enter."""
_IN_NEST: Final[Mapping[Role, OperandName]] = {
    Role.INPUT: "input", Role.WEIGHT: "weight", Role.OUTPUT: "output", Role.STATE: "state"
}  # fmt: skip
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ArrayCost:
    """What computations cost on the array: ``compute``, pJ of the operations; ``memory`` (levels, roles), pJ of
    ``MEMORIES`` by ``Role``; cycles.
    """

    compute: float
    memory: Floats
    cycles: int

    def __add__(self, other: "ArrayCost") -> "ArrayCost":
        return ArrayCost(self.compute + other.compute, self.memory + other.memory, self.cycles + other.cycles)

    def times(self, count: int) -> "ArrayCost":
        """The cost of ``count`` of them."""
        return ArrayCost(self.compute * count, self.memory * count, self.cycles * count)


def _nothing() -> Floats:
    return np.zeros((len(MEMORIES), len(Role)))


@dataclass(frozen=True, eq=False)
class Costs:
    """The costs of a plan: by layer (or source) ``compute_pj`` and ``memory_pj`` (levels, roles) as in ``ArrayCost``;
    ``cycles`` from begin to end.

    On chip a layer pays for what it reads and sends; off chip a tile counts for the layer that sent it, as in
    ``Plan.moved``.
    """

    plan: Plan
    compute_pj: Mapping[str, float]
    memory_pj: Mapping[str, Floats]

    @cached_property
    def total_pj(self) -> float:
        """All energy."""
        return sum(self.compute_pj.values()) + float(sum(table.sum() for table in self.memory_pj.values()))

    def level_pj(self, level: str) -> float:
        """The energy of one of ``LEVELS`` over all layers."""
        return sum(self.levels(name)[level] for name in self.memory_pj)

    def levels(self, name: str) -> dict[str, float]:
        """The energy of a layer (or source) by level."""
        found = {"compute": self.compute_pj[name]}
        return found | dict(zip(MEMORIES, self.memory_pj[name].sum(axis=1).tolist(), strict=True))

    def operands(self, name: str | None = None) -> dict[str, dict[str, float]]:
        """The energy of the memories by operand and level, of one layer (or source) or of all."""
        table = sum(self.memory_pj.values(), _nothing()) if name is None else self.memory_pj[name]
        return {
            operand: dict(zip(MEMORIES, table[:, list(roles)].sum(axis=1).tolist(), strict=True))
            for operand, roles in OPERANDS.items()
        }

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
    compute = dict.fromkeys((source.name for source in plan.workload.sources), 0.0)
    memory = {name: _nothing() for name in compute}
    for layer, cost in _array_costs(plan):
        compute[layer.name], memory[layer.name] = cost.compute, cost.memory
    for (name, role), moved in plan.moved.items():
        memory[name][MEMORIES.index("dram"), role] += dram_pj(moved, plan.core)
    ends = _store_ends(plan)
    for name, table in memory.items():
        table[MEMORIES.index("store")] += ends[name]
    return Costs(plan, compute, memory)


def dram_pj(moved: Moved, core: HierarchyCore) -> float:
    """What DRAM pays for a transfer, in whole words."""
    access, word = core.dram.access_pj_per_bit.v, core.dram.word_bits.v
    return word * (moved.read_words * access.read + moved.written_words * access.write)


def _store_ends(plan: Plan) -> dict[str, Floats]:
    """What the store pays for transfers from and to DRAM, (roles,) by layer or source."""
    names, tiles = [node.name for node in plan.workload.nodes], plan.tables.tiles
    access, word = plan.core.store.access_pj_per_bit.v, plan.core.store.word_bits.v
    found = np.zeros((len(names), len(Role)))
    for kinds, pj in ((INCOMING, access.write), (OUTGOING, access.read)):
        moved = plan.events[np.isin(plan.events[:, 0], kinds), 1]
        role = np.where(tiles.node[moved] < plan.tables.sources, int(Role.INPUT), tiles.role[moved])
        np.add.at(found, (tiles.node[moved], role), -(-tiles.bits[moved] // word) * word * pj)
    return dict(zip(names, found, strict=True))


def _layers(plan: Plan) -> Iterator[tuple[Layer, Ints, bool]]:
    """Every layer with the widths of its column tiles, and whether it is batched."""
    nodes, sources = plan.tables.nodes, plan.tables.sources
    for number, layer in enumerate(plan.workload.layers):
        starts = tile_starts(layer.width, int(nodes.tiles[sources + number]))
        yield layer, np.diff(starts), bool(nodes.batched[sources + number])


def _cycles(layer: Layer, widths: Ints, batched: bool, plan: Plan) -> Ints:
    """The array's cycles for each column tile."""
    found, place = np.unique(widths, return_inverse=True)
    workload, rules, core = plan.workload, plan.rules, plan.core
    cycles = [computation(layer, int(width), batched, workload.steps, rules, core).cycles for width in found]
    return np.array(cycles, np.int64)[place]


def _array_costs(plan: Plan) -> Iterator[tuple[Layer, ArrayCost]]:
    """Every layer with what all its computations cost on the array."""
    for layer, widths, batched in _layers(plan):
        total = ArrayCost(0.0, _nothing(), 0)
        for width, count in zip(*np.unique(widths, return_counts=True), strict=True):
            times = int(count) * (1 if batched else plan.workload.steps)
            total += computation(layer, int(width), batched, plan.workload.steps, plan.rules, plan.core).times(times)
        yield layer, total


def computation(layer: Layer, width: int, batched: bool, steps: int, rules: Rules, core: HierarchyCore) -> ArrayCost:
    """What one computation of ``layer`` costs on the array: ``width`` columns in one step, or ``batched`` in all
    ``steps``.
    """
    internal = batched and rules.state_io == "dead"
    bits = (layer.weight_width, layer.partial_bits, layer.bits, layer.state_bits)
    return _computation(layer.kernels, bits, width, steps if batched else 1, internal, core)


@lru_cache(maxsize=4096)
def _computation(
    kernels: tuple[Kernel, ...], bits: tuple[int, int, int, int], width: int, steps: int, internal: bool,
    core: HierarchyCore,
) -> ArrayCost:  # fmt: skip
    total, (weight, partial, sent, state) = ArrayCost(0.0, _nothing(), 0), bits
    for number, kernel in enumerate(kernels):
        if kernel.unit == "vector":
            operations = steps * kernel.operations(width)
            pj = operations * kernel.density * core.vector.op_pj.v
            total += ArrayCost(pj, _nothing(), -(-operations // core.vector.lanes.v))
            continue
        own = state if number == len(kernels) - 1 else 0
        sizes = (("K", kernel.outputs), ("C", kernel.inputs), ("OY", kernel.rows), ("OX", width),
                 ("FY", kernel.kernel[0]), ("FX", kernel.kernel[1]), ("T", steps))  # fmt: skip
        nest = Nest(sizes, kernel.stride, kernel.input_bits, weight, partial, sent, own, state > 0, internal,
                    kernel.density)  # fmt: skip
        found = best(nest, core)
        total += ArrayCost(found.compute, _by_role(found), found.cycles)
    return total


def _by_role(cost: NestCost) -> Floats:
    table = _nothing()
    for level, energies in enumerate((cost.registers, cost.buffers, cost.store)):
        for role, name in _IN_NEST.items():
            table[level, role] = energies[name]
    return table


def by_operand(plan: Plan) -> Mapping[str, int]:
    """Off-chip bits of ``OPERANDS``."""
    return {name: plan.by_role(*roles) for name, roles in OPERANDS.items()}
