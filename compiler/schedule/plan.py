"""A schedule worked out: the order of computations, every event of the memory manager, and the bits that move."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.schedule.choices import OWN, Rules, Schedule, describe
from ranvier.compiler.schedule.manager import INCOMING, OUTGOING, Event, manage
from ranvier.compiler.schedule.order import chain_lengths, order
from ranvier.compiler.schedule.tables import Ints, Role, Tables, tables
from ranvier.compiler.schedule.uses import uses
from ranvier.compiler.schedule.workload import Workload
from ranvier.targets.hierarchies import HierarchyCore


@dataclass(frozen=True)
class Moved:
    """Bits between DRAM and the chip by one operand of one layer, and the words of DRAM that they take."""

    read_bits: int = 0
    written_bits: int = 0
    read_words: int = 0
    written_words: int = 0

    @property
    def bits(self) -> int:
        """Both ways."""
        return self.read_bits + self.written_bits


@dataclass(frozen=True, eq=False)
class Plan:
    """A workload under a schedule on a chip.

    ``sequence`` (computations, 3): node, step, column tile. ``events`` (n, 2): ``Event`` and a tile or computation.
    ``peak_bits``: the most that the store holds.
    """

    workload: Workload
    schedule: Schedule
    rules: Rules
    core: HierarchyCore
    tables: Tables
    sequence: Ints
    events: Ints
    peak_bits: int

    @cached_property
    def moved(self) -> Mapping[tuple[str, Role], Moved]:
        """Off-chip traffic by layer (or source) and operand; what does not move is left out.

        A tile is an input of whoever reads it and the output of its own layer; here every tile counts for the node
        that it belongs to: what a layer sent, written and read back, is its ``OUTPUT``, and a source's its ``INPUT``.
        """
        names = [node.name for node in self.workload.nodes]
        table = self._by_node_and_role()
        found = {}
        for node, name in enumerate(names):
            for role in Role:
                row = tuple(int(n) for n in table[node, role])
                if any(row):
                    shown = Role.INPUT if node < self.tables.sources else role
                    found[name, shown] = Moved(*row)
        return found

    def _by_node_and_role(self) -> Ints:
        """(nodes, roles, 4): bits read and written, words read and written."""
        tiles, word = self.tables.tiles, self.core.dram.word_bits.v
        table = np.zeros((self.tables.nodes.tiles.size, len(Role), 4), np.int64)
        for place, kinds in enumerate((INCOMING, OUTGOING)):
            moved = self.events[np.isin(self.events[:, 0], kinds), 1]
            bits = tiles.bits[moved]
            np.add.at(table, (tiles.node[moved], tiles.role[moved], place), bits)
            np.add.at(table, (tiles.node[moved], tiles.role[moved], place + 2), -(-bits // word))
        return table

    @cached_property
    def dram_bits(self) -> int:
        """All bits between DRAM and the chip."""
        return sum(moved.bits for moved in self.moved.values())

    def by_role(self, *roles: Role) -> int:
        """Bits of these operands."""
        return sum(moved.bits for (_, role), moved in self.moved.items() if role in roles)

    @cached_property
    def evictions(self) -> int:
        """How often a tile left the store before its last use."""
        return int(np.count_nonzero(self.events[:, 0] == Event.EVICT))


def planned(workload: Workload, schedule: Schedule, core: HierarchyCore, rules: Rules = OWN) -> Plan:
    """``schedule`` of ``workload`` worked out for the memories of ``core``.

    Raises ``RanvierError`` RV535 if a batched layer would have to wait for what comes after it, as in a recurrent loop.
    """
    t = tables(workload, schedule, rules)
    sequence = order(t)
    wanted = chain_lengths(t)
    if len(sequence) < wanted.sum():
        done = np.bincount(sequence[:, 0], minlength=wanted.size)
        names = [node.name for node in workload.nodes]
        stuck = next(name for name, a, b in zip(names, done, wanted, strict=True) if a < b)
        text = f"under {describe(schedule)} it waits for later steps of what itself comes before"
        raise error("RV535", stuck, text, "run the blocks of a recurrent loop one step at a time (ST)")
    events, peak = manage(t, sequence, uses(t, sequence, rules), core.store.size_bits.v, array_tile(core), rules)
    return Plan(workload, schedule, rules, core, t, sequence, events, peak)


def array_tile(core: HierarchyCore) -> Ints:
    """Bits that the array's registers hold at once of every operand, by role."""
    grid, bits = core.array.elements.v, core.registers.size_bits.v
    held = {
        Role.INPUT: grid.inputs * bits.input,
        Role.WEIGHT: grid.inputs * grid.outputs * bits.weight,
        Role.OUTPUT: grid.outputs * bits.output,
        Role.STATE: grid.outputs * bits.state,
    }
    return np.array([held[role] for role in Role], np.int64)
