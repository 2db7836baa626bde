# ruff: noqa: PLC0415 - optuna is an extra, imported when a search begins
"""The study: what Optuna knows of a search, in memory or in a database."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ranvier.compiler.diagnostics import error
from ranvier.tuning.budget import Budget
from ranvier.tuning.points import Metrics

if TYPE_CHECKING:
    import optuna

Direction = Literal["maximize", "minimize"]
DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize", "minimize")
STARTUP = 16
UNKNOWN = 1e6
"""What stands for a resource whose use is not known, where the sampler wants a number."""


def open_study(
    storage: str | None, name: str, seed: int, directions: Sequence[Direction] = DIRECTIONS
) -> "optuna.Study":
    """The study ``name`` in the database at ``storage``, or in memory; raises ``RanvierError`` RV883 and RV884."""
    try:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError as missing:
        raise error("RV883", "tune", "the search needs Optuna", "install ranvier[tune]") from missing
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    try:
        return optuna.create_study(
            storage=storage, sampler=sampler, study_name=name, directions=list(directions), load_if_exists=True
        )
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, OSError, ValueError) as problem:
        fix = "give a URL such as sqlite:///search.db, in a folder that can be written"
        raise error("RV884", "study", f"it cannot be opened: {problem!r:.200}", fix) from problem


def tell(study: "optuna.Study", trial: "optuna.Trial", metrics: Metrics | None, budget: Budget, least: float) -> None:
    """What ``trial`` gave; None: it cannot be compiled. Constraints are kept where they are at most 0."""
    import optuna

    if metrics is None:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return
    trial.set_user_attr("metrics", metrics.to_json())
    trial.set_constraint("budget", min(budget.excess(metrics), UNKNOWN))
    trial.set_constraint("accuracy", least - metrics.accuracy)
    study.tell(trial, (metrics.accuracy, metrics.memory or 0.0, metrics.energy or 0.0))


def finished(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    """The trials that are done."""
    return [trial for trial in study.trials if trial.state.is_finished()]


def fixed(trial: "optuna.trial.FrozenTrial") -> "optuna.trial.FixedTrial":
    """A trial that suggests what ``trial`` was given."""
    import optuna

    return optuna.trial.FixedTrial(trial.params)
