"""Sparse weights, event by event: for every sender its column of compressed weights is added to the sums."""

# ruff: noqa: PLR0913, PLR0917 -- what is inlined takes what its caller holds

import numpy as np

from ranvier.runtimes.simulator import events as f
from ranvier.runtimes.simulator.compiled import carray, compiled
from ranvier.runtimes.simulator.events import add_scaled, add_wrapped, extremes, listed_bits, listed_values
from ranvier.runtimes.simulator.layouts import Ints, Values
from ranvier.runtimes.simulator.vectors import SPAN, shifted

TARGETS, STARTS, WEIGHTS = f.ARRAY, f.ARRAY + 1, f.NUMBER


def sparse_bits(frame: Values, weight: Values, sums: Values, sent: Values) -> int:
    """``sums += weight @ spikes``; ``sent`` holds spikes as bits."""
    n = carray(frame, (f.COUNT,))
    words = carray(sent, (n[f.SAMPLES] * n[f.STEPS], n[f.ROW]))
    column, rows, touched = _arrays(n, weight, sums)
    senders, values = np.empty(n[f.WIRES] + SPAN, np.uint32), np.ones(n[f.WIRES], rows.dtype)
    narrow, wide = np.zeros(n[f.STRIDE], rows.dtype), np.zeros(n[f.STRIDE], np.int64)
    for sample in range(n[f.SAMPLES]):
        met = np.uint64(0)
        for step in range(max(n[f.FIRST], n[f.DELAY]), n[f.LAST]):
            count = listed_bits(words[sample * n[f.STEPS] + step - n[f.DELAY]], senders, 0, 0)
            if count > 0:
                met |= f.bit(step - n[f.FIRST])
                add_columns(n, column, senders[:count], values, 1, rows, sample, step, narrow, wide)
        f.touch(touched[sample], met)
    return 0


def sparse_values(frame: Values, weight: Values, sums: Values, sent: Values) -> int:
    """``sums += weight @ values``; ``sent`` holds numbers."""
    n = carray(frame, (f.COUNT,))
    sends = carray(sent, (n[f.SAMPLES] * n[f.STEPS], n[f.ROW]))
    column, rows, touched = _arrays(n, weight, sums)
    senders, values = np.empty(n[f.WIRES] + SPAN, np.uint32), np.empty(n[f.WIRES] + 1, sends.dtype)
    narrow, wide = np.zeros(n[f.STRIDE], rows.dtype), np.zeros(n[f.STRIDE], np.int64)
    for sample in range(n[f.SAMPLES]):
        met = np.uint64(0)
        for step in range(max(n[f.FIRST], n[f.DELAY]), n[f.LAST]):
            count = listed_values(sends[sample * n[f.STEPS] + step - n[f.DELAY]], senders, values, 0, 0)
            if count > 0:
                low, high = extremes(values[:count])
                met |= f.bit(step - n[f.FIRST])
                add_columns(n, column, senders[:count], values, max(high, -low), rows, sample, step, narrow, wide)
        f.touch(touched[sample], met)
    return 0


@compiled
def _arrays(n: Ints, weight: Values, sums: Values) -> tuple[tuple[Values, Ints, Ints], Values, Values]:
    """The weights with their targets and where each sender's begin, the sums (samples * block, stride), the masks."""
    targets, starts = f.ints_of(n, TARGETS, n[WEIGHTS]), f.ints_of(n, STARTS, n[f.WIRES] + 1)
    rows = carray(sums, (n[f.SAMPLES] * n[f.BLOCK_STEPS], n[f.STRIDE]))
    return (carray(weight, (n[WEIGHTS],)), targets, starts), rows, f.masks_of(n)


@compiled
def add_columns(
    n: Ints, column: tuple[Values, Ints, Ints], senders: Values, values: Values, largest: float, rows: Values,
    sample: int, step: int, narrow: Values, wide: Ints,
) -> None:  # fmt: skip
    """Add what ``senders`` bring, none of whose values is above ``largest``, to the sums of one step."""
    row, exponent = rows[sample * n[f.BLOCK_STEPS] + step - n[f.FIRST]], n[f.EXPONENT]
    if largest > n[f.SAFE]:
        scatter(column, senders, values, 0, wide)
        add_wrapped(wide, n, row, sample, step)
    elif exponent >= 0:
        scatter(column, senders, values, exponent, row)
    else:
        scatter(column, senders, values, 0, narrow)
        add_scaled(narrow, exponent, row)
        narrow[:] = 0


@compiled
def scatter(column: tuple[Values, Ints, Ints], senders: Values, values: Values, up: int, total: Values) -> None:
    """``total[target] += (value * weight) << up`` over the senders' columns."""
    weight, targets, starts = column
    for k in range(senders.size):
        value = shifted(values[k], up, 0)
        for i in range(starts[senders[k]], starts[senders[k] + 1]):
            total[targets[i]] += value * weight[i]
