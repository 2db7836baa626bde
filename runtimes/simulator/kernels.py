"""Synapses, event-driven and compiled: for every nonzero sender its weights are scattered onto the targets.

A ``deliver`` function serves one connection for a block of network steps and all samples of a piece of work. Arrays:
``sent`` (samples, steps, wires) int8 spikes or int64 values; ``current`` (samples, block, targets) int32, or int64
where several connections may add up to more. ``window`` is (first step, step after the last, delay, whether ``current``
holds nothing yet). ``rule`` is (safe, bits, exponent): ``bits`` of the accumulator, the weight exponent, and the
largest ``|value sent|`` up to which nothing can wrap, as proved from the weights. Where a step keeps to it, 32-bit sums
are exact; where not, the sum is made in 64 bits, wrapped, scaled and compared, and what changed is noted in
``events[place]`` as (count, sample, step, neuron of the first). All functions that call each other stand in this file,
as Numba's disk cache looks at the caller's alone; ``VECTORS`` stands for that of their instructions.
"""

from typing import Any

import numpy as np

from ranvier.runtimes.simulator.compiled import compiled
from ranvier.runtimes.simulator.layouts import ConvForm, DenseForm, Ints, Place, Rule, SparseForm, Values, Window
from ranvier.runtimes.simulator.memory import LINE
from ranvier.runtimes.simulator.vectors import (
    BLOCK,
    SPAN,
    WIDTH,
    add_line,
    add_rows,
    add_rows_times,
    lowest_bit,
    nonzero_bits,
    shifted,
    take_block,
)

VECTORS = "bf78923a6386d050"  # the digest of vectors.py
NOTHING, ONES, VALUES, BEYOND = range(4)  # what a row brings: no sender, only ones, values, sums that may wrap
ROWS = 64  # dense rows listed together: enough to make up for the work around them, few enough for the caches


@compiled
def listed(row: Values, senders: Ints, values: Values, count: int) -> int:
    """Append indices and values of the nonzero entries of ``row`` to lists of ``count`` entries; the new count."""
    whole = row.size - row.size % SPAN
    for at in range(0, whole, SPAN):
        bits = nonzero_bits(row, at)
        while bits != 0:
            wire = at + lowest_bit(bits)
            senders[count], values[count] = wire, row[wire]
            count += 1
            bits &= bits - np.uint64(1)
    for wire in range(whole, row.size):
        senders[count], values[count] = wire, row[wire]
        count += row[wire] != 0
    return count


@compiled
def extremes(values: Values) -> tuple[Any, Any]:
    """The lowest and the highest of ``values``, of which there is one at least."""
    low, high = values[0], values[0]
    for value in values:
        low, high = min(low, value), max(high, value)
    return low, high


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
    up, down = max(exponent, 0), max(-exponent, 0)
    for target in range(total.size):
        current[target] += shifted(total[target], up, down)


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
def list_rows(sent: Values, safe: float, senders: Ints, values: Values, starts: Ints, kinds: Ints) -> None:
    """The nonzero entries of each row of ``sent`` (samples, steps, wires), one after the other, and what each brings.

    Row k has those from ``starts[k]`` to ``starts[k + 1]``. Bytes are spikes.
    """
    starts[0] = k = 0
    for sample in range(sent.shape[0]):
        for step in range(sent.shape[1]):
            starts[k + 1] = end = listed(sent[sample, step], senders, values, starts[k])
            kinds[k] = NOTHING
            if end > starts[k] and sent.itemsize == 1:
                kinds[k] = ONES if safe >= 1 else BEYOND
            elif end > starts[k]:
                low, high = extremes(values[starts[k] : end])
                kinds[k] = ONES if low == 1 and high == 1 else VALUES
                kinds[k] = BEYOND if max(high, -low) > safe else kinds[k]
            k += 1


