"""The search: greedy cell by cell, at random, or by a tree-structured Parzen estimator, always under a budget."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.diagnostics import error
from ranvier.search.assess import Assessor, Candidate
from ranvier.search.files import to_json
from ranvier.search.space import Architecture, Cell, Skeleton, Space, smallest
from ranvier.search.study import PLACES, Log, Sampler
from ranvier.tuning.budget import Budget
from ranvier.tuning.points import Metrics

Strategy = Literal["greedy", "random", "tpe"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Progress = Callable[[int, int], None]
BATCH = 8
IMAGES_FIX = "give inputs (samples, channels, height, width), or (samples, steps, channels, height, width)"
MOST_IMAGES = 512
EMPTY_DRAWS = 50
"""A search by a sampler ends when so many batches in a row bring nothing new."""


@dataclass(frozen=True)
class Settings:
    """How to search: ``strategy``, ``trials`` (architectures looked at in all), ``seed``, the ``study`` (an SQLAlchemy
    URL; None: in memory), ``workers`` (processes; they change the time, not the result), ``weight_bits``.
    """

    strategy: Strategy = "greedy"
    trials: int = 200
    seed: int = 0
    study: str | None = None
    workers: int = 1
    weight_bits: int = 8

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES or min(self.trials, self.workers) < 1 or not 1 <= self.weight_bits <= 8:
            text = (
                f"strategy {self.strategy!r:.20}, {self.trials} trials, {self.workers} workers, {self.weight_bits} bits"
            )
            raise error("RV588", "search", f"{text}: no search", f"{', '.join(STRATEGIES)}; 1 and more; 1 to 8 bits")


@dataclass(frozen=True, eq=False)
class Found:
    """The result: ``best`` within the budget, all ``looked_at``, how many a study knew before (``resumed``), how many
    were ``compiled`` to count their memory and ``scored``, and the ``seconds`` of this call.
    """

    best: Candidate
    looked_at: tuple[Candidate, ...]
    resumed: int
    compiled: int
    scored: int
    seconds: float

    def to_json(self) -> dict[str, object]:
        """Plain values; the other candidates only as a count."""
        used, over = self.best.used, sum(c.score is None for c in self.looked_at)
        score = self.best.score
        return {
            "architecture": to_json(self.best.architecture),
            "score": score if score is not None and math.isfinite(score) else None,
            "memory_bytes": None if used is None else used.memory,
            "cores": None if used is None else used.cores,
            "looked_at": len(self.looked_at),
            "over_budget": over,
            "resumed": self.resumed,
            "compiled": self.compiled,
            "scored": self.scored,
            "seconds": self.seconds,
        }


def search(
    images: ArrayLike,
    space: Space,
    skeleton: Skeleton,
    budget: Budget,
    target: str | Path = "loihi2",
    settings: Settings | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Found:
    """The architecture of ``space`` with the highest training-free score that keeps ``budget`` on ``target``.

    ``images`` (samples, channels, height, width), or with a frame for every step of the skeleton (samples, steps,
    channels, height, width): at least two samples, of which at most 512 are looked at. The budget limits memory, cores
    and steps, counted as the report of a compiled program does, before anything is scored.

    * ``greedy``: starting at the smallest network, one cell after the other; all its choices (or a drawing of
      ``trials / cells`` of them) are tried with the other cell fixed, and the best stays.
    * ``random``, ``tpe``: both cells at once, drawn by Optuna's samplers.

    Cells that compute the same, because parts of them lead nowhere, count once. Of equal scores the smaller memory
    wins. Raises ``RanvierError`` RV582 where even the smallest network is over the budget, RV583 for other images,
    RV588 for settings, RV589 for limits that are not counted, RV883 without Optuna, RV884 for its database.
    """
    begun, settings = time.perf_counter(), settings or Settings()
    _check_budget(budget)
    seen = checked_images(images, skeleton, MOST_IMAGES)
    assessor = Assessor(
        space, skeleton, target, budget, seen, settings.seed, settings.weight_bits, settings.workers
    )  # fmt: skip
    run = _Run(assessor, settings, progress)
    run.begin()
    run.greedy() if settings.strategy == "greedy" else run.sampled(settings.strategy)
    within = [c for c in run.known.values() if c.score is not None]
    best = max(within, key=_rank)
    return Found(
        best, tuple(run.known.values()), run.resumed, assessor.compiled, assessor.scored, time.perf_counter() - begun
    )


def checked_images(images: ArrayLike, skeleton: Skeleton, most: int | None = None) -> NDArray[np.float32]:
    """The first ``most`` of ``images``; raises ``RanvierError`` RV583 where they are none of the skeleton's."""
    found = np.asarray(images)
    real, known = found.dtype.kind in "fiub", (skeleton.shape, (skeleton.steps, *skeleton.shape))
    if not real or found.shape[1:] not in known or len(found) < 2:
        text = f"shape {found.shape} and type {found.dtype}, wanted are at least two images of shape {skeleton.shape}"
        text += f", or frames of that shape in {skeleton.steps} steps"
        raise error("RV583", "images", text, IMAGES_FIX)
    found = found[:most]
    if not np.isfinite(found).all():
        raise error("RV583", "images", "some values are no finite numbers", "look for gaps in the data")
    return np.ascontiguousarray(found, dtype=np.float32)


