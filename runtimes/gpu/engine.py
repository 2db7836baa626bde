# ruff: noqa: PLC0415 - torch and Triton are heavy, and absent where their extra is not installed
"""The GPU executor: cuts the samples into pieces that fit the device, runs them, puts the results together."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, Port
from ranvier.runtimes import simulator
from ranvier.runtimes.gpu import device
from ranvier.runtimes.gpu.results import Results
from ranvier.runtimes.gpu.routes import routes
from ranvier.runtimes.recording import Recording, Records, check_inputs, encode, flat_frames
from ranvier.runtimes.simulator.plan import Plan, lower

if TYPE_CHECKING:
    from ranvier.runtimes.gpu.network import Uploaded
    from ranvier.runtimes.gpu.piece import Piece

Values = NDArray[Any]
Progress = Callable[[int, int], None]
Synapses = Literal["measured", "product", "scatter"]

SCATTER_SHARE = 1 / 256
"""Below this share of active senders, weight rows are scattered instead of multiplied."""
BLOCK_BYTES = 2**25  # the input currents of one block of steps should stay in the second-level cache
NUMBER_BYTES = 8

_TURN = Lock()
"""One run at a time: it fills the memory that is free, and neither the recording of a CUDA graph nor Triton's
interpreter bears another thread's work beside it."""


@dataclass(frozen=True)
class _Choice:
    """What the caller leaves to measurement or sets: how dense weights are applied, samples per piece."""

    synapses: Synapses
    batch: int | None


def run(
    chip: ChipNetwork,
    inputs: Values,
    record: Records = (),
    *,
    batch: int | None = None,
    synapses: Synapses = "measured",
    progress: Progress | None = None,
) -> Recording:
    """Run ``chip`` on ``inputs`` (samples, steps, *shape) on a CUDA device; equal to the oracle in every value.

    Outputs, spikes, membranes, states, counts and overflow events are those of the oracle. ``record`` names what to
    keep of every population. The samples run in pieces of ``batch`` (default: what fits the device's memory).
    ``synapses``: dense weights as a matrix ``product``, by ``scatter`` of the active senders' rows, or as the
    ``measured`` activity of each source suggests; none changes the result. ``progress(done, total)`` is called as
    samples are done. Without a CUDA device the CPU simulator runs, and a ``RuntimeWarning`` says so; with
    ``TRITON_INTERPRET=1`` the kernels run in Triton's interpreter. Threads that call it at once take turns.

    Raises ``RanvierError`` when the inputs do not fit, RV831 for a ``batch`` below 1, RV833 where torch or Triton is
    missing, RV835 where the device's memory does not hold one sample.
    """
    started = time.perf_counter()
    if batch is not None and batch < 1:
        raise error("RV831", "batch", f"batch is {batch}", "give a positive number, or none for the default")
    found = device.find()
    check_inputs(inputs, chip)
    if found is None:
        warnings.warn(str(device.NOTICE), RuntimeWarning, stacklevel=2)
        return simulator.run(chip, inputs, record, batch=batch, progress=progress)
    plan = lower(chip)
    results = Results(plan, inputs.shape[0], inputs.shape[1], record)
    with _TURN:
        _Work(chip, plan, found, record, _Choice(synapses, batch)).run(inputs, results, progress)
    return results.recording(time.perf_counter() - started)


def describe(chip: ChipNetwork) -> tuple[str, ...]:
    """How each connection of ``chip`` is worked out on a GPU and in which numbers, one line each."""
    return tuple(map(str, routes(chip, lower(chip)).values()))


class _Work:
    """The pieces of one run, and how active each source was so far."""

    def __init__(self, chip: ChipNetwork, plan: Plan, found: device.Device, record: Records, choice: _Choice) -> None:
        from ranvier.runtimes.gpu.network import upload

        self.plan, self.found, self.record, self.choice = plan, found, record, choice
        self.network: Uploaded = upload(plan, routes(chip, plan), found.name)
        self.shares: dict[str, float] = {layer.name: chip.rates.get(layer.name, 1.0) for layer in plan.layers}
        self.piece: Piece | None = None

    def run(self, inputs: Values, results: Results, progress: Progress | None) -> None:
        """All samples of ``inputs``, piece by piece."""
        samples, steps = inputs.shape[:2]
        needed, room = steps * self._step_bytes(), self.found.room
        if needed > room:
            text = f"a sample of {steps} steps needs {needed} bytes on the device, of which {room} may be filled"
            raise error(
                "RV835", "gpu", text, "give fewer steps, or choose the runtime simulator", bytes=needed, room=room
            )
        portion = min(samples, self.choice.batch or room // needed)
        for start in range(0, samples, portion):
            frames = _frames(self.plan, inputs[start : start + portion])
            self.shares[self.plan.source.name] = float(np.count_nonzero(frames)) / frames.size
            piece = self._ready(frames.shape[0], steps)
            piece.run(frames.astype(str(piece.frames.dtype).removeprefix("torch."), copy=False))
            results.add(start, piece, frames)
            self.shares |= dict(piece.shares())
            if progress is not None:
                progress(start + frames.shape[0], samples)

    def _ready(self, samples: int, steps: int) -> "Piece":
        """A piece for ``samples``: the last one where it serves, then as a CUDA graph where that pays."""
        from ranvier.runtimes.gpu.piece import GRAPH_LAUNCHES, Piece, Size

        size_, listed, last = Size(samples, steps, self._block(samples, steps)), self._listed(), self.piece
        if last is None or (last.size, last.listed) != (size_, listed):
            self.piece = None  # its memory first
            self.piece = last = Piece(self.network, size_, self.record, listed)
        elif last.graph is None and not self.found.interpreted and last.launches <= GRAPH_LAUNCHES:
            last.record_graph()
        return last

    def _block(self, samples: int, steps: int) -> int:
        """Steps run layer by layer: no more than recurrence allows, nor than keeps currents in the cache."""
        widest = max(layer.size for layer in self.plan.layers)
        return max(1, min(steps, BLOCK_BYTES // (4 * widest * samples), self.plan.longest_block or steps))

    def _listed(self) -> frozenset[str]:
        """The sources whose dense weights are scattered."""
        if self.choice.synapses == "product":
            return frozenset()
        every = self.choice.synapses == "scatter"
        dense = {s.route.link.source for s in self.network.synapses.values() if s.route.scatters}
        return frozenset(name for name in dense if every or self.shares[name] < SCATTER_SHARE)

    def _step_bytes(self) -> int:
        """Bytes on the device for one step of one sample, everything that may be kept included."""
        total = NUMBER_BYTES * size(self.plan.source.shape)
        for layer in self.plan.layers:
            kept = 3 + (len(layer.program.states) if "states" in self.record else 0)
            total += NUMBER_BYTES * layer.size * kept
        return total


def _frames(plan: Plan, inputs: Values) -> Values:
    """(samples, steps, wires) integers as they are on the wires."""
    assert isinstance(plan.source, Port)
    return flat_frames(encode(plan.source, np.ascontiguousarray(inputs)), plan.source.shape)
