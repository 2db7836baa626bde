"""Spikes as bits: 64 wires to a word, an eighth of the memory of bytes, looked through 64 words at a time."""

import numpy as np

from ranvier.runtimes.simulator.compiled import compiled
from ranvier.runtimes.simulator.events import listed_bits
from ranvier.runtimes.simulator.layouts import Ints, Values
from ranvier.runtimes.simulator.vectors import SPAN, nonzero_bits

WORD = 64


def words(wires: int) -> int:
    """How many words hold the spikes of one step."""
    return -(-wires // WORD)


@compiled
def pack(spikes: Values, bits: Values, counts: Ints) -> int:
    """``bits`` (samples, steps, words) = ``spikes`` (samples, steps, wires), bytes; the largest byte.

    ``counts[wire] +=`` how many spikes each wire has.
    """
    wires, most = spikes.shape[2], 0
    whole = wires - wires % SPAN
    some, seen = np.zeros(wires, np.uint8), 0
    for sample in range(spikes.shape[0]):
        for step in range(spikes.shape[1]):
            row, place = spikes[sample, step], bits[sample, step]
            for wire in range(wires):
                some[wire] += row[wire]
            for wire in range(wires):
                most |= row[wire]
            for at in range(0, whole, SPAN):
                place[at // WORD] = nonzero_bits(row, at)
            for wire in range(whole, wires):
                place[wire // WORD] |= np.uint64(row[wire] != 0) << np.uint64(wire % WORD)
            seen += 1
            if seen == 255:
                counts += some
                some[:], seen = 0, 0
    counts += some
    return most


@compiled
def count_nonzero(sent: Values, counts: Ints) -> None:
    """``counts[wire] +=`` the number of nonzero values on each wire of ``sent`` (samples, steps, wires)."""
    for sample in range(sent.shape[0]):
        for step in range(sent.shape[1]):
            row = sent[sample, step]
            for wire in range(row.size):
                counts[wire] += row[wire] != 0


@compiled
def unpack(bits: Values, origin: Ints, spikes: Values) -> None:
    """Set the bytes of ``spikes`` (samples, steps, neurons), all 0, whose bits are set; ``origin`` numbers them."""
    fired = np.empty(origin.size + SPAN, np.uint32)
    for sample in range(bits.shape[0]):
        for step in range(bits.shape[1]):
            for k in range(listed_bits(bits[sample, step], fired, 0, 0)):
                spikes[sample, step, origin[fired[k]]] = 1