@compiled
def sum_tile(
    weight: Values, most: int, kinds: Ints, senders: Ints, values: Values, starts: Ints, shift: int, out: Values
) -> None:
    """``out[k] += (sum of value * weight) << shift`` over the senders of each row k, for one tile of ``weight``.

    ``out`` is (samples, steps, WIDTH). Ones are summed in the narrow type, ``most`` at a time.
    """
    steps = out.shape[1]
    for sample in range(out.shape[0]):
        for step in range(steps):
            k = sample * steps + step
            if kinds[k] == ONES:
                for start in range(starts[k], starts[k + 1], most):
                    add_rows(weight, senders, start, min(start + most, starts[k + 1]), shift, out[sample, step])
            elif kinds[k] == VALUES:
                add_rows_times(weight, senders, starts[k], starts[k + 1], shift, out[sample, step], values)


@compiled
def scatter_dense(form: DenseForm, senders: Ints, values: Values, total: Values) -> None:
    """``total += sum of value * row`` over the senders."""
    for tile in range(form.tiles.shape[0]):
        out = total[tile * WIDTH : (tile + 1) * WIDTH]
        for k in range(senders.size):
            row, value = form.tiles[tile, senders[k]], values[k] << form.shift
            for target in range(out.size):
                out[target] += value * row[target]


@compiled
def scatter_sparse(form: SparseForm, senders: Ints, values: Values, shift: int, total: Values) -> None:
    """``total[target] += (value * weight) << shift`` over the senders' columns."""
    for k in range(senders.size):
        value = values[k] * (1 << shift)
        for i in range(form.start[senders[k]], form.start[senders[k] + 1]):
            total[form.targets[i]] += value * form.weight[i]


