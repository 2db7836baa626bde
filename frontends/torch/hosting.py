"""Handlers of what only a host computes: softmax, activations, norms, products of real signals, as islands."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, compact, floats, size
from ranvier.compiler.ir.hosted import HostFunction, HostKind
from ranvier.compiler.ir.linear import Reshape, Scale
from ranvier.frontends.torch import gates, layers, products
from ranvier.frontends.torch.binary import NotBinaryError
from ranvier.frontends.torch.calls import Call, Result
from ranvier.frontends.torch.capture import Watched, short_name
from ranvier.frontends.torch.islands import Rows, Use, newest, rows_of, uneven
from ranvier.frontends.torch.operations import Operations
from ranvier.frontends.torch.problems import mixes, not_linear
from ranvier.frontends.torch.values import Apply, Expr, Meaning, Value, add, leaves, sendable

Allowed = NDArray[np.bool_]
Side = tuple[Value, list[Rows] | None]
"""An argument, and the rows of each of its frames as they were recorded, if they were."""
BEYOND = frozenset({"RV247", "RV248"})
"""Refusals of products that the host takes over: too many neurons, and signals that are no spikes."""


@dataclass(frozen=True, eq=False)
class _Result:
    """The function that a call is, but for its name, and the axes of what it gives."""

    kind: HostKind
    out_shape: Shape
    axes: str
    options: Mapping[str, float]
    constants: Mapping[str, FloatArray]


def softmax(call: Call, x: Value, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Result:
    """``softmax`` along a feature axis, also of a signal with a constant mask of minus infinity."""
    del dtype
    if dim is None or x.axes[dim % len(x.axes)] != "F":
        raise mixes(call.site, "softmax along an axis that is no feature axis")
    axis = x.axes[: dim % len(x.axes)].count("F")
    parts = [_unmasked(call.ops, frame) for frame in x.frames]
    allowed = parts[0][1]
    if any(not np.array_equal(other, allowed) for _, other in parts):
        raise uneven(call.site, "softmax", "has masks that differ between steps")
    if not bool(allowed.reshape(x.shape).any(axis=axis).all()):
        text = "the mask of this softmax leaves nothing of a row, which torch makes not a number."
        raise error("RV734", str(call.site), text, "Let every row attend to something, to itself at least.")
    mask = floats(1.0) if allowed.all() else floats(allowed.reshape(x.shape))
    result = _Result("softmax", x.shape, x.axes, {"axis": axis}, {"allowed": mask})
    bare = Value(tuple(frame for frame, _ in parts), x.axes)
    return _sent(call, result, [(bare, _recorded(call, x))])


def elementwise(kind: HostKind) -> Callable[..., Result]:
    """The handler of a function of single numbers without options."""

    def handler(call: Call, x: Value, inplace: bool = False) -> Result:
        del inplace
        return _sent(call, _Result(kind, x.shape, x.axes, {}, {}), [(x, _recorded(call, x))])

    return handler


def gelu(call: Call, x: Value, approximate: str = "none") -> Result:
    """``gelu``, exact or with ``tanh``."""
    options = {"tanh": float(approximate == "tanh")}
    return _sent(call, _Result("gelu", x.shape, x.axes, options, {}), [(x, _recorded(call, x))])


def layer_norm(
    call: Call,
    x: Value,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    _cudnn_enable: bool = True,
) -> Result:
    """``layer_norm`` over the last feature axes."""
    return _norm(call, "layer_norm", x, normalized_shape, {"weight": weight, "bias": bias}, eps)


def rms_norm(
    call: Call, x: Value, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Result:
    """``rms_norm`` over the last feature axes; without ``eps``, the step of the numbers at 1."""
    smallest = torch.finfo(call.event.seen[0].dtype).eps if eps is None else eps
    return _norm(call, "rms_norm", x, normalized_shape, {"weight": weight}, smallest)


def _norm(call: Call, kind: HostKind, x: Value, over: Sequence[int], given: Mapping[str, Any], eps: float) -> Result:
    inner = tuple(over)
    if not x.axes.endswith("F" * len(inner)) or x.shape[len(x.shape) - len(inner) :] != inner:
        raise mixes(call.site, f"{kind} over axes that are not the last feature axes")
    constants = {}
    for name, values in given.items():
        if isinstance(values, Value):
            raise not_linear(call.site, f"{kind} with a {name} that depends on the input")
        fixed = np.full(inner, float(name == "weight")) if values is None else layers.numbers(values).reshape(inner)
        constants[name] = floats(fixed)
    options = {"axes": float(len(inner)), "eps": float(eps)}
    return _sent(call, _Result(kind, x.shape, x.axes, options, constants), [(x, _recorded(call, x))])


def product(call: Call, x: Value, y: Value) -> Result:
    """``x * y`` of two signals: spikes on the chip, a neuron's own reset, else the host, where it may be used."""
    try:
        return products.elementwise(call, x, y)
    except NotBinaryError:
        pass
    except RanvierError as refused:
        if call.ops.islands is None or refused.diagnostics[0].code not in BEYOND:
            raise
    if call.ops.islands is None or gates.resets(x, y):
        return gates.product(call, x, y)
    return _of_two(call, "product", x, y)


