# ruff: noqa: PLR0913, PLR0917 - a kernel takes pointers and sizes, not objects
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
"""Synapse kernels: each adds what one connection delivers in a block of steps to its target's input.

``product`` is a matrix product whose left side is gathered by index: dense weights, and convolutions without an
unfolded copy; ``gather`` follows compressed rows; ``scatter`` adds the weight rows of the senders that ``listing``
found. Sums are exact in the type that the host chose (``routes.py``), and go through the connection's registers in
``arrive``.

Layouts: ``sent`` (samples, steps, sources); ``current`` (samples, last - first, targets); ``events`` the two
numbers of the connection's place. ``REGISTERS`` (shift, bits, exponent, careful, first): see ``arrive``; ``WINDOW`` the
geometry of ``routes.Window``; ``TILE`` (rows, columns, depth) of a program instance.
"""

import triton
import triton.language as tl

from ranvier.runtimes.gpu.arithmetic import keep_bits, note

USED = keep_bits, note


@triton.jit
def arrive(total, at, key, here, current, events, REGISTERS: tl.constexpr):
    """``current[at] += scaled(total * 2**SHIFT)``, the first connection storing instead.

    Where the registers may wrap (CAREFUL), each sum goes through them and every change is noted.
    """
    SHIFT: tl.constexpr = REGISTERS[0]
    BITS: tl.constexpr = REGISTERS[1]
    EXPONENT: tl.constexpr = REGISTERS[2]
    CAREFUL: tl.constexpr = REGISTERS[3]
    FIRST: tl.constexpr = REGISTERS[4]
    scaled = total
    if CAREFUL:
        whole = total.to(tl.int64) << SHIFT
        wrapped = keep_bits(whole, BITS)
        lost = wrapped != whole
        if EXPONENT > 0:
            scaled = keep_bits(wrapped << EXPONENT, 32)
            lost = lost | ((scaled >> EXPONENT) != wrapped)
        else:
            scaled = wrapped >> -EXPONENT
        note(events, here & lost, key)
    elif EXPONENT > 0:
        scaled = total << (SHIFT + EXPONENT)
    else:
        scaled = (total << SHIFT) >> -EXPONENT
    kind: tl.constexpr = current.dtype.element_ty
    if FIRST:
        tl.store(current + at, scaled.to(kind), mask=here)
    else:
        tl.store(current + at, tl.load(current + at, mask=here, other=0) + scaled.to(kind), mask=here)


@triton.jit
def reach(above, before, k, WINDOW: tl.constexpr):
    """The wire of term k of a sum whose window begins at (above, before), and whether it lies inside the frame."""
    TAPS: tl.constexpr = WINDOW[6] * WINDOW[7]
    y = above + k % TAPS // WINDOW[7] * WINDOW[12]
    x = before + k % WINDOW[7] * WINDOW[13]
    inside = (y >= 0) & (y < WINDOW[2]) & (x >= 0) & (x < WINDOW[3])
    return k // TAPS * (WINDOW[2] * WINDOW[3]) + y * WINDOW[3] + x, inside


