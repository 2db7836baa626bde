"""What can be chosen about a schedule: two bits a block, and the rules of the memory manager."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from ranvier.compiler.diagnostics import error
from ranvier.compiler.schedule.workload import Workload


@dataclass(frozen=True, order=True)
class Choice:
    """How a block runs: ``batched``: all steps of a tile at once, else one step at a time; ``fused``: column by column
    through the layers of its stack, else layer by layer.
    """

    batched: bool
    fused: bool

    def __str__(self) -> str:
        return f"{'TB' if self.batched else 'ST'}-{'LF' if self.fused else 'LBL'}"


Schedule = tuple[Choice, ...]
"""One choice a block."""

CHOICES = tuple(Choice(batched, fused) for batched, fused in product((False, True), repeat=2))
NAMED = {str(choice): choice for choice in CHOICES}


@dataclass(frozen=True)
class Rules:
    """What the memory manager does.

    ``state_io``: "dead" if the constant initial state is not read and the final one not written, which nobody needs;
    "charged" if both are. ``flush``: before a layer that streams an operand, everything that it does not need leaves
    the store. ``evict``: what goes first when room is needed: "uses", ascending ``100 * remaining uses - layer`` as
    published; "farthest", what is needed again last (Belady 1966), which a static schedule knows. ``barriers``: fused
    stacks of one kind end before fused stacks of the other begin.
    """

    state_io: Literal["dead", "charged"] = "dead"
    flush: bool = False
    evict: Literal["uses", "farthest"] = "farthest"
    barriers: bool = True


OWN = Rules()
PUBLISHED = Rules("charged", True, "uses")
"""The rules of the public code of STEMS."""


def uniform(workload: Workload, choice: Choice) -> Schedule:
    """The same choice for every block."""
    return (choice,) * len(workload.blocks)


def every(blocks: int) -> Iterator[Schedule]:
    """All ``4 ** blocks`` schedules."""
    return product(CHOICES, repeat=blocks)


def parse_schedule(text: str, workload: Workload) -> Schedule:
    """The schedule in words: one choice for all blocks, or one a block: ``ST-LBL``, ``TB-LF,TB-LF,ST-LBL``.

    Raises ``RanvierError`` RV534.
    """
    words = re.split(r"[,\s]+", text.strip().upper())
    unknown = [word for word in words if word not in NAMED]
    if unknown or len(words) not in (1, len(workload.blocks)):
        message = f"{text!r:.80} is no schedule of {len(workload.blocks)} blocks"
        raise error("RV534", workload.name, message, f"give one of {', '.join(NAMED)}, or one a block between commas")
    chosen = tuple(NAMED[word] for word in words)
    return chosen if len(words) > 1 else chosen * len(workload.blocks)


def describe(schedule: Sequence[Choice]) -> str:
    """The schedule in few words: ``TB-LF x2, ST-LBL``."""
    runs: list[tuple[Choice, int]] = []
    for choice in schedule:
        count = runs.pop()[1] + 1 if runs and runs[-1][0] == choice else 1
        runs.append((choice, count))
    return ", ".join(f"{choice} x{count}" if count > 1 else str(choice) for choice, count in runs)


def fuse_ids(schedule: Sequence[Choice]) -> tuple[int, ...]:
    """The stack of every block: a barrier stands where a batched fused block follows running one-step fused ones,
    or the reverse; a block that is not fused ends both, so that no barrier crosses it.
    """
    number, running, found = 0, set[bool](), []
    for choice in schedule:
        if not choice.fused:
            running.clear()
        elif (not choice.batched) in running:
            number += 1
            running = {choice.batched}
        else:
            running.add(choice.batched)
        found.append(number)
    return tuple(found)
