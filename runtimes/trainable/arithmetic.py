"""The step operations in torch: the very values of ``compiler/ir/interpret.py``, with gradients to train by.

Integers travel as float64, which holds them exactly below 2**53. What rounds, wraps or floors has the gradient of
the real number it stands for (straight-through, Bengio et al., arXiv 1308.3432); a comparison has that of a fast
sigmoid around the threshold (Zenke, Ganguli, Neural Computation 2018).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ranvier.compiler.ir.steps import INPUT, OPS, Op, StepProgram


class _StraightThrough(torch.autograd.Function):
    """The value of ``exact`` with the gradient of ``smooth``."""

    @staticmethod
    def forward(_ctx: Any, exact: Tensor, _smooth: Tensor) -> Tensor:
        return exact

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


class _Spike(torch.autograd.Function):
    """1 where ``distance > 0`` (or >= 0), with the derivative ``1 / (1 + slope abs(distance))**2``."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, slope: float, at_equality: bool) -> Tensor:
        ctx.save_for_backward(distance)
        ctx.slope = slope
        return (distance >= 0 if at_equality else distance > 0).to(torch.float64)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (distance,) = ctx.saved_tensors
        return gradient / (1.0 + ctx.slope * distance.abs()) ** 2, None, None


def straight(exact: Tensor, smooth: Tensor) -> Tensor:
    """``exact``, through which gradients pass as if it were ``smooth``."""
    return _StraightThrough.apply(exact.detach(), smooth)  # type: ignore[no-untyped-call, no-any-return]


def rounded(x: Tensor) -> Tensor:
    """The nearest whole number, ties to even."""
    return straight(torch.round(x), x)


def wrapped(x: Tensor, bits: int) -> Tensor:
    """Two's complement of ``bits`` bits."""
    half = 2.0 ** (bits - 1)
    return straight(torch.remainder(x + half, 2.0 * half) - half, x)


def _wrap_once(x: Tensor, bits: int) -> Tensor:
    half = 2.0 ** (bits - 1)
    return straight(torch.where(x > half, x - 2 * half, torch.where(x <= -half, x + 2 * half, x)), x)


def _mul_shift(x: Tensor, y: Tensor, bits: int) -> Tensor:
    smooth = x * y / 2.0**bits
    return straight(torch.trunc(smooth), smooth)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    smooth = x / 2.0**bits
    return straight(torch.floor(smooth), smooth)


def _divide_floor(x: Tensor, y: Tensor) -> Tensor:
    return straight(torch.div(x, y, rounding_mode="floor"), x / y)


TORCH: Mapping[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "divide_floor": _divide_floor,
    "mul_shift": _mul_shift,
    "shift_left": lambda x, bits: x * 2.0**bits,
    "shift_right": _shift_right,
    "wrap": wrapped,
    "wrap_once": _wrap_once,
    "clip": torch.clamp,
    "and": torch.mul,
    "not": lambda x: 1.0 - x,
    "where": lambda x, y, z: x * y + (1.0 - x) * z,
}
COMPARISONS: Mapping[str, bool] = {"gt": False, "ge": True}
"""Whether a comparison holds at equality."""


@dataclass(frozen=True)
class Surrogate:
    """The gradient of a comparison: distances are measured in ``unit`` (chip units), ``slope`` is its steepness."""

    unit: float
    slope: float


def step(
    program: StepProgram, states: Mapping[str, Tensor], params: Mapping[str, Tensor], current: Tensor, by: Surrogate
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """One step of ``program``: new states, what is sent, the membrane before reset."""
    values: dict[str, Tensor] = {**states, **params, INPUT: current}
    for op in program.ops:
        values[op.result] = _apply(op, values, by)
    updates = {state: values[name] for state, name in program.updates}
    return updates, values[program.spikes], values[program.membrane]


def _apply(op: Op, values: Mapping[str, Tensor], by: Surrogate) -> Tensor:
    if op.kind in COMPARISONS:
        left, right = (_tensor(arg, values) for arg in op.args)
        return _Spike.apply((left - right) / by.unit, by.slope, COMPARISONS[op.kind])  # type: ignore[no-untyped-call, no-any-return]
    operands = OPS[op.kind].operands
    return TORCH[op.kind](*(_tensor(arg, values) for arg in op.args[:operands]), *op.args[operands:])


def _tensor(arg: str | float, values: Mapping[str, Tensor]) -> Tensor:
    return values[arg] if isinstance(arg, str) else torch.tensor(float(arg), dtype=torch.float64)
