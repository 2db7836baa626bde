"""Data files: spikes, currents or events with labels, read from ``.npz`` without pickle."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError, error

EVENTS = ("x", "y", "p", "t_us", "offsets")
MAX_BYTES = 2**33
MAX_EXPANSION = 1100
MAX_FRAME_BYTES = 2**33
Array = NDArray[Any]
Start = Literal["first_event", "zero"]


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

    ``x``, ``y`` column and row, ``p`` polarity, ``t_us`` time in microseconds; ``shape`` (polarities,
    rows, columns) of a frame.
    """

    x: Array
    y: Array
    p: Array
    t_us: Array
    offsets: Array
    shape: tuple[int, int, int]

    @cached_property
    def _samples(self) -> NDArray[np.int64]:
        """The sample that each event belongs to."""
        return np.repeat(np.arange(self.offsets.size - 1), np.diff(self.offsets))

    def steps(self, bin_us: float, start: Start = "first_event") -> NDArray[np.int64]:
        """The time step of every event, for bins of ``bin_us`` microseconds."""
        times = np.asarray(self.t_us, dtype=np.int64)
        if start == "first_event" and times.size:
            first = np.full(self.offsets.size - 1, times.max())
            np.minimum.at(first, self._samples, times)
            times = times - first[self._samples]
        return (times // bin_us).astype(np.int64)

    def frames(
        self, bin_us: float, steps: int | None = None, binary: bool = True, start: Start = "first_event"
    ) -> Array:
        """(samples, steps, polarities, rows, columns) uint8 frames of ``bin_us`` microseconds each.

        ``binary``: 1 where there is any event, else the number of events, at most 255. ``steps``: by
        default as many as the longest sample needs; events after them are left out. ``start``: time 0 of a
        sample is its first event (as Tonic's slicers count) or the recording's own zero.
        """
        step = self.steps(bin_us, start)
        count = steps if steps is not None else int(step.max(initial=0)) + 1
        samples = self.offsets.size - 1
        kept = step < count
        shape = (samples, count, *self.shape)
        where = (self._samples[kept], step[kept], *(np.asarray(a, np.int64)[kept] for a in (self.p, self.y, self.x)))
        place = np.asarray(np.ravel_multi_index(where, shape))
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
    start: Start = "first_event",
) -> Samples:
    """Read a ``.npz`` file of ready inputs or of events.

    Ready inputs: ``inputs`` (samples, steps, *shape) or (samples, *shape), and optional ``labels``.
    Events: ``x, y, p, t_us, offsets`` and optional ``labels``, binned into frames of ``bin_us``
    microseconds (see :meth:`Events.frames`); ``shape`` (polarities, rows, columns) is taken from the largest
    addresses when it is not given, ``start`` is time 0 of each sample. Raises ``RanvierError``.
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
        inputs = _binned(_events(arrays, place, shape), place, bin_us, steps, binary, start)
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
    except RanvierError:
        raise
    except Exception as damage:  # noqa: BLE001 - zipfile, zlib and numpy raise nearly every type on a damaged file
        fix = "save it again with np.savez or np.savez_compressed"
        raise error("RV160", place, f"this is not a readable .npz file: {damage}", fix) from None


def _check_sizes(place: str, members: list[zipfile.ZipInfo], file_bytes: int) -> None:
    total = sum(info.file_size for info in members)
    if total > min(MAX_BYTES, MAX_EXPANSION * file_bytes + 2**20):
        fix = "save the data again, or split them over several files"
        text = f"its arrays claim {total} bytes, {total // max(file_bytes, 1)} times the file's size"
        raise error("RV161", place, text, fix, bytes=total)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, place: str) -> Array:
    """One array, its header checked against the member's size before it is read; objects are refused."""
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(stream)
    if dtype.hasobject or dtype.kind not in "biuf":
        text = f"{info.filename} has type {dtype}; only numbers are read, never pickled objects"
        raise error("RV163", place, text, "save plain numeric arrays")
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=1) < 0 or wanted > info.file_size:
        text = f"{info.filename} claims shape {shape}, {wanted} bytes, in {info.file_size}"
        raise error("RV161", place, text, "save the data again: the file is damaged", bytes=wanted)
    with archive.open(info) as stream:
        return np.asarray(npy.read_array(stream, allow_pickle=False))


