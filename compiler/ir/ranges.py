"""Integer step programs on intervals: what every value of any step can be, in exact integers.

Executors choose the width of their lanes by it and leave out what cannot happen. States are taken to lie in the
registers that the program declares; where one step from there comes back into them, that holds for ever. What leaves
64 bits, in which executors wrap, can be anything that 64 bits hold. Source of the method: abstract interpretation,
Cousot and Cousot 1977.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

from ranvier.compiler.ir.steps import INPUT, Op, Operand, StepProgram

Interval = tuple[int, int]
Ranges = Mapping[str, Interval]

BOOL: Interval = (0, 1)
INT32: Interval = (-(2**31), 2**31 - 1)
INT64: Interval = (-(2**63), 2**63 - 1)
WALKS = 2


def invariant(program: StepProgram, params: Ranges, initial: Ranges, current: Interval) -> Ranges:
    """The interval of every value by name, states, parameters and input among them, over all steps of all runs.

    Parameters and initial states lie in ``params`` and ``initial``, every input in ``current``. A state that may
    leave its register is taken to be anything; every further walk over the program may only shrink the box of states
    that no step leaves.
    """
    given = {**params, INPUT: current}
    box = {s.name: (-(2 ** (s.bits - 1)), 2 ** (s.bits - 1)) for s in program.states}
    while True:
        values = evaluate(program, {**given, **box})
        after = {name: hull(initial[name], values[new]) for name, new in program.updates}
        leaving = [name for name in after if not fits(after[name], box[name])]
        if not leaving:
            break
        box |= dict.fromkeys(leaving, INT64)
    for _ in range(WALKS):
        values = evaluate(program, {**given, **after})
        after = {name: hull(initial[name], values[new]) for name, new in program.updates}
    return values


def evaluate(program: StepProgram, given: Ranges) -> dict[str, Interval]:
    """Every value of one step, from ``given`` intervals of states, parameters and input.

    What a ``where`` takes is worked out under what its condition says of the operands that it compares.
    """
    values = dict(given)
    for index, op in enumerate(program.ops):
        values[op.result] = _chosen(op, program.ops[:index], values) if op.kind == "where" else result(op, values)
    return values


def result(op: Op, values: Ranges) -> Interval:
    """What ``op`` can give."""
    found = RESULTS[op.kind](*(operand(arg, values) for arg in op.args))
    return found if fits(found, INT64) else INT64


def operand(arg: Operand, values: Ranges) -> Interval:
    """The interval of an operand: of a name, or a literal itself."""
    return values[arg] if isinstance(arg, str) else (int(arg), int(arg))


def keeps(op: Op, values: Ranges) -> bool:
    """Whether a lossy operation leaves every value of its operand as it is."""
    constants = [arg for arg in op.args[1:] if isinstance(arg, int)]
    return fits(operand(op.args[0], values), REGISTERS[op.kind](*constants))


def fits(interval: Interval, within: Interval = INT32) -> bool:
    """Whether all of ``interval`` lies in ``within``."""
    return within[0] <= interval[0] and interval[1] <= within[1]


def hull(*intervals: Interval) -> Interval:
    """The smallest interval that holds all of ``intervals``."""
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def _chosen(op: Op, before: Sequence[Op], values: Ranges) -> Interval:
    """What ``op``, a ``where``, takes in either branch that can come about."""
    condition, *branches = op.args
    ways = [_under(str(condition), truth, before, values) for truth in (True, False)]
    found = [operand(branch, way) for branch, way in zip(branches, ways, strict=True) if way is not None]
    return hull(*found) if found else result(op, values)


def _under(condition: str, truth: bool, before: Sequence[Op], values: Ranges) -> Ranges | None:
    """``values`` where ``condition`` is ``truth``; None where it cannot be."""
    assumed = dict(values)
    _assume(condition, truth, {op.result: op for op in before}, assumed)
    if not all(low <= high for low, high in assumed.values()):
        return None
    for op in before:
        assumed[op.result] = low, high = _common(result(op, assumed), assumed[op.result])
        if low > high:
            return None
    return assumed


def _assume(condition: str, truth: bool, made: Mapping[str, Op], values: dict[str, Interval]) -> None:
    """Narrow the operands of the comparisons that decide that ``condition`` is ``truth``."""
    op = made.get(condition)
    if op is None:
        return
    if op.kind == "not":
        _assume(str(op.args[0]), not truth, made, values)
    if op.kind == "and" and truth:
        for arg in op.args:
            _assume(str(arg), truth, made, values)
    if op.kind in ("gt", "ge"):
        upper, lower = op.args if truth else reversed(op.args)
        _order(upper, lower, int((op.kind == "gt") == truth), values)


def _order(upper: Operand, lower: Operand, least: int, values: dict[str, Interval]) -> None:
    """Narrow both operands to what ``upper >= lower + least`` leaves of them."""
    (low, high), (floor, ceiling) = operand(upper, values), operand(lower, values)
    if isinstance(upper, str):
        values[upper] = max(low, floor + least), high
    if isinstance(lower, str):
        values[lower] = floor, min(ceiling, high - least)


def _common(x: Interval, y: Interval) -> Interval:
    return max(x[0], y[0]), min(x[1], y[1])


def _multiplied(x: Interval, y: Interval) -> Interval:
    corners = [a * b for a, b in product(x, y)]
    return min(corners), max(corners)


def _divided(x: Interval, y: Interval) -> Interval:
    """No quotient is larger than what is divided, and division by 0 gives 0."""
    largest = max(map(abs, x))
    return (min(x[0], 0), max(x[1], 0)) if y[0] >= 0 else (-largest, largest)


def _mul_shift(x: Interval, y: Interval, n: Interval) -> Interval:
    low, high = _multiplied(x, y)
    return (_toward_zero(low, n[0]), _toward_zero(high, n[0])) if fits((low, high), INT64) else INT64


def _toward_zero(value: int, bits: int) -> int:
    return -(-value >> bits) if value < 0 else value >> bits


def _wrapped(x: Interval, n: Interval) -> Interval:
    register = REGISTERS["wrap"](n[0])
    return x if fits(x, register) else register


def _turned(x: Interval, n: Interval) -> Interval:
    (least, most), turn = REGISTERS["wrap_once"](n[0]), 2 ** n[0]
    parts = [(max(x[0], least), min(x[1], most))]
    parts += [(max(x[0], most + 1) - turn, x[1] - turn), (x[0] + turn, min(x[1], least - 1) + turn)]
    return hull(*(part for part in parts if part[0] <= part[1]))


def _clipped(x: Interval, n: Interval, m: Interval) -> Interval:
    return min(max(x[0], n[0]), m[0]), min(max(x[1], n[0]), m[0])


REGISTERS: Mapping[str, Callable[..., Interval]] = {
    "wrap": lambda bits: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
    "wrap_once": lambda bits: (1 - 2 ** (bits - 1), 2 ** (bits - 1)),
    "clip": lambda low, high: (low, high),
}

RESULTS: Mapping[str, Callable[..., Interval]] = {
    "add": lambda x, y: (x[0] + y[0], x[1] + y[1]),
    "sub": lambda x, y: (x[0] - y[1], x[1] - y[0]),
    "mul": _multiplied,
    "minimum": lambda x, y: (min(x[0], y[0]), min(x[1], y[1])),
    "maximum": lambda x, y: (max(x[0], y[0]), max(x[1], y[1])),
    "divide_floor": _divided,
    "mul_shift": _mul_shift,
    "shift_left": lambda x, n: (x[0] << n[0], x[1] << n[0]),
    "shift_right": lambda x, n: (x[0] >> n[0], x[1] >> n[0]),
    "wrap": _wrapped,
    "wrap_once": _turned,
    "clip": _clipped,
    "gt": lambda *_: BOOL,
    "ge": lambda *_: BOOL,
    "and": lambda *_: BOOL,
    "not": lambda *_: BOOL,
    "where": lambda _, y, z: hull(y, z),
}
