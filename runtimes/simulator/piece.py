"""One piece of work: some samples through all layers and steps, block of steps by block of steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.steps import INPUT
from ranvier.runtimes.simulator import kernels
from ranvier.runtimes.simulator.cache import kernel
from ranvier.runtimes.simulator.emit import lossy
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
    kernels.count_nonzero(frames, fired[plan.source.name])
    for first in range(0, steps, block):
        last = min(first + block, steps)
        for layer in plan.layers:
            name, out = layer.name, slices[layer.name]
            current = np.zeros((samples, last - first, layer.size), plan.sums(layer))
            for place, link in enumerate(plan.into[name], len(lossy(layer.program))):
                _deliver(link, sent[link.source], (first, last, link.delay), current, events[name], place)
            if name in plan.wide:
                whole, current = current, np.empty(current.shape, np.int32)
                kernels.narrow(whole, first, current, events[name], len(events[name]) - 1)
            outcome = out.sent, out.membrane, out.states, fired[name], events[name]
            kernel(layer.program)(first, last, _typed(current, layer), states[name], *outcome, layer.params)
    return Counts(fired, events)


def places(plan: Plan, layer: Layer) -> list[str]:
    """The names of the places where overflows are counted: operations, incoming connections, the sum of these."""
    named = [op.result for op in lossy(layer.program)] + [link.name for link in plan.into[layer.name]]
    return [*named, INPUT] if layer.name in plan.wide else named


def _typed(current: Values, layer: Layer) -> Values:
    """``current`` as the layer's kernel takes it: a float network may hold neurons in integers."""
    if layer.number is np.float64 or current.dtype == np.int32:
        return current
    return np.rint(current).astype(np.int64).astype(np.int32)  # neurons look at the lowest 26 bits only


def _deliver(link: Link, sent: Values, window: kernels.Window, current: Values, events: Ints, place: int) -> None:
    form = link.scatter.form
    if current.dtype == np.float64:
        if isinstance(form, kernels.DenseForm):
            kernels.deliver_dense_float(sent, window, form, current)
        elif isinstance(form, kernels.SparseForm):
            kernels.deliver_sparse_float(sent, window, form, current)
        else:
            kernels.deliver_conv_float(sent, window, form, current)
    elif isinstance(form, kernels.DenseForm):
        kernels.deliver_dense(sent, window, form, link.rule, current, events, place)
    elif isinstance(form, kernels.SparseForm):
        kernels.deliver_sparse(sent, window, form, link.rule, current, events, place)
    else:
        kernels.deliver_conv(sent, window, form, link.rule, current, events, place)
