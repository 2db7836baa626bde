"""Synapses, event-driven and compiled: for every nonzero sender its weights are scattered onto the targets.

A ``deliver`` function serves one connection for a block of network steps and all samples of a piece of
work. Arrays: ``sent`` (samples, steps, wires) int8 spikes or int64 values; ``current`` (samples,
block, targets) int32, or int64 where several connections may add up to more. ``window`` is (first
step, step after the last, delay). ``rule`` is (safe, bits, exponent): ``bits`` of the accumulator, the
weight exponent, and the largest ``|value sent|`` up to which nothing can wrap, as proved from the
weights. Where a step keeps to it, 32-bit sums are exact; where not, the sum is made in 64 bits, wrapped,
scaled and compared, and what changed is noted in ``events[place]`` as (count, sample, step, neuron of the
first).

All compiled functions of the simulator that call each other stand in this file, because Numba's disk
cache looks at the file of the caller alone.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.runtimes.simulator.compiled import compiled

Values = NDArray[Any]
Ints = NDArray[np.int64]
Window = tuple[int, int, int]
Rule = tuple[int, int, int]
Place = tuple[int, int, int]

ROWS_AT_ONCE = 4


class DenseForm(NamedTuple):
    """``weight`` (sources, targets); sums of up to ``rows`` weights stay inside the type of ``weight``."""

    weight: Values
    rows: int


class SparseForm(NamedTuple):
    """Compressed columns: sender s reaches ``targets[start[s]:start[s + 1]]`` with those of ``weight``."""

    weight: Values
    targets: Ints
    start: Ints


class ConvForm(NamedTuple):
    """``weight`` (in channels, kernel h, kernel w, out channels / groups) and the reach of every position.

    A sender in row y meets output row ``down_out[i]`` through kernel row ``down_tap[i]`` for i in
    ``down_start[y]:down_start[y + 1]``; ``across`` likewise for columns. ``shape`` is (in height, in width,
    out height * out width, out width, in channels per group).
    """

    weight: Values
    down_start: Ints
    down_tap: Ints
    down_out: Ints
    across_start: Ints
    across_tap: Ints
    across_out: Ints
    shape: tuple[int, int, int, int, int]


@compiled
def gather(row: Values, senders: Ints, values: Values) -> tuple[int, Any, Any]:
    """Indices and values of the nonzero entries of ``row``: their number, the lowest and the highest value."""
    count = 0
    for wire in range(row.size):
        senders[count] = wire
        values[count] = row[wire]
        count += row[wire] != 0
    low, high = values[0], values[0]
    for k in range(1, count):
        low, high = min(low, values[k]), max(high, values[k])
    return count, low, high


@compiled
def note(events: Ints, place: Place, neuron: int) -> None:
    """Count an overflow at ``place`` and keep the first by sample, step and neuron."""
    where, sample, step = place
    row = events[where]
    row[0] += 1
    if row[0] == 1 or (sample, step, neuron) < (row[1], row[2], row[3]):
        row[1], row[2], row[3] = sample, step, neuron


@compiled
def add_scaled(total: Values, exponent: int, current: Values) -> None:
    """``current += total * 2**exponent`` (floor) where nothing can wrap."""
    if exponent == 0:
        for target in range(total.size):
            current[target] += total[target]
    elif exponent > 0:
        for target in range(total.size):
            current[target] += total[target] << exponent
    else:
        for target in range(total.size):
            current[target] += total[target] >> -exponent


@compiled
def add_wrapped(total: Ints, rule: Rule, current: Values, events: Ints, place: Place, stride: int, low: int) -> None:
    """``current += scaled(total)`` through the registers of the chip, noting what they change.

    Entry k belongs to neuron ``low + k * stride``.
    """
    _, bits, exponent = rule
    for k in range(total.size):
        wrapped = (total[k] << (64 - bits)) >> (64 - bits)
        changed = wrapped != total[k]
        if exponent > 0:
            scaled = np.int64(np.int32(wrapped << exponent))
            changed = changed or (scaled >> exponent) != wrapped
        else:
            scaled = wrapped >> -exponent
        current[k] += scaled
        if changed:
            note(events, place, low + k * stride)


@compiled
def add_rows(weight: Values, senders: Ints, part: Values) -> None:
    """``part += sum of the rows of weight`` that ``senders`` name; four rows share each load and store."""
    fours = senders.size - senders.size % ROWS_AT_ONCE
    for k in range(0, fours, ROWS_AT_ONCE):
        a, b = weight[senders[k]], weight[senders[k + 1]]
        c, d = weight[senders[k + 2]], weight[senders[k + 3]]
        for target in range(part.size):
            part[target] += a[target] + b[target] + c[target] + d[target]
    for k in range(fours, senders.size):
        row = weight[senders[k]]
        for target in range(part.size):
            part[target] += row[target]


@compiled
def scatter_ones(form: DenseForm, senders: Ints, part: Values, total: Values) -> None:
    """``total += sum of rows`` in portions whose sums fit the narrow type of ``part``."""
    for start in range(0, senders.size, form.rows):
        part[:] = 0
        add_rows(form.weight, senders[start : start + form.rows], part)
        for target in range(total.size):
            total[target] += part[target]


@compiled
def scatter_dense(form: DenseForm, senders: Ints, values: Values, total: Values) -> None:
    """``total += sum of value * row`` over the senders; four rows share each load and store."""
    fours = senders.size - senders.size % ROWS_AT_ONCE
    for k in range(0, fours, ROWS_AT_ONCE):
        a, b = form.weight[senders[k]], form.weight[senders[k + 1]]
        c, d = form.weight[senders[k + 2]], form.weight[senders[k + 3]]
        x, y, z, w = values[k], values[k + 1], values[k + 2], values[k + 3]
        for target in range(total.size):
            total[target] += x * a[target] + y * b[target] + z * c[target] + w * d[target]
    for k in range(fours, senders.size):
        row, value = form.weight[senders[k]], values[k]
        for target in range(total.size):
            total[target] += value * row[target]


@compiled
def scatter_sparse(form: SparseForm, senders: Ints, values: Values, total: Values) -> None:
    """``total[target] += value * weight`` over the senders' columns."""
    for k in range(senders.size):
        value = values[k]
        for i in range(form.start[senders[k]], form.start[senders[k] + 1]):
            total[form.targets[i]] += value * form.weight[i]


