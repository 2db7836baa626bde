"""The features of a frame in another order, some of them, copies, sums: matrices of ones, that folding absorbs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.linear import Linear, Sparse
from ranvier.frontends.torch.operations import Operations, chain
from ranvier.frontends.torch.values import Value

Places = NDArray[np.int64]


def places(shape: Shape) -> Places:
    """The flat place of every feature of a frame of ``shape``: indexing it like a tensor tells what goes where."""
    return np.arange(size(shape)).reshape(shape)


def gathered(ops: Operations, value: Value, taken: Places, name: str) -> Value:
    """Frames shaped like ``taken`` whose elements are those of ``value`` at these flat places."""
    shape, flat = tuple(taken.shape), np.ascontiguousarray(taken).reshape(-1)
    if np.array_equal(flat, np.arange(size(value.shape))):
        return _features(value, tuple(ops.reshape(frame, shape, name) for frame in value.frames), shape)
    return _matrix(ops, value, (flat, np.arange(flat.size + 1)), shape, name)


def summed(ops: Operations, value: Value, axes: Sequence[int], keep: bool, mean: bool, name: str) -> Value:
    """Sums, or means, along feature ``axes`` (from 0), which stay with length one where ``keep``."""
    at = places(value.shape)
    rest = [axis for axis in range(at.ndim) if axis not in axes]
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(at.shape) if keep or axis not in axes)
    count = size(tuple(at.shape[axis] for axis in axes))
    flat = at.transpose(*rest, *axes).reshape(-1)
    factor = 1.0 / count if mean else 1.0
    return _matrix(ops, value, (flat, np.arange(0, flat.size + 1, count)), shape, name, factor)


def _matrix(
    ops: Operations, value: Value, pattern: tuple[Places, Places], shape: Shape, name: str, factor: float = 1.0
) -> Value:
    columns, starts = pattern

    def make() -> tuple[Linear, ...]:
        return (Sparse(name, np.full(columns.size, factor), columns, starts, size(value.shape), shape),)

    key = ("features", name, value.shape, shape, columns.tobytes(), starts.tobytes(), factor)
    made = ops.once(key, make)
    return _features(value, tuple(chain(made, frame) for frame in value.frames), shape)


def _features(value: Value, frames: tuple[object, ...], shape: Shape) -> Value:
    """``frames`` with the axes of ``value``, but features of ``shape``, which stand together."""
    first, last = value.axes.index("F"), value.axes.rindex("F")
    return Value(frames, value.axes[:first] + "F" * len(shape) + value.axes[last + 1 :])  # type: ignore[arg-type]
