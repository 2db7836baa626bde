"""The ONNX operations that move elements about or make shapes, in numpy."""

from collections.abc import Mapping, Sequence

import numpy as np

from ranvier.frontends.onnx.model import Array, OnnxNode
from ranvier.frontends.onnx.ops import Arguments, Operation, axes_of, checked, given, optional


def _same(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    return (given(args, 0), np.ones(given(args, 0).shape, bool))


def target_shape(node: OnnxNode, shape: Sequence[int], wanted: Array) -> tuple[int, ...]:
    """The shape that Reshape asks for: 0 copies an axis (unless ``allowzero``), -1 is what is left."""
    keep = not node.integer("allowzero", 0)
    sizes = [int(shape[i]) if n == 0 and keep else int(n) for i, n in enumerate(wanted.ravel())]
    return tuple(sizes)


def _reshape(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value = given(args, 0)
    return (value.reshape(target_shape(node, value.shape, given(args, 1))),)


def _flatten(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value, axis = given(args, 0), node.integer("axis", 1)
    axis = axis + value.ndim if axis < 0 else axis
    return (value.reshape(int(np.prod(value.shape[:axis], dtype=np.int64)), -1),)


def _squeeze(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    return (np.squeeze(given(args, 0), axis=axes_of(node, args)),)


def _unsqueeze(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    return (np.expand_dims(given(args, 0), axis=axes_of(node, args) or ()),)


def _transpose(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    return (np.transpose(given(args, 0), node.integers("perm")),)


def _concat(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    arrays = [a for a in args if a is not None]
    if sum(a.size for a in arrays) > 2**24:
        raise ValueError("the result is too large")
    return (np.concatenate(arrays, axis=node.integer("axis", 0)),)


def _gather(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value, indices, axis = given(args, 0), given(args, 1), node.integer("axis", 0)
    checked((*value.shape[: axis % value.ndim], *indices.shape, *value.shape[axis % value.ndim + 1 :]))
    return (np.take(value, indices.astype(np.int64), axis=axis),)


def _slice(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value = given(args, 0)
    starts, ends = (given(args, i).ravel().tolist() for i in (1, 2))
    listed, strides = optional(args, 3), optional(args, 4)
    axes = list(range(len(starts))) if listed is None else listed.ravel().tolist()
    steps = [1] * len(starts) if strides is None else strides.ravel().tolist()
    cut = [slice(None)] * value.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # a stop before the first element, walking backwards, is None in Python
        stop = None if step < 0 and end < -value.shape[int(axis)] else int(end)
        cut[int(axis)] = slice(int(start), stop, int(step))
    return (value[tuple(cut)],)


def _split(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value, axis, listed = given(args, 0), node.integer("axis", 0), optional(args, 1)
    if listed is None:
        count = node.integer("num_outputs", len(node.outputs))
        return tuple(np.array_split(value, count, axis=axis)) if 0 < count <= value.shape[axis] else ()
    if int(listed.sum()) != value.shape[axis]:
        raise ValueError("the parts do not add up")
    return tuple(np.split(value, np.cumsum(listed.ravel())[:-1], axis=axis))


def _expand(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value = given(args, 0)
    shape = checked(np.broadcast_shapes(value.shape, checked(given(args, 1).ravel().tolist())))
    return (np.broadcast_to(value, shape),)


def _tile(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value, repeats = given(args, 0), [int(r) for r in given(args, 1).ravel()]
    checked([n * r for n, r in zip(value.shape, repeats, strict=True)])
    return (np.tile(value, repeats),)


def _pad(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value, pads, fill, listed = given(args, 0), given(args, 1).ravel(), optional(args, 2), optional(args, 3)
    if node.text("mode", "constant") != "constant":
        raise ValueError("only constant padding is known")
    axes = range(value.ndim) if listed is None else [int(a) % value.ndim for a in listed.ravel()]
    widths = [(0, 0)] * value.ndim
    for i, axis in enumerate(axes):
        widths[axis] = (int(pads[i]), int(pads[i + len(pads) // 2]))
    checked([n + lo + hi for n, (lo, hi) in zip(value.shape, widths, strict=True)])
    constant = 0 if fill is None else fill.reshape(()).item()
    return (np.pad(value, widths, constant_values=constant),)


def _shape(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    shape = given(args, 0).shape
    start, end = node.integer("start", 0), node.integer("end", len(shape))
    return (np.array(shape[start:end], np.int64),)


def _size(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    return (np.array(given(args, 0).size, np.int64),)


def _constant(node: OnnxNode, _args: Arguments) -> tuple[Array, ...]:
    for key, value in node.attributes.items():
        if key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
            array = np.asarray(value)
            return (array.astype(np.float64) if array.dtype.kind == "f" else array,)
    raise ValueError("it has no value")


def _constant_of_shape(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value = np.asarray(node.attributes.get("value", 0.0)).reshape(-1)
    shape: tuple[int, ...] = checked(given(args, 0).ravel().tolist())
    return (np.full(shape, value[0]),)


def _range(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    start, limit, delta = (given(args, i).reshape(()).item() for i in range(3))
    checked([max(0, int((limit - start) / delta) + 1)])
    return (np.arange(start, limit, delta),)


SHAPING: Mapping[str, Operation] = {
    "Identity": _same,
    "Dropout": _same,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
}
MAKING: Mapping[str, Operation] = {
    "Shape": _shape,
    "Size": _size,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
}
