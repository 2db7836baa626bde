"""The features of a frame in another order, some of them, copies, sums: matrices of ones, that folding absorbs."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.linear import Linear, Reshape, Sparse
from ranvier.compiler.ir.network import Neurons
from ranvier.frontends.torch.operations import Operations, chain
from ranvier.frontends.torch.values import Apply, Expr, Sum, Value, add

Places = NDArray[np.int64]


def places(shape: Shape) -> Places:
    """The flat place of every feature of a frame of ``shape``: indexing it like a tensor tells what goes where."""
    return np.arange(size(shape)).reshape(shape)


def gathered(ops: Operations, value: Value, taken: Places, name: str) -> Value:
    """Frames shaped like ``taken`` whose elements are those of ``value`` at these flat places."""
    shape, flat = tuple(taken.shape), np.ascontiguousarray(taken).reshape(-1)
    frames = tuple(_gathered(ops, frame, flat, shape, name) for frame in value.frames)
    return _features(value, frames, shape)


def _gathered(ops: Operations, expr: Expr, flat: Places, shape: Shape, name: str) -> Expr:
    """One frame; what is picked from what was picked is picked once, and relays change their order themselves.

    A permutation in front of a relay costs nothing, one behind it would make a matrix of the layer that follows.
    """
    if np.array_equal(flat, np.arange(size(expr.shape))):
        return ops.reshape(expr, shape, name)
    if isinstance(expr, Apply) and isinstance(expr.op, Reshape):
        return _gathered(ops, expr.arg, flat, shape, name)
    if isinstance(expr, Apply) and isinstance(expr.op, Sparse) and _picks_one(expr.op):
        return _gathered(ops, expr.arg, expr.op.indices[flat], shape, name)
    key = ("gathered", name, expr.shape, shape, flat.tobytes())
    if isinstance(expr, Apply) and isinstance(expr.op, Neurons) and np.unique(flat).size == size(expr.shape):
        relay = expr.op
        moved = ops.once((*key, id(relay)), lambda: (replace(relay, shape=shape),))
        terms = expr.arg.terms if isinstance(expr.arg, Sum) else (expr.arg,)
        return chain(moved, add(tuple(_gathered(ops, term, flat, shape, name) for term in terms)))

    def make() -> tuple[Linear, ...]:
        return (Sparse(name, np.ones(flat.size), flat, np.arange(flat.size + 1), size(expr.shape), shape),)

    return chain(ops.once(key, make), expr)


def _picks_one(op: Sparse) -> bool:
    """Whether every element of the result is one element of the input."""
    return bool(np.all(op.data == 1.0)) and bool(np.all(np.diff(op.indptr) == 1))


def summed(ops: Operations, value: Value, axes: Sequence[int], keep: bool, mean: bool, name: str) -> Value:
    """Sums, or means, along feature ``axes`` (from 0), which stay with length one where ``keep``."""
    at = places(value.shape)
    rest = [axis for axis in range(at.ndim) if axis not in axes]
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(at.shape) if keep or axis not in axes)
    count = size(tuple(at.shape[axis] for axis in axes))
    flat = at.transpose(*rest, *axes).reshape(-1)
    factor = 1.0 / count if mean else 1.0
    return _matrix(ops, value, (flat, np.arange(0, flat.size + 1, count)), shape, name, factor)


def cumulated(ops: Operations, value: Value, axis: int, name: str) -> Value:
    """Running sums along a feature ``axis``: each position with all before it, as causal attention takes tokens."""
    flat, stride = places(value.shape).reshape(-1), size(value.shape[axis + 1 :])
    ahead = flat // stride % value.shape[axis]
    starts = np.concatenate([[0], np.cumsum(ahead + 1)])
    back = np.repeat(starts[1:] - 1, ahead + 1) - np.arange(starts[-1])
    return _matrix(ops, value, (np.repeat(flat, ahead + 1) - stride * back, starts), value.shape, name)


def _matrix(
    ops: Operations, value: Value, pattern: tuple[Places, Places], shape: Shape, name: str, factor: float = 1.0
) -> Value:
    columns, starts = pattern

    def make() -> tuple[Linear, ...]:
        return (Sparse(name, np.full(columns.size, factor), columns, starts, size(value.shape), shape),)

    key = ("features", name, value.shape, shape, columns.tobytes(), starts.tobytes(), factor)
    made = ops.once(key, make)
    return _features(value, tuple(chain(made, frame) for frame in value.frames), shape)


def _features(value: Value, frames: tuple[Expr, ...], shape: Shape) -> Value:
    """``frames`` with the axes of ``value``, but features of ``shape``, which stand together."""
    first, last = value.axes.index("F"), value.axes.rindex("F")
    return Value(frames, value.axes[:first] + "F" * len(shape) + value.axes[last + 1 :])
