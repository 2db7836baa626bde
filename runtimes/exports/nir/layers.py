"""Linear layers as NIR's nodes; what NIR has no node for becomes the matrix that it is.

A layer is written with the shape that NIR sees, which is flat after a matrix. Grouped convolutions are
written ungrouped, with zeros, for readers that cannot read them; padding that is larger on one side becomes
zeros in the kernel. All of these are exact.
"""

from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.linear import Conv, Dense, Linear, Pool, Reshape, Scale
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset
from ranvier.runtimes.exports.nir.neurons import Written
from ranvier.runtimes.exports.nir.readers import Reader

MAX_MATRIX = 2**24
"""Elements of a matrix written for a layer that NIR does not have."""

_UNEVEN = "nir 1.0 checks such a convolution as if its axes were alike: nir.read needs type_check=False"


def takes_flat(op: Linear, reader: Reader, arriving: Shape) -> bool:
    """Whether ``op`` is written as a matrix, which in NIR acts on a flat vector."""
    return _form(op, reader, arriving) == "matrix"


def layer(op: Linear, reader: Reader, arriving: Shape) -> tuple[Written, Shape]:
    """``op`` for input of shape ``arriving``, and the shape that leaves the node. Raises ``RanvierError`` RV684."""
    form = _form(op, reader, arriving)
    if form == "matrix":
        return _matrix(op, reader), (size(op.out_shape),)
    if isinstance(op, Reshape):
        return _reshape(op, arriving)
    if form == "conv":
        return _conv(_as_conv(op), reader, arriving), op.out_shape
    if isinstance(op, Pool):
        return _pool(op), op.out_shape
    assert isinstance(op, Scale)
    import nir  # noqa: PLC0415 - spares the start what only this export needs

    return Written(nir.Scale(op.per_element(op.factor).reshape(arriving).copy())), arriving


def _form(op: Linear, reader: Reader, arriving: Shape) -> str:
    """How ``op`` is written: ``matrix``, ``conv``, or as a node of its own kind."""
    if isinstance(op, Reshape):
        return "own"
    if isinstance(op, Conv):
        node = "Conv2d" if len(op.kernel) == 2 else "Conv1d"
        even = all(lo == hi for lo, hi in op.padding) or all(d == 1 for d in op.dilation)
        return "conv" if node in reader.types and even else "matrix"
    if isinstance(op, Pool) and len(op.kernel) == 2 and arriving == op.in_shape:
        node = "SumPool2d" if op.kind == "sum" else "AvgPool2d"
        plain = all(lo == hi for lo, hi in op.padding) and (node == "AvgPool2d" or reader.grouped)
        padded = any(lo or hi for lo, hi in op.padding)
        return "own" if node in reader.types and (plain or not padded) else "conv"
    if isinstance(op, Scale):
        if "Scale" in reader.types and not op.shift.any():
            return "own"
        per_channel = len(arriving) == 3 and arriving == op.shape and op.factor.size in (1, arriving[0])
        return "conv" if per_channel and op.shift.size in (1, arriving[0]) else "matrix"
    return "matrix"


def _matrix(op: Linear, reader: Reader) -> Written:
    import nir  # noqa: PLC0415 - spares the start what only this export needs

    if isinstance(op, Dense):
        weight, bias = op.weight, op.bias
    else:
        elements = size(op.out_shape) * op.in_size
        if elements > MAX_MATRIX:
            text = f"NIR has no node for this {type(op).__name__}, and its matrix has {elements} elements"
            fix = "split the layer, or replace it by a convolution of the network"
            raise error("RV684", op.name, f"{text}; at most {MAX_MATRIX} are written", fix, elements=elements)
        weight, offset = linear_matrix(op).toarray(), linear_offset(op)
        bias = offset if offset.any() else None
    if bias is None and "Linear" in reader.types:
        return Written(nir.Linear(stored(weight, reader)))
    bias = np.zeros(weight.shape[0]) if bias is None else np.broadcast_to(bias, weight.shape[:1])
    return Written(nir.Affine(stored(weight, reader), stored(bias, reader)))


