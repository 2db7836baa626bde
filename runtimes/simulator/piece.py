"""One piece of work: some samples through all layers and steps, block of steps by block of steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.steps import INPUT
from ranvier.runtimes.simulator import kernels
from ranvier.runtimes.simulator.compiled import compiled
from ranvier.runtimes.simulator.emit import FRAME, lossy
from ranvier.runtimes.simulator.layouts import ConvForm, DenseForm, SparseForm, Window
from ranvier.runtimes.simulator.machine import Frame, fields, kernel
from ranvier.runtimes.simulator.memory import aligned
from ranvier.runtimes.simulator.plan import Layer, Link, Plan

Values = NDArray[Any]
Ints = NDArray[np.int64]

FIRST, LAST, CURRENT = (FRAME.index(name) for name in ("first", "last", "current"))
EXACT: Mapping[type, Callable[..., None]] = {
    DenseForm: kernels.deliver_dense,
    SparseForm: kernels.deliver_sparse,
    ConvForm: kernels.deliver_conv,
}
INEXACT: Mapping[type, Callable[..., None]] = {
    DenseForm: kernels.deliver_dense_float,
    SparseForm: kernels.deliver_sparse_float,
    ConvForm: kernels.deliver_conv_float,
}


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
    fired = {name: np.zeros(values.shape[2], np.int64) for name, values in sent.items()}
    _count_nonzero(frames, fired[plan.source.name])
    currents = aligned((samples * block * max(layer.size for layer in plan.layers),), np.int64)
    stages = [_Stage(plan, layer, slices[layer.name], fired[layer.name], sent, currents) for layer in plan.layers]
    for first in range(0, steps, block):
        last = min(first + block, steps)
        for stage in stages:
            stage.run(first, last)
    return Counts(fired, {stage.layer.name: stage.events for stage in stages})


class _Stage:
    """One layer of a piece: all that stays the same from block to block, as a block may be of one step only.

    ``currents`` is memory that all layers share, so that it is in the cache already, with anything in it.
    """

    def __init__(
        self, plan: Plan, layer: Layer, out: Slices, fired: Ints, sent: Mapping[str, Values], currents: Ints
    ) -> None:
        samples, operations = out.sent.shape[0], len(lossy(layer.program))
        self.layer, self.out = layer, out
        self.buffer: Values = currents.view(plan.sums(layer))
        self.wide = layer.name in plan.wide
        self.events = np.zeros((len(places(plan, layer)), 4), np.int64)
        self.states = np.repeat(layer.initial[None], samples, axis=0)
        self.before = self.states.copy() if len(layer.traits.lossless) < operations else None
        self.dirty = np.zeros(samples, np.int64)
        self.current: Values = self.buffer[:0].reshape(samples, 0, layer.size)
        self.kernel, self.fully = kernel(layer.program, layer.traits), bool(out.membrane.size or out.states.size)
        self.frame = fields(self._frame(fired))
        self.delays = [link.delay for link in plan.into[layer.name]]
        self.delivers = [
            _deliverer(link, sent[link.source], self.buffer.dtype, self.events, operations + k)
            for k, link in enumerate(plan.into[layer.name])
        ]

    def _frame(self, fired: Ints) -> Frame:
        """The fields that no block changes."""
        out = self.out
        return {
            "samples": out.sent.shape[0],
            "neurons": self.layer.size,
            "steps": out.sent.shape[1],
            "states": _address(self.states),
            "params": _address(self.layer.params),
            "sent": _address(out.sent),
            "fired": _address(fired),
            "dirty": _address(self.dirty),
            "membrane": _address(out.membrane),
            "kept": _address(out.states),
            "kept_stride": out.states.strides[0] // 8,
        }

    def run(self, first: int, last: int) -> None:
        """Deliver what arrives in steps ``first`` to ``last - 1`` and run the neurons over them."""
        if self.current.shape[1] != last - first:
            shape = len(self.dirty), last - first, self.layer.size
            self.current = self.buffer[: shape[0] * shape[1] * shape[2]].reshape(shape)
            self.frame[CURRENT] = _address(self.current)
        if not self.delivers:
            self.current.fill(0)
        fresh = True
        for deliver, delay in zip(self.delivers, self.delays, strict=True):
            deliver((first, last, delay, fresh), self.current)
            fresh = False
        self.frame[FIRST], self.frame[LAST] = first, last
        current = self._typed(first)
        if self.before is not None:
            np.copyto(self.before, self.states)
        self.kernel(self.frame, fully=self.fully)
        if self.before is not None and np.count_nonzero(self.dirty):
            self._note(first, current, self.before)

    def _typed(self, first: int) -> Values:
        """The current as the neurons take it: sums may be wider, a float network may hold neurons in integers."""
        current = self.current
        if self.wide:
            current = np.empty(self.current.shape, np.int32)
            kernels.narrow(self.current, first, current, self.events, len(self.events) - 1)
        elif self.layer.number is not np.float64 and current.dtype != np.int32:
            current = np.rint(current).astype(np.int64).astype(np.int32)  # neurons look at the lowest 26 bits only
        if current is not self.current:
            self.frame[CURRENT] = _address(current)
        return current

    def _note(self, first: int, current: Values, before: Values) -> None:
        """Run the samples in which something was lost again, to see what and where."""
        for sample in np.flatnonzero(self.dirty):
            lost = self._lost(current[sample], before[sample], self.out.sent[sample])
            kernels.note_lost(lost, int(sample), first, self.events)
        self.dirty.fill(0)

    def _lost(self, current: Values, before: Values, sent: Values) -> Ints:
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
        self.kernel(fields({**dict(zip(FRAME, self.frame, strict=True)), **again}), fully=True)
        return lost


def _address(values: Values) -> int:
    """Where the data of ``values`` begin; 0 where there are none."""
    return int(values.ctypes.data) if values.size else 0


def places(plan: Plan, layer: Layer) -> list[str]:
    """The names of the places where overflows are counted: operations, incoming connections, the sum of these."""
    named = [op.result for op in lossy(layer.program)] + [link.name for link in plan.into[layer.name]]
    return [*named, INPUT] if layer.name in plan.wide else named


def _deliverer(link: Link, sent: Values, sums: Any, events: Ints, place: int) -> Callable[[Window, Values], None]:
    """The function that adds what ``link`` brings in a window to sums of type ``sums``."""
    form, rule = link.scatter.form, link.rule
    by_form = INEXACT if sums == np.float64 else EXACT
    deliver = by_form[type(form)]
    if sums == np.float64:
        return lambda window, current: deliver(sent, window, form, current)
    return lambda window, current: deliver(sent, window, form, rule, current, events, place)


@compiled
def _count_nonzero(sent: Values, fired: Ints) -> None:
    """``fired[wire] +=`` the number of nonzero values on each wire of ``sent`` (samples, steps, wires)."""
    for sample in range(sent.shape[0]):
        for step in range(sent.shape[1]):
            row = sent[sample, step]
            for wire in range(row.size):
                fired[wire] += row[wire] != 0
