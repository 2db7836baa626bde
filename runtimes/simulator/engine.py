"""The CPU simulator: cuts the samples into pieces, runs them on threads, puts the results together.

How large a block is was measured on a processor with 1 MB of second-level cache (Zen 5), in ratios of processor time:
blocks of 32 steps whose currents take 4 MB are the best or within 3 % of it for a 784-512-10 network and for strided
convolutions over 34 x 34 pixels. With 1 MB the calls from Python cost 7 % and 19 % more, as many neurons leave room
for few samples; with 8 MB the currents leave the caches, at 8 % and 19 %.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.chip import ChipNetwork, Port
from ranvier.compiler.ir.network import Input, Network
from ranvier.runtimes.recording import (
    LayerStats,
    OverflowEvent,
    Recording,
    Records,
    check_inputs,
    encode,
    flat_frames,
    predict,
)
from ranvier.runtimes.simulator.choice import Synapses
from ranvier.runtimes.simulator.packing import count_nonzero, pack, words
from ranvier.runtimes.simulator.piece import Arriving, Counts, Slices, places, run_piece
from ranvier.runtimes.simulator.plan import Layer, Plan, lower

Values = NDArray[Any]
Progress = Callable[[int, int], None]

BLOCK_BYTES = 2**22  # the input currents of one block of steps: in the shared cache, so that calls are few
LONGEST_BLOCK = 32  # steps: enough to make up for reading and writing the states once
PIECE_BYTES = 2**27


@dataclass(frozen=True)
class Cut:
    """How the work is divided: samples per piece, steps per block."""

    samples: int
    steps: int


@dataclass(frozen=True, eq=False)
class _Kept:
    """The results of one layer over all samples; None where not wanted."""

    sent: Values | None
    membrane: Values | None
    states: Values | None


def run(
    network: ChipNetwork | Network,
    inputs: Values,
    record: Records = (),
    *,
    threads: int | None = None,
    batch: int | None = None,
    synapses: Synapses = "measured",
    progress: Progress | None = None,
) -> Recording:
    """Run ``network`` on ``inputs`` (samples, steps, *shape), real numbers or spikes as its input takes them.

    A ``ChipNetwork`` runs in exact integers and equals the oracle in every value, count and overflow event;
    a folded float ``Network`` runs its float64 programs with the source's own timing. ``record`` names what
    to keep of every population: ``spikes`` (int8 where they are 0 or 1), ``states``, ``membrane``. The
    samples are divided over ``threads`` (default: all processors) in pieces of ``batch`` samples (default:
    what fits the cache). ``synapses``: dense weights by ``scatter`` of the active senders' rows, as a matrix
    ``product``, or as the ``measured`` activity of each block suggests. None of these changes the result.
    ``progress(done, total)`` is called as samples are done. Raises ``RanvierError`` when the inputs do not fit, or a
    float network has not been folded.
    """
    started = time.perf_counter()
    _check_counts(threads, batch)
    if not _bytes_for_spikes(network, inputs):
        check_inputs(inputs, network)
    plan = lower(network)
    for layer in plan.layers:
        assert layer.code is not None, "compiled before the threads begin"
    workers = threads or _processors()
    division = cut(plan, inputs.shape[0], inputs.shape[1], workers, batch)
    kept = {layer.name: _reserve(plan, layer, inputs.shape[:2], record) for layer in plan.layers}

    def work(start: int) -> tuple[int, int, Counts]:
        stop = min(start + division.samples, inputs.shape[0])
        entering = arriving(network, plan, inputs, start, stop)
        slices = {layer.name: _slices(kept[layer.name], layer, start, stop) for layer in plan.layers}
        return start, stop - start, run_piece(plan, entering, slices, division.steps, synapses=synapses)

    total = _Total(plan)
    for start, samples, counts in _worked(work, range(0, inputs.shape[0], division.samples), workers):
        total.add(start, samples, counts)
        if progress is not None:
            progress(total.samples, inputs.shape[0])
    return _recording(plan, kept, total, record, time.perf_counter() - started)


class _Total:
    """Counts and overflow events over the pieces finished so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.samples = plan, 0
        self.fired: dict[str, Values] = {}
        self.events: dict[tuple[str, str], OverflowEvent] = {}

    def add(self, start: int, samples: int, counts: Counts) -> None:
        """Add a piece that began at sample ``start``."""
        self.samples += samples
        for name, fired in counts.fired.items():
            self.fired[name] = self.fired.get(name, np.zeros_like(fired)) + fired
        for layer in self.plan.layers:
            for where, (count, sample, step, neuron) in zip(
                places(self.plan, layer), counts.events[layer.name].tolist(), strict=True
            ):
                if count:
                    self._note(OverflowEvent(layer.name, where, count, start + sample, step, neuron))

    def _note(self, event: OverflowEvent) -> None:
        key = event.population, event.where
        earlier = self.events.get(key)
        if earlier is not None:
            first = min(earlier, event, key=lambda e: (e.sample, e.step, e.neuron))
            count = earlier.count + event.count
            event = OverflowEvent(*key, count, first.sample, first.step, first.neuron)
        self.events[key] = event

    def stats(self, layer: Layer) -> LayerStats:
        """Spikes sent by ``layer`` and the synaptic operations of everything sent to it."""
        operations = sum(int(self.fired[k.source] @ k.scatter.fan_out) for k in self.plan.into[layer.name])
        return LayerStats(layer.size, int(self.fired[layer.name].sum()), operations)


