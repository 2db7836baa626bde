"""Synaptic memory by storage format: what each connection would take in every format of the target, and what it takes.

Which formats there are, the target's file says (``synapse.formats``); a kernel that is stored once has one of its own,
in which its zeros take as much as its other weights.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ranvier.compiler.analysis.resources_blocks import blocks_of
from ranvier.compiler.analysis.resources_synapses import by_format, weight_bits
from ranvier.compiler.ir.chip import ChipNetwork, Connection, SparseSynapse
from ranvier.compiler.ir.program import Placement

if TYPE_CHECKING:
    from ranvier.targets.schema import Target


@dataclass(frozen=True)
class ConnectionMemory:
    """One connection on all its cores: ``weights`` it could have, those that are ``nonzero``, ``bits`` of one.

    ``bytes`` that it takes, ``by_format`` what it would in each format, ``taken`` which it takes (the smallest on
    every core, so perhaps several).
    """

    name: str
    weights: int
    nonzero: int
    bits: int
    bytes: int
    by_format: dict[str, int]
    taken: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {**vars(self), "by_format": dict(self.by_format), "taken": list(self.taken)}


def connection_memory(chip: ChipNetwork, placement: Placement, target: "Target") -> tuple[ConnectionMemory, ...]:
    """The synaptic memory of every connection of a placed network, by format."""
    blocks = [block for held in blocks_of(chip, placement.pieces).values() for block in held]
    found = []
    for c in chip.connections:
        width = weight_bits(c, target)
        stored = [by_format(c, block, target, width) for block in blocks if block.population == c.target]
        whole = {kind: sum(-(-lists[kind].bits // 8) for lists in stored) for kind in stored[0]}
        smallest = [min(lists, key=lambda kind, lists=lists: lists[kind].bits) for lists in stored]  # type: ignore[misc]
        taken = sum(-(-min(kept.bits for kept in lists.values()) // 8) for lists in stored)
        weights, nonzero = _counts(c)
        found.append(ConnectionMemory(c.name, weights, nonzero, width, taken, whole, tuple(dict.fromkeys(smallest))))
    return tuple(found)


def _counts(c: Connection) -> tuple[int, int]:
    """How many weights the connection could have, a shared kernel's once, and how many are not zero."""
    s = c.synapse
    if isinstance(s, SparseSynapse):
        return s.in_size * s.out_size, int(np.count_nonzero(s.data))
    return int(s.weight.size), int(np.count_nonzero(s.weight))
