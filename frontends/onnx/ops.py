"""What each ONNX operation computes, in numpy: arithmetic, comparisons and reductions."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ranvier.frontends.onnx.model import Array, OnnxNode

MAX_ELEMENTS = 2**24
Arguments = Sequence[Array | None]
Operation = Callable[[OnnxNode, Arguments], tuple[Array, ...]]


def checked(shape: Iterable[int]) -> tuple[int, ...]:
    """``shape`` if it may be allocated; ``ValueError`` otherwise."""
    sizes = tuple(int(n) for n in shape)
    if min(sizes, default=1) < 0 or math.prod(sizes) > MAX_ELEMENTS or len(sizes) > 12:
        raise ValueError(f"a result of shape {sizes} is too large")
    return sizes


def given(args: Arguments, index: int) -> Array:
    """The argument ``index``, which must be there."""
    value = args[index] if index < len(args) else None
    if value is None:
        raise ValueError(f"input {index} is missing")
    return value


def optional(args: Arguments, index: int) -> Array | None:
    """The argument ``index``, None where it is absent."""
    return args[index] if index < len(args) else None


def axes_of(node: OnnxNode, args: Arguments, index: int = 1) -> tuple[int, ...] | None:
    """The axes given as an attribute or, in newer operator sets, as an input."""
    listed = optional(args, index)
    if listed is not None:
        return tuple(int(a) for a in listed.ravel())
    return node.integers("axes")


def _spread(args: Arguments) -> list[Array]:
    arrays = [a for a in args if a is not None]
    checked(np.broadcast_shapes(*(a.shape for a in arrays)))
    return arrays


def _unary(function: Callable[[Array], Array]) -> Operation:
    return lambda _node, args: (np.asarray(function(given(args, 0))),)


def _binary(function: Callable[[Array, Array], Array]) -> Operation:
    def run(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
        x, y = _spread(args)
        return (np.asarray(function(x, y)),)

    return run


def _many(function: Callable[[Array, Array], Array]) -> Operation:
    def run(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
        first, *rest = _spread(args)
        for other in rest:
            first = np.asarray(function(first, other))
        return (first,)

    return run


def _divide(x: Array, y: Array) -> Array:
    if x.dtype.kind == "f" or y.dtype.kind == "f":
        return np.asarray(x / y)
    return np.asarray(np.trunc(x / np.where(y == 0, 1, y)), np.int64)


def _clip(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    """The bounds are inputs, or, before operator set 11, attributes."""
    value, low, high = given(args, 0), optional(args, 1), optional(args, 2)
    least = node.number("min", -np.inf) if low is None else low.reshape(())
    most = node.number("max", np.inf) if high is None else high.reshape(())
    return (np.minimum(np.maximum(value, least), most),)


def _where(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    condition, x, y = _spread(args)
    return (np.where(condition.astype(bool), x, y),)


def cast(values: Array, kind: int) -> Array:
    """``values`` as float64, int64 or bool, whichever stands for the ONNX type ``kind``."""
    if kind == 9:
        return np.asarray(values != 0)
    if kind in (1, 10, 11, 16):
        return values.astype(np.float64)
    if kind not in (2, 3, 4, 5, 6, 7, 12, 13):
        raise ValueError(f"type {kind} is not known")
    return np.asarray(np.trunc(values) if values.dtype.kind == "f" else values, np.int64)


def _cast(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    return (cast(given(args, 0), node.integer("to", 1)),)


def _cast_like(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    kind = {"b": 9, "i": 7}.get(given(args, 1).dtype.kind, 1)
    return (cast(given(args, 0), kind),)


def _reduce(function: Callable[..., Array]) -> Operation:
    def run(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
        axes = axes_of(node, args)
        value = given(args, 0)
        if axes is None and node.integer("noop_with_empty_axes", 0):
            return (value,)
        return (np.asarray(function(value, axis=axes, keepdims=bool(node.integer("keepdims", 1)))),)

    return run


def _softmax(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value, axis = given(args, 0), node.integer("axis", -1)
    raised = np.exp(value - value.max(axis=axis, keepdims=True))
    result = raised / raised.sum(axis=axis, keepdims=True)
    return (np.log(result) if node.op == "LogSoftmax" else result,)


def _argmax(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    axis, keep = node.integer("axis", 0), bool(node.integer("keepdims", 1))
    return (np.asarray(np.argmax(given(args, 0), axis=axis, keepdims=keep)),)


def _trunc_mod(x: Array, y: Array) -> Array:
    return np.asarray(np.mod(x, y))


ARITHMETIC: Mapping[str, Operation] = {
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Mod": _binary(_trunc_mod),
    "Pow": _binary(np.power),
    "Greater": _binary(np.greater),
    "GreaterOrEqual": _binary(np.greater_equal),
    "Less": _binary(np.less),
    "LessOrEqual": _binary(np.less_equal),
    "Equal": _binary(np.equal),
    "And": _binary(np.logical_and),
    "Or": _binary(np.logical_or),
    "Xor": _binary(np.logical_xor),
    "Not": _unary(np.logical_not),
    "Sum": _many(np.add),
    "Min": _many(np.minimum),
    "Max": _many(np.maximum),
    "Neg": _unary(np.negative),
    "Abs": _unary(np.abs),
    "Sign": _unary(np.sign),
    "Floor": _unary(np.floor),
    "Ceil": _unary(np.ceil),
    "Round": _unary(np.rint),
    "Sqrt": _unary(np.sqrt),
    "Exp": _unary(np.exp),
    "Log": _unary(np.log),
    "Tanh": _unary(np.tanh),
    "Reciprocal": _unary(lambda x: np.asarray(1.0 / x)),
    "Sigmoid": _unary(lambda x: np.asarray(1.0 / (1.0 + np.exp(-x)))),
    "Relu": _unary(lambda x: np.maximum(x, 0)),
    "IsNaN": _unary(np.isnan),
    "Clip": _clip,
    "Where": _where,
    "Cast": _cast,
    "CastLike": _cast_like,
    "ReduceSum": _reduce(np.sum),
    "ReduceMean": _reduce(np.mean),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "ArgMax": _argmax,
}
