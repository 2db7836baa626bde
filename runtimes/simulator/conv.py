"""Convolutions, event by event: the kernel of every sender's channel is added to the sums around its position.

Targets stand with channels last, so that a kernel tap is added to all channels of a pixel at once and nothing has to be
brought into place afterwards.
"""

# ruff: noqa: PLR0913, PLR0917 -- what is inlined takes what its caller holds

import numpy as np

from ranvier.runtimes.simulator import events as f
from ranvier.runtimes.simulator.compiled import carray, compiled
from ranvier.runtimes.simulator.emit import GROUP
from ranvier.runtimes.simulator.events import add_wrapped, extremes, listed_bits, listed_values
from ranvier.runtimes.simulator.layouts import Ints, Values
from ranvier.runtimes.simulator.vectors import BLOCK, SPAN, add_half, add_line, shifted

SIZE, OUTPUTS, PADDED, DOWN, ACROSS, HEIGHT, LENGTH = (f.NUMBER + k for k in range(7))
GROUP_BITS = GROUP.bit_length() - 1
PLACES, DOWN_TAP, DOWN_OUT, ACROSS_TAP, ACROSS_OUT = (f.ARRAY + k for k in range(5))


def conv_bits(frame: Values, weight: Values, sums: Values, sent: Values) -> int:
    """``sums += weight * spikes``; ``sent`` holds spikes as bits."""
    n = carray(frame, (f.COUNT,))
    words = carray(sent, (n[f.SAMPLES] * n[f.STEPS], n[f.ROW]))
    kernels, rows, touched, reach = _arrays(n, weight, sums)
    senders, values = np.empty(n[f.WIRES] + SPAN, np.uint32), np.ones(n[f.WIRES], rows.dtype)
    wide = np.zeros(n[f.STRIDE] + BLOCK, np.int64)
    for sample in range(n[f.SAMPLES]):
        for step in range(max(n[f.FIRST], n[f.DELAY]), n[f.LAST]):
            count = listed_bits(words[sample * n[f.STEPS] + step - n[f.DELAY]], senders, 0, 0)
            add_kernels(n, kernels, reach, senders[:count], values, 1, rows, touched[sample], sample, step, wide)
    return 0


def conv_values(frame: Values, weight: Values, sums: Values, sent: Values) -> int:
    """``sums += weight * values``; ``sent`` holds numbers."""
    n = carray(frame, (f.COUNT,))
    sends = carray(sent, (n[f.SAMPLES] * n[f.STEPS], n[f.ROW]))
    kernels, rows, touched, reach = _arrays(n, weight, sums)
    senders, values = np.empty(n[f.WIRES] + 1, np.uint32), np.zeros(n[f.WIRES] + 1, sends.dtype)
    wide = np.zeros(n[f.STRIDE] + BLOCK, np.int64)
    for sample in range(n[f.SAMPLES]):
        for step in range(max(n[f.FIRST], n[f.DELAY]), n[f.LAST]):
            count = listed_values(sends[sample * n[f.STEPS] + step - n[f.DELAY]], senders, values, 0, 0)
            low, high = extremes(values[: max(count, 1)])
            largest = max(high, -low)
            add_kernels(n, kernels, reach, senders[:count], values, largest, rows, touched[sample], sample, step, wide)
    return 0


@compiled
def _arrays(n: Ints, weight: Values, sums: Values) -> tuple[Values, Values, Values, tuple[Ints, ...]]:
    """The kernels one after the other, the sums (samples * block, stride), the masks, the reach as in ``ConvForm``."""
    reach = (
        f.ints_of(n, PLACES, 4 * n[f.WIRES]),
        f.ints_of(n, DOWN_TAP, n[HEIGHT] * n[DOWN]),
        f.ints_of(n, DOWN_OUT, n[HEIGHT] * n[DOWN]),
        f.ints_of(n, ACROSS_TAP, n[LENGTH] * n[ACROSS]),
        f.ints_of(n, ACROSS_OUT, n[LENGTH] * n[ACROSS]),
    )
    rows = carray(sums, (n[f.SAMPLES] * n[f.BLOCK_STEPS], n[f.STRIDE]))
    return carray(weight, (n[SIZE],)), rows, f.masks_of(n), reach


@compiled
def add_kernels(
    n: Ints, kernels: Values, reach: tuple[Ints, ...], senders: Values, values: Values, largest: float, rows: Values,
    touched: Values, sample: int, step: int, wide: Ints,
) -> None:  # fmt: skip
    """Add what ``senders`` bring, none of whose values is above ``largest``, to the sums of one step."""
    row, mask = sample * n[f.BLOCK_STEPS] + step - n[f.FIRST], f.bit(step - n[f.FIRST])
    if senders.size == 0:
        return
    sizes = n[OUTPUTS], n[PADDED], n[DOWN], n[ACROSS]
    if largest <= n[f.SAFE] and n[f.EXPONENT] >= 0:
        scatter(kernels, reach, sizes, senders, values, n[f.EXPONENT], rows, row * n[f.STRIDE], touched, mask)
    else:
        scatter(kernels, reach, sizes, senders, values, 0, wide, 0, touched, mask)
        add_wrapped(wide, n, rows[row], sample, step)


@compiled
def scatter(
    kernels: Values, reach: tuple[Ints, ...], sizes: tuple[int, int, int, int], senders: Values, values: Values,
    up: int, total: Values, start: int, touched: Values, mask: int,
) -> None:  # fmt: skip
    """Add the kernels of ``senders`` times their values and ``2**up`` to ``total`` from ``start`` on.

    ``mask`` is added to the groups of neurons that are reached.
    """
    places, down_tap, down_out, across_tap, across_out = reach
    outputs, padded, down, across = sizes
    for k in range(senders.size):
        place, value = 4 * senders[k], shifted(values[k], up, 0)
        y, x = places[place + 2] * down, places[place + 3] * across
        for i in range(y, y + down):
            tap, line = places[place] + down_tap[i], places[place + 1] + down_out[i]
            for j in range(x, x + across):
                weight, at = tap + across_tap[j], line + across_out[j]
                out = 0
                while out + BLOCK <= padded:
                    add_line(kernels, weight + out, value, total, start + at + out)
                    out += BLOCK
                if out < padded:
                    add_half(kernels, weight + out, value, total, start + at + out)
                group, last = at >> GROUP_BITS, (at + outputs - 1) >> GROUP_BITS
                touched[group] |= mask
                while group < last:
                    group += 1
                    touched[group] |= mask
