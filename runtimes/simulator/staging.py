"""What stands between synapses and neurons: sums brought to the neurons' type, states kept, sums cleared."""

# ruff: noqa: ARG001 -- every call of the time loop takes four pointers

import numpy as np

from ranvier.runtimes.simulator import events as f
from ranvier.runtimes.simulator.calls import ints_at
from ranvier.runtimes.simulator.compiled import carray
from ranvier.runtimes.simulator.emit import GROUP
from ranvier.runtimes.simulator.layouts import Values
from ranvier.runtimes.simulator.vectors import lowest_bit

COPIED = f.NUMBER


def wrap(frame: Values, whole: Values, narrow: Values, unused: Values) -> int:
    """``narrow`` = the sums ``whole`` wrapped to 32 bits; notes what changes."""
    n = carray(frame, (f.COUNT,))
    shape = n[f.SAMPLES] * n[f.BLOCK_STEPS], n[f.STRIDE]
    sums, wrapped, where = carray(whole, shape), carray(narrow, shape), n[f.PLACE]
    events, origin = carray(ints_at(n[f.EVENTS]), (where + 1, 4)), f.ints_of(n, f.ORIGIN, n[f.TARGETS])
    for sample in range(n[f.SAMPLES]):
        for step in range(n[f.FIRST], n[f.LAST]):
            row = sample * n[f.BLOCK_STEPS] + step - n[f.FIRST]
            for target in range(n[f.TARGETS]):
                wrapped[row, target] = np.int32(sums[row, target])
                if wrapped[row, target] != sums[row, target]:
                    f.note(events, (where, sample, step), origin[target])
    return 0


def round_sums(frame: Values, exact: Values, rounded: Values, unused: Values) -> int:
    """``rounded`` = the sums ``exact`` of a float network as its integer neurons take them: their lowest 32 bits."""
    n = carray(frame, (f.COUNT,))
    count = n[f.SAMPLES] * n[f.BLOCK_STEPS] * n[f.STRIDE]
    sums, out = carray(exact, (count,)), carray(rounded, (count,))
    for k in range(count):
        out[k] = np.int32(np.int64(np.rint(sums[k])))
    return 0


def keep(frame: Values, states: Values, kept: Values, unused: Values) -> int:
    """``kept`` = ``states``, so that a block can be run again."""
    n = carray(frame, (f.COUNT,))
    carray(kept, (n[COPIED],))[:] = carray(states, (n[COPIED],))
    return 0


def clear(frame: Values, sums: Values, unused: Values, also_unused: Values) -> int:
    """Set the sums of a block to 0, and with them the masks of who has any."""
    n = carray(frame, (f.COUNT,))
    rows, masks = carray(sums, (n[f.SAMPLES] * n[f.BLOCK_STEPS], n[f.STRIDE])), f.masks_of(n)
    for sample in range(n[f.SAMPLES]):
        for group in range(masks.shape[1]):
            mask, row = masks[sample, group], sample * n[f.BLOCK_STEPS]
            masks[sample, group] = 0
            while mask != 0:
                at = row + lowest_bit(mask)
                for k in range(group * GROUP, (group + 1) * GROUP):
                    rows[at, k] = 0
                mask &= mask - np.uint64(1)
    return 0
