"""A shard is some samples of the data set; its result is a few numbers, kept until the whole is done."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler import artifact
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.coding import frames_of
from ranvier.runtimes.recording import OverflowEvent

SHARD_BYTES = 2**25
MOST_SAMPLES = 256
Inputs = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ShardResult:
    """Samples from number ``start`` on: ``predictions``, per layer what fired and arrived, overflow events.

    ``fired`` and ``operations`` count spikes and synaptic operations by layer; ``seconds`` were spent in the simulator.
    Sample numbers in ``overflows`` are those of the whole data set.
    """

    start: int
    predictions: NDArray[np.int64]
    fired: dict[str, int]
    operations: dict[str, int]
    overflows: tuple[OverflowEvent, ...]
    seconds: float


def shard_size(frame_bytes: int, samples: int) -> int:
    """Samples per shard, from the bytes of one sample: the same for any number of workers, so that results fit."""
    return max(1, min(SHARD_BYTES // max(frame_bytes, 1), MOST_SAMPLES, samples))


def shards(samples: int, size: int) -> list[range]:
    """Ranges of sample numbers that cover all ``samples``."""
    return [range(start, min(start + size, samples)) for start in range(0, samples, size)]


def run_shard(program: bytes, inputs: Inputs, start: int) -> ShardResult:
    """Run the artifact ``program`` on ``inputs``, frames or samples from number ``start`` on, in one thread."""
    from ranvier.runtimes import simulator  # noqa: PLC0415 in the worker

    chip = _chip(hashlib.sha256(program).digest(), program)
    recording = simulator.run(chip, frames_of(chip.ports[0], inputs, start), threads=1)
    events = tuple(
        OverflowEvent(e.population, e.where, e.count, e.sample + start, e.step, e.neuron) for e in recording.overflows
    )
    fired = {name: stats.spikes for name, stats in recording.stats.items()}
    operations = {name: stats.synaptic_operations for name, stats in recording.stats.items()}
    return ShardResult(start, recording.predictions, fired, operations, events, recording.seconds)


_LAST: dict[bytes, ChipNetwork] = {}


def _chip(digest: bytes, program: bytes) -> ChipNetwork:
    """The chip network of the artifact; a worker keeps the last one that it unpacked."""
    if digest not in _LAST:
        with tempfile.TemporaryDirectory(prefix="ranvier-shard-") as folder:
            path = Path(folder) / "program.rnv"
            path.write_bytes(program)
            chip = artifact.load(path).chip
        _LAST.clear()
        _LAST[digest] = chip
    return _LAST[digest]


@dataclass(frozen=True)
class Kept:
    """Results on disk under ``folder``, one file a shard, written whole or not at all."""

    folder: Path

    def found(self, start: int, samples: int) -> ShardResult | None:
        """The result of the shard at ``start`` if a sound one of as many ``samples`` is there."""
        try:
            values = json.loads(self._path(start).read_text())
            events = tuple(OverflowEvent(**event) for event in values.pop("overflows"))
            predictions = np.array(values.pop("predictions"), np.int64)
            result = ShardResult(**values, predictions=predictions, overflows=events)
        except (OSError, ValueError, TypeError, AttributeError, LookupError):
            return None
        return result if result.predictions.shape == (samples,) else None

    def keep(self, result: ShardResult) -> None:
        """Write ``result``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        values = asdict(result) | {"predictions": result.predictions.tolist()}
        path = self._path(result.start)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(values))
        draft.replace(path)

    def drop(self) -> None:
        """Remove the results: the whole is done."""
        for path in self._files():
            path.unlink(missing_ok=True)
        if self.folder.is_dir():
            self.folder.rmdir()

    def _path(self, start: int) -> Path:
        return self.folder / f"shard-{start}.json"

    def _files(self) -> Iterator[Path]:
        yield from self.folder.glob("shard-*") if self.folder.is_dir() else ()
