"""The search: sensitivity of each layer first, then Optuna over widths, rounding, scales and steps."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.app import App
from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.fingerprint import fingerprint
from ranvier.compiler.ir.linear import SYNAPSES
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.programs import CUBA_LIF
from ranvier.compiler.ir.text import Tensors, dump, parse
from ranvier.compiler.options import ROUNDINGS
from ranvier.compiler.pipeline import prepare
from ranvier.compiling import Compilation
from ranvier.tuning.budget import Budget
from ranvier.tuning.points import EXPONENTS, STEP_SHARES, WIDTHS, Metrics, Point, measured, metrics_from
from ranvier.tuning.sensitivity import Sensitivity, greedy, narrowed, sensitivities
from ranvier.tuning.study import finished, fixed, open_study, tell

if TYPE_CHECKING:
    import optuna

Frames = NDArray[Any]
Progress = Callable[[int, int], None]
CALIBRATION = 256
NO_LIMIT = Budget()


@dataclass(frozen=True)
class Tried:
    """A point that was compiled and measured on the samples that the search saw."""

    point: Point
    metrics: Metrics

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"point": self.point.to_json(), "metrics": self.metrics.to_json()}


@dataclass(frozen=True, eq=False)
class Tuned:
    """The result: ``app`` of the best point within the budget, and everything that was tried.

    ``chosen`` was measured on the ``seen`` samples of the search, ``held_out`` on ``unseen`` ones that it never saw.
    ``pareto`` are the points within the budget that no other beats in accuracy, memory and energy at once.
    """

    app: App
    chosen: Tried
    held_out: Metrics
    full: Tried
    sensitivities: tuple[Sensitivity, ...]
    tried: tuple[Tried, ...]
    pareto: tuple[Tried, ...]
    seen: int
    unseen: int

    @property
    def state_registers(self) -> Mapping[str, int]:
        """Bits of each state's register on the target. They are fixed, and every state takes whole words of memory, so
        that narrower states would save nothing: state widths are no part of the search.
        """
        assert self.app.target is not None
        bits = self.app.target.neuron(CUBA_LIF).state_bits.v
        return {"u": bits.u, "v": bits.v}

    def to_json(self) -> dict[str, object]:
        """Plain values; the app is what the point says."""
        return {
            "chosen": self.chosen.to_json(),
            "held_out": self.held_out.to_json(),
            "full": self.full.to_json(),
            "sensitivities": [s.to_json() for s in self.sensitivities],
            "tried": [t.to_json() for t in self.tried],
            "pareto": [t.to_json() for t in self.pareto],
            "seen": self.seen,
            "unseen": self.unseen,
            "state_registers": dict(self.state_registers),
        }


def tune(  # noqa: PLR0913 one keyword per choice
    net: Network,
    target: str,
    inputs: ArrayLike,
    labels: ArrayLike,
    budget: Budget = NO_LIMIT,
    *,
    min_accuracy: float = 0.0,
    trials: int = 60,
    seed: int = 0,
    study: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Tuned:
    """The most accurate point of ``net`` on ``target`` within ``budget``; of equal ones, that with least memory.

    ``inputs`` (samples, steps, *shape) and ``labels`` (samples,): every second sample is searched on (the first 256
    of those also calibrate), the others only judge the chosen point. ``trials`` points are measured in all, counting
    those that ``study``, an SQLAlchemy URL, already holds for this network, data, target and budget: a search that was
    interrupted goes on, and several processes may work on one study. The same arguments and seed give the same
    answer in one process. Raises ``RanvierError`` RV881 where no point within the budget reaches ``min_accuracy``
    (with the best that were found), RV882 for data that cannot be halved, RV883 without Optuna, RV884 for a study
    that cannot be opened, RV885 for several ``workers`` (processes) without a ``study`` that they could share.
    """
    if workers > 1 and study is None:
        raise error("RV885", "workers", "several processes need a study to share", "give study='sqlite:///search.db'")
    search = _search(net, target, np.asarray(inputs), np.asarray(labels), budget)
    search.progress = progress or (lambda _done, _total: None)
    if workers > 1:
        _together(search, workers, (trials, seed, study, min_accuracy))
    found = search.run(trials, seed, study, min_accuracy)
    chosen = _best(found, budget, min_accuracy)
    app = search.compiled(chosen.point)
    unseen = search.unseen[0][:, : chosen.point.steps], search.unseen[1]
    return Tuned(
        app, chosen, measured(app, *unseen), search.full(), search.sensitivities, tuple(found),
        _pareto([t for t in found if budget.keeps(t.metrics)]), len(search.seen[1]), len(search.unseen[1]),
    )  # fmt: skip


def _search(net: Network, target: str, inputs: Frames, labels: NDArray[Any], budget: Budget) -> "_Search":
    if len(inputs) != len(labels) or len(inputs) < 4:
        text = f"{len(inputs)} samples with {len(labels)} labels"
        raise error("RV882", "data", text, "give labelled samples, at least 4: half search, half judge")
    seen, unseen = (inputs[0::2], labels[0::2]), (inputs[1::2], labels[1::2])
    return _Search(net, target, seen, unseen, budget, _layers(net))


def _together(search: "_Search", workers: int, wanted: tuple[int, int, str | None, float]) -> None:
    """Work on one study in several processes until it holds the trials that are wanted."""
    from joblib import Parallel, delayed  # noqa: PLC0415 starts faster

    trials, seed, study, least = wanted
    open_study(study, search.name(least), seed)
    shared = dump(search.net), search.target, search.seen, search.budget
    work = (delayed(_work)(*shared, (trials, seed + n, study, least)) for n in range(workers))
    Parallel(n_jobs=workers, inner_max_num_threads=1, backend="loky")(work)


def _work(
    network: tuple[str, Tensors],
    target: str,
    seen: tuple[Frames, NDArray[Any]],
    budget: Budget,
    wanted: tuple[int, int, str | None, float],
) -> None:
    """One process of a search: everything it finds is in the study."""
    net = parse(*network)
    _Search(net, target, seen, seen, budget, _layers(net)).run(*wanted)


def _layers(net: Network) -> tuple[str, ...]:
    return tuple(node.name for node in prepare(net).nodes if isinstance(node, SYNAPSES))


@dataclass
class _Search:
    """The state of one search: what was measured, by point."""

    net: Network
    target: str
    seen: tuple[Frames, NDArray[Any]]
    unseen: tuple[Frames, NDArray[Any]]
    budget: Budget
    layers: tuple[str, ...]
    known: dict[Point, Metrics | None] = field(default_factory=dict)
    compilations: dict[int, Compilation] = field(default_factory=dict)
    sensitivities: tuple[Sensitivity, ...] = ()
    progress: Progress = lambda _done, _total: None

    def compiled(self, point: Point) -> App:
        """The app of ``point``, calibrated with the first samples seen; raises ``RanvierError`` where it cannot be."""
        if point.steps not in self.compilations:
            frames = self.seen[0][:CALIBRATION, : point.steps]
            self.compilations[point.steps] = Compilation(self.net, self.target, frames)
        return self.compilations[point.steps].app(point.options)

    @property
    def widest(self) -> Point:
        """Every layer at 8 bits, all steps."""
        return Point(tuple(sorted((name, 8) for name in self.layers)), steps=int(self.seen[0].shape[1]))

    def full(self) -> Tried:
        """The widest point, measured."""
        metrics = self.measure(self.widest)
        assert metrics is not None
        return Tried(self.widest, metrics)

    def measure(self, point: Point) -> Metrics | None:
        """What ``point`` gives on the samples seen; None where it cannot be compiled."""
        if point not in self.known:
            try:
                self.known[point] = measured(self.compiled(point), self.seen[0][:, : point.steps], self.seen[1])
            except RanvierError:
                self.known[point] = None
        return self.known[point]

    def run(self, trials: int, seed: int, storage: str | None, min_accuracy: float) -> list[Tried]:
        """Measure points until the study holds ``trials``; all of them that could be compiled."""
        self.compiled(self.widest)
        study = open_study(storage, self.name(min_accuracy), seed)
        self._recall(study)
        self.sensitivities = sensitivities(self.layers, self.widest, self.measure)
        for guess in self._guesses() if not study.trials else ():
            study.enqueue_trial(self._parameters(guess))
        while (done := len(finished(study))) < trials:
            self.progress(done, trials)
            trial = study.ask()
            tell(study, trial, self.measure(self._suggested(trial)), self.budget, min_accuracy)
        self._recall(study)
        return [Tried(point, metrics) for point, metrics in self.known.items() if metrics is not None]

    def _guesses(self) -> list[Point]:
        uniform = [narrowed(self.widest, dict.fromkeys(self.layers, bits)) for bits in reversed(WIDTHS)]
        return [*uniform, *greedy(self.widest, self.sensitivities)]

    def _suggested(self, trial: "optuna.Trial | optuna.trial.FixedTrial") -> Point:
        widths = tuple(sorted((name, trial.suggest_int(f"bits {name}", WIDTHS[0], WIDTHS[-1])) for name in self.layers))
        share = trial.suggest_categorical("steps", STEP_SHARES)
        return Point(
            widths,
            ROUNDINGS[trial.suggest_int("rounding", 0, len(ROUNDINGS) - 1)],
            trial.suggest_categorical("per_channel", (False, True)),
            trial.suggest_categorical("correct_bias", (False, True)),
            max(1, round(share * self.widest.steps)),
            trial.suggest_categorical("exponent_groups", EXPONENTS),
        )

    def _parameters(self, point: Point) -> dict[str, Any]:
        widths = {f"bits {name}": bits for name, bits in point.layer_bits}
        rest = {
            "rounding": ROUNDINGS.index(point.rounding),
            "per_channel": point.per_channel,
            "correct_bias": point.correct_bias,
            "exponent_groups": point.exponent_groups,
        }
        return widths | rest | {"steps": point.steps / self.widest.steps}

    def _recall(self, study: "optuna.Study") -> None:
        """Take over what the study's earlier trials measured."""
        for trial in finished(study):
            values = trial.user_attrs.get("metrics")
            self.known[self._suggested(fixed(trial))] = None if values is None else metrics_from(values)

    def name(self, min_accuracy: float) -> str:
        """What makes two searches the same."""
        text, tensors = dump(prepare(self.net))
        digest = hashlib.sha256(fingerprint({"text": text, **tensors}).encode())
        digest.update(f"{self.target} {self.budget} {min_accuracy} {sorted(self._parameters(self.widest))}".encode())
        for values in self.seen:
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:24]


