"""Verify a hosted network: its parts in float against deployed, and executor against executor, over all parts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from ranvier.compiler.diagnostics import Diagnostic
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.hosted import ChipPart, HostPart, Parts
from ranvier.runtimes.hosted import HostedRecording, Runner, run_parts
from ranvier.runtimes.recording import OverflowEvent, Records
from ranvier.runtimes.verify.compare import Side, compare_deployed, compare_executors
from ranvier.runtimes.verify.findings import by_seriousness, of_accuracy, of_comparison, of_float_run
from ranvier.runtimes.verify.labels import class_numbers
from ranvier.runtimes.verify.levels import chip_levels, network_levels
from ranvier.runtimes.verify.overflow import diagnose, joined, locate
from ranvier.runtimes.verify.results import Agreement, Comparison
from ranvier.runtimes.verify.run import BATCH_BYTES, EVERYTHING, MEMBRANES, Progress, Values, planned, scored, silent
from ranvier.runtimes.verify.verification import Verification

Runners = Callable[[str, Records], Sequence[Runner]]
"""What runs the chip parts: by the name of an executor, or in float by ``float``, and what to record."""


def verify_hosted(
    parts: Parts,
    chips: Sequence[ChipNetwork],
    runners: Runners,
    frames: Values,
    labels: ArrayLike | None = None,
    *,
    runtimes: Sequence[str] = ("simulator",),
    samples_lava: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """``verify`` for ``parts``, whose chip parts were compiled to ``chips``: what deploying cost on ``frames``.

    Each side runs on its own from the input to the readout, so that what differs in one part enters the next. Outputs
    of host functions are compared as well. Raises ``RanvierError`` for labels or runtimes that mean nothing.
    """
    read, samples = _readout(parts), len(frames)
    answers = None if labels is None else class_numbers(labels, samples, parts.readout.node, read)
    base, others = planned(runtimes, samples_lava, samples)
    run = _Verify(parts, chips, runners, frames, base, progress or silent)
    run.deploy()
    comparisons = tuple(run.compare(name, count) for name, count in others.items())
    overflows = tuple(o for chip, events in zip(chips, run.events, strict=True) for o in locate(chip, events))
    score = scored(answers, run.predictions, run.float_predictions)
    findings = [*(d for c in comparisons for d in of_comparison(c)), *run.findings, *diagnose(overflows)]
    return Verification(
        network=parts.name,
        target=chips[0].target,
        runtime=base,
        samples=samples,
        steps=frames.shape[1],
        float_accuracy=score.float_accuracy,
        accuracy=score.accuracy,
        interval=score.interval,
        paired=score.paired,
        same_predictions=score.same,
        confusion=score.confusion,
        agreement=run.agreement,
        comparisons=comparisons,
        overflows=overflows,
        diagnostics=by_seriousness([*findings, *of_accuracy(score.paired, run.agreement)]),
        seconds=run.seconds,
    )


@dataclass
class _Verify:
    """The runs of one verification, batch by batch, and what they gave."""

    parts: Parts
    chips: Sequence[ChipNetwork]
    runners: Runners
    frames: Values
    base: str
    progress: Progress
    predictions: list[Values] = field(default_factory=list)
    float_predictions: list[Values] = field(default_factory=list)
    agreement: dict[str, Agreement] = field(default_factory=dict)
    events: list[list[OverflowEvent]] = field(default_factory=list)
    findings: list[Diagnostic] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def deploy(self) -> None:
        """Run the deployed parts and those in float on all samples."""
        self.events = [[] for _ in self.chips]
        for batch in self._batches(len(self.frames), arrays=8):
            deployed, source = (self._run(name, batch, MEMBRANES) for name in (self.base, "float"))
            self.predictions.append(deployed.predictions)
            self.float_predictions.append(source.predictions)
            for i, (part, chip) in enumerate(zip(self.parts.chips, self.chips, strict=True)):
                self.events[i] = joined(self.events[i], deployed.chips[i].overflows, batch.start)
                layers = _layers(chip)
                if not self.findings:
                    self.findings += of_float_run(source.chips[i], layers, batch.start)
                ours = Side(self.base, deployed.chips[i], chip_levels(chip, source_units=True))
                theirs = Side("float", source.chips[i], network_levels(part.network))
                for layer, found in compare_deployed(theirs, ours, layers, batch.start).items():
                    earlier = self.agreement.get(layer)
                    self.agreement[layer] = found if earlier is None else earlier.joined(found)
            self.progress("deployed against float", batch.stop, len(self.frames))

    def compare(self, name: str, samples: int) -> Comparison:
        """The executor ``name`` against the base on the first ``samples`` samples, in all parts."""
        total: Comparison | None = None
        for batch in self._batches(samples, arrays=20):
            base, other = (self._run(runtime, batch, EVERYTHING) for runtime in (self.base, name))
            found = self._compared(name, base, other, batch.start)
            total = found if total is None else total.joined(found)
            self.progress(f"{name} against {self.base}", batch.stop, samples)
        assert total is not None
        return total

    def _compared(self, name: str, base: HostedRecording, other: HostedRecording, offset: int) -> Comparison:
        """Both over all chip parts; values of the readout that differ count where the host computes it."""
        found = []
        for chip, left, right in zip(self.chips, base.chips, other.chips, strict=True):
            levels = chip_levels(chip, source_units=False)
            sides = Side(self.base, left, levels), Side(name, right, levels)
            found.append(compare_executors(*sides, _layers(chip), offset))
        on_host = isinstance(_home(self.parts), HostPart)
        wrong = int(np.count_nonzero(base.outputs != other.outputs)) if on_host else 0
        whole = replace(found[0], disagreements=found[0].disagreements + wrong)
        for later in found[1:]:
            whole = replace(whole.joined(later), samples=whole.samples)
        return whole

    def _run(self, name: str, batch: slice, record: Records) -> HostedRecording:
        recording = run_parts(self.parts, self.frames[batch], self.runners(name, record))
        self.seconds[name] = self.seconds.get(name, 0.0) + recording.seconds
        return recording

    def _batches(self, samples: int, arrays: int) -> Iterator[slice]:
        """Ranges of samples, for which ``arrays`` values of 8 bytes per neuron-step fit into memory."""
        neurons = sum(p.size for chip in self.chips for p in chip.populations)
        batch = max(1, BATCH_BYTES // (8 * arrays * neurons * self.frames.shape[1]))
        for start in range(0, samples, batch):
            yield slice(start, min(start + batch, samples))


def _layers(chip: ChipNetwork) -> list[str]:
    return [p.name for p in sorted(chip.populations, key=lambda p: p.latency)]


def _home(parts: Parts) -> ChipPart | HostPart:
    """The part that holds the readout."""
    return next(part for part in parts.parts if parts.readout.node in part.gives)


def _readout(parts: Parts) -> int:
    """How many classes the readout has."""
    home = _home(parts)
    nodes = home.nodes if isinstance(home, HostPart) else home.network.populations
    return next(size(node.out_shape) for node in nodes if node.name == parts.readout.node)
