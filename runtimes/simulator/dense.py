"""Dense weights, event by event: for every sender its row of weights is added to the sums, tile by tile.

A call serves one connection for a block of steps and all samples of a piece of work. Where a step keeps to what is
proved not to wrap, its sums are made in the narrow type of the weights; where not, they are made in 64 bits, wrapped,
scaled and compared.
"""

# ruff: noqa: PLR0913, PLR0917 -- what is inlined takes what its caller holds

import numpy as np

from ranvier.runtimes.simulator import events as f
from ranvier.runtimes.simulator.calls import shorts_at
from ranvier.runtimes.simulator.compiled import carray, compiled
from ranvier.runtimes.simulator.events import add_scaled, add_wrapped, extremes, listed_bits, listed_values
from ranvier.runtimes.simulator.layouts import Ints, Values
from ranvier.runtimes.simulator.vectors import SPAN, TOGETHER, WIDTH, add_lists, add_products, add_rows_times, shifted

ONES, VALUES, BEYOND = range(3)  # what a row brings: only ones, values, sums that may wrap
ROWS = 64  # rows listed together: enough to make up for the work around them, few enough for the caches
SHIFTED = 6  # a sender stands in a list as where its row of ``WIDTH`` weights begins
TILES, SHIFT, MOST, EVEN, SCATTERED, MULTIPLIED = (f.NUMBER + k for k in range(6))
PAIRS = f.ARRAY
LARGEST = 2**15 - 1  # of the values that are multiplied


def dense_bits(frame: Values, weight: Values, sums: Values, sent: Values) -> int:
    """``sums += weight @ spikes``; ``sent`` holds spikes as bits."""
    n = carray(frame, (f.COUNT,))
    words, tiles, rows, touched = _arrays(n, weight, sums, sent)
    first, last, delay, safe = n[f.FIRST], n[f.LAST], n[f.DELAY], n[f.SAFE]
    room = ROWS * (n[f.WIRES] + TOGETHER) + SPAN
    senders, values = np.empty(room, np.uint32), np.ones(1 if safe >= 1 else room, rows.dtype)
    starts, places, kinds = np.zeros(ROWS + 1, np.int64), np.empty(ROWS, np.int64), np.empty(ROWS, np.uint8)
    kinds[:], count = ONES if safe >= 1 else BEYOND, 0
    for sample in range(n[f.SAMPLES]):
        met = np.uint64(0)
        for step in range(max(first, delay), last):
            row = words[sample * n[f.STEPS] + step - delay]
            end = listed_bits(row, senders, starts[count], SHIFTED)
            if end > starts[count]:
                met |= f.bit(step - first)
                places[count] = sample * n[f.BLOCK_STEPS] + step - first
                count += 1
                starts[count] = filled_up(senders, end, n[f.WIRES], starts[count - 1])
            if count == ROWS:
                add_listed(n, tiles, rows, kinds[:count], senders, values, starts, places)
                count = 0
        f.touch(touched[sample], met)
    add_listed(n, tiles, rows, kinds[:count], senders, values, starts, places)
    return 0


def dense_values(frame: Values, weight: Values, sums: Values, sent: Values) -> int:
    """``sums += weight @ values``; ``sent`` holds numbers."""
    n = carray(frame, (f.COUNT,))
    sends, tiles, rows, touched = _arrays(n, weight, sums, sent)
    first, last, delay, safe = n[f.FIRST], n[f.LAST], n[f.DELAY], n[f.SAFE]
    room = ROWS * (n[f.WIRES] + TOGETHER)
    senders, values = np.empty(room, np.uint32), np.empty(room, sends.dtype)
    starts, places, kinds = np.zeros(ROWS + 1, np.int64), np.empty(ROWS, np.int64), np.empty(ROWS, np.uint8)
    count = 0
    for sample in range(n[f.SAMPLES]):
        met = np.uint64(0)
        for step in range(max(first, delay), last):
            start = starts[count]
            end = listed_values(sends[sample * n[f.STEPS] + step - delay], senders, values, start, SHIFTED)
            if end > start:
                low, high = extremes(values[start:end])
                kinds[count] = BEYOND if max(high, -low) > safe else ONES if low == 1 and high == 1 else VALUES
                met |= f.bit(step - first)
                places[count] = sample * n[f.BLOCK_STEPS] + step - first
                count += 1
                starts[count] = filled_up(senders, end, n[f.WIRES], start)
                values[end : starts[count]] = 0
            if count == ROWS:
                add_listed(n, tiles, rows, kinds[:count], senders, values, starts, places)
                count = 0
        f.touch(touched[sample], met)
    add_listed(n, tiles, rows, kinds[:count], senders, values, starts, places)
    return 0


