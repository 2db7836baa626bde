"""What a synapse can bring to each of its targets in one step, every sender at its worst."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.intervals import Interval
from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.chip import ChipSynapse, ConvSynapse, SparseSynapse
from ranvier.compiler.ir.matrix import synapse_matrix

EXACT = 2**53
"""Sums of integers whose magnitudes add up to less are exact in float64, in whatever order they are made."""


def spread(synapse: ChipSynapse, sent: Interval) -> Interval:
    """(targets,) least and most of the sums of ``synapse`` when its wires carry anything within ``sent`` (wires,).

    That is ``sum of max(w, 0) * low + min(w, 0) * high`` and the same with the ends exchanged. The products with dense
    layers and kernels are made in float64 where every sum is exact in it, else in int64.
    """
    largest = max(int(np.abs(sent.low).max(initial=0)), int(np.abs(sent.high).max(initial=0)))
    if isinstance(synapse, SparseSynapse) or _peak(synapse.weight) * largest >= EXACT:
        matrix = synapse_matrix(synapse)
        positive, negative = matrix.maximum(0), matrix.minimum(0)
        return Interval(positive @ sent.low + negative @ sent.high, positive @ sent.high + negative @ sent.low)
    ends = np.stack([sent.low, sent.high]).astype(np.float64)
    weight = synapse.weight
    if isinstance(synapse, ConvSynapse):
        up, down = (_convolved(synapse, part, ends) for part in (np.maximum(weight, 0), np.minimum(weight, 0)))
    else:
        up, down = (ends @ part.astype(np.float64).T for part in (np.maximum(weight, 0), np.minimum(weight, 0)))
    return Interval((up[0] + down[1]).astype(np.int64), (up[1] + down[0]).astype(np.int64))


def _peak(weight: NDArray[np.int32]) -> int:
    """The largest sum of absolute weights into one target."""
    return int(np.abs(weight.astype(np.int64)).reshape(weight.shape[0], -1).sum(axis=1).max(initial=0))


def _convolved(s: ConvSynapse, weight: NDArray[np.int32], frames: FloatArray) -> FloatArray:
    """(frames, targets) cross-correlation of ``frames`` (frames, wires) with ``weight``, position by position."""
    (_, *extents), (outputs, *pixels), kernel = s.in_shape, s.out_shape, weight.shape[2:]
    axes = tuple(zip(extents, pixels, kernel, s.stride, s.padding, s.dilation, strict=True))
    # beyond the last pixel as much as the windows ask for
    around = [(lo, max(0, (n - 1) * t + (k - 1) * d + 1 - lo - size)) for size, n, k, t, (lo, _), d in axes]
    grouped = frames.reshape(len(frames), s.groups, -1, *extents).transpose(1, 2, 0, 3, 4)
    padded = np.pad(grouped, ((0, 0), (0, 0), (0, 0), *around))
    taps = weight.reshape(s.groups, outputs // s.groups, -1, *kernel).astype(np.float64).transpose(3, 4, 0, 1, 2)
    found = np.zeros((s.groups, outputs // s.groups, len(frames) * pixels[0] * pixels[1]))
    for position in product(*map(range, kernel)):
        rows, columns = (
            slice(at * d, at * d + (n - 1) * t + 1, t) for at, (_, n, _, t, _, d) in zip(position, axes, strict=True)
        )
        seen = padded[..., rows, columns].reshape(s.groups, padded.shape[1], -1)
        found += taps[position] @ seen
    return found.reshape(outputs, len(frames), -1).transpose(1, 0, 2).reshape(len(frames), -1)