def _check_inputs(inputs: Array, place: str, bin_us: float | None) -> None:
    if inputs.ndim < 2 or inputs.size == 0:
        text = f"'inputs' has shape {inputs.shape}, not (samples, steps, *shape) or (samples, *shape)"
        raise error("RV165", place, text, "save one row per sample")
    if inputs.dtype.kind == "f" and not bool(np.isfinite(inputs).all()):
        raise error("RV165", place, "'inputs' contains NaN or infinity", "clean the data first")
    if bin_us is not None:
        raise error("RV166", place, "bin_us bins events, but this file has ready inputs", "leave bin_us out")


def _labels(arrays: Mapping[str, Array], place: str) -> NDArray[np.int64] | None:
    labels = arrays.get("labels")
    if labels is None:
        return None
    if labels.ndim != 1 or not bool(np.all(np.isfinite(labels) & (labels == np.rint(labels)))):
        text = f"'labels' of shape {labels.shape} and type {labels.dtype} are not class numbers"
        raise error("RV164", place, text, "save labels as a vector of integers")
    return labels.astype(np.int64)


def _events(arrays: Mapping[str, Array], place: str, shape: tuple[int, int, int] | None) -> Events:
    """The events of the file, their lengths, offsets, addresses and times checked."""
    x, y, p, t_us, offsets = (arrays[name] for name in EVENTS)
    lengths = {name: arrays[name].shape for name in EVENTS[:4]}
    whole = all(arrays[n].dtype.kind in "biu" for n in EVENTS) and offsets.ndim == 1 and offsets.size > 1
    if len(set(lengths.values())) != 1 or x.ndim != 1 or not whole:
        text = f"x, y, p and t_us must be equally long integer vectors with offsets; they have {lengths}"
        raise error("RV167", place, text, "save one integer per event in each of them")
    bounds = offsets.astype(np.int64)
    if bounds[0] != 0 or bounds[-1] != x.size or bool((np.diff(bounds) < 0).any()):
        text = f"offsets run from {bounds[0]} to {bounds[-1]} for {x.size} events, and must not fall"
        raise error("RV167", place, text, "offsets[i] is the first event of sample i, the last is the number of events")
    lowest = min((int(a.min(initial=0)) for a in (x, y, p, t_us)), default=0)
    highest = tuple(int(a.max(initial=0)) for a in (p, y, x))
    frame = shape or (max(highest[0], 1) + 1, highest[1] + 1, highest[2] + 1)
    if lowest < 0 or any(h >= n for h, n in zip(highest, frame, strict=True)):
        text = f"addresses reach (p, y, x) = {highest}, from {lowest}, outside the frame {frame}"
        raise error("RV167", place, text, "give the sensor's shape (polarities, rows, columns)")
    return Events(x, y, p, t_us, bounds, frame)


def _binned(events: Events, place: str, bin_us: float | None, steps: int | None, binary: bool, start: Start) -> Array:
    if bin_us is None or not 0 < bin_us < math.inf:
        fix = "say the length of a time step, e.g. bin_us=1000"
        raise error("RV166", place, f"this file holds events and bin_us is {bin_us}", fix)
    if (steps is not None and steps < 1) or start not in ("first_event", "zero"):
        raise error("RV166", place, f"steps is {steps}, start is {start!r}", "use steps >= 1, 'first_event' or 'zero'")
    count = steps if steps is not None else int(events.steps(bin_us, start).max(initial=0)) + 1
    samples = events.offsets.size - 1
    wanted = count * samples * math.prod(events.shape)
    if wanted > MAX_FRAME_BYTES:
        text = f"{count} steps of {bin_us} us for {samples} samples take {wanted} bytes"
        raise error("RV161", place, text, "use longer bins, fewer steps or fewer samples", bytes=wanted)
    return events.frames(bin_us, count, binary, start)
