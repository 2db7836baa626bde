"""A connection as a call of the time loop: which kernel, and the fields that tell it where everything is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.runtimes.simulator import conv, dense, sparse
from ranvier.runtimes.simulator.calls import PARTS, Call
from ranvier.runtimes.simulator.choice import ALWAYS, NEVER, Synapses, break_even
from ranvier.runtimes.simulator.compiled import address
from ranvier.runtimes.simulator.dense import ROWS
from ranvier.runtimes.simulator.emit import GROUP
from ranvier.runtimes.simulator.events import FIELDS
from ranvier.runtimes.simulator.layouts import ConvForm, DenseForm, Ints, SparseForm, Values
from ranvier.runtimes.simulator.memory import aligned
from ranvier.runtimes.simulator.plan import Link
from ranvier.runtimes.simulator.vectors import WIDTH

FEW = 32  # wires below which no product is tried
PLACES = {name: place for place, name in enumerate(FIELDS)}
KERNELS: Mapping[type, tuple[Callable[..., int], Callable[..., int]]] = {
    DenseForm: (dense.dense_bits, dense.dense_values),
    SparseForm: (sparse.sparse_bits, sparse.sparse_values),
    ConvForm: (conv.conv_bits, conv.conv_values),
}
"""For each form, the kernel for spikes as bits and the one for numbers."""


@dataclass(frozen=True, eq=False)
class Sums:
    """The sums of one population: ``values`` (samples, block, stride), ``touched`` and ``events`` as in ``FIELDS``."""

    values: Values
    touched: Values
    events: Ints
    origin: Ints

    @cached_property
    def fields(self) -> dict[str, int]:
        """What every call that sees them is told."""
        samples, block, stride = self.values.shape
        return {
            "samples": samples,
            "block": block,
            "stride": stride,
            "targets": self.origin.size,
            "touched": pointer(self.touched),
            "origin": pointer(self.origin),
            "events": pointer(self.events),
        }


def fields(given: Mapping[str, int]) -> NDArray[np.int64]:
    """The fields of a call, 0 where none is given."""
    made = np.zeros(len(FIELDS), np.int64)
    for name, value in given.items():
        made[PLACES[name]] = value
    return made


def pointer(values: NDArray[Any]) -> int:
    """Where the data of ``values`` begin; 0 where there are none."""
    return int(values.__array_interface__["data"][0]) if values.size else 0


def call(code: int, given: Ints, *arrays: Values, held: tuple[Any, ...] = ()) -> Call:
    """A call of ``code`` with ``given`` and ``arrays``; ``held``: what the fields are addresses of."""
    found = [code, pointer(given), *map(pointer, arrays)]
    return Call(found + [0] * (PARTS - len(found)), given, (*arrays, *held))


def deliver(link: Link, sent: Values, wires: int, sums: Sums, place: int, synapses: Synapses) -> Call:
    """The call that adds what ``link`` brings to ``sums``; ``sent`` (samples, steps, row).

    ``synapses``: the way in which dense sums are made.
    """
    form, (safe, bits, exponent) = link.scatter.form, link.rule
    weight, numbers, arrays = _parts(form)
    if isinstance(form, DenseForm):
        even = _even(link, sent, wires, sums, synapses)
        numbers, arrays = (*numbers, even), (() if even == NEVER else (link.scatter.pairs,))
    given = fields(
        sums.fields
        | {"steps": sent.shape[1], "row": sent.shape[2], "wires": wires, "delay": link.delay, "place": place}
        | {"safe": safe, "bits": bits, "exponent": exponent}
        | {f"number {k}": n for k, n in enumerate(numbers)}
        | {f"array {k}": pointer(a) for k, a in enumerate(arrays)}
    )
    kernel = KERNELS[type(form)][0 if sent.dtype == np.uint64 else 1]
    code = address(kernel, weight.dtype, sums.values.dtype, sent.dtype)
    return call(code, given, weight, sums.values, sent, held=(sums, *arrays))


def _even(link: Link, sent: Values, wires: int, sums: Sums, synapses: Synapses) -> int:
    """From how many senders a step on the sums of dense ``link`` are made as products."""
    form, exact = link.scatter.form, sums.values.dtype != np.float64
    assert isinstance(form, DenseForm)
    fits = exact and form.tiles.dtype in (np.int8, np.int16) and link.rule[2] >= 0
    if synapses == "scatter" or not fits:
        return NEVER
    if synapses == "product":
        return ALWAYS
    if wires < FEW:
        return NEVER
    stride = form.tiles.shape[0] * WIDTH

    def probe(block: Values, even: int) -> Call:
        touched, scratch = np.zeros((1, -(-stride // GROUP)), np.uint64), aligned((1, ROWS, stride), np.int32)
        shown = Sums(scratch, touched, np.zeros((1, 4), np.int64), np.arange(stride, dtype=np.int64))
        way: Synapses = "scatter" if even == NEVER else "product"
        plain = replace(link, delay=0, rule=(2**31 - 1, 64, 0))
        return deliver(plain, block, wires, shown, 0, way)

    return break_even((wires, form.tiles.shape[0], form.tiles.dtype.name, sent.dtype.name), probe)


def _parts(form: DenseForm | SparseForm | ConvForm) -> tuple[Values, tuple[int, ...], tuple[Values, ...]]:
    """Weights, numbers and arrays of ``form``, in the order in which its kernels take them."""
    if isinstance(form, DenseForm):
        return form.tiles, (form.tiles.shape[0], form.shift, form.rows), ()
    if isinstance(form, SparseForm):
        return form.weight, (form.weight.size,), (form.targets, form.start)
    (height, down), (length, across) = form.down_tap.shape, form.across_tap.shape
    numbers = (form.weight.size, form.outputs, form.weight.shape[3], down, across, height, length)
    return form.weight, numbers, (form.places, form.down_tap, form.down_out, form.across_tap, form.across_out)
