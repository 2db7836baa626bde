"""Handlers of sums, constant factors, and reductions over time or space."""

from collections.abc import Sequence
from typing import Any, Literal

import torch

from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.linear import Linear
from ranvier.frontends.torch import features, hosting, layers, layout
from ranvier.frontends.torch.calls import Call, Result
from ranvier.frontends.torch.operations import frame_array
from ranvier.frontends.torch.problems import mixes, not_linear
from ranvier.frontends.torch.values import Meaning, Reduced, Value, add


def plus(call: Call, x: Meaning | float, y: Meaning | float, alpha: float = 1.0) -> Result:
    """``x + alpha y``."""
    if not isinstance(x, Value):
        return _affine(call, y, alpha, x, "add")
    if not isinstance(y, Value):
        return _affine(call, x, 1.0, _times(y, alpha), "add")
    x, y = _aligned(call, x, y)
    scaled = _affine(call, y, alpha, 0.0, "add")
    frames = zip(x.frames, scaled.frames, strict=True)
    return Value(tuple(add(pair) for pair in frames), x.axes)


def minus(call: Call, x: Meaning | float, y: Meaning | float, alpha: float = 1.0) -> Result:
    """``x - alpha y``."""
    return plus(call, x, y, -alpha)


def reversed_minus(call: Call, x: Meaning | float, y: Meaning | float, alpha: float = 1.0) -> Result:
    """``y - alpha x``."""
    return plus(call, y, x, -alpha)


def times(call: Call, x: Meaning | float, y: Meaning | float) -> Result:
    """A constant factor, or the product of two signals."""
    if isinstance(x, Value) and isinstance(y, Value):
        return hosting.product(call, x, y)
    value, factor = (x, y) if isinstance(x, Value) else (y, x)
    return _affine(call, value, factor, 0.0, "scale")


def divide(call: Call, x: Meaning | float, y: Meaning | float) -> Result:
    """A constant divisor, or two signals."""
    if isinstance(x, Value) and isinstance(y, Value):
        return hosting.quotient(call, x, y)
    if isinstance(y, Value):
        raise not_linear(call.site, "a division of a constant by a signal")
    return _affine(call, x, 1.0 / y, 0.0, "scale")  # type: ignore[operator]


def negative(call: Call, x: Value) -> Result:
    """``-x``."""
    return _affine(call, x, -1.0, 0.0, "scale")


def total(call: Call, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Result:
    """``sum``: over time for a readout, over all spatial axes as pooling."""
    return _reduce(call, x, dim, keepdim, "sum")


def mean(call: Call, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Result:
    """``mean``, likewise."""
    return _reduce(call, x, dim, keepdim, "mean")


def running_total(call: Call, x: Value, dim: int) -> Result:
    """``cumsum`` over a feature axis."""
    if _axis_letters(x, dim) != "F":
        raise not_linear(call.site, "a running sum over these axes")
    axis = x.axes[: dim % len(x.axes)].count("F")
    return features.cumulated(call.ops, x, axis, call.name("cumsum"))


def maximum(call: Call, x: Value, dim: Any = None, keepdim: bool = False) -> Result:
    """``max`` and ``amax`` over time."""
    if _axis_letters(x, dim) != "T" or keepdim:
        raise not_linear(call.site, "a maximum")
    return Value((Reduced("max", x.frames, x.shape),), x.axes.replace("T", ""))


def _reduce(call: Call, x: Value, dim: Any, keepdim: bool, kind: Literal["sum", "mean"]) -> Value:
    letters = _axis_letters(x, dim)
    if (letters == "T" or (letters in ("M", "N") and call.ops.batch == 1)) and not keepdim:
        return Value((Reduced(kind, x.frames, x.shape),), x.axes.replace(letters, ""))
    if not letters or letters.strip("F") or not call.out[len(x.axes.rstrip("F")) :]:
        raise not_linear(call.site, f"{kind} over these axes")
    axes = sorted(d + len(x.shape) for d in _dims(x, dim))
    if axes != list(range(1, len(x.shape))):
        return features.summed(call.ops, x, axes, keepdim, kind == "mean", call.name(kind))
    divisor = 1 if kind == "sum" else None

    def make(name: str, shape: Shape) -> tuple[Linear, ...]:
        return layers.average_pool(name, shape, shape[1:], divisor=divisor)

    pooled = call.each(x, make, "pool", kind)
    return layout.reshape(call.ops, pooled, call.out, call.name("reshape"), call.site)


def _dims(x: Value, dim: Any) -> tuple[int, ...]:
    """The axes as negative numbers."""
    dims = range(len(x.axes)) if dim is None else dim if isinstance(dim, Sequence) else (dim,)
    return tuple(d % len(x.axes) - len(x.axes) for d in dims)


def _axis_letters(x: Value, dim: Any) -> str:
    return "".join(x.axes[d] for d in _dims(x, dim))


def _affine(call: Call, value: Any, factor: Any, shift: Any, what: str) -> Value:
    """``factor * value + shift`` with constants."""
    assert isinstance(value, Value)
    whole = call.out
    factors, shifts = (frame_array(torch.as_tensor(c), whole, value.axes) for c in (factor, shift))
    if factors is None or shifts is None or len(whole) != len(value.axes):
        raise not_linear(call.site, "arithmetic with a constant that differs between samples or steps")
    name = call.name(what)
    return Value(tuple(call.ops.scale(frame, factors, shifts, name) for frame in value.frames), value.axes)


def _aligned(call: Call, x: Value, y: Value) -> tuple[Value, Value]:
    """Two values with equal axes; a single frame is repeated along a leading time axis."""
    if x.axes == "T" + y.axes:
        y = Value(y.frames * len(x.frames), x.axes)
    elif y.axes == "T" + x.axes:
        x = Value(x.frames * len(y.frames), y.axes)
    if x.axes != y.axes or x.shape != y.shape or len(x.frames) != len(y.frames):
        raise mixes(call.site, f"adding frames of shapes {list(x.shape)} and {list(y.shape)}")
    return x, y


def _times(value: Any, factor: float) -> Any:
    return value if factor == 1.0 else value * factor
