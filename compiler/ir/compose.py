"""Composition of two linear layers into one, in the cheapest form that is exact."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.linear import Conv, Dense, Linear, Reshape, Scale, Sparse, Synapse
from ranvier.compiler.ir.matrix import Matrix, linear_matrix


def compose(first: Linear, second: Linear) -> Linear:
    """The layer ``second(first(x))`` without biases, named after the one with weights of its own.

    Reshapes vanish, scales go into weights, a dense layer absorbs what stands before it, a depthwise
    convolution (a pool) goes into the kernel of a following convolution where its borders allow that; anything
    else becomes a sparse matrix.
    """
    if isinstance(first, Reshape) and not isinstance(second, Reshape | Scale):
        return second
    if isinstance(second, Reshape):
        return first
    if _drops(first) or _drops(second):
        return _reduced(first, second)
    if isinstance(second, Scale) and isinstance(first, Dense | Conv):
        scaled = _scale_outputs(first, second)
        if scaled is not None:
            return scaled
    if isinstance(first, Scale) and isinstance(second, Conv):
        scaled = _scale_inputs(first, second)
        if scaled is not None:
            return scaled
    if isinstance(second, Dense):
        return Dense(second.name, np.asarray((linear_matrix(first).T @ second.weight.T).T))
    if isinstance(first, Conv) and isinstance(second, Conv) and _kernels_compose(first, second):
        return _compose_kernels(first, second)
    return sparse_layer(_main_name(first, second), linear_matrix(second) @ linear_matrix(first), second.out_shape)


def selection(name: str, kept: NDArray[np.bool_], shape: Shape) -> Sparse:
    """Lets the elements ``kept`` (flat) of a frame of ``shape`` pass, and zeros in the place of the others."""
    columns = np.flatnonzero(kept)
    return Sparse(name, np.ones(columns.size), columns, np.concatenate([[0], np.cumsum(kept)]), kept.size, shape)


def sparse_layer(name: str, matrix: Matrix, out_shape: tuple[int, ...]) -> Sparse:
    """A sparse layer from a scipy matrix, columns in order, explicit zeros dropped."""
    rows = matrix.tocsr()
    rows.sum_duplicates()
    rows.eliminate_zeros()
    rows.sort_indices()
    return Sparse(name, rows.data, rows.indices, rows.indptr, rows.shape[1], out_shape)


def as_synapse(op: Linear) -> Synapse:
    """``op`` as one of the layers that can be synapses; scales and reshapes become diagonal matrices."""
    if isinstance(op, Dense | Sparse | Conv):
        return op
    return sparse_layer(op.name, linear_matrix(op), op.out_shape)


def _drops(op: Linear) -> bool:
    """Whether ``op`` passes some elements of its input in their places, and no others: one branch of a delay."""
    if not isinstance(op, Sparse) or op.in_size != size(op.out_shape) or op.data.size >= op.in_size:
        return False
    rows = np.repeat(np.arange(op.in_size), np.diff(op.indptr))
    return bool(np.all(op.data == 1.0)) and bool(np.array_equal(rows, op.indices))


def _reduced(first: Linear, second: Linear) -> Sparse:
    """The product as a sparse matrix; integer weights keep their grid, because they are the same numbers."""
    kept = first if _drops(second) else second
    made = sparse_layer(kept.name, linear_matrix(second) @ linear_matrix(first), second.out_shape)
    return replace(made, grid=getattr(kept, "grid", None))


def _main_name(first: Linear, second: Linear) -> str:
    weightless = isinstance(second, Scale | Reshape)
    return first.name if weightless and not isinstance(first, Scale | Reshape) else second.name


def _scale_outputs(op: Dense | Conv, scale: Scale) -> Dense | Conv | None:
    """``op`` with its outputs scaled; None where a shared kernel cannot take a factor per element."""
    if isinstance(op, Dense):
        return Dense(op.name, op.weight * scale.per_element(scale.factor)[:, None])
    factor = _per_channel(scale, op.weight.shape[0])
    return None if factor is None else _with_kernel(op, op.weight * factor[:, None, None, None])


def _scale_inputs(scale: Scale, op: Conv) -> Conv | None:
    factor = _per_channel(scale, op.in_shape[0])
    if factor is None:
        return None
    per_group = factor.reshape(op.groups, -1)
    spread = np.repeat(per_group, op.weight.shape[0] // op.groups, axis=0)
    return _with_kernel(op, op.weight * spread[:, :, None, None])


def _per_channel(scale: Scale, channels: int) -> np.ndarray | None:
    factor = scale.factor.reshape(-1)
    if factor.size == 1:
        return np.full(channels, factor[0])
    if factor.size == channels:
        return factor
    by_channel = scale.per_element(scale.factor).reshape(channels, -1)
    return by_channel[:, 0] if bool((by_channel == by_channel[:, :1]).all()) else None


def _with_kernel(op: Conv, weight: np.ndarray) -> Conv:
    return Conv(op.name, weight, op.in_shape, None, op.stride, op.padding, op.dilation, op.groups)


def _kernels_compose(first: Conv, second: Conv) -> bool:
    """Whether ``first`` is depthwise and gives zero wherever ``second`` pads (or ``second`` does not pad)."""
    if first.groups != first.in_shape[0] or first.weight.shape[0] != first.in_shape[0]:
        return False
    for axis, padding in enumerate(second.padding):
        tiles = (
            first.kernel[axis] <= first.stride[axis]
            and first.padding[axis] == (0, 0)
            and first.dilation[axis] == 1
            and first.in_shape[1 + axis] % first.stride[axis] == 0
        )
        if padding != (0, 0) and not tiles:
            return False
    return True


def _compose_kernels(first: Conv, second: Conv) -> Conv:
    """One convolution: taps of ``second`` spread by the stride of ``first``, each replaced by its kernel."""
    axes = range(2)
    step = [first.stride[a] * second.dilation[a] for a in axes]
    span = [(first.kernel[a] - 1) * first.dilation[a] + step[a] * (second.kernel[a] - 1) + 1 for a in axes]
    outputs, per_group = second.weight.shape[:2]
    group = np.arange(outputs) // (outputs // second.groups)
    weight = np.zeros((outputs, per_group, *span))
    for y, x in np.ndindex(*second.kernel):
        for dy, dx in np.ndindex(*first.kernel):
            taps = first.weight[:, 0, dy, dx].reshape(second.groups, per_group)[group]
            at = (y * step[0] + dy * first.dilation[0], x * step[1] + dx * first.dilation[1])
            weight[:, :, at[0], at[1]] += second.weight[:, :, y, x] * taps
    return Conv(
        second.name,
        weight,
        first.in_shape,
        None,
        tuple(first.stride[a] * second.stride[a] for a in axes),
        tuple(_padding(first, second, a, span[a]) for a in axes),
        (1, 1),
        second.groups,
    )


def _padding(first: Conv, second: Conv, axis: int, span: int) -> tuple[int, int]:
    """Padding that gives the composed convolution exactly the outputs of the second; symmetric if possible."""
    before = first.padding[axis][0] + first.stride[axis] * second.padding[axis][0]
    stride, length, outputs = (
        first.stride[axis] * second.stride[axis],
        first.in_shape[1 + axis],
        second.out_shape[1 + axis],
    )
    if (length + 2 * before - span) // stride + 1 == outputs:
        return before, before
    return before, (outputs - 1) * stride + span - before - length
