"""Which way dense sums are made, by measurement: rows of the senders added, or a product with all weights.

Adding rows takes time for every sender, a product the same time whatever is sent. Both are timed once for every shape,
on this machine; from as many senders a step as take the product's time on, a block of rows is multiplied. Both are
exact, so results do not depend on it.
"""

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranvier.runtimes.simulator.calls import Call, run_blocks
from ranvier.runtimes.simulator.dense import ROWS

Synapses = Literal["measured", "product", "scatter"]
Values = NDArray[Any]
Shape = tuple[int, int, str, str]
Probe = Callable[[Values, int], Call]

NEVER, ALWAYS = 2**40, 0
SHARE = 0.5  # of the wires active while it is measured
TIMES = 3

_measured: dict[Shape, int] = {}


def break_even(shape: Shape, probe: Probe) -> int:
    """From how many senders a step on a product is the faster way; ``NEVER`` where that is more than there are.

    ``shape``: wires, tiles, types of weights and of what is sent. ``probe`` gives the call that adds what a block of
    ``ROWS`` steps brings, multiplying from a number of senders on.
    """
    if shape not in _measured:
        wires, _, _, kind = shape
        sent, senders = _sent(wires, kind)
        scatter, product = (_seconds(probe(sent, way)) for way in (NEVER, ALWAYS))
        even = int(np.ceil(product / max(scatter, 1e-9) * senders))
        _measured[shape] = even if even <= wires else NEVER
    return _measured[shape]


def _sent(wires: int, kind: str) -> tuple[Values, float]:
    """A block of one sample in which half of the wires send, and how many that are in a step."""
    active = np.random.default_rng(0).random((1, ROWS, wires)) < SHARE
    if kind != "uint64":
        return (active * 3).astype(kind), float(active.sum(axis=2).mean())
    padded = np.zeros((1, ROWS, -(-wires // 64) * 64), np.uint8)
    padded[..., :wires] = active
    return np.packbits(padded, axis=2, bitorder="little").view(np.uint64), float(active.sum(axis=2).mean())


def _seconds(call: Call) -> float:
    """The least time of some runs of a call over the block."""
    calls, found = np.array([call.numbers], np.int64), []
    for _ in range(TIMES):
        started = time.perf_counter()
        run_blocks(calls, 0, ROWS, ROWS, 0, np.zeros(0, np.int64))
        found.append(time.perf_counter() - started)
    return min(found)
