"""One piece of work: some samples through all layers and steps, block of steps by block of steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.steps import INPUT
from ranvier.runtimes.simulator import kernels
from ranvier.runtimes.simulator.compiled import compiled
from ranvier.runtimes.simulator.emit import lossy
from ranvier.runtimes.simulator.layouts import DenseForm, SparseForm, Window
from ranvier.runtimes.simulator.machine import Frame, Kernel, kernel
from ranvier.runtimes.simulator.plan import Layer, Link, Plan

Values = NDArray[Any]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Slices:
    """Where a layer's results go, for the samples of the piece; what is not wanted has size 0.

    ``sent`` and ``membrane`` (samples, steps, neurons), ``states`` (states, samples, steps, neurons).
    """

    sent: Values
    membrane: Values
    states: Values


@dataclass(frozen=True, eq=False)
class Counts:
    """``fired``: values sent per wire, by source; ``events`` (places, 4) per layer as the kernels note them."""

    fired: Mapping[str, Ints]
    events: Mapping[str, Ints]


def run_piece(plan: Plan, frames: Values, slices: Mapping[str, Slices], block: int) -> Counts:
    """Run ``frames`` (samples, steps, wires) through ``plan`` and write what is wanted into ``slices``."""
    samples, steps = frames.shape[:2]
    sent = {plan.source.name: frames} | {name: s.sent for name, s in slices.items()}
    states = {layer.name: np.repeat(layer.initial[None], samples, axis=0) for layer in plan.layers}
    fired = {name: np.zeros(values.shape[2], np.int64) for name, values in sent.items()}
    events = {layer.name: np.zeros((len(places(plan, layer)), 4), np.int64) for layer in plan.layers}
    runs = {layer.name: kernel(layer.program, layer.traits) for layer in plan.layers}
    currents = np.empty(samples * block * max(layer.size for layer in plan.layers), np.int64)
    _count_nonzero(frames, fired[plan.source.name])
    for first in range(0, steps, block):
        last = min(first + block, steps)
        for layer in plan.layers:
            name, shape = layer.name, (samples, last - first, layer.size)
            current = _part(currents, shape, plan.sums(layer))
            if not plan.into[name]:
                current.fill(0)
            for k, link in enumerate(plan.into[name]):
                place, window = len(lossy(layer.program)) + k, (first, last, link.delay, k == 0)
                _deliver(link, sent[link.source], window, current, events[name], place)
            if name in plan.wide:
                whole, current = current, np.empty(shape, np.int32)
                kernels.narrow(whole, first, current, events[name], len(events[name]) - 1)
            outcome = states[name], slices[name], fired[name], events[name]
            _advance(layer, runs[name], (first, last), _typed(current, layer), *outcome)
    return Counts(fired, events)


def _part(buffer: Ints, shape: tuple[int, int, int], kind: type) -> Values:
    """An array at the start of ``buffer``: memory that is in the cache already, with anything in it."""
    values: Values = buffer.view(kind)[: shape[0] * shape[1] * shape[2]].reshape(shape)
    return values


def _advance(
    layer: Layer,
    run: Kernel,
    steps: tuple[int, int],
    current: Values,
    states: Values,
    out: Slices,
    fired: Ints,
    events: Ints,
) -> None:
    """Run the neurons of ``layer`` over a block; samples in which something was lost again, to see what and where."""
    dirty = np.zeros(current.shape[0], np.int64)
    loses = len(layer.traits.lossless) < len(lossy(layer.program))
    before = states.copy() if loses else states
    frame = {
        "first": steps[0],
        "last": steps[1],
        "samples": current.shape[0],
        "neurons": layer.size,
        "steps": out.sent.shape[1],
        "current": _address(current),
        "states": _address(states),
        "params": _address(layer.params),
        "sent": _address(out.sent),
        "fired": _address(fired),
        "dirty": _address(dirty),
        "membrane": _address(out.membrane),
        "kept": _address(out.states),
        "kept_stride": out.states.strides[0] // 8,
    }
    run(frame, fully=bool(out.membrane.size or out.states.size))
    for sample in np.flatnonzero(dirty):
        lost = _lost(run, frame, current[sample], before[sample], out.sent[sample])
        kernels.note_lost(lost, int(sample), steps[0], events)


def _lost(run: Kernel, frame: Frame, current: Values, before: Values, sent: Values) -> Ints:
    """(steps, neurons) a bit for each operation that lost something, from a second run of one sample."""
    lost, unused = np.zeros(current.shape, np.int64), np.zeros(current.shape[1], np.int64)
    again = {
        "samples": 1,
        "current": _address(current),
        "states": _address(before),
        "sent": _address(sent),
        "fired": _address(unused),
        "dirty": _address(unused),
        "membrane": 0,
        "kept": 0,
        "lost": _address(lost),
    }
    run({**frame, **again}, fully=True)
    return lost


def _address(values: Values) -> int:
    """Where the data of ``values`` begin; 0 where there are none."""
    return int(values.ctypes.data) if values.size else 0


def places(plan: Plan, layer: Layer) -> list[str]:
    """The names of the places where overflows are counted: operations, incoming connections, the sum of these."""
    named = [op.result for op in lossy(layer.program)] + [link.name for link in plan.into[layer.name]]
    return [*named, INPUT] if layer.name in plan.wide else named


def _typed(current: Values, layer: Layer) -> Values:
    """``current`` as the layer's kernel takes it: a float network may hold neurons in integers."""
    if layer.number is np.float64 or current.dtype == np.int32:
        return current
    return np.rint(current).astype(np.int64).astype(np.int32)  # neurons look at the lowest 26 bits only


def _deliver(link: Link, sent: Values, window: Window, current: Values, events: Ints, place: int) -> None:
    form = link.scatter.form
    if current.dtype == np.float64:
        if isinstance(form, DenseForm):
            kernels.deliver_dense_float(sent, window, form, current)
        elif isinstance(form, SparseForm):
            kernels.deliver_sparse_float(sent, window, form, current)
        else:
            kernels.deliver_conv_float(sent, window, form, current)
    elif isinstance(form, DenseForm):
        kernels.deliver_dense(sent, window, form, link.rule, current, events, place)
    elif isinstance(form, SparseForm):
        kernels.deliver_sparse(sent, window, form, link.rule, current, events, place)
    else:
        kernels.deliver_conv(sent, window, form, link.rule, current, events, place)


@compiled
def _count_nonzero(sent: Values, fired: Ints) -> None:
    """``fired[wire] +=`` the number of nonzero values on each wire of ``sent`` (samples, steps, wires)."""
    for sample in range(sent.shape[0]):
        for step in range(sent.shape[1]):
            row = sent[sample, step]
            for wire in range(row.size):
                fired[wire] += row[wire] != 0
