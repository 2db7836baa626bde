"""Prints a step program as the body of a Lava process model: numpy on int64 arrays.

Results that are used once are written where they are used; the others get a name, and what ends up in a
state, in the membrane or on the wire is named after that.
"""

from collections import Counter
from collections.abc import Mapping

from ranvier.compiler.ir.steps import Op, Operand, StepProgram

EXPRESSIONS: Mapping[str, str] = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "minimum": "np.minimum({0}, {1})",
    "maximum": "np.maximum({0}, {1})",
    "divide_floor": "np.floor_divide({0}, {1})",
    "mul_shift": "mul_shift({0}, {1}, {2})",
    "shift_left": "{0} << {1}",
    "shift_right": "{0} >> {1}",
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

INFIX = frozenset({"add", "sub", "mul", "shift_left", "shift_right", "gt", "ge"})
LONGEST_INLINE = 60
SENT, MEMBRANE = "sent", "membrane"


def body(program: StepProgram) -> list[str]:
    """The lines that compute one step from ``a`` and the process's own states and parameters."""
    assert program.domain == "int", "Lava processes are emitted for integer programs"
    names, uses = _names(program), _uses(program)
    written: dict[str, str] = {name: name for name in (*program.params, *(s.name for s in program.states))}
    bare: set[str] = set()
    lines = [f"{s.name} = self.{s.name}.copy()" for s in program.states]
    lines += [f"{name} = self.{name}" for name in program.params]
    for op in program.ops:
        text = _expression(op, written, bare)
        if op.result in names or uses[op.result] > 1 or len(text) > LONGEST_INLINE:
            written[op.result] = names.get(op.result, op.result)
            lines.append(f"{written[op.result]} = {text}")
        else:
            written[op.result] = text
            bare |= {text} if op.kind in INFIX else set()
    ends = {**{f"self.{state}[:]": value for state, value in program.updates}, "self.membrane[:]": program.membrane}
    lines += [f"{place} = {written.get(value, value)}" for place, value in ends.items()]
    return [*lines, f"return {written.get(program.spikes, program.spikes)}"]


def _expression(op: Op, written: Mapping[str, str], bare: set[str]) -> str:
    operands = [_operand(arg, written) for arg in op.args]
    if op.kind in INFIX:
        operands = [f"({text})" if text in bare else text for text in operands]
    return EXPRESSIONS[op.kind].format(*operands)


def _operand(arg: Operand, written: Mapping[str, str]) -> str:
    return written.get(arg, arg) if isinstance(arg, str) else str(arg)


def _uses(program: StepProgram) -> Counter[str]:
    """How often each result is an operand."""
    return Counter(arg for op in program.ops for arg in op.args if isinstance(arg, str))


def _names(program: StepProgram) -> dict[str, str]:
    """Telling names for the results that leave the step; none that the program uses itself."""
    taken = {*program.params, *(s.name for s in program.states), *(op.result for op in program.ops)}
    wanted = {program.spikes: SENT, program.membrane: MEMBRANE}
    wanted = {value: f"new_{state}" for state, value in program.updates} | wanted
    results = {op.result for op in program.ops}
    return {result: result if name in taken else name for result, name in wanted.items() if result in results}
