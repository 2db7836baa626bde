"""The search for a schedule: all of them where they are few, a beam over the blocks where they are many.

Every candidate is worked out whole and costed by the same code, so that what the search finds is what an execution
moves. The beam decides block after block: a decided beginning is worth the best of its completions by one choice for
all the other blocks; the best ones are kept. At the end each block is tried again until no single change helps.

How far that is from the best of all is bounded from below (``bounds.py``); to prove it, every schedule whose bound is
not above the best one found is looked at too, and no other can be better (branch and bound, Land and Doig 1960).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.schedule.bounds import below, bounds
from ranvier.compiler.schedule.choices import CHOICES, OWN, Choice, Rules, Schedule, every, uniform
from ranvier.compiler.schedule.cost import Floats, by_operand, costs
from ranvier.compiler.schedule.plan import planned
from ranvier.compiler.schedule.workload import Workload
from ranvier.targets.hierarchies import HierarchyCore

Objective = Literal["energy", "traffic", "cycles"]
EXACT_SCHEDULES: Final = 4**4
"""Up to this many schedules are all looked at."""
BEAM: Final = 6
Progress = Callable[[int, int], None]
Worth = tuple[float, float, float, int, tuple[tuple[bool, bool], ...]]


@dataclass(frozen=True)
class Point:
    """One schedule and what it costs: off-chip bits by operand, energy in pJ, cycles, most bits in the store."""

    schedule: Schedule
    bits: Mapping[str, int]
    energy_pj: float
    cycles: int
    peak_bits: int

    @property
    def dram_bits(self) -> int:
        """Bits between DRAM and the chip."""
        return sum(self.bits.values())

    def worth(self, objective: Objective) -> Worth:
        """What is minimized; ties go to the other costs, then to the schedule that comes first."""
        rank = tuple((choice.batched, choice.fused) for choice in self.schedule)
        e, d, c = self.energy_pj, float(self.dram_bits), float(self.cycles)
        first, second, third = {"energy": (e, d, c), "traffic": (d, e, c), "cycles": (c, e, d)}[objective]
        return first, second, third, self.peak_bits, rank

    def dominates(self, other: "Point") -> bool:
        """Whether it is nowhere worse than ``other`` and somewhere better."""
        mine, theirs = self._axes, other._axes
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))

    @property
    def _axes(self) -> tuple[float, ...]:
        return (self.dram_bits, self.energy_pj, self.cycles, self.peak_bits)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "schedule": [str(choice) for choice in self.schedule],
            "dram_bits": self.dram_bits,
            "by_operand": dict(self.bits),
            "energy_pj": self.energy_pj,
            "cycles": self.cycles,
            "peak_bits": self.peak_bits,
        }


@dataclass(frozen=True)
class Found:
    """The best schedule, the four uniform ones that are legal, and the Pareto front of all that were tried.

    ``exact``: no schedule at all is better than the best by its objective. ``bound``: what every schedule costs at
    least by that objective.
    """

    best: Point
    uniform: Mapping[Choice, Point]
    pareto: tuple[Point, ...]
    tried: int
    exact: bool
    bound: float


@dataclass
class Evaluator:
    """Costs schedules of a workload, each once; None for those that are illegal."""

    workload: Workload
    core: HierarchyCore
    rules: Rules = OWN
    known: dict[Schedule, Point | None] = field(default_factory=dict)

    def __call__(self, schedule: Schedule) -> Point | None:
        """What ``schedule`` costs."""
        if schedule not in self.known:
            self.known[schedule] = self._costed(schedule)
        return self.known[schedule]

    def points(self) -> list[Point]:
        """All legal schedules so far."""
        return [point for point in self.known.values() if point is not None]

    def _costed(self, schedule: Schedule) -> Point | None:
        try:
            plan = planned(self.workload, schedule, self.core, self.rules)
        except RanvierError as refused:
            if any(d.code != "RV535" for d in refused.diagnostics):
                raise
            return None
        found = costs(plan)
        return Point(schedule, by_operand(plan), found.total_pj, found.cycles, plan.peak_bits)


def search(
    evaluate: Evaluator,
    objective: Objective = "energy",
    exact_up_to: int = EXACT_SCHEDULES,
    progress: Progress = lambda _done, _total: None,
    prove: bool = False,
) -> Found:
    """The best schedule by ``objective``; exact where there are at most ``exact_up_to`` schedules, or with ``prove``,
    or where the bound says that no other can be better.

    Raises ``RanvierError`` RV537 if no schedule is legal.
    """
    blocks = len(evaluate.workload.blocks)
    exact = 4**blocks <= exact_up_to
    if exact:
        for number, schedule in enumerate(every(blocks)):
            evaluate(schedule)
            progress(number + 1, 4**blocks)
    else:
        _beam(evaluate, objective, progress)
    least = bounds(evaluate.workload, evaluate.core, evaluate.rules).of(objective)
    if prove and not exact:
        _prove(evaluate, objective, least, progress)
    alike = {choice: evaluate(uniform(evaluate.workload, choice)) for choice in CHOICES}
    tried = evaluate.points()
    if not tried:
        name = evaluate.workload.name
        raise error("RV537", name, "no schedule of it is legal", "look for loops without delay in the network")
    best = min(tried, key=lambda point: point.worth(objective))
    legal = {choice: point for choice, point in alike.items() if point is not None}
    return Found(best, legal, front(tried), len(tried), exact or _proved(evaluate, objective, least),
                 float(least.min(axis=1).sum()))  # fmt: skip


def front(points: Iterable[Point]) -> tuple[Point, ...]:
    """The points that no other dominates in traffic, energy, cycles and room, each costs once, by traffic."""
    distinct: dict[tuple[float, ...], Point] = {}
    for point in sorted(points, key=lambda p: p.worth("traffic")):
        distinct.setdefault((point.dram_bits, point.energy_pj, point.cycles, point.peak_bits), point)
    kept: list[Point] = []
    for point in distinct.values():
        if not any(other.dominates(point) for other in kept):
            kept.append(point)
    return tuple(kept)


def _beam(evaluate: Evaluator, objective: Objective, progress: Progress) -> None:
    blocks = len(evaluate.workload.blocks)
    promise = partial(_promise, evaluate, objective, blocks)
    beginnings: list[Schedule] = [()]
    for decided in range(blocks):
        longer = [(*beginning, choice) for beginning in beginnings for choice in CHOICES]
        ranked = sorted((worth, beginning) for beginning in longer if (worth := promise(beginning)) is not None)
        beginnings = [beginning for _, beginning in ranked[:BEAM]]
        progress(decided + 1, blocks + 1)
    improving = True
    while improving and evaluate.points():
        best = min(evaluate.points(), key=lambda p: p.worth(objective))
        for block in range(blocks):
            for choice in CHOICES:
                evaluate((*best.schedule[:block], choice, *best.schedule[block + 1 :]))
        after = min(evaluate.points(), key=lambda p: p.worth(objective))
        improving = after.worth(objective) < best.worth(objective)
    progress(blocks + 1, blocks + 1)


def _prove(evaluate: Evaluator, objective: Objective, least: Floats, progress: Progress) -> None:
    """Evaluate all schedules whose bound in ``least`` is below the best known."""
    best = [_least_known(evaluate, objective)]
    for schedule in below(least, lambda: best[0]):
        point = evaluate(schedule)
        best[0] = best[0] if point is None else min(best[0], point.worth(objective)[0])
        progress(_place(schedule) + 1, 4 ** len(schedule))


def _proved(evaluate: Evaluator, objective: Objective, least: Floats) -> bool:
    """Whether every schedule whose bound is below the best known has been evaluated."""
    best = _least_known(evaluate, objective)
    return all(schedule in evaluate.known for schedule in below(least, lambda: best))


def _least_known(evaluate: Evaluator, objective: Objective) -> float:
    return min((point.worth(objective)[0] for point in evaluate.points()), default=math.inf)


def _place(schedule: Schedule) -> int:
    """The place of ``schedule`` in the order of ``every``."""
    place = 0
    for choice in schedule:
        place = len(CHOICES) * place + CHOICES.index(choice)
    return place


def _promise(evaluate: Evaluator, objective: Objective, blocks: int, beginning: Schedule) -> Worth | None:
    """The worth of the best completion by one choice; None if none is legal."""
    rest = blocks - len(beginning)
    found = [evaluate((*beginning, *(choice,) * rest)) for choice in (CHOICES if rest else CHOICES[:1])]
    worths = [point.worth(objective) for point in found if point is not None]
    return min(worths, default=None)
