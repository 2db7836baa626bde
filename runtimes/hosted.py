"""Run the parts of a hosted network one after the other, each on whole trains.

The host computes in float64, row by row of a sample and step, with sums in a fixed order: what it gives depends neither
on the number of samples nor on which executor ran the parts before it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray, size
from ranvier.compiler.ir.host_functions import compute
from ranvier.compiler.ir.hosted import ChipPart, HostFunction, HostPart, Parts
from ranvier.compiler.ir.matrix import Matrix, linear_matrix, linear_offset
from ranvier.runtimes.recording import Recording, flat_frames, predict

Values = NDArray[np.float64]
CHUNK_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Runner:
    """What runs a chip part: ``run`` on frames (samples, steps, *shape), with the spikes of all populations recorded.

    ``units``: integers on the wire per unit of the source, for populations that send numbers.
    """

    run: Callable[[NDArray[Any]], Recording]
    units: Mapping[str, FloatArray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class HostedRecording:
    """The result of a run of all parts.

    ``outputs`` (samples, steps, *shape) of the readout, ``predictions`` (samples,). ``chips``: the recording of every
    chip part, ``entered`` the frames that it was given. ``sent``: what crossed between parts, by sender, in units of
    the source, (samples, steps, size). ``host_seconds`` were spent on the host.
    """

    outputs: NDArray[Any]
    predictions: NDArray[np.int64]
    chips: tuple[Recording, ...]
    entered: tuple[NDArray[Any], ...]
    sent: Mapping[str, NDArray[Any]]
    host_seconds: float

    @property
    def seconds(self) -> float:
        """Seconds that all parts took."""
        return self.host_seconds + sum(recording.seconds for recording in self.chips)


def run_parts(parts: Parts, frames: NDArray[Any], runners: Sequence[Runner]) -> HostedRecording:
    """Run ``parts`` on ``frames`` (samples, steps, *shape), the chip parts by ``runners``, one for each in order."""
    sent: dict[str, NDArray[Any]] = {parts.source.name: flat_frames(frames, parts.source.shape)}
    recordings: list[Recording] = []
    entered: list[NDArray[Any]] = []
    spent, read = 0.0, None
    for part in parts.parts:
        if isinstance(part, HostPart):
            started = time.perf_counter()
            sent |= host_values(part, sent)
            spent += time.perf_counter() - started
            continue
        runner = runners[len(recordings)]
        entered.append(arriving(part, sent))
        recordings.append(runner.run(entered[-1]))
        sent |= {name: _messages(recordings[-1], name, runner.units) for name in part.gives}
        read = recordings[-1] if parts.readout.node in part.gives else read
    if read is not None:
        outputs, predictions = read.outputs, read.predictions
    else:
        outputs = _shaped(parts, sent[parts.readout.node])
        predictions = predict(parts.readout, outputs)
    return HostedRecording(outputs, predictions, tuple(recordings), tuple(entered), sent, spent)


def arriving(part: ChipPart, sent: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The frames (samples, steps, *shape) that enter ``part``: what it takes, each divided by its scale."""
    taken = [sent[c.source] if c.scale == 1.0 else sent[c.source] / c.scale for c in part.takes]
    frames = taken[0] if len(taken) == 1 else np.concatenate(taken, axis=2)
    return frames.reshape(*frames.shape[:2], *part.network.inputs[0].shape)


def host_values(part: HostPart, sent: Mapping[str, NDArray[Any]]) -> dict[str, Values]:
    """What ``part`` gives, (samples, steps, size) by function, for what others ``sent``; some samples at a time.

    Raises ``RanvierError`` RV748 where that is no number.
    """
    matrices = {n.name: linear_matrix(n) for n in part.nodes if not isinstance(n, HostFunction)}
    samples, steps = next(iter(sent.values())).shape[:2]
    given = {n.name: np.empty((samples, steps, size(n.out_shape))) for n in part.nodes if n.name in part.gives}
    for chunk in _chunks(part, samples, steps):
        taken = {c.source: sent[c.source][chunk] for c in part.takes}
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # what comes of it is refused below
            values = _computed(part, matrices, taken, chunk, steps)
        for name, held in given.items():
            held[chunk] = values[name]
    for name, held in given.items():
        if not bool(np.isfinite(held).all()):
            sample, step = (int(i) for i in np.argwhere(~np.isfinite(held))[0][:2])
            text = f"the host computes NaN or infinity, first in sample {sample}, step {step}"
            raise error("RV748", name, text, "check the weights that lead to it", sample=sample, step=step)
    return given


def _computed(
    part: HostPart, matrices: Mapping[str, Matrix], taken: Mapping[str, NDArray[Any]], chunk: slice, steps: int
) -> dict[str, Values]:
    """The values of all nodes of ``part`` for some samples."""
    values = {name: np.asarray(x, np.float64) for name, x in taken.items()}
    samples = chunk.stop - chunk.start
    for node in part.nodes:
        x = np.zeros((samples, steps, node.in_size))
        for edge in part.edges:
            if edge.target == node.name and edge.delay < steps:
                x[:, edge.delay :] += values[edge.source][:, : steps - edge.delay]
        rows = x.reshape(samples * steps, -1)
        if isinstance(node, HostFunction):
            y = compute(node, rows)
        else:
            y = (matrices[node.name] @ rows.T).T + linear_offset(node)
        values[node.name] = y.reshape(samples, steps, -1)
    return values


def _chunks(part: HostPart, samples: int, steps: int) -> Iterator[slice]:
    """Ranges of samples whose values fit into ``CHUNK_BYTES``."""
    each = 8 * steps * (sum(size(n.out_shape) + n.in_size for n in part.nodes) + sum(size(c.shape) for c in part.takes))
    count = max(1, CHUNK_BYTES // each)
    for start in range(0, samples, count):
        yield slice(start, min(start + count, samples))


def _messages(recording: Recording, name: str, units: Mapping[str, FloatArray]) -> NDArray[Any]:
    """What population ``name`` sent, flat, in units of the source; spikes and counts as they are."""
    spikes = recording.spikes[name]
    flat = spikes.reshape(*spikes.shape[:2], -1)
    return flat if name not in units or bool(np.all(units[name] == 1.0)) else flat / units[name]


def _shaped(parts: Parts, values: NDArray[Any]) -> NDArray[Any]:
    """``values`` of the readout, which is a host function, in its shape."""
    (node,) = (n for p in parts.parts if isinstance(p, HostPart) for n in p.nodes if n.name == parts.readout.node)
    return values.reshape(*values.shape[:2], *node.out_shape)
