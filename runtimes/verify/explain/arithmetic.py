"""Step programs in float64 with each loss of the chip's arithmetic kept or left out.

Integers below 2**53 are exact in float64: with both losses kept, on whole numbers, a step equals
``compiler/ir/interpret.py`` in every value.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.interpret import NUMPY
from ranvier.compiler.ir.steps import INPUT, Op, StepProgram

Values = NDArray[Any]
Operation = Callable[..., Values]
THRESHOLDS = ("vth", "threshold")
OTHER: Mapping[str, str] = {"gt": "ge", "ge": "gt"}
SATURATED = ("_raised", "_stored")


def _wrapped(x: Values, bits: int) -> Values:
    half = 2.0 ** (bits - 1)
    return np.asarray(np.mod(x + half, 2.0 * half) - half)


def _kept(x: Values, *_limits: int) -> Values:
    return x


COMMON: Mapping[str, Operation] = {**NUMPY, "shift_left": lambda x, n: np.asarray(x * 2.0**n)}
CUT: Mapping[str, Operation] = {
    "mul_shift": lambda x, y, n: np.trunc(x * y * 2.0**-n),
    "shift_right": lambda x, n: np.floor(x * 2.0**-n),
}
UNCUT: Mapping[str, Operation] = {
    "mul_shift": lambda x, y, n: np.asarray(x * y * 2.0**-n),
    "shift_right": lambda x, n: np.asarray(x * 2.0**-n),
}
NARROW: Mapping[str, Operation] = {"wrap": _wrapped}
WIDE: Mapping[str, Operation] = {"wrap": _kept, "wrap_once": _kept, "clip": _kept}


def operations(rounding: bool, width: bool) -> Mapping[str, Operation]:
    """The meaning of every operation, with or without cutting to integers, with or without registers that end."""
    return {**COMMON, **(CUT if rounding else UNCUT), **(NARROW if width else WIDE)}


def delivered(total: Values, bits: int, exponent: int, rounding: bool, width: bool) -> Values:
    """What a connection makes of its weighted sum: see ``compiler/ir/chip.py``."""
    total = _wrapped(total, bits) if width else total
    scaled = total * 2.0**exponent
    if exponent < 0:
        return np.floor(scaled) if rounding else scaled
    return _wrapped(scaled, 32) if width and exponent else scaled


def advance(
    program: StepProgram,
    table: Mapping[str, Operation],
    states: Mapping[str, Values],
    params: Mapping[str, Values],
    current: Values,
) -> tuple[dict[str, Values], Values, Values]:
    """(states after the step, what is sent, membrane before reset), with the operations of ``table``."""
    values: dict[str, Values] = {**states, **params, INPUT: current}
    with np.errstate(divide="ignore", invalid="ignore"):
        for op in program.ops:
            values[op.result] = table[op.kind](*(values[a] if isinstance(a, str) else a for a in op.args))
    after = {state: values[name] for state, name in program.updates}
    return after, values[program.spikes], values[program.membrane]


def comparison(program: StepProgram) -> str | None:
    """``gt`` or ``ge``: how the neuron compares with its threshold; None if it never does."""
    op = _firing(program)
    return None if op is None else op.kind


def comparing(program: StepProgram, kind: str | None) -> StepProgram:
    """``program`` with ``kind`` as the comparison that fires."""
    firing = _firing(program)
    if firing is None or kind is None or firing.kind == kind:
        return program
    ops = tuple(replace(op, kind=kind) if op is firing else op for op in program.ops)
    return replace(program, ops=ops)


def same_structure(a: StepProgram, b: StepProgram) -> bool:
    """Whether two programs compute the same, apart from the comparison and from states that saturate."""
    return _outline(a) == _outline(b)


def _firing(program: StepProgram) -> Op | None:
    """The last comparison with something that depends on the threshold."""
    depending = set(THRESHOLDS)
    found = None
    for op in program.ops:
        if any(arg in depending for arg in op.args):
            if op.kind in OTHER:
                found = op
            else:
                depending.add(op.result)
    return found


def _outline(program: StepProgram) -> tuple[object, ...]:
    """The program's values as expressions of states, parameters and input, comparisons with the threshold as one."""
    firing = _firing(program)
    texts: dict[str, str] = {}
    for op in program.ops:
        args = [texts.get(arg, arg) if isinstance(arg, str) else repr(arg) for arg in op.args]
        saturates = op.result.endswith(SATURATED)
        kind = "fires" if op is firing else op.kind
        texts[op.result] = args[0] if saturates else f"{kind}({', '.join(args)})"
    updates = tuple((state, texts.get(value, value)) for state, value in program.updates)
    return texts.get(program.spikes), texts.get(program.membrane, program.membrane), updates