def stored(values: FloatArray, reader: Reader) -> Any:
    """``values`` as float32 where that loses nothing, or where the reader has nothing else."""
    single = values.astype(np.float32)
    return single if reader.single or bool((single == values).all()) else values.copy()


def _as_conv(op: Linear) -> Conv:
    """A convolution that does what ``op`` does: itself, or a pool or a scale by channel."""
    if isinstance(op, Conv):
        return op
    if isinstance(op, Pool):
        value = 1.0 if op.kind == "sum" else 1.0 / size(op.kernel)
        weight = np.full((op.in_shape[0], 1, *op.kernel), value)
        return Conv(op.name, weight, op.in_shape, None, op.stride, op.padding, op.dilation, op.in_shape[0])
    assert isinstance(op, Scale)
    channels = op.shape[0]
    weight = np.broadcast_to(op.factor, (channels,)).reshape(channels, 1, 1, 1)
    return Conv(op.name, weight, op.shape, np.broadcast_to(op.shift, (channels,)), groups=channels)


def _conv(op: Conv, reader: Reader, arriving: Shape) -> Written:
    import nir  # noqa: PLC0415 - spares the start what only this export needs

    groups = op.groups if reader.grouped else 1
    weight = op.weight if groups == op.groups else _ungrouped(op)
    sides = tuple(max(pair) for pair in op.padding)
    more = [(side - lo, side - hi) for side, (lo, hi) in zip(sides, op.padding, strict=True)]
    weight = np.pad(weight, [(0, 0), (0, 0), *more])
    bias = np.zeros(weight.shape[0]) if op.bias is None else np.broadcast_to(op.bias, weight.shape[:1])
    values = (stored(weight, reader), op.stride, sides, op.dilation, groups, stored(bias, reader))
    losses = () if len(arriving) > 1 else ("a flat vector enters a convolution: only its spatial shape is stated",)
    if len(op.kernel) == 2:
        uneven = len({*weight.shape[2:]}) + len({*op.stride}) + len({*sides}) + len({*op.dilation}) > 4
        return Written(nir.Conv2d(op.in_shape[1:], *values), losses, (_UNEVEN,) if uneven else ())
    one = (values[0], op.stride[0], sides[0], op.dilation[0], groups, values[5])
    return Written(nir.Conv1d(op.in_shape[1], *one), losses)


def _ungrouped(op: Conv) -> FloatArray:
    """The weights of ``op`` over all input channels, zero outside each group."""
    per_out, per_in = op.weight.shape[0] // op.groups, op.weight.shape[1]
    full = np.zeros((op.weight.shape[0], op.in_shape[0], *op.kernel))
    for g in range(op.groups):
        rows, columns = slice(g * per_out, (g + 1) * per_out), slice(g * per_in, (g + 1) * per_in)
        full[rows, columns] = op.weight[rows]
    return full


def _pool(op: Pool) -> Written:
    import nir  # noqa: PLC0415 - spares the start what only this export needs

    kind = nir.SumPool2d if op.kind == "sum" else nir.AvgPool2d
    numbers = (op.kernel, op.stride, tuple(lo for lo, _ in op.padding))
    return Written(kind(*(np.array(values) for values in numbers)))


def _reshape(op: Reshape, arriving: Shape) -> tuple[Written, Shape]:
    """A Flatten of the axes that become one, counted from the last, which every importer reads alike.

    A reshape that is no flattening keeps its shape in NIR (one axis is "flattened").
    """
    axes = len(arriving)
    for start in range(axes):
        for end in range(start + 1, axes):
            merged = (*arriving[:start], size(arriving[start : end + 1]), *arriving[end + 1 :])
            if merged == op.out_shape:
                return flatten(arriving, start - axes, end - axes), merged
    return flatten(arriving, -1, -1), arriving


def flatten(shape: Shape, start: int = 0, end: int = -1) -> Written:
    """A Flatten of the axes ``start`` to ``end`` of ``shape``; from the first where nothing is said."""
    import nir  # noqa: PLC0415 - spares the start what only this export needs

    return Written(nir.Flatten({"input": np.array(shape)}, start or -len(shape), end))
