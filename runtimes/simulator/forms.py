"""Synapses in the form that the kernels scatter from, what each sender reaches, and when nothing can wrap."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, ChipSynapse, Connection, ConvSynapse, DenseSynapse
from ranvier.compiler.ir.linear import Conv, Dense, Sparse, Synapse
from ranvier.runtimes.simulator.layouts import ConvForm, DenseForm, Rule, SparseForm
from ranvier.runtimes.simulator.memory import aligned
from ranvier.runtimes.simulator.vectors import HALF, TOGETHER, WIDTH

Values = NDArray[Any]
Ints = NDArray[np.int64]
Form = DenseForm | SparseForm | ConvForm

REGISTER_BITS = 32


@dataclass(frozen=True, eq=False)
class Scatter:
    """A synapse ready to run.

    ``fan_out`` (sources,) counts the weights of each wire of the source, in the source's own order; ``peak`` bounds
    what senders of values within -1..1 can sum up to at any target.
    """

    form: Form
    fan_out: NDArray[np.int64]
    peak: float

    @cached_property
    def pairs(self) -> Values:
        """Dense weights as products take them: (tiles, pairs of wires, WIDTH, 2) int16; empty where they do not fit."""
        if not isinstance(self.form, DenseForm) or self.form.tiles.dtype not in (np.int8, np.int16):
            return np.zeros(0, np.int16)
        tiles, rows, _ = self.form.tiles.shape
        padded = np.zeros((tiles, rows + rows % 2, WIDTH), np.int16)
        padded[:, :rows] = self.form.tiles
        paired = padded.reshape(tiles, -1, 2, WIDTH).transpose(0, 1, 3, 2)
        found = aligned(paired.shape, np.int16)
        found[:] = paired
        return found


@dataclass(frozen=True)
class _Geometry:
    """A convolution over two axes, whatever it came from."""

    in_shape: Shape
    out_shape: Shape
    stride: Shape
    padding: tuple[tuple[int, int], ...]
    dilation: Shape
    groups: int


@dataclass(frozen=True, eq=False)
class Ends:
    """The order of a connection's wires: place k of its source is the source's wire ``source[k]``; targets likewise."""

    source: Ints
    target: Ints


def channels_last(shape: Shape) -> Ints:
    """The order of ``shape`` (channels, ...) in which all channels of a pixel stand together."""
    order: Ints = np.arange(size(shape), dtype=np.int64).reshape(shape[0], -1).T.reshape(-1)
    return order


def chip_scatter(synapse: ChipSynapse, ends: Ends) -> Scatter:
    """The scatter form of integer weights, in few bits where they fit."""
    if isinstance(synapse, DenseSynapse):
        return _dense(synapse.weight, ends)
    if isinstance(synapse, ConvSynapse):
        s = synapse
        geometry = _Geometry(s.in_shape, s.out_shape, s.stride, s.padding, s.dilation, s.groups)
        if np.array_equal(ends.target, channels_last(s.out_shape)):
            return _conv(s.weight, geometry, ends)
        return _sparse(*_rows_of(s), ends)
    return _sparse(synapse.data, synapse.indices, synapse.indptr, ends)


def float_scatter(op: Synapse, ends: Ends) -> Scatter:
    """The scatter form of float64 weights; a convolution over one axis becomes one over two."""
    if isinstance(op, Dense):
        return _dense(op.weight, ends)
    if isinstance(op, Sparse):
        return _sparse(op.data, op.indices, op.indptr, ends)
    assert isinstance(op, Conv)
    if not np.array_equal(ends.target, channels_last(op.out_shape)):
        return _sparse(*_rows_of(op), ends)
    geometry = _Geometry(op.in_shape, op.out_shape, op.stride, op.padding, op.dilation, op.groups)
    if len(op.kernel) == 2:
        return _conv(op.weight, geometry, ends)
    flat_in, flat_out = (op.in_shape[0], 1, op.in_shape[1]), (op.out_shape[0], 1, op.out_shape[1])
    across = _Geometry(flat_in, flat_out, (1, op.stride[0]), ((0, 0), op.padding[0]), (1, op.dilation[0]), op.groups)
    return _conv(op.weight[:, :, None, :], across, ends)


def rule(connection: Connection, peak: float) -> Rule:
    """(largest safe ``|value|``, accumulator bits, exponent) of ``connection`` whose weights sum up to ``peak``."""
    bits = ACCUMULATOR_BITS[connection.synapse.kind]
    largest = (2 ** (REGISTER_BITS - 1) - 1) >> max(connection.exponent, 0)
    limit = min(largest, 2 ** (bits - 1) - 1)
    return limit // max(int(peak), 1), bits, connection.exponent


def delivered(rule: Rule, peak: float, largest: int) -> int:
    """The largest magnitude of what a connection delivers whose senders have messages of up to ``largest``."""
    _, register, exponent = rule
    total = min(int(peak) * largest, 2 ** (register - 1))
    shifted = total << exponent if exponent > 0 else -(-total >> -exponent)
    return int(min(shifted, 2 ** (REGISTER_BITS - 1)))


def _dense(weight: Values, ends: Ends) -> Scatter:
    """Tiles of WIDTH targets; integers without the power of two that all share, in as few bits as hold them.

    784 senders at 10 % onto 512 targets take 0.40 us a step in int8, 0.73 us in int16 (Zen 5, one thread).
    """
    whole = weight.dtype.kind == "i"
    shift = _common_shift(weight) if whole else 0
    fan_out, weight = np.count_nonzero(weight, axis=0), weight[np.ix_(ends.target, ends.source)]
    small = _small(weight >> shift) if whole else weight
    tiles = -(-weight.shape[0] // WIDTH)
    padded = aligned((tiles, weight.shape[1] + 1, WIDTH), small.dtype)
    for tile, columns in enumerate(padded):
        rows = small[tile * WIDTH : (tile + 1) * WIDTH]
        columns[:-1, : len(rows)] = rows.T
    form = DenseForm(padded, shift, _rows(small) if whole else 2**31)
    return Scatter(form, fan_out, _peak(np.abs(_wide(weight)).sum(axis=1)))


def _common_shift(weight: Values) -> int:
    """The largest power of two that divides all weights: the even weights of signed synapses need a bit less."""
    bits = int(np.bitwise_or.reduce(weight, axis=None)) if weight.size else 0
    return (bits & -bits).bit_length() - 1 if bits else 0


def _small(weight: Values) -> Values:
    """Integers in the narrowest type that holds them and, in 16 bits, the sums of many of them."""
    if weight.min(initial=0) >= -(2**7) and weight.max(initial=0) < 2**7:
        return weight.astype(np.int8)
    return weight.astype(np.int16 if _largest(weight) < 2**11 else np.int32)


def _rows(weight: Values) -> int:
    """How many weights are added in the type in which ``add_lists`` makes its sums."""
    if weight.dtype == np.int32:
        return 2**31
    return int((2**15 - 1) // max(1, _largest(weight))) // TOGETHER * TOGETHER


def _sparse(data: Values, indices: Values, indptr: Values, ends: Ends) -> Scatter:
    into, out_of = np.argsort(ends.target), np.argsort(ends.source)
    held = data != 0
    targets = into[np.repeat(np.arange(indptr.size - 1), np.diff(indptr))[held]]
    data, senders = data[held], out_of[indices[held]]
    order = np.argsort(senders, kind="stable")
    fan_out = np.bincount(senders, minlength=ends.source.size).astype(np.int64)
    start = np.concatenate([[0], np.cumsum(fan_out)]).astype(np.int64)
    sums = np.bincount(targets, np.abs(_wide(data)), max(1, indptr.size - 1))
    form = SparseForm(_narrow(data)[order], targets[order].astype(np.int64), start)
    return Scatter(form, fan_out[out_of], _peak(sums))


def _rows_of(convolution: ConvSynapse | Conv) -> tuple[Values, Values, Values]:
    """A convolution as compressed rows of its weights that are not 0."""
    from ranvier.compiler.ir.matrix import linear_matrix, synapse_matrix  # noqa: PLC0415 - loads scipy

    rows = (synapse_matrix(convolution) if isinstance(convolution, ConvSynapse) else linear_matrix(convolution)).tocsr()
    rows.eliminate_zeros()
    return rows.data, rows.indices, rows.indptr


def _conv(weight: Values, g: _Geometry, ends: Ends) -> Scatter:
    outputs, per_group = weight.shape[0] // g.groups, weight.shape[1]
    grouped = weight.reshape(g.groups, outputs, *weight.shape[1:]).transpose(0, 2, 3, 4, 1)
    kernels = np.array(_narrow(grouped.reshape(g.in_shape[0], *weight.shape[2:], outputs)), order="C")
    channels, rows, columns, _ = kernels.shape
    padded = aligned((channels, rows + 1, columns + 1, -(-outputs // HALF) * HALF), kernels.dtype)
    padded[:, :rows, :columns, :outputs] = kernels
    down, across = _reach(g, 0, rows), _reach(g, 1, columns)
    places = np.zeros((*g.in_shape, 4), np.int64)
    channel, places[..., 2], places[..., 3] = np.indices(g.in_shape)
    places[..., 0], places[..., 1] = channel * (padded[0].size), channel // per_group * outputs
    fan_out = np.einsum(
        "cij,yi,xj->cyx", np.count_nonzero(kernels, axis=3), _met(down[0], rows), _met(across[0], columns)
    )
    peak = _peak(np.abs(_wide(weight)).reshape(weight.shape[0], -1).sum(axis=1))
    all_channels, out_width = weight.shape[0], g.out_shape[2]
    reach = (
        down[0] * padded[0, 0].size,
        down[1] * (out_width * all_channels),
        across[0] * padded.shape[3],
        across[1] * all_channels,
    )
    placed = np.ascontiguousarray(places.reshape(-1, 4)[ends.source])
    form = ConvForm(padded, outputs, placed, *map(np.ascontiguousarray, reach))
    return Scatter(form, fan_out.reshape(-1), peak)


def _reach(g: _Geometry, axis: int, kernel: int) -> tuple[Values, Values]:
    """(positions, taps) the kernel taps that bring each input position to an output position, and these positions.

    Where a position has fewer than others, the rest is tap ``kernel``, which is none, to an output that it reaches.
    """
    position, tap = np.mgrid[: g.in_shape[axis + 1], :kernel]
    shifted = position + g.padding[axis][0] - tap * g.dilation[axis]
    output = shifted // g.stride[axis]
    met = (shifted % g.stride[axis] == 0) & (output >= 0) & (output < g.out_shape[axis + 1])
    order = np.argsort(~met, axis=1, kind="stable")[:, : met.sum(axis=1).max(initial=0)]
    met, tap, output = (np.take_along_axis(values, order, axis=1) for values in (met, tap, output))
    somewhere = np.where(met, output, 0).max(axis=1, initial=0, keepdims=True)
    return np.where(met, tap, kernel).astype(np.int64), np.where(met, output, somewhere).astype(np.int64)


def _met(taps: Values, kernel: int) -> Values:
    """(positions, kernel) 1 where an input position meets a kernel tap."""
    met: Values = (taps[:, :, None] == np.arange(kernel)).sum(axis=1)
    return met


def _narrow(weight: Values) -> Values:
    return weight.astype(np.int16) if weight.dtype.kind == "i" and _largest(weight) < 2**15 else weight


def _wide(weight: Values) -> Values:
    return weight.astype(np.int64 if weight.dtype.kind == "i" else np.float64)


def _largest(weight: Values) -> float:
    return float(np.abs(_wide(weight)).max(initial=0))


def _peak(sums: Values) -> float:
    return float(sums.max(initial=0))