def _of_two(call: Call, kind: HostKind, x: Value, y: Value) -> Value:
    """A function of single numbers of two signals, features broadcast."""
    sides = [(x, _recorded(call, x)), (y, _recorded(call, y))]
    left, right = products.alike(call, x, y)
    if len(left.shape) != len(right.shape):
        raise mixes(call.site, f"a {kind} of frames of shapes {list(x.shape)} and {list(y.shape)}")
    shape = np.broadcast_shapes(left.shape, right.shape)
    return _sent(call, _Result(kind, shape, left.axes, {}, {}), _repeated(sides, (left, right)))


def power(call: Call, x: Value, exponent: Any) -> Result:
    """``x`` squared, its roots and their inverses, its inverse."""
    named: Mapping[Any, HostKind] = {0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    if isinstance(exponent, Value) or exponent not in {2, *named}:
        raise not_linear(call.site, f"a power of {exponent}" if isinstance(exponent, int | float) else "this power")
    return product(call, x, x) if exponent == 2 else elementwise(named[exponent])(call, x)


def square(call: Call, x: Value) -> Result:
    """``x * x``."""
    return product(call, x, x)


def quotient(call: Call, x: Value, y: Value) -> Result:
    """``x / y`` of two signals: the host, where it may be used."""
    if call.ops.islands is None:
        raise not_linear(call.site, "a division by a signal", helps(call, (x, y)))
    return _of_two(call, "quotient", x, y)


def matrix(call: Call, x: Value, y: Value) -> Result:
    """``x @ y`` of two signals: spikes on the chip, else the host, where it may be used."""
    try:
        return products.matrix(call, x, y)
    except RanvierError as refused:
        if call.ops.islands is None or refused.diagnostics[0].code not in BEYOND:
            raise
    sides = [(x, _recorded(call, x)), (y, _recorded(call, y))]
    left, right = products.alike(call, x, y)
    shape = (*np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), left.shape[-2], right.shape[-1])
    axes = left.axes.rstrip("F") + "F" * len(shape)
    return _sent(call, _Result("matrix_product", shape, axes, {}, {}), _repeated(sides, (left, right)))


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor | None:
    """``scaled_dot_product_attention`` in parts, ``softmax(q k' scale + mask) v``; None where more is asked for."""
    if dropout_p or enable_gqa:
        return None
    scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, -1) @ v


def helps(call: Call, arguments: Sequence[Meaning]) -> bool:
    """Whether the host would compute this call of ``arguments``, if it were to be used."""
    name, signals = short_name(call.event.name), [value for value in arguments if isinstance(value, Value)]
    return call.ops.islands is None and name in {*HANDLERS, *WATCHED.parted} and sendable(*signals)


HANDLERS: Mapping[str, Callable[..., Result]] = {
    "softmax": softmax,
    "gelu": gelu,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "silu": elementwise("silu"),
    "sigmoid": elementwise("sigmoid"),
    "tanh": elementwise("tanh"),
    "relu": elementwise("relu"),
    "exp": elementwise("exp"),
    "sqrt": elementwise("sqrt"),
    "rsqrt": elementwise("rsqrt"),
    "reciprocal": elementwise("reciprocal"),
    "pow": power,
    "square": square,
}
OF_TWO = ("mul", "rmul", "imul", "multiply", "div", "truediv", "divide", "true_divide", "matmul", "mm", "bmm", "einsum")
WATCHED = Watched(
    frozenset({*HANDLERS, *OF_TWO}),
    {"scaled_dot_product_attention": attention},
)


