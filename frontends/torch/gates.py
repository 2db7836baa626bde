"""Handlers of what hand-written neurons do with their spikes: masks, products, ``where``."""

from typing import Any

import numpy as np
import torch

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.linear import Reshape, Scale
from ranvier.frontends.torch.calls import Call
from ranvier.frontends.torch.operations import frame_array
from ranvier.frontends.torch.problems import not_linear
from ranvier.frontends.torch.values import Apply, Expr, Fixed, Gated, Leaf, Meaning, Value


def product(call: Call, x: Value, y: Value) -> Value:
    """``x * y`` of two signals, one of them ``factor * spike + shift`` of a population: a gate for the other."""
    for gate, other in ((x, y), (y, x)):
        found = affine_spike(gate.frames[0]) if len(gate.frames) == len(other.frames) == 1 else None
        if found is not None and gate.axes == other.axes and gate.shape == other.shape:
            leaf, factor, shift = found
            name, zero = call.name("gate"), np.array(0.0)
            on = call.ops.scale(other.frames[0], factor + shift, zero, name)
            off = call.ops.scale(other.frames[0], shift, zero, name)
            refusal = not_linear(call.site, "the product of two signals")
            return Value((Gated(leaf, on, off, refusal),), other.axes)
    raise not_linear(call.site, "the product of two signals")


def where(call: Call, condition: Meaning, x: Any, y: Any) -> Value:
    """``torch.where`` on a spike: ``y + spike * (x - y)`` for numbers, else a gate."""
    refusal = not_linear(call.site, "a choice between signals (where)")
    if not isinstance(condition, Value) or len(condition.frames) != 1:
        raise refusal
    found = affine_spike(condition.frames[0])
    if found is None:
        raise refusal
    leaf, factor, shift = found
    on, off = (x, y) if np.all(factor + shift == 1.0) else (y, x)
    first, second = (_number(call, part, condition.axes) for part in (on, off))
    if first is not None and second is not None:
        scaled = call.ops.scale(leaf, first - second, second, call.name("where"))
        return Value((scaled,), condition.axes)
    first_expr, second_expr = (_expression(call, part, condition, refusal) for part in (on, off))
    return Value((Gated(leaf, first_expr, second_expr, refusal),), condition.axes)


def masked_fill(call: Call, x: Meaning, mask: Meaning, value: Any) -> Value:
    """``x.masked_fill(spike, value)``, and ``x[spike] = value``."""
    return where(call, mask, value, x)


def invert(call: Call, x: Value) -> Value:
    """``~spike``."""
    if len(x.frames) != 1 or affine_spike(x.frames[0]) is None:
        raise not_linear(call.site, "a logical not")
    one = np.array(1.0)
    return Value((call.ops.scale(x.frames[0], -one, one, call.name("invert")),), x.axes)


def affine_spike(expr: Expr) -> tuple[Leaf, FloatArray, FloatArray] | None:
    """``expr`` as ``factor * spike + shift`` of one population, elementwise; None if it is something else."""
    factor, shift = np.array(1.0), np.array(0.0)
    while isinstance(expr, Apply) and isinstance(expr.op, Scale | Reshape):
        if isinstance(expr.op, Scale):
            scale = expr.op.per_element(expr.op.factor)
            factor, shift = factor * scale, factor * expr.op.per_element(expr.op.shift) + shift
        expr = expr.arg
    return (expr, factor, shift) if isinstance(expr, Leaf) and expr.output == "spikes" else None


def _number(call: Call, part: Any, axes: str) -> FloatArray | None:
    """A constant spread over the features, None for a signal."""
    return None if isinstance(part, Value) else frame_array(torch.as_tensor(part), call.out, axes)


def _expression(call: Call, part: Any, like: Value, refusal: Exception) -> Expr:
    if isinstance(part, Value):
        if len(part.frames) != 1 or part.axes != like.axes or part.shape != like.shape:
            raise refusal
        return part.frames[0]
    number = _number(call, part, like.axes)
    if number is None:
        raise refusal
    return Fixed(torch.from_numpy(np.array(number)).reshape(like.shape if number.ndim else ()), like.shape)
