"""Synapses as the kernels take them, and what else their signatures are made of."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
Ints = NDArray[np.int64]
Rule = tuple[int, int, int]
Place = tuple[int, int, int]


class DenseForm(NamedTuple):
    """``tiles`` (tiles, sources + 1, WIDTH) of weights, to be taken times ``2**shift``.

    The last tile is filled up with 0, and the last row of each is 0: lists of senders are filled up with it. A tile of
    all sources fits the first-level cache, so a block of steps is run tile by tile. Sums of up to ``rows`` weights stay
    inside the type in which ``add_lists`` makes them.
    """

    tiles: Values
    shift: int
    rows: int


class SparseForm(NamedTuple):
    """Compressed columns: sender s reaches ``targets[start[s]:start[s + 1]]`` with those of ``weight``."""

    weight: Values
    targets: Ints
    start: Ints


class ConvForm(NamedTuple):
    """``weight`` (in channels, kernel h + 1, kernel w + 1, out channels / groups) and the reach of every position.

    The last axis of ``weight`` is filled up with 0 to a multiple of ``HALF``, and its last row and column are 0;
    ``outputs`` of it are channels. Row s of ``places`` says of sender s where the weights of its channel begin, which
    output channel is the first that it reaches, its row y and its column x. A sender in row y meets the output row that
    begins ``down_out[y, i]`` sums on (channels last) through the kernel row that begins ``down_tap[y, i]`` weights on;
    ``across`` likewise for columns. Every position has as many taps as the one with the most, so that no branch depends
    on where a sender is: those missing lead through the zeros.
    """

    weight: Values
    outputs: int
    places: Ints
    down_tap: Ints
    down_out: Ints
    across_tap: Ints
    across_out: Ints
