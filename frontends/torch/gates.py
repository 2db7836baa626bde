"""Handlers of what hand-written neurons do with their spikes: masks, products, ``where``."""

from typing import Any

import numpy as np
import torch

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.linear import Reshape, Scale
from ranvier.frontends.torch.calls import Call
from ranvier.frontends.torch.operations import frame_array
from ranvier.frontends.torch.problems import not_linear
from ranvier.frontends.torch.values import Apply, Expr, Fixed, Gated, Leaf, Meaning, Value, add, leaves, sendable


def product(call: Call, x: Value, y: Value) -> Value:
    """``x * y`` of two signals, one of them ``factor * spike + shift`` of a population: a gate for the other."""
    for gate, other in ((x, y), (y, x)):
        found = affine_spike(gate.frames[0]) if len(gate.frames) == len(other.frames) == 1 else None
        if found is not None and gate.axes == other.axes and gate.shape == other.shape:
            leaf, factor, shift = found
            name, zero = call.name("gate"), np.array(0.0)
            on = call.ops.scale(other.frames[0], factor + shift, zero, name)
            off = call.ops.scale(other.frames[0], shift, zero, name)
            return Value((Gated(leaf, on, off, _two_signals(call, x, y)),), other.axes)
    raise _two_signals(call, x, y)


def resets(x: Value, y: Value) -> bool:
    """Whether ``x * y`` is what hand-written neurons do with a spike: mask their own membrane, or later input."""
    for gate, other in ((x, y), (y, x)):
        found = affine_spike(gate.frames[0]) if len(gate.frames) == len(other.frames) == 1 else None
        if found is not None:
            parts, leaf = leaves(other.frames[0]), found[0]
            own = any(part.source == leaf.source and part.output == "membrane" for part in parts)
            if own or any((part.step or 0) > (leaf.step or 0) for part in parts):
                return True
    return False


def _two_signals(call: Call, x: Value, y: Value) -> RanvierError:
    helps = call.ops.islands is None and sendable(x, y) and not resets(x, y)
    return not_linear(call.site, "the product of two signals", host=helps)


def where(call: Call, condition: Meaning, x: Any, y: Any) -> Value:
    """``torch.where``. On a spike: ``y + spike * (x - y)`` for numbers, else a gate; on a constant, factors."""
    refusal = not_linear(call.site, "a choice between signals (where)")
    if isinstance(condition, torch.Tensor):
        return _chosen(call, condition, (x, y), refusal)
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


def _chosen(call: Call, condition: torch.Tensor, parts: tuple[Any, Any], refusal: Exception) -> Value:
    """The first part where ``condition`` holds, else the second; one of them at least is a signal.

    A signal keeps the factor 1 where a mask of minus infinity is added to it.
    """
    signals = [part for part in parts if isinstance(part, Value)]
    like, name = signals[0], call.name("where")
    fits = [len(v.axes) == len(call.out) and v.axes == like.axes and v.shape == like.shape for v in signals]
    held = frame_array(condition.double(), call.out, like.axes) if all(fits) else None
    if held is None:
        raise refusal
    taken = (held != 0.0, held == 0.0)
    shift = np.array(0.0)
    for part, at in zip(parts, taken, strict=True):
        number = None if isinstance(part, Value) else _number(call, part, like.axes)
        if number is None and not isinstance(part, Value):
            raise refusal
        shift = shift if number is None else np.where(at, number, 0.0)
    sides = []
    for part, at in zip(parts, taken, strict=True):
        if isinstance(part, Value):
            share, more = (at | np.isinf(shift)).astype(np.float64), shift if part is like else np.array(0.0)
            sides.append([call.ops.scale(frame, share, more, name) for frame in part.frames])
    return Value(tuple(add(terms) for terms in zip(*sides, strict=True)), like.axes)


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