def _best(found: Sequence[Tried], budget: Budget, min_accuracy: float) -> Tried:
    within = [t for t in found if budget.keeps(t.metrics)]
    good = [t for t in within if t.metrics.accuracy >= min_accuracy]
    if not good:
        raise error("RV881", "budget", _nearest(found, within), "allow more, or ask for less accuracy, or fine-tune")
    return min(good, key=lambda t: (-t.metrics.accuracy, t.metrics.memory or 0.0, t.metrics.energy or 0.0))


def _nearest(found: Sequence[Tried], within: Sequence[Tried]) -> str:
    """What was found instead of a point that is wanted."""
    tried = f"none of {len(found)} points keeps the budget and the accuracy; "
    if within:
        best = max(within, key=lambda t: t.metrics.accuracy).metrics
        return f"{tried}within the budget the best has {best.accuracy:.2%} ({best.memory:g} bytes)"
    least = min(found, key=lambda t: t.metrics.memory or 0.0).metrics
    return f"{tried}the smallest takes {least.memory:g} bytes, {least.cores} cores, {least.steps} steps"


def _pareto(found: Sequence[Tried]) -> tuple[Tried, ...]:
    """Those that no other beats in one respect without losing in another, smallest first."""

    def costs(t: Tried) -> tuple[float, ...]:
        return (-t.metrics.accuracy, t.metrics.memory or 0.0, t.metrics.energy or 0.0)

    def beaten(t: Tried) -> bool:
        own = costs(t)
        return any(costs(o) != own and all(a <= b for a, b in zip(costs(o), own, strict=True)) for o in found)

    best: dict[tuple[float, ...], Tried] = {}
    for t in found:
        if not beaten(t):
            best.setdefault(costs(t), t)
    return tuple(sorted(best.values(), key=lambda t: t.metrics.memory or 0.0))