def _rank(candidate: Candidate) -> tuple[float, float, tuple[int, int]]:
    """Higher is better: the score, then less memory, then the smaller ids."""
    first, second = candidate.architecture.ids
    score = -math.inf if candidate.score is None else candidate.score
    used = candidate.used.memory if candidate.used is not None and candidate.used.memory is not None else math.inf
    return score, -used, (-first, -second)


def _check_budget(budget: Budget) -> None:
    if math.isfinite(budget.energy):
        text = "energy depends on spikes, which an untrained network does not show"
        raise error("RV589", "budget", text, "limit memory, cores and steps here, and energy in ranvier tune")


@dataclass(eq=False)
class _Run:
    """The state of a search: what was looked at, by cells."""

    assessor: Assessor
    settings: Settings
    progress: Progress
    known: dict[tuple[Cell, ...], Candidate] = field(default_factory=dict)
    resumed: int = 0

    def begin(self) -> None:
        """Open the study, take over what it knows, and look at the smallest network, which has to fit."""
        least = smallest(self.assessor.space, self.assessor.skeleton)
        used = self.assessor.measure([least])[0]
        if used is None or not self.assessor.budget.keeps(used):
            raise _too_small(least, used, self.assessor.budget)
        name = self.assessor.digest(self.settings.strategy)
        self.log = Log.open(self.settings.study, name, self.assessor)
        for candidate in self.log.candidates():
            self._recall(candidate)
        self.resumed = len(self.known)
        self._look([least])

    def greedy(self) -> None:
        """One cell after the other, the others fixed."""
        best = self.known[smallest(self.assessor.space, self.assessor.skeleton).cells]
        share = max(1, self.settings.trials // PLACES)
        for place in range(PLACES):
            cells = best.architecture.cells
            for choices in _batches(self._choices(place, share)):
                tried = self._look([self._with(cells, place, cell) for cell in choices])
                best = max([best, *(c for c in tried if c.score is not None)], key=_rank)

    def sampled(self, sampler: Sampler) -> None:
        """Both cells drawn at once until the trials are done, or hardly anything new comes."""
        idle = 0
        while len(self.known) < self.settings.trials and idle < EMPTY_DRAWS:
            before, drawn = len(self.known), self.log.drawn(sampler, self.settings.seed, BATCH)
            cells = {number: tuple(map(self.assessor.space.repaired, chosen)) for number, chosen in drawn}
            whole = {n: self.assessor.architecture(c) for n, c in cells.items() if None not in c}  # type: ignore[arg-type]
            new = list(dict.fromkeys(a for a in whole.values() if a.cells not in self.known))
            fresh = {c.architecture.cells: c for c in self.assessor.assess(new)}
            for number, _ in drawn:
                found = whole.get(number)
                told = None if found is None else fresh.get(found.cells) or self.known[found.cells]
                self.log.tell(number, told)
                if told is not None:
                    self._keep(told)
            idle = 0 if len(self.known) > before else idle + 1

    def _look(self, architectures: Sequence[Architecture]) -> list[Candidate]:
        """The candidates of ``architectures``; those that are not known yet are assessed and written down."""
        new = [a for a in dict.fromkeys(architectures) if a.cells not in self.known]
        for candidate in self.assessor.assess(new):
            self.log.add(candidate)
            self._keep(candidate)
        return [self.known[a.cells] for a in architectures]

    def _recall(self, candidate: Candidate) -> None:
        self.known[candidate.architecture.cells] = candidate
        if candidate.used is not None:
            self.assessor.taken[candidate.architecture.shape] = candidate.used

    def _keep(self, candidate: Candidate) -> None:
        self._recall(candidate)
        self.progress(min(len(self.known), self.settings.trials), self.settings.trials)

    def _choices(self, place: int, count: int) -> list[Cell]:
        """``count`` cells to try at a place: all, where there are so few."""
        cells = list(self.assessor.space.cells())
        if len(cells) <= count:
            return cells
        rng = np.random.default_rng((self.settings.seed, place))
        return [cells[n] for n in rng.choice(len(cells), count, replace=False)]

    def _with(self, cells: tuple[Cell, ...], place: int, cell: Cell) -> Architecture:
        return self.assessor.architecture([cell if n == place else old for n, old in enumerate(cells)])


def _batches(cells: Sequence[Cell]) -> Iterator[Sequence[Cell]]:
    for first in range(0, len(cells), BATCH):
        yield cells[first : first + BATCH]


def _too_small(least: Architecture, used: Metrics | None, budget: Budget) -> Exception:
    if used is None or used.memory is None:
        text = f"the weights of the smallest network alone take {least.weights:,} bytes at 8 bits"
    else:
        text = f"the smallest network takes {used.memory:,.0f} bytes on {used.cores} cores in {used.steps} steps"
    limits = {name: value for name, value in vars(budget).items() if math.isfinite(value)}
    asked = ", ".join(f"{name} {value:,.0f}" for name, value in limits.items())
    fix = "allow more, or choose narrower cells, fewer hidden neurons or fewer steps"
    figures: dict[str, Any] = {} if used is None else {"memory": used.memory, "cores": used.cores, "steps": used.steps}
    return error("RV582", "budget", f"{text}; allowed are {asked}", fix, **figures)
