"""Prints a step program as the body of a Lava process model: numpy, one operation a line."""

from collections.abc import Mapping

from ranvier.compiler.ir.steps import Op, StepProgram

EXPRESSIONS: Mapping[str, str] = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "minimum": "np.minimum({0}, {1})",
    "maximum": "np.maximum({0}, {1})",
    "divide_floor": "np.floor_divide({0}, {1})",
    "mul_shift": "mul_shift({0}, {1}, {2})",
    "shift_left": "np.left_shift({0}, {1})",
    "shift_right": "np.right_shift({0}, {1})",
    "wrap": "wrap({0}, {1})",
    "wrap_once": "wrap_once({0}, {1})",
    "clip": "np.clip({0}, {1}, {2})",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "and": "np.logical_and({0}, {1})",
    "not": "np.logical_not({0})",
    "where": "np.where({0}, {1}, {2})",
}
"""The meaning of every operation as a numpy expression over int64 arrays."""


def body(program: StepProgram) -> list[str]:
    """The lines that compute one step from ``a`` and the process's own states and parameters."""
    assert program.domain == "int", "Lava processes are emitted for integer programs"
    reads = [f"{name} = self.{name}" for name in (*(s.name for s in program.states), *program.params)]
    writes = [f"self.{state}[:] = {value}" for state, value in program.updates]
    return [*reads, *(f"{op.result} = {_expression(op)}" for op in program.ops), *writes]


def _expression(op: Op) -> str:
    return EXPRESSIONS[op.kind].format(*op.args)
