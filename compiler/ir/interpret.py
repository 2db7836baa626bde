"""The meaning of every step operation, in numpy: the definition that all executors must equal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.steps import INPUT, OPS, Op, StepProgram

Values = NDArray[Any]


@dataclass(frozen=True)
class StepResult:
    """What one step gives: new states, what is sent, the membrane before reset, and overflow events.

    ``overflows`` maps the name of each lossy operation that changed a value to a bool array of where.
    """

    states: Mapping[str, Values]
    spikes: Values
    membrane: Values
    overflows: Mapping[str, Values]


def mul_shift(x: Values, y: Values, bits: int) -> Values:
    """``x * y / 2**bits`` rounded toward zero, in int64."""
    product = x * y
    return np.asarray(np.sign(product) * (np.abs(product) >> bits))


def wrap(x: Values, bits: int) -> Values:
    """Two's complement of ``bits`` bits: into ``[-2**(bits-1), 2**(bits-1))``."""
    half = 1 << (bits - 1)
    return ((x + half) & ((1 << bits) - 1)) - half


def wrap_once(x: Values, bits: int) -> Values:
    """One turn back into ``(-2**(bits-1), 2**(bits-1)]``, as Lava's current register does."""
    half = 1 << (bits - 1)
    return np.where(x > half, x - 2 * half, np.where(x <= -half, x + 2 * half, x))


NUMPY: Mapping[str, Callable[..., Values]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "divide_floor": np.floor_divide,
    "mul_shift": mul_shift,
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
    "wrap": wrap,
    "wrap_once": wrap_once,
    "clip": np.clip,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.logical_and,
    "not": np.logical_not,
    "where": np.where,
}


def step(
    program: StepProgram, states: Mapping[str, Values], params: Mapping[str, Values], current: Values
) -> StepResult:
    """Run one step of ``program`` on arrays that broadcast together (neurons in the last axis)."""
    values: dict[str, Values] = {**states, **params, INPUT: current}
    overflows: dict[str, Values] = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for op in program.ops:
            values[op.result] = _apply(op, values)
            if OPS[op.kind].lossy:
                changed = values[op.result] != values[str(op.args[0])]
                if np.any(changed):
                    overflows[op.result] = changed
    updates = {state: values[name] for state, name in program.updates}
    return StepResult(updates, values[program.spikes], values[program.membrane], overflows)


def _apply(op: Op, values: Mapping[str, Values]) -> Values:
    args = [values[arg] if isinstance(arg, str) else arg for arg in op.args]
    return NUMPY[op.kind](*args)