def _worked(
    work: Callable[[int], tuple[int, int, Counts]], starts: range, workers: int
) -> Iterator[tuple[int, int, Counts]]:
    """Pieces as they are finished; an interruption drops those not begun."""
    if workers == 1 or len(starts) == 1:
        yield from map(work, starts)
        return
    with ThreadPoolExecutor(min(workers, len(starts))) as pool:
        pending = [pool.submit(work, start) for start in starts]
        try:
            for done in as_completed(pending):
                yield done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def cut(plan: Plan, samples: int, steps: int, workers: int, batch: int | None) -> Cut:
    """Pieces and blocks that keep currents in the cache, within memory, with work for every thread."""
    widest = max(layer.size for layer in plan.layers)
    rows = max(1, BLOCK_BYTES // (4 * widest))
    block = min(steps, rows, plan.longest_block or steps, LONGEST_BLOCK)
    wires = sum(layer.size * np.dtype(layer.sends).itemsize for layer in plan.layers)
    most = max(1, PIECE_BYTES // (steps * (wires + int(np.prod(plan.source.shape)))))
    return Cut(batch or min(max(1, rows // block), most, -(-samples // workers)), block)


def _bytes_for_spikes(network: ChipNetwork | Network, inputs: Values) -> bool:
    """Whether ``inputs`` are bytes of the right shape for spikes, whose values are looked at while they are packed."""
    source = network.ports[0] if isinstance(network, ChipNetwork) else network.inputs[0]
    fits = inputs.ndim > 2 and inputs.shape[2:] == source.shape and inputs.size > 0
    return fits and inputs.dtype.kind in "bu" and inputs.itemsize == 1 and _takes_spikes(source)


def _takes_spikes(source: Port | Input) -> bool:
    return source.bits == 0 if isinstance(source, Port) else source.coding == "spikes"


def arriving(network: ChipNetwork | Network, plan: Plan, inputs: Values, start: int, stop: int) -> Arriving:
    """Samples ``start`` to ``stop - 1`` as the kernels take them: spikes as bits, or int64 or float64 values."""
    flat = flat_frames(np.ascontiguousarray(inputs[start:stop]), plan.source.shape)
    fired = np.zeros(flat.shape[2], np.int64)
    if _takes_spikes(plan.source):
        spikes = flat.view(np.uint8) if flat.itemsize == 1 else flat.astype(np.uint8)
        bits = np.zeros((*flat.shape[:2], words(flat.shape[2])), np.uint64)
        if pack(spikes, bits, fired) > 1:
            check_inputs(inputs, network)
        return Arriving(bits, fired)
    values = encode(plan.source, flat).astype(np.int64) if isinstance(plan.source, Port) else flat.astype(np.float64)
    count_nonzero(values, fired)
    return Arriving(values, fired)


def _reserve(plan: Plan, layer: Layer, lead: tuple[int, ...], record: Records) -> _Kept:
    read, by_spikes = layer.name == plan.readout.node, plan.readout.reads_spikes
    shape = (*lead, layer.size)
    states = (len(layer.program.states), *shape)
    return _Kept(
        np.zeros(shape, layer.sends) if "spikes" in record or (read and by_spikes) else None,
        np.empty(shape, layer.number) if "membrane" in record or (read and not by_spikes) else None,
        np.empty(states, layer.number) if "states" in record else None,
    )


def _slices(kept: _Kept, layer: Layer, start: int, stop: int) -> Slices:
    return Slices(
        np.empty((0, 0, 0), layer.sends) if kept.sent is None else kept.sent[start:stop],
        np.empty((0, 0, 0), layer.number) if kept.membrane is None else kept.membrane[start:stop],
        np.empty((0, 0, 0, 0), layer.number) if kept.states is None else kept.states[:, start:stop],
    )


def unrecorded(plan: Plan) -> Mapping[str, Slices]:
    """Nothing wanted of any layer."""
    return {layer.name: _slices(_Kept(None, None, None), layer, 0, 0) for layer in plan.layers}


def _recording(plan: Plan, kept: Mapping[str, _Kept], total: _Total, record: Records, seconds: float) -> Recording:
    shapes = {layer.name: layer.shape for layer in plan.layers}
    programs = {layer.name: layer.program for layer in plan.layers}
    sent = {n: _shaped(k.sent, shapes[n]) for n, k in kept.items() if k.sent is not None}
    membrane = {n: _shaped(k.membrane, shapes[n]) for n, k in kept.items() if k.membrane is not None}
    states = {
        n: {s.name: _shaped(v, shapes[n]) for s, v in zip(programs[n].states, k.states, strict=True)}
        for n, k in kept.items()
        if k.states is not None
    }
    read = next(layer for layer in plan.layers if layer.name == plan.readout.node)
    outputs = (sent if plan.readout.reads_spikes else membrane)[read.name].astype(read.number, copy=False)
    return Recording(
        outputs,
        predict(plan.readout, outputs),
        sent if "spikes" in record else {},
        membrane if "membrane" in record else {},
        states,
        {layer.name: total.stats(layer) for layer in plan.layers},
        tuple(sorted(total.events.values(), key=lambda e: (e.sample, e.step, e.population, e.neuron, e.where))),
        seconds,
    )


def _shaped(values: Values, shape: tuple[int, ...]) -> Values:
    return values.reshape(*values.shape[:2], *shape)


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_counts(threads: int | None, batch: int | None) -> None:
    for name, count in (("threads", threads), ("batch", batch)):
        if count is not None and count < 1:
            raise error("RV831", name, f"{name} is {count}", "give a positive number, or none for the default")