@compiled
def filled_up(senders: Values, end: int, wires: int, start: int) -> int:
    """The end of the list from ``start`` on, filled up with the row of zeros to whole groups of ``TOGETHER``."""
    filled = start + (end - start + TOGETHER - 1) // TOGETHER * TOGETHER
    senders[end:filled] = wires << SHIFTED
    return filled


@compiled
def _arrays(n: Ints, weight: Values, sums: Values, sent: Values) -> tuple[Values, Values, Values, Values]:
    """What was sent (samples * steps, row), weights (tiles, wires + 1, WIDTH), sums (samples * block, stride)."""
    return (
        carray(sent, (n[f.SAMPLES] * n[f.STEPS], n[f.ROW])),
        carray(weight, (n[TILES], n[f.WIRES] + 1, WIDTH)),
        carray(sums, (n[f.SAMPLES] * n[f.BLOCK_STEPS], n[f.STRIDE])),
        f.masks_of(n),
    )


@compiled
def add_listed(
    n: Ints, tiles: Values, rows: Values, kinds: Values, senders: Values, values: Values, starts: Ints, places: Ints
) -> None:
    """Add what the senders from ``starts[k]`` to ``starts[k + 1]`` bring to the row of sums at ``places[k]``."""
    exponent = n[f.EXPONENT]
    plain = bool(np.all(kinds == ONES)) and exponent >= 0
    if starts[kinds.size] >= n[EVEN] * kinds.size and multiplied(n, rows, kinds, senders, values, starts, places):
        n[MULTIPLIED] += kinds.size
        return
    n[SCATTERED] += kinds.size
    for tile in range(tiles.shape[0]):
        weight, low = tiles[tile], tile * WIDTH
        if plain:
            add_lists(weight, senders, starts, places, 0, kinds.size, n[MOST], n[SHIFT] + exponent, rows, low)
        else:
            add_mixed(n, weight, low, rows, kinds, senders, values, starts, places)
    wide = np.zeros(1 if plain else tiles.shape[0] * WIDTH, np.int64)
    for k in range(0 if plain else kinds.size):
        if kinds[k] == BEYOND:
            start, end, place = starts[k], starts[k + 1], places[k]
            scatter_wide(tiles, n[SHIFT], senders[start:end], values[start:end], wide)
            add_wrapped(wide, n, rows[place], place // n[f.BLOCK_STEPS], n[f.FIRST] + place % n[f.BLOCK_STEPS])


@compiled
def multiplied(
    n: Ints, rows: Values, kinds: Values, senders: Values, values: Values, starts: Ints, places: Ints
) -> bool:
    """The same as a product of matrices, whatever is sent; whether it can be one."""
    ones, exponent = bool(np.all(kinds == ONES)), n[f.EXPONENT]
    if kinds.size == 0 or exponent < 0 or np.any(kinds == BEYOND):
        return False
    if not ones:
        low, high = extremes(values[: starts[kinds.size]])
        if max(high, -low) > LARGEST:
            return False
    number = (n[f.WIRES] + 2) // 2
    pairs = carray(shorts_at(n[PAIRS]), (n[TILES], number * 2 * WIDTH))
    given = np.zeros((kinds.size, 2 * number), np.int16)
    for k in range(kinds.size):
        for i in range(starts[k], starts[k + 1]):
            given[k, senders[i] >> SHIFTED] = 1 if ones else values[i]
    for tile in range(n[TILES]):
        for k in range(kinds.size):
            out = rows[places[k], tile * WIDTH : (tile + 1) * WIDTH]
            add_products(pairs[tile], number, given[k], n[SHIFT] + exponent, out)
    return True


@compiled
def add_mixed(
    n: Ints, weight: Values, low: int, rows: Values, kinds: Values, senders: Values, values: Values, starts: Ints,
    places: Ints,
) -> None:  # fmt: skip
    """What one tile brings to rows of any kind, but for those whose sums may wrap."""
    exponent, total, here = n[f.EXPONENT], np.empty((1, WIDTH), rows.dtype), np.zeros(kinds.size, np.int64)
    for k in range(kinds.size):
        total[:] = 0
        if kinds[k] == ONES:
            add_lists(weight, senders, starts, here, k, k + 1, n[MOST], n[SHIFT], total, 0)
        elif kinds[k] == VALUES:
            add_rows_times(weight, senders, starts[k], starts[k + 1], n[SHIFT], total[0], values)
        if kinds[k] != BEYOND:
            add_scaled(total[0], exponent, rows[places[k], low : low + WIDTH])


@compiled
def scatter_wide(tiles: Values, shift: int, senders: Values, values: Values, total: Ints) -> None:
    """``total += sum of value * row`` over the senders."""
    for tile in range(tiles.shape[0]):
        for k in range(senders.size):
            row = tiles[tile, senders[k] >> SHIFTED]
            for target in range(WIDTH):
                total[tile * WIDTH + target] += shifted(values[k] * row[target], shift, 0)