@compiled
def scatter_conv(form: ConvForm, senders: Ints, values: Values, total: Values, touched: Values) -> None:
    """``total`` (pixels, out channels) ``+=`` the kernel of each sender's channel, placed at its position.

    Channels come last, so that the innermost loop runs over them; ``touched`` marks the pixels reached.
    """
    height, width, _, out_width, per_group = form.shape
    outputs = form.weight.shape[3]
    for k in range(senders.size):
        channel, position = divmod(senders[k], height * width)
        y, x = divmod(position, width)
        value, low = values[k], channel // per_group * outputs
        for i in range(form.down_start[y], form.down_start[y + 1]):
            for j in range(form.across_start[x], form.across_start[x + 1]):
                pixel = form.down_out[i] * out_width + form.across_out[j]
                touched[pixel] = 1
                taps = form.weight[channel, form.down_tap[i], form.across_tap[j]]
                sums = total[pixel, low : low + outputs]
                for out in range(outputs):
                    sums[out] += value * taps[out]


@compiled
def deliver_dense(
    sent: Values, window: Window, form: DenseForm, rule: Rule, current: Values, events: Ints, place: int
) -> None:
    """Dense weights; the usual case, all values 1, is a plain sum of rows in the narrow type."""
    first, last, delay = window
    safe, _, exponent = rule
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.int64)
    part = np.zeros(current.shape[2], form.weight.dtype)
    narrow, wide = np.empty(current.shape[2], np.int32), np.empty(current.shape[2], np.int64)
    for sample in range(sent.shape[0]):
        for step in range(max(first, delay), last):
            count, low, high = gather(sent[sample, step - delay], senders, values)
            row = current[sample, step - first]
            if count == 0:
                continue
            if max(high, -low) > safe:
                wide[:] = 0
                scatter_dense(form, senders[:count], values, wide)
                add_wrapped(wide, rule, row, events, (place, sample, step), 1, 0)
                continue
            narrow[:] = 0
            if low == 1 and high == 1:
                scatter_ones(form, senders[:count], part, narrow)
            else:
                scatter_dense(form, senders[:count], values, narrow)
            add_scaled(narrow, exponent, row)


