"""Verify a program: run float and deployed network and every executor on the same data, and compare."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.diagnostics import Diagnostic, error
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.program import Program
from ranvier.runtimes.recording import OverflowEvent, Record, check_inputs
from ranvier.runtimes.verify.asked import Asked, check_asked
from ranvier.runtimes.verify.compare import Side, compare_deployed, compare_executors
from ranvier.runtimes.verify.executors import RUNTIMES, executor, float_executor
from ranvier.runtimes.verify.explain.results import Explanation
from ranvier.runtimes.verify.findings import (
    by_seriousness,
    of_accuracy,
    of_comparison,
    of_explanation,
    of_float_run,
)
from ranvier.runtimes.verify.labels import Labels, check_labels
from ranvier.runtimes.verify.levels import Levels, chip_levels, network_levels
from ranvier.runtimes.verify.overflow import diagnose, joined, locate
from ranvier.runtimes.verify.results import Agreement, Comparison
from ranvier.runtimes.verify.statistics import Paired, confusion, paired, wilson
from ranvier.runtimes.verify.verification import Verification

__all__ = ["RUNTIMES", "verify"]

Progress = Callable[[str, int, int], None]
Values = NDArray[Any]

BATCH_BYTES = 512 * 2**20
EVERYTHING: tuple[Record, ...] = ("spikes", "states", "membrane")
MEMBRANES: tuple[Record, ...] = ("spikes", "membrane")


def verify(
    program: Program,
    network: Network | None,
    inputs: Values,
    labels: ArrayLike | None = None,
    *,
    runtimes: Sequence[str] = ("simulator",),
    samples_lava: int | None = None,
    explain: Asked | None = None,
    progress: Progress | None = None,
) -> Verification:
    """What deploying cost on ``inputs`` (samples, steps, *shape), and whether all ``runtimes`` agree.

    The first of ``runtimes`` that is not Lava (the simulator if there is none) runs the deployed network on
    all samples; it is compared with the float network, and each other runtime with it in every spike, state
    and membrane, Lava on the first ``samples_lava`` samples only. The float network is the program's folded
    source, else ``network``, else there is none. ``labels`` (samples,) are class numbers. ``explain`` asks which
    approximation makes the two differ. ``progress(what, done, total)`` is called after each batch of samples.
    Raises ``RanvierError`` for data, labels or runtimes that mean nothing, and when a runtime cannot run.
    """
    check_inputs(inputs, program.chip)
    answers = None if labels is None else check_labels(labels, program.chip, len(inputs))
    base, others = planned(runtimes, samples_lava, len(inputs))
    check_asked(explain, program)
    run = _Verify(program.chip, inputs, base, progress or silent)
    run.deploy(program.source or network, folded=program.source is not None)
    comparisons = tuple(run.compare(name, count) for name, count in others.items())
    overflows, score = locate(program.chip, run.events), scored(answers, run.predictions, run.float_predictions)
    explanation = None if explain is None else run.explain(explain, program, network, answers, others)
    findings = [*(d for c in comparisons for d in of_comparison(c)), *run.findings, *diagnose(overflows)]
    findings += [*of_accuracy(score.paired, run.agreement), *of_explanation(explanation)]
    return Verification(
        network=program.chip.name,
        target=program.target,
        runtime=base,
        samples=len(inputs),
        steps=inputs.shape[1],
        float_accuracy=score.float_accuracy,
        accuracy=score.accuracy,
        interval=score.interval,
        paired=score.paired,
        same_predictions=score.same,
        confusion=score.confusion,
        agreement=run.agreement,
        comparisons=comparisons,
        overflows=overflows,
        diagnostics=by_seriousness(findings),
        seconds=run.seconds,
        explanation=explanation,
    )


def silent(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def planned(runtimes: Sequence[str], samples_lava: int | None, samples: int) -> tuple[str, dict[str, int]]:
    """The runtime that all others are set against, and those with the number of samples of each."""
    for name in runtimes:
        if name not in RUNTIMES:
            executor(name)
    if samples_lava is not None and samples_lava < 1:
        raise error("RV814", "samples_lava", f"{samples_lava} samples show nothing", "give at least 1")
    base = next((name for name in runtimes if name != "lava"), "simulator")
    others = {name: samples for name in dict.fromkeys(runtimes) if name != base}
    if "lava" in others and samples_lava is not None:
        others["lava"] = min(samples, samples_lava)
    return base, others


@dataclass
class _Verify:
    """The runs of one verification, batch by batch, and what they gave."""

    chip: ChipNetwork
    inputs: Values
    base: str
    progress: Progress
    predictions: list[Values] = field(default_factory=list)
    float_predictions: list[Values] = field(default_factory=list)
    agreement: dict[str, Agreement] = field(default_factory=dict)
    events: list[OverflowEvent] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.layers = [p.name for p in sorted(self.chip.populations, key=lambda p: p.latency)]

    def deploy(self, source: Network | None, folded: bool) -> None:
        """Run the deployed network, and the float network ``source`` if there is one, on all samples."""
        for part in self._batches(len(self.inputs), arrays=4):
            levels = chip_levels(self.chip, source_units=source is not None)
            deployed = self._run(self.base, part, MEMBRANES, levels)
            self.predictions.append(deployed.recording.predictions)
            self.events = joined(self.events, deployed.recording.overflows, part.start)
            if source is not None:
                self._against_float(source, folded, deployed, part)
            self.progress("deployed against float", part.stop, len(self.inputs))

    def _against_float(self, source: Network, folded: bool, deployed: Side, part: slice) -> None:
        with np.errstate(over="ignore"):  # a diverging network is reported below
            recording = float_executor(folded)(source, self.inputs[part], MEMBRANES)
        self._spent("float", recording.seconds)
        self.float_predictions.append(recording.predictions)
        if not self.findings:
            self.findings += of_float_run(recording, self.layers, part.start)
        side = Side("float", recording, network_levels(source))
        for layer, found in compare_deployed(side, deployed, self.layers, part.start).items():
            earlier = self.agreement.get(layer)
            self.agreement[layer] = found if earlier is None else earlier.joined(found)

    def compare(self, name: str, samples: int) -> Comparison:
        """The executor ``name`` against the base on the first ``samples`` samples."""
        total: Comparison | None = None
        levels = chip_levels(self.chip, source_units=False)
        for part in self._batches(samples, arrays=10):
            base = self._run(self.base, part, EVERYTHING, levels)
            other = self._run(name, part, EVERYTHING, levels)
            found = compare_executors(base, other, self.layers, part.start)
            total = found if total is None else total.joined(found)
            self.progress(f"{name} against {self.base}", part.stop, samples)
        assert total is not None
        return total

    def explain(
        self, asked: Asked, program: Program, network: Network | None, labels: Labels | None, others: Mapping[str, int]
    ) -> Explanation:
        """Why the deployed network differs, on as many samples as were asked for and memory allows."""
        from ranvier.runtimes.verify.explain import explain as parts  # noqa: PLC0415 scipy, only where it is used

        assert program.source is not None
        samples = parts.affordable(self.chip, self.inputs.shape[1], min(asked.samples, len(self.inputs)))
        inputs, answers = self.inputs[:samples], None if labels is None else labels[:samples]
        runtimes = {name: min(count, samples) for name, count in {self.base: samples, **others}.items()}
        started = time.perf_counter()
        task = parts.Task(
            self.chip,
            program.source,
            inputs,
            answers,
            runtimes,
            network,
            asked.framework,
            asked.reference,
            asked.traces,
        )
        found = parts.explain(task, self.progress)
        self._spent("explanation", time.perf_counter() - started)
        return found

    def _run(self, name: str, part: slice, record: tuple[Record, ...], levels: Levels) -> Side:
        recording = executor(name)(self.chip, self.inputs[part], record)
        self._spent(name, recording.seconds)
        return Side(name, recording, levels)

    def _spent(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def _batches(self, samples: int, arrays: int) -> Iterator[slice]:
        """Ranges of samples, for which ``arrays`` values of 8 bytes per neuron-step fit into memory."""
        neurons = sum(p.size for p in self.chip.populations)
        each = 8 * arrays * neurons * self.inputs.shape[1]
        batch = max(1, BATCH_BYTES // each)
        for start in range(0, samples, batch):
            yield slice(start, min(start + batch, samples))


@dataclass(frozen=True)
class Score:
    """Accuracies, the interval of the deployed one, joint counts, the share of equal answers, and confusions."""

    float_accuracy: float | None
    accuracy: float | None
    interval: tuple[float, float] | None
    paired: Paired | None
    same: float | None
    confusion: Mapping[str, tuple[tuple[int, ...], ...]]


def scored(labels: Labels | None, deployed: Sequence[Values], source: Sequence[Values]) -> Score:
    """Accuracies of both networks from their predictions, batch by batch; what cannot be known is None."""
    predictions = np.concatenate(deployed)
    float_predictions = np.concatenate(source) if source else None
    same = None if float_predictions is None else float(np.mean(predictions == float_predictions))
    if labels is None:
        return Score(None, None, None, None, same, {})
    right = predictions == labels
    interval = wilson(int(right.sum()), right.size)
    tables = {"deployed": confusion(labels, predictions)}
    if float_predictions is None:
        return Score(None, float(right.mean()), interval, None, same, tables)
    tables = {"float": confusion(labels, float_predictions), **tables}
    float_right = float_predictions == labels
    return Score(float(float_right.mean()), float(right.mean()), interval, paired(float_right, right), same, tables)
