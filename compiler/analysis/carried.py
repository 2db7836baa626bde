"""Which states a step program really carries from step to step, its parameters given.

A state is carried if what the neuron sends, or its membrane where that is read, depends on the value that the state
had before the step, perhaps through other states over several steps. With full leak (a kept fraction of 0) a product
with the old value is 0 whatever it was, so nothing depends on it and the state needs no memory. The values of one step
are followed as constants where they are, and as the set of states that they depend on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.interpret import NUMPY
from ranvier.compiler.ir.steps import INPUT, OPS, Op, StepProgram

Values = NDArray[Any]
PRODUCTS = ("mul", "mul_shift")


@dataclass(frozen=True, eq=False)
class _Value:
    """What is known of a value: its ``constant``, else the states whose old values it depends on."""

    constant: Values | None
    states: frozenset[str] = frozenset()


def carried(program: StepProgram, params: Mapping[str, Values], membrane_read: bool = False) -> frozenset[str]:
    """The states of ``program`` whose values between steps can change what is sent, or a membrane that is read.

    ``params`` as executors take them, shapes () or (neurons,); a state is dropped only where all neurons can do
    without it.
    """
    values = _values(program, params)
    updates = dict(program.updates)
    needed = values[program.spikes].states
    if membrane_read:
        needed |= values[program.membrane].states
    while True:
        more = reduce(frozenset.union, (values[updates[state]].states for state in needed), needed)
        if more == needed:
            return needed
        needed = more


def _values(program: StepProgram, params: Mapping[str, Values]) -> dict[str, _Value]:
    held = {name: _Value(np.asarray(params[name])) for name in program.params}
    held |= {state.name: _Value(None, frozenset((state.name,))) for state in program.states}
    held[INPUT] = _Value(None)
    for op in program.ops:
        held[op.result] = _applied(op, held)
    return held


def _applied(op: Op, held: Mapping[str, _Value]) -> _Value:
    args = [held[arg] if isinstance(arg, str) else _Value(np.asarray(arg)) for arg in op.args]
    operands, constants = args[: OPS[op.kind].operands], op.args[OPS[op.kind].operands :]
    if all(arg.constant is not None for arg in operands):
        with np.errstate(divide="ignore", invalid="ignore"):
            return _Value(NUMPY[op.kind](*(arg.constant for arg in operands), *constants))
    if op.kind in PRODUCTS and any(_always(arg, 0) for arg in operands):
        return _Value(np.zeros((), np.int64))
    if op.kind == "and" and any(_always(arg, 0) for arg in operands):
        return _Value(np.zeros((), np.bool_))
    if op.kind == "where" and (_always(operands[0], 0) or _always(operands[0], 1)):
        return operands[1] if _always(operands[0], 1) else operands[2]
    return _Value(None, reduce(frozenset.union, (arg.states for arg in operands)))


def _always(value: _Value, constant: int) -> bool:
    return value.constant is not None and bool(np.all(value.constant == constant))