@compiled
def deliver_sparse(
    sent: Values, window: Window, form: SparseForm, rule: Rule, current: Values, events: Ints, place: int
) -> None:
    """Sparse weights, column by column."""
    first, last, delay = window
    safe, _, exponent = rule
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.int64)
    narrow, wide = np.empty(current.shape[2], np.int32), np.empty(current.shape[2], np.int64)
    for sample in range(sent.shape[0]):
        for step in range(max(first, delay), last):
            count, low, high = gather(sent[sample, step - delay], senders, values)
            row = current[sample, step - first]
            if count == 0:
                continue
            if max(high, -low) > safe:
                wide[:] = 0
                scatter_sparse(form, senders[:count], values, wide)
                add_wrapped(wide, rule, row, events, (place, sample, step), 1, 0)
            else:
                narrow[:] = 0
                scatter_sparse(form, senders[:count], values, narrow)
                add_scaled(narrow, exponent, row)


@compiled
def deliver_conv(
    sent: Values, window: Window, form: ConvForm, rule: Rule, current: Values, events: Ints, place: int
) -> None:
    """Convolution; sums are made with channels last, so that the innermost loop runs over channels."""
    first, last, delay = window
    safe, _, exponent = rule
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.int64)
    pixels = form.shape[2]
    channels, touched = current.shape[2] // pixels, np.zeros(pixels, np.int8)
    narrow, wide = np.zeros((pixels, channels), np.int32), np.zeros((pixels, channels), np.int64)
    for sample in range(sent.shape[0]):
        for step in range(max(first, delay), last):
            count, low, high = gather(sent[sample, step - delay], senders, values)
            row = current[sample, step - first]
            if count == 0:
                continue
            safely = max(high, -low) <= safe
            if safely:
                scatter_conv(form, senders[:count], values, narrow, touched)
            else:
                scatter_conv(form, senders[:count], values, wide, touched)
            for pixel in range(pixels):
                if touched[pixel] == 0:
                    continue
                touched[pixel] = 0
                if safely:
                    add_scaled(narrow[pixel], exponent, row[pixel::pixels])
                    narrow[pixel] = 0
                else:
                    where = (place, sample, step)
                    add_wrapped(wide[pixel], rule, row[pixel::pixels], events, where, pixels, pixel)
                    wide[pixel] = 0


@compiled
def deliver_dense_float(sent: Values, window: Window, form: DenseForm, current: Values) -> None:
    """Dense float64 weights."""
    first, last, delay = window
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.float64)
    for sample in range(sent.shape[0]):
        for step in range(max(first, delay), last):
            count, low, high = gather(sent[sample, step - delay], senders, values)
            row = current[sample, step - first]
            if low == 1.0 and high == 1.0:
                add_rows(form.weight, senders[:count], row)
            else:
                scatter_dense(form, senders[:count], values, row)


@compiled
def deliver_sparse_float(sent: Values, window: Window, form: SparseForm, current: Values) -> None:
    """Sparse float64 weights."""
    first, last, delay = window
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.float64)
    for sample in range(sent.shape[0]):
        for step in range(max(first, delay), last):
            count, _, _ = gather(sent[sample, step - delay], senders, values)
            scatter_sparse(form, senders[:count], values, current[sample, step - first])


@compiled
def deliver_conv_float(sent: Values, window: Window, form: ConvForm, current: Values) -> None:
    """Convolution with float64 weights."""
    first, last, delay = window
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.float64)
    pixels = form.shape[2]
    total, touched = np.zeros((pixels, current.shape[2] // pixels)), np.zeros(pixels, np.int8)
    for sample in range(sent.shape[0]):
        for step in range(max(first, delay), last):
            count, _, _ = gather(sent[sample, step - delay], senders, values)
            row = current[sample, step - first]
            if count:
                scatter_conv(form, senders[:count], values, total, touched)
                for pixel in range(pixels):
                    if touched[pixel]:
                        touched[pixel] = 0
                        row[pixel::pixels] += total[pixel]
                        total[pixel] = 0


@compiled
def narrow(whole: Ints, first: int, current: Values, events: Ints, place: int) -> None:
    """``current`` = ``whole`` (samples, block, targets) wrapped to 32 bits; notes what changes, from step ``first`` on."""
    for sample in range(whole.shape[0]):
        for step in range(whole.shape[1]):
            for target in range(whole.shape[2]):
                wrapped = np.int32(whole[sample, step, target])
                current[sample, step, target] = wrapped
                if wrapped != whole[sample, step, target]:
                    note(events, (place, sample, first + step), target)


@compiled
def count_nonzero(sent: Values, fired: Ints) -> None:
    """``fired[wire] +=`` the number of nonzero values on each wire of ``sent`` (samples, steps, wires)."""
    for sample in range(sent.shape[0]):
        for step in range(sent.shape[1]):
            row = sent[sample, step]
            for wire in range(row.size):
                fired[wire] += row[wire] != 0