def _sent(call: Call, result: _Result, sides: Sequence[Side]) -> Value:
    """What an island gives for each frame of its arguments, which come with their recorded rows."""
    values = [value for value, _ in sides]
    if not sendable(*values):
        raise not_linear(call.site, f"{result.kind} of a membrane, or of a sum over time,")
    assert call.ops.islands is not None, "islands are for the host alone"
    shapes = tuple(value.shape for value in values)
    name = call.name(result.kind)
    function = HostFunction(name, result.kind, shapes, result.out_shape, result.options, result.constants)
    frames = [_joined(call.ops, parts, name) for parts in zip(*(v.frames for v in values), strict=True)]
    shown = rows_of(call.event.seen[0], result.axes, len(frames), call.ops.batch)
    recorded = [rows for _, rows in sides if rows is not None]
    whole = zip(*recorded, strict=True) if len(recorded) == len(sides) else ()
    given = [np.concatenate(parts, axis=1) for parts in whole]
    sent = []
    for at, (frame, step) in enumerate(zip(frames, _steps(call, result.kind, frames), strict=True)):
        use = Use(call.site, frame, given[at] if given else None, shown[at])
        sent.append(call.ops.islands.leaf(function, step, use))
    return Value(tuple(sent), result.axes)


def _steps(call: Call, kind: str, frames: Sequence[Expr]) -> list[int | None]:
    """The step of each frame: the newest signal of the last one tells, the others come before it."""
    last = newest(frames[-1])
    if not leaves(frames[-1]):
        raise uneven(call.site, kind, "gets nothing but constants in some step")
    return [None if last is None else last - (len(frames) - 1 - at) for at in range(len(frames))]


def _joined(ops: Operations, parts: Sequence[Expr], name: str) -> Expr:
    """The arguments flattened, one after the other, in one frame; one alone as it is."""
    if len(parts) == 1:
        return parts[0]
    widths = [size(part.shape) for part in parts]
    starts = [sum(widths[:at]) for at in range(len(parts))]
    flat = [ops.reshape(part, (width,), f"{name}.flat") for part, width in zip(parts, widths, strict=True)]
    placed = (ops.place(part, (sum(widths),), 0, start, f"{name}.at") for part, start in zip(flat, starts, strict=True))
    return add(tuple(placed))


def _recorded(call: Call, value: Value) -> list[Rows] | None:
    """The rows of each frame that the run gave to the function."""
    tensor = call.given.get(id(value))
    return None if tensor is None else rows_of(tensor, value.axes, len(value.frames), call.ops.batch)


def _repeated(sides: Sequence[Side], values: Sequence[Value]) -> list[Side]:
    """``values``, where a single frame stands for all steps, with their rows as often."""
    return [
        (value, rows and rows * (len(value.frames) // len(rows)))
        for (_, rows), value in zip(sides, values, strict=True)
    ]


def _unmasked(ops: Operations, expr: Expr) -> tuple[Expr, Allowed]:
    """``expr`` without the minus infinities that are added to it, and the flat elements that have none."""
    if isinstance(expr, Apply) and isinstance(expr.op, Reshape):
        inner, allowed = _unmasked(ops, expr.arg)
        return (expr if inner is expr.arg else ops.reshape(inner, expr.shape, expr.op.name)), allowed
    if isinstance(expr, Apply) and isinstance(expr.op, Scale):
        inner, allowed = _unmasked(ops, expr.arg)
        factor, shift = expr.op.per_element(expr.op.factor), expr.op.per_element(expr.op.shift)
        masked = shift == -np.inf
        if bool(np.all(factor[~allowed] > 0)) and not (allowed.all() and not masked.any()):
            kept = compact(floats(np.where(masked, 0.0, shift)))
            return ops.scale(inner, compact(floats(factor)), kept, expr.op.name), allowed & ~masked
    return expr, np.ones(size(expr.shape), dtype=bool)
