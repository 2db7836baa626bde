"""Evaluate a program on a whole data set."""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.app import App
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.coding import checked_samples, frames_of, takes
from ranvier.evaluation.engines import LOCAL, Pool, backend
from ranvier.evaluation.shards import Kept, ShardResult, run_shard, shard_size, shards
from ranvier.runtimes.cache import cache_folder
from ranvier.runtimes.recording import LayerStats, OverflowEvent, check_inputs
from ranvier.runtimes.verify.labels import check_labels
from ranvier.runtimes.verify.overflow import Overflow, joined, locate
from ranvier.runtimes.verify.statistics import wilson

Frames = NDArray[Any]
Progress = Callable[[int, int], None]

ROUND = 4
"""Shards per worker between two looks at the results, where they do not come one by one."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a program makes of a data set, or of the part of it that was done when it was interrupted.

    ``done`` of ``samples`` have ``predictions`` (-1 where not done). With labels: ``accuracy`` of those done with its
    95 % Wilson ``interval``, ``confusion`` (true class, predicted class). ``layers`` counts spikes and synaptic
    operations, ``overflows`` locates what wrapped or clipped. ``resumed`` samples were found done; ``seconds`` is the
    time waited, ``busy`` the simulator's own in all workers.
    """

    samples: int
    done: int
    resumed: int
    predictions: NDArray[np.int64]
    accuracy: float | None
    interval: tuple[float, float] | None
    confusion: NDArray[np.int64] | None
    layers: dict[str, LayerStats]
    overflows: tuple[Overflow, ...]
    seconds: float
    busy: float

    @property
    def complete(self) -> bool:
        """Whether all samples were done."""
        return self.done == self.samples

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "samples": self.samples,
            "done": self.done,
            "resumed": self.resumed,
            "complete": self.complete,
            "predictions": self.predictions.tolist(),
            "accuracy": self.accuracy,
            "interval": None if self.interval is None else list(self.interval),
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "layers": {name: vars(stats) for name, stats in self.layers.items()},
            "overflows": [overflow.to_json() for overflow in self.overflows],
            "seconds": self.seconds,
            "busy": self.busy,
        }


def evaluate(
    app: App,
    inputs: Frames,
    labels: ArrayLike | None = None,
    *,
    engine: str = LOCAL,
    workers: int | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> Evaluation:
    """Run ``app`` on all of ``inputs``, frames or samples as ``App.run`` takes them, shard by shard, on ``engine``.

    Each shard's result is kept in ``folder`` (by default in the cache, under a name made of program and data) until
    all are done, so that the same call goes on where an earlier one ended; an interruption ends the call with what is
    done. Results do not depend on engine, workers or interruptions. ``progress(done, samples)`` follows every shard.
    Raises ``RanvierError`` for data, labels or engines that mean nothing, and for clusters that do not answer.
    """
    chip = app.program.chip
    port = chip.ports[0]
    if port.encoder is not None and takes(port, inputs.shape):
        checked_samples(port.encoder, inputs)
    else:
        check_inputs(frames_of(port, inputs), chip)
    answers = None if labels is None else check_labels(labels, chip, len(inputs))
    packed = _packed(app)
    kept = Kept(folder or cache_folder() / "evaluations" / _name(packed, inputs))
    run = _Evaluate(inputs, frames_of(port, inputs[:1]).nbytes, kept, progress or (lambda _done, _samples: None))
    started = time.perf_counter()
    run.all(packed, engine, workers)
    return run.outcome(app, answers, time.perf_counter() - started)


@dataclass
class _Evaluate:
    """The shards of one call, and the results so far."""

    inputs: Frames
    frame_bytes: int
    kept: Kept
    progress: Progress
    results: list[ShardResult] = field(default_factory=list)
    resumed: int = 0

    def all(self, program: bytes, engine: str, workers: int | None) -> None:
        """Every shard that is not kept, on ``engine``; an interruption leaves the rest."""
        parts = shards(len(self.inputs), shard_size(self.frame_bytes, len(self.inputs)))
        missing = [part for part in parts if not self._resume(part)]
        self.progress(self._done, len(self.inputs))
        if missing:
            with backend(engine, workers) as pool:
                try:
                    for result in self._worked(program, missing, pool):
                        self._take(result)
                except KeyboardInterrupt:
                    return
        self.kept.drop()

    def _resume(self, part: range) -> bool:
        result = self.kept.found(part.start, len(part))
        if result is not None:
            self.results.append(result)
            self.resumed += len(part)
        return result is not None

    def _worked(self, program: bytes, parts: Sequence[range], pool: Pool) -> Iterator[ShardResult]:
        """Results as they come, or round by round; frames are cut out when a worker is about to need them."""
        from joblib import Parallel, delayed  # noqa: PLC0415 starts faster

        work = delayed(run_shard)
        together = len(parts) if pool.streams else ROUND * pool.workers
        how = "generator_unordered" if pool.streams else "list"
        with Parallel(n_jobs=pool.workers, batch_size=1, return_as=how) as parallel:
            for first in range(0, len(parts), together):
                now = parts[first : first + together]
                yield from parallel(
                    work(program, np.ascontiguousarray(self.inputs[p.start : p.stop]), p.start) for p in now
                )

    def _take(self, result: ShardResult) -> None:
        self.kept.keep(result)
        self.results.append(result)
        self.progress(self._done, len(self.inputs))

    @property
    def _done(self) -> int:
        return sum(result.predictions.size for result in self.results)

    def outcome(self, app: App, labels: NDArray[np.int64] | None, seconds: float) -> Evaluation:
        """The results put together in the order of the samples."""
        chip = app.program.chip
        ordered = sorted(self.results, key=lambda result: result.start)
        predictions = np.full(len(self.inputs), -1, np.int64)
        events: list[OverflowEvent] = []
        for result in ordered:
            predictions[result.start : result.start + result.predictions.size] = result.predictions
            events = joined(events, result.overflows, 0)
        layers = {
            p.name: LayerStats(
                p.size, sum(r.fired[p.name] for r in ordered), sum(r.operations[p.name] for r in ordered)
            )
            for p in chip.populations
        }
        done, right = predictions >= 0, predictions == (labels if labels is not None else -2)
        known = labels is not None and bool(done.any())
        return Evaluation(
            samples=len(self.inputs),
            done=int(done.sum()),
            resumed=self.resumed,
            predictions=predictions,
            accuracy=float(right[done].mean()) if known else None,
            interval=wilson(int(right[done].sum()), int(done.sum())) if known else None,
            confusion=None if labels is None else _confusion(labels[done], predictions[done], _classes(app)),
            layers=layers,
            overflows=locate(chip, events),
            seconds=seconds,
            busy=sum(result.seconds for result in ordered),
        )


def _confusion(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (labels, predictions), 1)
    return table


def _classes(app: App) -> int:
    chip = app.program.chip
    return size(chip.by_name[chip.readout.node].shape)


def _packed(app: App) -> bytes:
    """The artifact's bytes."""
    with tempfile.TemporaryDirectory(prefix="ranvier-") as folder:
        path = Path(folder) / "program.rnv"
        app.save(path)
        return path.read_bytes()


def _name(program: bytes, inputs: Frames) -> str:
    """What makes two evaluations the same: program and data."""
    digest = hashlib.sha256(program)
    digest.update(f"{inputs.shape} {inputs.dtype.str}".encode())
    for sample in inputs:
        digest.update(np.ascontiguousarray(sample).tobytes())
    return digest.hexdigest()[:32]
