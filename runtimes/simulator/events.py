"""What the synapse kernels share: the fields of a call, lists of senders, the registers of the chip, overflows."""

from typing import Any

import numpy as np

from ranvier.runtimes.simulator.calls import ints_at, masks_at
from ranvier.runtimes.simulator.compiled import carray, compiled
from ranvier.runtimes.simulator.emit import GROUP
from ranvier.runtimes.simulator.layouts import Ints, Place, Values
from ranvier.runtimes.simulator.vectors import COMPRESSES, SPAN, compressed_bits, lowest_bit, nonzero_bits, shifted

FIELDS = (
    "first",  # steps first .. last - 1
    "last",
    "samples",
    "steps",  # all steps of the run: sent is (samples, steps, row)
    "row",  # 64-bit words or values of one step in sent
    "wires",
    "delay",
    "block",  # sums are (samples, block, stride)
    "stride",
    "targets",
    "touched",  # (samples, targets / GROUP) uint64: bit k set where a group of neurons has input in step first + k
    "origin",  # (targets): the number of each target in the network
    "events",  # (places, 4)
    "place",  # of the connection in events
    "safe",  # the rule of the connection
    "bits",
    "exponent",
    *(f"number {k}" for k in range(7)),  # what else the form of the synapses consists of
    *(f"array {k}" for k in range(5)),
)
COUNT = len(FIELDS)
(FIRST, LAST, SAMPLES, STEPS, ROW, WIRES, DELAY, BLOCK_STEPS, STRIDE, TARGETS, TOUCHED, ORIGIN, EVENTS, PLACE, SAFE,
 BITS, EXPONENT) = range(17)  # fmt: skip
NUMBER, ARRAY = 17, 24


@compiled
def masks_of(n: Ints) -> Values:
    """(samples, groups) the steps in which each group of neurons has input."""
    found: Values = carray(masks_at(n[TOUCHED]), (n[SAMPLES], (n[TARGETS] + GROUP - 1) // GROUP))
    return found


@compiled
def ints_of(n: Ints, field: int, count: int) -> Ints:
    """The ``count`` integers whose address a field holds."""
    found: Ints = carray(ints_at(n[field]), (count,))
    return found


@compiled
def touch(touched: Values, steps: Any) -> None:
    """Note that every neuron has input in ``steps`` of the block, a bit for each."""
    if steps != 0:
        for group in range(touched.size):
            touched[group] |= steps


@compiled
def bit(step: int) -> Any:
    """The mask of one step."""
    return np.uint64(1) << np.uint64(step)


@compiled
def listed_bits(words: Values, senders: Values, count: int, shift: int) -> int:
    """Append the places of the bits that are set in ``words``, times ``2**shift``, to a list of ``count`` entries.

    Returns the new count; up to ``SPAN`` entries behind it may be written to.
    """
    whole = words.size - words.size % SPAN
    for at in range(0, whole, SPAN):
        some = nonzero_bits(words, at)
        while some != 0:
            place = at + lowest_bit(some)
            count = listed_word(words[place], place * 64, shift, senders, count)
            some &= some - np.uint64(1)
    for at in range(whole, words.size):
        if words[at] != 0:
            count = listed_word(words[at], at * 64, shift, senders, count)
    return count


@compiled
def bit_by_bit(bits: Any, base: int, shift: int, senders: Values, count: int) -> int:
    """As ``compressed_bits`` on any processor."""
    while bits != 0:
        senders[count] = (base + lowest_bit(bits)) << shift
        count += 1
        bits &= bits - np.uint64(1)
    return count


listed_word = compressed_bits if COMPRESSES else bit_by_bit


@compiled
def listed_values(row: Values, senders: Values, values: Values, count: int, shift: int) -> int:
    """Append places times ``2**shift`` and values of the nonzero entries of ``row`` to lists of ``count`` entries.

    Returns the new count.
    """
    whole = row.size - row.size % SPAN
    for at in range(0, whole, SPAN):
        bits = nonzero_bits(row, at)
        while bits != 0:
            wire = at + lowest_bit(bits)
            senders[count], values[count] = wire << shift, row[wire]
            count += 1
            bits &= bits - np.uint64(1)
    for wire in range(whole, row.size):
        senders[count], values[count] = wire << shift, row[wire]
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
def add_wrapped(total: Ints, n: Ints, current: Values, sample: int, step: int) -> None:
    """``current += scaled(total)`` through the registers of the chip, noting what they change; ``total`` becomes 0."""
    bits, exponent, where = n[BITS], n[EXPONENT], n[PLACE]
    events, origin = carray(ints_at(n[EVENTS]), (where + 1, 4)), ints_of(n, ORIGIN, n[TARGETS])
    for k in range(n[TARGETS]):
        wrapped = (total[k] << (64 - bits)) >> (64 - bits)
        changed = wrapped != total[k]
        if exponent > 0:
            scaled = np.int64(np.int32(wrapped << exponent))
            changed = changed or (scaled >> exponent) != wrapped
        else:
            scaled = wrapped >> -exponent
        current[k] += scaled
        if changed:
            note(events, (where, sample, step), origin[k])
        total[k] = 0


@compiled
def note_lost(lost: Ints, sample: int, first: int, events: Ints, origin: Ints) -> None:
    """Note the bits of ``lost`` (steps, neurons), one for each place, from step ``first`` on."""
    for step in range(lost.shape[0]):
        for neuron in range(lost.shape[1]):
            bits, where = lost[step, neuron], 0
            while bits != 0:
                if bits & 1:
                    note(events, (where, sample, first + step), origin[neuron])
                bits >>= 1
                where += 1
