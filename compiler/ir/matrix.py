"""Every linear layer as a sparse matrix on flat vectors: the one definition of what each computes."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.chip import ChipSynapse, ConvSynapse, DenseSynapse
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Linear, Pool, Reshape, Scale, Sparse

Matrix: TypeAlias = Any
"""A scipy ``csr_array``; scipy carries no types."""


def linear_matrix(op: Linear) -> Matrix:
    """(outputs, inputs) float64 matrix of ``op`` without its bias."""
    if isinstance(op, Dense):
        return sparse.csr_array(op.weight)
    if isinstance(op, Sparse):
        return sparse.csr_array((op.data, op.indices, op.indptr), shape=(size(op.out_shape), op.in_size))
    if isinstance(op, Conv):
        return conv_matrix(op.weight, op.in_shape, op.out_shape, op.stride, op.padding, op.dilation, op.groups)
    if isinstance(op, ConvTranspose):
        pads = tuple((p, p) for p in op.padding)
        back = conv_matrix(op.weight, op.out_shape, op.in_shape, op.stride, pads, op.dilation, op.groups)
        return sparse.csr_array(back.T)
    if isinstance(op, Pool):
        value = 1.0 if op.kind == "sum" else 1.0 / size(op.kernel)
        weight = np.full((op.in_shape[0], 1, *op.kernel), value)
        return conv_matrix(weight, op.in_shape, op.out_shape, op.stride, op.padding, op.dilation, op.in_shape[0])
    if isinstance(op, Scale):
        return sparse.csr_array(sparse.diags_array(op.per_element(op.factor)))
    assert isinstance(op, Reshape)
    return sparse.csr_array(sparse.eye_array(op.in_size))


def linear_offset(op: Linear) -> FloatArray:
    """The constant that ``op`` adds to each output, flat."""
    if isinstance(op, Scale):
        return np.array(op.per_element(op.shift))
    bias = getattr(op, "bias", None)
    outputs = size(op.out_shape)
    if bias is None:
        return np.zeros(outputs)
    return np.repeat(bias, outputs // bias.size)


def synapse_matrix(synapse: ChipSynapse) -> Matrix:
    """(targets, sources) int64 matrix of a chip synapse, exponent not applied, without stored zeros."""
    if isinstance(synapse, DenseSynapse):
        return sparse.csr_array(synapse.weight.astype(np.int64))
    if isinstance(synapse, ConvSynapse):
        s = synapse
        weight = s.weight.astype(np.int64)
        return conv_matrix(weight, s.in_shape, s.out_shape, s.stride, s.padding, s.dilation, s.groups)
    data = synapse.data.astype(np.int64)
    stored = data, synapse.indices.copy(), synapse.indptr.copy()
    matrix = sparse.csr_array(stored, shape=(synapse.out_size, synapse.in_size))
    matrix.eliminate_zeros()
    return matrix


def conv_matrix(
    weight: NDArray[Any],
    in_shape: Shape,
    out_shape: Shape,
    stride: Shape,
    padding: tuple[tuple[int, int], ...],
    dilation: Shape,
    groups: int,
) -> Matrix:
    """The matrix of a cross-correlation: one pass over kernel positions, all windows of each at once."""
    kernel = weight.shape[2:]
    outputs = np.indices(out_shape[1:]).reshape(len(kernel), -1)
    rows, columns, values = [], [], []
    for position in np.ndindex(*kernel):
        axes = zip(outputs, position, stride, padding, dilation, strict=True)
        source = np.stack([o * s + k * d - lo for o, k, s, (lo, _), d in axes])
        limits = np.array(in_shape[1:])[:, None]
        inside = np.all((source >= 0) & (source < limits), axis=0)
        pixel_out = np.flatnonzero(inside)
        pixel_in = np.ravel_multi_index(tuple(source[:, inside]), in_shape[1:])
        taps = weight[(slice(None), slice(None), *position)]
        for channel_out, channel_in, value in _taps(taps, groups):
            rows.append(channel_out * size(out_shape[1:]) + pixel_out)
            columns.append(channel_in * size(in_shape[1:]) + pixel_in)
            values.append(np.full(pixel_out.size, value))
    shape = (size(out_shape), size(in_shape))
    if not rows:
        return sparse.csr_array(shape, dtype=weight.dtype)
    triplets = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_array(sparse.coo_array(triplets, shape=shape))


def _taps(taps: NDArray[Any], groups: int) -> list[tuple[int, int, Any]]:
    """(out channel, in channel, value) of every nonzero weight at one kernel position."""
    per_out, per_in = taps.shape[0] // groups, taps.shape[1]
    found = np.argwhere(taps != 0)
    return [(int(o), int(o) // per_out * per_in + int(i), taps[o, i]) for o, i in found]
