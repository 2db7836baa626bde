# ruff: noqa: PLC0415 - optuna is an extra, imported when a search begins
"""The candidates of a search in an Optuna study, so that an interrupted search goes on where it was."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ranvier.search.assess import Assessor, Candidate
from ranvier.search.space import EDGES, Cell
from ranvier.tuning.points import metrics_from
from ranvier.tuning.study import STARTUP, open_study

if TYPE_CHECKING:
    import optuna

PLACES = 2
Sampler = Literal["random", "tpe"]
Cells = tuple[Cell, ...]


@dataclass(frozen=True, eq=False)
class Log:
    """A study whose trials are candidates; trials over the budget are pruned, with what they take as attributes."""

    study: "optuna.Study"
    assessor: Assessor

    @classmethod
    def open(cls, storage: str | None, name: str, assessor: Assessor) -> "Log":
        """The study ``name`` at ``storage``, or in memory; raises ``RanvierError`` RV883 and RV884."""
        return cls(open_study(storage, name, assessor.seed, ("maximize",)), assessor)

    def candidates(self) -> Iterator[Candidate]:
        """What was assessed so far."""
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.is_finished() and "cells" in trial.user_attrs:
                used = trial.user_attrs["used"]
                made = self.assessor.architecture(trial.user_attrs["cells"])
                yield Candidate(made, None if used is None else metrics_from(used), trial.user_attrs["score"])

    def add(self, candidate: Candidate) -> None:
        """A candidate that no sampler chose."""
        import optuna

        state = optuna.trial.TrialState
        params = _params(candidate.architecture.cells)
        choices = tuple(range(len(self.assessor.space.ops)))
        choice: optuna.distributions.BaseDistribution = optuna.distributions.CategoricalDistribution(choices)
        given = dict.fromkeys(params, choice)
        scored = candidate.score is not None
        self.study.add_trial(
            optuna.trial.create_trial(
                state=state.COMPLETE if scored else state.PRUNED,
                value=candidate.score,
                params=params,
                distributions=given,
                user_attrs=_attributes(candidate),
            )
        )

    def drawn(self, sampler: Sampler, seed: int, batch: int) -> "list[tuple[int, Cells]]":
        """The next ``batch`` of trials that ``sampler`` draws, by number, or those that were drawn and never told.

        The draw of a trial depends on its number and on the batches before: an interrupted search draws the same.
        """
        import optuna

        study, running = self.study, optuna.trial.TrialState.RUNNING
        left = [t for t in study.get_trials(deepcopy=False, states=(running,)) if len(t.params) == PLACES * len(EDGES)]
        found = [(t.number, self._cells(optuna.trial.FixedTrial(t.params))) for t in left]
        while not left and len(found) < batch:
            number = len(study.get_trials(deepcopy=False))
            own = seed * 1_000_003 % 2**31 + number
            study.sampler = (
                optuna.samplers.RandomSampler(seed=own)
                if sampler == "random"
                else optuna.samplers.TPESampler(seed=own, n_startup_trials=STARTUP)
            )
            trial = study.ask()
            found.append((trial.number, self._cells(trial)))
        return found

    def tell(self, number: int, candidate: Candidate | None) -> None:
        """What came of trial ``number``; None: its cells lead nowhere."""
        import optuna

        state = optuna.trial.TrialState
        if candidate is None:
            self.study.tell(number, state=state.FAIL)
            return
        trial = optuna.trial.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)
        for name, value in _attributes(candidate).items():
            trial.set_user_attr(name, value)
        self.study.tell(number, candidate.score, state=state.PRUNED if candidate.score is None else state.COMPLETE)

    def _cells(self, trial: "optuna.Trial | optuna.trial.FixedTrial") -> Cells:
        choices = tuple(range(len(self.assessor.space.ops)))
        return tuple(
            tuple(int(trial.suggest_categorical(_name(place, k), choices)) for k in range(len(EDGES)))
            for place in range(PLACES)
        )


def _name(place: int, edge: int) -> str:
    i, j = EDGES[edge]
    return f"cell {place + 1} edge {i}{j}"


def _params(cells: Cells) -> dict[str, int]:
    return {_name(place, k): op for place, cell in enumerate(cells) for k, op in enumerate(cell)}


def _attributes(candidate: Candidate) -> dict[str, object]:
    used = None if candidate.used is None else candidate.used.to_json()
    return {"cells": [list(c) for c in candidate.architecture.cells], "used": used, "score": candidate.score}