@triton.jit(do_not_specialize=["first", "last", "delay"])
def product(
    sent, weight, current, events, samples, steps, first, last, delay,
    SOURCES: tl.constexpr, TARGETS: tl.constexpr, WINDOW: tl.constexpr, SUM: tl.constexpr, FACTOR: tl.constexpr,
    DOT: tl.constexpr, TILE: tl.constexpr, REGISTERS: tl.constexpr,
):  # fmt: skip
    """One group's outputs (axis 2) for a tile of (sample, step, pixel) rows (axis 0) and output channels (axis 1).

    ``weight`` (groups, terms of a sum, OUTPUTS). With DOT the tile is a product of FACTOR types summed in SUM; without
    it one term after the other is multiplied and added in SUM.
    """
    OUTPUTS: tl.constexpr = WINDOW[1]
    PIXELS: tl.constexpr = WINDOW[4]
    FRAME: tl.constexpr = WINDOW[0] * WINDOW[2] * WINDOW[3]
    INNER: tl.constexpr = WINDOW[0] * WINDOW[6] * WINDOW[7]
    span = last - first
    row = tl.program_id(0).to(tl.int64) * TILE[0] + tl.arange(0, TILE[0])
    column = tl.program_id(1) * TILE[1] + tl.arange(0, TILE[1])
    group = tl.program_id(2)
    pixel, frame = (row % PIXELS).to(tl.int32), row // PIXELS
    sample, step = frame // span, first + frame % span
    real = sample < samples
    base = (sample * steps + step - delay) * SOURCES + group * FRAME
    above, before = (pixel // WINDOW[5]) * WINDOW[8] - WINDOW[10], (pixel % WINDOW[5]) * WINDOW[9] - WINDOW[11]
    awake = real & (step >= delay)
    rows = weight + group * INNER * OUTPUTS
    total = tl.full((TILE[0], TILE[1]), 0, SUM)
    if DOT:
        for start in range(0, INNER, TILE[2]):
            k = start + tl.arange(0, TILE[2])
            wire, inside = reach(above[:, None], before[:, None], k[None, :], WINDOW)
            inside = inside & awake[:, None] & (k < INNER)[None, :]
            left = tl.load(sent + base[:, None] + wire, mask=inside, other=0).to(FACTOR)
            there = (k < INNER)[:, None] & (column < OUTPUTS)[None, :]
            right = tl.load(rows + k[:, None] * OUTPUTS + column[None, :], mask=there, other=0).to(FACTOR)
            total = tl.dot(left, right, total, out_dtype=SUM)
    else:
        for k in range(INNER):
            wire, inside = reach(above, before, k, WINDOW)
            value = tl.load(sent + base + wire, mask=inside & awake, other=0).to(SUM)
            factor = tl.load(rows + k * OUTPUTS + column, mask=column < OUTPUTS, other=0).to(SUM)
            total += value[:, None] * factor[None, :]
    target = ((group * OUTPUTS + column) * PIXELS)[None, :] + pixel[:, None]
    at = frame[:, None] * TARGETS + target
    key = (sample * steps + step)[:, None] * TARGETS + target
    here = real[:, None] & (column < OUTPUTS)[None, :]
    whole = total.to(tl.int32) if tl.float32 == SUM else total
    arrive(whole, at, key, here, current, events, REGISTERS)


@triton.jit(do_not_specialize=["first", "last", "delay"])
def gather(
    sent, data, indices, start, longest, current, events, steps, first, last, delay,
    SOURCES: tl.constexpr, TARGETS: tl.constexpr, SUM: tl.constexpr, COLUMNS: tl.constexpr, REGISTERS: tl.constexpr,
):  # fmt: skip
    """Compressed rows over targets: a section of targets (axis 1) of one (sample, step) row (axis 0).

    ``data`` and ``indices`` (weights,); ``start`` (targets + 1,); ``longest`` the longest row of each section.
    """
    frame = tl.program_id(0).to(tl.int64)
    target = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    here = target < TARGETS
    sample, step = frame // (last - first), first + frame % (last - first)
    base = (sample * steps + step - delay) * SOURCES
    low = tl.load(start + target, mask=here, other=0)
    high = tl.where(step >= delay, tl.load(start + target + 1, mask=here, other=0), low)
    total = tl.full((COLUMNS,), 0, SUM)
    for k in range(tl.load(longest + tl.program_id(1))):
        there = low + k < high
        wire = tl.load(indices + low + k, mask=there, other=0)
        factor = tl.load(data + low + k, mask=there, other=0).to(SUM)
        total += factor * tl.load(sent + base + wire, mask=there, other=0).to(SUM)
    at, key = frame * TARGETS + target, (sample * steps + step) * TARGETS + target
    arrive(total, at, key, here, current, events, REGISTERS)


@triton.jit
def plus(x, y):
    """The sum of both."""
    return x + y


@triton.jit(do_not_specialize=["first", "last"])
def listing(sent, senders, counts, steps, first, last, SOURCES: tl.constexpr, COLUMNS: tl.constexpr):
    """The wires with something on them: ``senders`` (samples, steps, SOURCES) in order, ``counts`` (samples, steps)."""
    frame = tl.program_id(0).to(tl.int64)
    row = frame // (last - first) * steps + first + frame % (last - first)
    section = tl.arange(0, COLUMNS)
    before = tl.full((COLUMNS,), 0, tl.int32)
    for start in range(0, SOURCES, COLUMNS):
        wire = start + section
        busy = tl.load(sent + row * SOURCES + wire, mask=wire < SOURCES, other=0) != 0
        rank = before + tl.associative_scan(busy.to(tl.int32), 0, plus)
        tl.store(senders + row * SOURCES + rank - 1, wire, mask=busy)
        before += tl.reduce(busy.to(tl.int32), 0, plus)
    tl.store(counts + row + section, before, mask=section == 0)


@triton.jit(do_not_specialize=["first", "last", "delay"])
def scatter(
    sent, senders, counts, weight, current, events, steps, first, last, delay,
    SOURCES: tl.constexpr, TARGETS: tl.constexpr, SUM: tl.constexpr, COLUMNS: tl.constexpr, REGISTERS: tl.constexpr,
):  # fmt: skip
    """Dense weights (SOURCES, TARGETS), the rows of listed senders only, for a section of targets of one row."""
    frame = tl.program_id(0).to(tl.int64)
    target = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    here = target < TARGETS
    sample, step = frame // (last - first), first + frame % (last - first)
    row = sample * steps + step - delay
    total = tl.full((COLUMNS,), 0, SUM)
    for k in range(tl.load(counts + row) if step >= delay else 0):
        wire = tl.load(senders + row * SOURCES + k)
        value = tl.load(sent + row * SOURCES + wire).to(SUM)
        total += value * tl.load(weight + wire.to(tl.int64) * TARGETS + target, mask=here, other=0).to(SUM)
    at, key = frame * TARGETS + target, (sample * steps + step) * TARGETS + target
    arrive(total, at, key, here, current, events, REGISTERS)