@compiled
def scatter_conv(form: ConvForm, senders: Ints, values: Values, total: Values, touched: Values) -> None:
    """``total`` (pixels, out channels) ``+=`` the kernel of each sender's channel, placed at its position.

    Channels come last, so that they are added many at a time; ``touched`` marks the blocks of pixels reached.
    """
    weight, places, down_tap, down_out, across_tap, across_out, shape = form
    out_width, stride, padded = shape[1], total.shape[1], weight.shape[3]
    for k in range(senders.size):
        sender, value = senders[k], values[k]
        kernel, low, y, x = places[sender, 0], places[sender, 1], places[sender, 2], places[sender, 3]
        for i in range(down_tap.shape[1]):
            down, line = kernel + down_tap[y, i], down_out[y, i] * out_width
            for j in range(across_tap.shape[1]):
                pixel, start = line + across_out[x, j], down + across_tap[x, j]
                touched[pixel // BLOCK] = 1
                for out in range(0, padded, BLOCK):
                    add_line(weight, start + out, value, total, pixel * stride + low + out)


@compiled
def place_sums(total: Values, touched: Values, shift: int, pixels: int, row: Values) -> None:
    """Add the sums times ``2**shift`` (floor) to ``row``, where channels come first; nothing is left in ``total``."""
    channels, stride = row.size // pixels, total.shape[1]
    up, down = max(shift, 0), max(-shift, 0)
    for block in range(touched.size):
        first = block * BLOCK
        if touched[block] == 0:
            continue
        touched[block] = 0
        for low in range(0, channels, BLOCK):
            some = min(channels - low, BLOCK)
            if first + BLOCK <= pixels:
                take_block(total, first * stride + low, stride, up, down, row, low * pixels + first, pixels, some)
            else:
                place_rest(
                    total[first:, low : low + some], up, down, pixels - first, row[low * pixels + first :], pixels
                )


@compiled
def place_rest(total: Values, up: int, down: int, count: int, row: Values, pixels: int) -> None:
    """The same for the ``count`` pixels that do not fill a block."""
    for pixel in range(count):
        for out in range(total.shape[1]):
            row[out * pixels + pixel] += shifted(total[pixel, out], up, down)
            total[pixel, out] = 0


@compiled
def place_wrapped(
    total: Ints, touched: Values, rule: Rule, pixels: int, row: Values, events: Ints, place: Place
) -> None:
    """The same through the registers of the chip."""
    for pixel in range(pixels):
        if touched[pixel // BLOCK]:
            channels = row.size // pixels
            add_wrapped(total[pixel, :channels], rule, row[pixel::pixels], events, place, pixels, pixel)
            total[pixel] = 0
    touched[:] = 0


@compiled
def deliver_dense(
    sent: Values, window: Window, form: DenseForm, rule: Rule, current: Values, events: Ints, place: int
) -> None:
    """Dense weights, tile by tile over many rows (a sample's step); the usual case is a plain sum of narrow rows."""
    first, last, delay, fresh = window
    safe, _, exponent = rule
    begin, targets = min(max(first, delay), last), current.shape[2]
    steps, together = last - begin, min(max(1, ROWS // (last - first)), sent.shape[0])
    room = together * steps * sent.shape[2] + 1
    senders, values = np.empty(room, np.uint32), np.empty(room, np.int64)
    starts, kinds = np.empty(together * steps + 1, np.int64), np.empty(together * steps, np.int64)
    narrow, wide = np.empty((together, steps, WIDTH), np.int32), np.empty(form.tiles.shape[0] * WIDTH, np.int64)
    for low in range(0, sent.shape[0], together):
        samples = min(together, sent.shape[0] - low)
        if fresh:
            current[low : low + samples] = 0
        list_rows(sent[low : low + samples, begin - delay : last - delay], safe, senders, values, starts, kinds)
        rows = current[low : low + samples, begin - first :]
        for tile, weight in enumerate(form.tiles):
            out = rows[:, :, tile * WIDTH : (tile + 1) * WIDTH]
            if out.shape[2] == WIDTH and exponent >= 0:
                sum_tile(weight, form.rows, kinds, senders, values, starts, form.shift + exponent, out)
                continue
            narrow[:samples] = 0
            sum_tile(weight, form.rows, kinds, senders, values, starts, form.shift, narrow[:samples])
            for k in range(samples * steps):
                if kinds[k] != NOTHING:
                    add_scaled(narrow[k // steps, k % steps, : out.shape[2]], exponent, out[k // steps, k % steps])
        for k in range(samples * steps):
            if kinds[k] == BEYOND:
                wide[:] = 0
                scatter_dense(form, senders[starts[k] : starts[k + 1]], values[starts[k] : starts[k + 1]], wide)
                where = place, low + k // steps, begin + k % steps
                add_wrapped(wide[:targets], rule, rows[k // steps, k % steps], events, where, 1, 0)


@compiled
def deliver_sparse(
    sent: Values, window: Window, form: SparseForm, rule: Rule, current: Values, events: Ints, place: int
) -> None:
    """Sparse weights, column by column."""
    first, last, delay, fresh = window
    safe, _, exponent = rule
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.int64)
    narrow, wide = np.empty(current.shape[2], np.int32), np.empty(current.shape[2], np.int64)
    for sample in range(sent.shape[0]):
        for step in range(first, last):
            row = current[sample, step - first]
            if fresh:
                row[:] = 0
            if step < delay:
                continue
            count = listed(sent[sample, step - delay], senders, values, 0)
            low, high = extremes(values[: max(count, 1)])
            if count > 0 and max(high, -low) > safe:
                wide[:] = 0
                scatter_sparse(form, senders[:count], values, 0, wide)
                add_wrapped(wide, rule, row, events, (place, sample, step), 1, 0)
            elif exponent >= 0:
                scatter_sparse(form, senders[:count], values, exponent, row)
            else:
                narrow[:] = 0
                scatter_sparse(form, senders[:count], values, 0, narrow)
                add_scaled(narrow, exponent, row)


@compiled
def deliver_conv(
    sent: Values, window: Window, form: ConvForm, rule: Rule, current: Values, events: Ints, place: int
) -> None:
    """Convolution; sums are made with channels last and brought into place block by block."""
    first, last, delay, fresh = window
    safe, _, exponent = rule
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.int64)
    pixels = form.shape[0]
    blocks, room = -(-pixels // BLOCK), current.shape[2] // pixels + BLOCK
    touched = np.zeros(blocks, np.int8)
    memory, wide = np.zeros((blocks * BLOCK + 1) * room, np.int32), np.zeros((blocks * BLOCK, room), np.int64)
    start = (-memory.ctypes.data % LINE) // 4
    narrow = memory[start : start + blocks * BLOCK * room].reshape((blocks * BLOCK, room))
    for sample in range(sent.shape[0]):
        for step in range(first, last):
            row = current[sample, step - first]
            if fresh:
                row[:] = 0
            if step < delay:
                continue
            count = listed(sent[sample, step - delay], senders, values, 0)
            low, high = extremes(values[: max(count, 1)])
            if count == 0 or max(high, -low) <= safe:
                scatter_conv(form, senders[:count], values, narrow, touched)
                place_sums(narrow, touched, exponent, pixels, row)
            else:
                scatter_conv(form, senders[:count], values, wide, touched)
                place_wrapped(wide, touched, rule, pixels, row, events, (place, sample, step))


@compiled
def deliver_dense_float(sent: Values, window: Window, form: DenseForm, current: Values) -> None:
    """Dense float64 weights."""
    first, last, delay, fresh = window
    begin = min(max(first, delay), last)
    steps, room = last - begin, (last - begin) * sent.shape[2] + 1
    senders, values = np.empty(room, np.uint32), np.empty(room, np.float64)
    starts, kinds = np.empty(steps + 1, np.int64), np.empty(steps, np.int64)
    total = np.empty((1, steps, WIDTH), np.float64)
    for sample in range(sent.shape[0]):
        if fresh:
            current[sample] = 0
        list_rows(sent[sample : sample + 1, begin - delay : last - delay], np.inf, senders, values, starts, kinds)
        for tile in range(form.tiles.shape[0]):
            out = current[sample, begin - first :, tile * WIDTH : (tile + 1) * WIDTH]
            total[:] = 0
            sum_tile(form.tiles[tile], form.rows, kinds, senders, values, starts, 0, total)
            for k in range(steps):
                for target in range(out.shape[1]):
                    out[k, target] += total[0, k, target]


@compiled
def deliver_sparse_float(sent: Values, window: Window, form: SparseForm, current: Values) -> None:
    """Sparse float64 weights."""
    first, last, delay, fresh = window
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.float64)
    for sample in range(sent.shape[0]):
        for step in range(first, last):
            row = current[sample, step - first]
            if fresh:
                row[:] = 0
            if step < delay:
                continue
            count = listed(sent[sample, step - delay], senders, values, 0)
            scatter_sparse(form, senders[:count], values, 0, row)


@compiled
def deliver_conv_float(sent: Values, window: Window, form: ConvForm, current: Values) -> None:
    """Convolution with float64 weights."""
    first, last, delay, fresh = window
    senders, values = np.empty(sent.shape[2] + 1, np.int64), np.empty(sent.shape[2] + 1, np.float64)
    pixels = form.shape[0]
    blocks, room = -(-pixels // BLOCK), current.shape[2] // pixels + BLOCK
    total, touched = np.zeros((blocks * BLOCK, room)), np.zeros(blocks, np.int8)
    for sample in range(sent.shape[0]):
        for step in range(first, last):
            row = current[sample, step - first]
            if fresh:
                row[:] = 0
            if step >= delay:
                count = listed(sent[sample, step - delay], senders, values, 0)
                scatter_conv(form, senders[:count], values, total, touched)
                place_sums(total, touched, 0, pixels, row)


@compiled
def note_lost(lost: Ints, sample: int, first: int, events: Ints) -> None:
    """Note the bits of ``lost`` (steps, neurons), one for each place, from step ``first`` on."""
    for step in range(lost.shape[0]):
        for neuron in range(lost.shape[1]):
            bits, where = lost[step, neuron], 0
            while bits != 0:
                if bits & 1:
                    note(events, (where, sample, first + step), neuron)
                bits >>= 1
                where += 1


@compiled
def narrow(whole: Ints, first: int, current: Values, events: Ints, place: int) -> None:
    """``current`` = ``whole`` (samples, block, targets) wrapped to 32 bits; notes what changes."""
    for sample in range(whole.shape[0]):
        for step in range(whole.shape[1]):
            for target in range(whole.shape[2]):
                wrapped = np.int32(whole[sample, step, target])
                current[sample, step, target] = wrapped
                if wrapped != whole[sample, step, target]:
                    note(events, (place, sample, first + step), target)
