"""Run layers, made of any mixture of exact and deployed parts, on their own senders or on recorded ones.

In chip time, as the oracle does: a layer of latency L runs network step i in chip step L + i, so that what arrives
has been sent by then, even where a delay is wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ranvier.compiler.ir.matrix import Matrix
from ranvier.compiler.ir.steps import StepProgram
from ranvier.runtimes.verify.explain.arithmetic import Operation, advance, delivered, operations
from ranvier.runtimes.verify.explain.layers import Layer, Link

Values = NDArray[Any]
LARGE = 20_000
SPARSE = 0.15
"""Synapses of more weights than ``LARGE`` sum only those of active wires while fewer than this share is active."""
Wires = Mapping[str, Values]
"""What every sender put on the wire: (samples, steps, neurons), integers where the chip's are."""


@dataclass(frozen=True, eq=False)
class Ran:
    """Per layer what was ``sent`` (samples, steps, neurons) and, where kept, the ``membrane`` in the source's units."""

    sent: Wires
    membrane: Wires


def run(layers: Sequence[Layer], port: str, frames: Values, membranes: Iterable[str] = ()) -> Ran:
    """``layers`` one after the other, free running, on ``frames`` (samples, steps, wires) of ``port``.

    The membrane is kept for the layers in ``membranes``.
    """
    samples, steps = frames.shape[:2]
    kept = set(membranes)
    sent: dict[str, Values] = {port: frames}
    running = []
    for layer in layers:
        sent[layer.name] = np.zeros((samples, steps, layer.neurons), wire_type(layer.program))
        running.append(_Running(layer, samples, steps, layer.name in kept))
    for chip_step in range(steps + max(layer.latency for layer in layers)):
        for one in running:
            step = chip_step - one.layer.latency
            if 0 <= step < steps:
                sent[one.layer.name][:, step] = one.advance(step, sent)
    return Ran(sent, {one.layer.name: one.membrane for one in running if one.membrane is not None})


def forced(layer: Layer, wires: Wires) -> tuple[Values, Values]:
    """(sent, membrane) of one layer whose senders, itself among them, gave ``wires``; (samples, steps, neurons)."""
    samples, steps = next(iter(wires.values())).shape[:2]
    one = _Running(layer, samples, steps, keep=True)
    sent = np.zeros((samples, steps, layer.neurons), wire_type(layer.program))
    for step in range(steps):
        sent[:, step] = one.advance(step, wires)
    assert one.membrane is not None
    return sent, one.membrane


def wire_type(program: StepProgram) -> type[np.float64] | type[np.int8]:
    """How values on the wire are held: numbers, or bytes where they are 0 or 1."""
    return np.float64 if program.graded else np.int8


class _Running:
    """A layer with its state."""

    def __init__(self, layer: Layer, samples: int, steps: int, keep: bool) -> None:
        self.layer = layer
        self.shape = (samples, layer.neurons)
        self.table: Mapping[str, Operation] = operations(layer.rounding, layer.width)
        self.states = {name: np.broadcast_to(v, self.shape).astype(np.float64) for name, v in layer.initial.items()}
        self.spread = [k.matrix.T.tocsr() if k.matrix.nnz > LARGE else None for k in layer.links]
        self.membrane = np.zeros((samples, steps, layer.neurons)) if keep else None

    def advance(self, step: int, wires: Wires) -> Values:
        """One network step; what the layer puts on the wire."""
        layer = self.layer
        current = np.zeros(self.shape)
        for number, link in enumerate(layer.links):
            arrived = self._arriving(number, link, step, wires)
            current = current if arrived is None else current + arrived
        if layer.width:
            current = np.mod(current + 2.0**31, 2.0**32) - 2.0**31
        self.states, spikes, membrane = advance(layer.program, self.table, self.states, layer.params, current)
        if self.membrane is not None:
            self.membrane[:, step] = membrane / layer.unit
        return np.asarray(spikes) if layer.sends is None else np.asarray(spikes * layer.sends)

    def _arriving(self, number: int, link: Link, step: int, wires: Wires) -> Values | None:
        values, when = wires[link.source], step - link.delay
        if not 0 <= when < values.shape[1]:
            return None
        frame = values[:, when]
        if not frame.any():
            return None
        total = _weighted(link.matrix, self.spread[number], frame)
        return delivered(total, link.bits, link.exponent, self.layer.rounding, self.layer.width)


def _weighted(matrix: Matrix, spread: Matrix | None, frame: Values) -> Values:
    """(samples, targets) weighted sums of ``frame``; where few wires are active, from their own weights alone."""
    if spread is not None and np.count_nonzero(frame) < SPARSE * frame.size:
        return np.asarray((sparse.csr_array(frame.astype(np.float64)) @ spread).toarray())
    return np.asarray((matrix @ frame.T.astype(np.float64)).T)
