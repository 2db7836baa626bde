"""Data files: spikes, currents or events with labels, read from ``.npz`` without pickle."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError, error

EVENTS = ("x", "y", "p", "t_us", "offsets")
MAX_BYTES = 2**33
MAX_EXPANSION = 1100
MAX_FRAME_BYTES = 2**33
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Samples:
    """``inputs`` (samples, steps, *shape) or (samples, *shape) and their ``labels`` (samples,), if there are any."""

    inputs: Array
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return int(self.inputs.shape[0])

    def __getitem__(self, chosen: slice | Sequence[int]) -> "Samples":
        return Samples(self.inputs[chosen], None if self.labels is None else self.labels[chosen])


@dataclass(frozen=True, eq=False)
class Events:
    """Address events of many samples, sample i in ``slice(offsets[i], offsets[i + 1])``.

    ``x``, ``y`` column and row, ``p`` polarity, ``t_us`` microseconds from the start of the sample;
    ``shape`` (polarities, rows, columns) of a frame.
    """

    x: Array
    y: Array
    p: Array
    t_us: Array
    offsets: Array
    shape: tuple[int, int, int]

    def frames(self, bin_us: float, steps: int | None = None, binary: bool = True) -> Array:
        """(samples, steps, polarities, rows, columns) uint8 frames of ``bin_us`` microseconds each.

        ``binary``: 1 where there is any event, else the number of events, at most 255. ``steps``: by
        default as many as the longest sample needs; events after them are left out.
        """
        step = np.asarray(self.t_us, dtype=np.int64) // bin_us
        step = step.astype(np.int64)
        count = steps if steps is not None else int(step.max(initial=0)) + 1
        samples = self.offsets.size - 1
        sample = np.repeat(np.arange(samples), np.diff(self.offsets))
        kept = step < count
        shape = (samples, count, *self.shape)
        where = (sample[kept], step[kept], *(np.asarray(a, np.int64)[kept] for a in (self.p, self.y, self.x)))
        place = np.ravel_multi_index(where, shape)
        frames = np.zeros(math.prod(shape), dtype=np.uint8)
        if binary:
            frames[place] = 1
        else:
            places, counts = np.unique(place, return_counts=True)
            frames[places] = np.minimum(counts, 255)
        return frames.reshape(shape)


def load_data(
    path: str | Path,
    *,
    bin_us: float | None = None,
    steps: int | None = None,
    binary: bool = True,
    shape: tuple[int, int, int] | None = None,
) -> Samples:
    """Read a ``.npz`` file of ready inputs or of events.

    Ready inputs: ``inputs`` (samples, steps, *shape) or (samples, *shape), and optional ``labels``.
    Events: ``x, y, p, t_us, offsets`` and optional ``labels``, binned into frames of ``bin_us``
    microseconds (see :meth:`Events.frames`); ``shape`` (polarities, rows, columns) is taken from the largest
    addresses when it is not given. Raises ``RanvierError``.
    """
    arrays = _read(path, ("inputs", "labels", *EVENTS))
    place = str(path)
    labels = _labels(arrays, place)
    if "inputs" in arrays:
        inputs = arrays["inputs"]
        _check_inputs(inputs, place, bin_us)
        if steps is not None:
            inputs = inputs[:, :steps]
    elif all(name in arrays for name in EVENTS):
        inputs = _binned(_events(arrays, place, shape), place, bin_us, steps, binary)
    else:
        held = ", ".join(arrays) or "none of these"
        fix = "save it with np.savez(path, inputs=..., labels=...)"
        raise error("RV162", place, f"it needs 'inputs', or events {', '.join(EVENTS)}; it has {held}", fix)
    if labels is not None and labels.size != inputs.shape[0]:
        text = f"{inputs.shape[0]} samples have {labels.size} labels"
        raise error("RV164", place, text, "save one label per sample", samples=inputs.shape[0], labels=labels.size)
    return Samples(inputs, labels)


def _read(path: str | Path, names: tuple[str, ...]) -> Mapping[str, Array]:
    """Those arrays of the archive that are called for, sizes checked before anything is allocated."""
    file, place = Path(path), str(path)
    if not file.is_file():
        raise error("RV160", place, "there is no data file at this path", "check the path")
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            _check_sizes(place, [members[n] for n in names if n in members], file.stat().st_size)
            return {n: _member(archive, members[n], place) for n in names if n in members}
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as damage:
        if isinstance(damage, RanvierError):
            raise
        fix = "save it again with np.savez or np.savez_compressed"
        raise error("RV160", place, f"this is not a readable .npz file: {damage}", fix) from None
    except Exception as damage:  # noqa: BLE001 - zlib.error and struct.error on damaged members
        fix = "save it again with np.savez or np.savez_compressed"
        raise error("RV160", place, f"this .npz file is damaged: {damage}", fix) from None
