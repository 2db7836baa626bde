# ruff: noqa: PLC0415 - joblib and torch are imported when a search begins
"""What the search wants to know of architectures: memory first, the score only of those within the budget."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ranvier.search.memory import certainly_over, resources
from ranvier.search.space import Architecture, Skeleton, Space
from ranvier.tuning.budget import Budget
from ranvier.tuning.points import Metrics

Result = TypeVar("Result")
Array = NDArray[Any]
Work = tuple[Callable[..., Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Candidate:
    """An architecture that was looked at: what it takes (None: more than the budget in weights alone), and its score
    (None: it is over the budget and was not scored).
    """

    architecture: Architecture
    used: Metrics | None
    score: float | None


@dataclass(eq=False)
class Assessor:
    """Gate and score under one ``budget``, on ``workers`` processes; shapes that were compiled are remembered."""

    space: Space
    skeleton: Skeleton
    target: str | Path
    budget: Budget
    images: Array
    seed: int = 0
    weight_bits: int = 8
    workers: int = 1
    taken: dict[object, Metrics] = field(default_factory=dict)
    compiled: int = 0
    scored: int = 0

    def architecture(self, cells: Sequence[Sequence[int]]) -> Architecture:
        """The network of two cells."""
        first, second = (tuple(map(int, cell)) for cell in cells)
        return Architecture(self.space, self.skeleton, (first, second))

    def assess(self, architectures: Sequence[Architecture]) -> list[Candidate]:
        """The candidates of ``architectures``, in order. Nothing over the budget is scored."""
        measured = self.measure(architectures)
        within = [a for a, m in zip(architectures, measured, strict=True) if m is not None and self.budget.keeps(m)]
        scores = dict(zip(within, self._all([(_score, (a, self.images, self.seed)) for a in within]), strict=True))
        self.scored += len(scores)
        return [Candidate(a, m, scores.get(a)) for a, m in zip(architectures, measured, strict=True)]

    def measure(self, architectures: Sequence[Architecture]) -> list[Metrics | None]:
        """What each takes; None where the weights alone are over the budget. Each shape is compiled once."""
        open_ = [a for a in architectures if not certainly_over(a, self.budget, self.weight_bits)]
        new = list({a.shape: a for a in open_ if a.shape not in self.taken}.values())
        found = self._all([(resources, (a, self.target, self.weight_bits)) for a in new])
        self.compiled += len(new)
        self.taken |= {a.shape: m for a, m in zip(new, found, strict=True)}
        known = set(open_)
        return [self.taken[a.shape] if a in known else None for a in architectures]

    def digest(self, *more: object) -> str:
        """What makes two searches the same."""
        from ranvier.targets.load import load_target

        text = (self.space, self.skeleton, load_target(self.target).sha256, self.budget, self.seed, self.weight_bits)
        digest = hashlib.sha256(repr((*text, self.images.shape, *more)).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        return digest.hexdigest()[:24]

    def _all(self, work: Sequence[Work]) -> list[Any]:
        """All results, in order; the same for any number of processes."""
        if self.workers == 1 or len(work) < 2:
            return [call(*arguments) for call, arguments in work]
        from joblib import Parallel, delayed

        jobs = (delayed(call)(*arguments) for call, arguments in work)
        return list(Parallel(n_jobs=self.workers, inner_max_num_threads=1, backend="loky")(jobs))


def _score(architecture: Architecture, images: Array, seed: int) -> float:
    from ranvier.search.fitness import fitness

    return fitness(architecture, images, seed)
