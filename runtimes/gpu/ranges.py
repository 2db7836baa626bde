"""Intervals that hold every value of a step program, from which the kernels' integer widths follow.

A plain walk over the operations with exact integers; what an interval cannot say becomes everything that 64 bits hold.
States start as anything, so the box that each walk gives is one that no step leaves, and every further walk
inside it may only shrink it.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from numpy.typing import NDArray

from ranvier.compiler.ir.steps import INPUT, OPS, Op, Operand
from ranvier.runtimes.simulator.plan import Layer

Interval = tuple[int, int]
Bounds = Mapping[str, Interval]

BOOL: Interval = (0, 1)
NARROW: Interval = (-(2**31), 2**31 - 1)
WIDE: Interval = (-(2**63), 2**63 - 1)
SIGN_BIT = 31
WALKS = 3
SHIFTS = ("mul_shift", "shift_left", "shift_right")


def fits(interval: Interval, within: Interval = NARROW) -> bool:
    """Whether all of ``interval`` lies in ``within``."""
    return within[0] <= interval[0] and interval[1] <= within[1]


def hull(*intervals: Interval) -> Interval:
    """The smallest interval that holds all of ``intervals``."""
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def bounds(layer: Layer, current: Interval = NARROW) -> Bounds:
    """Every name of the program of ``layer`` with its interval, when its input lies in ``current``."""
    program = layer.program
    known: dict[str, Interval] = {INPUT: current}
    known |= {name: _extent(row) for name, row in zip(program.params, layer.params, strict=True)}
    initial = {s.name: _extent(row) for s, row in zip(program.states, layer.initial, strict=True)}
    values = known | dict.fromkeys(initial, WIDE)
    for _ in range(WALKS):
        _walk(program.ops, values)
        values |= {name: hull(initial[name], values[update]) for name, update in program.updates}
    _walk(program.ops, values)
    return values


def _walk(ops: Sequence[Op], values: dict[str, Interval]) -> None:
    """All operations once; what a ``where`` takes is worked out under its condition."""
    for index, op in enumerate(ops):
        values[op.result] = result(op, values)
        if op.kind == "where":
            values[op.result] = hull(_chosen(op, ops[:index], values), operand(op.args[2], values))


def _chosen(op: Op, before: Sequence[Op], values: Bounds) -> Interval:
    """What a ``where`` takes when its condition holds: no spikes are counted below the threshold."""
    assumed = dict(values)
    _assume(str(op.args[0]), {earlier.result: earlier for earlier in before}, assumed)
    for earlier in before:
        low, high = result(earlier, assumed)
        assumed[earlier.result] = max(low, assumed[earlier.result][0]), min(high, assumed[earlier.result][1])
    possible = all(low <= high for low, high in assumed.values())
    return operand(op.args[1], assumed if possible else values)


def _assume(condition: str, made: Mapping[str, Op], values: dict[str, Interval]) -> None:
    """Narrow the operands of the comparisons that must all hold for ``condition``."""
    op = made.get(condition)
    if op is None or op.kind not in ("and", "gt", "ge"):
        return
    if op.kind == "and":
        for arg in op.args:
            _assume(str(arg), made, values)
        return
    least = 1 if op.kind == "gt" else 0
    x, y = op.args
    (low, high), (floor, ceiling) = operand(x, values), operand(y, values)
    if isinstance(x, str):
        values[x] = max(low, floor + least), high
    if isinstance(y, str):
        values[y] = floor, min(ceiling, high - least)


def result(op: Op, values: Bounds) -> Interval:
    """The interval of what ``op`` gives."""
    found = RESULTS[op.kind](*(operand(arg, values) for arg in op.args))
    return found if fits(found, WIDE) else WIDE


def operand(arg: Operand, values: Bounds) -> Interval:
    """The interval of an operand: of a name, or a literal itself."""
    if isinstance(arg, str):
        return values[arg]
    assert isinstance(arg, int)
    return arg, arg


def narrow(op: Op, values: Bounds) -> bool:
    """Whether ``op`` can be worked out in 32 bits: its operands, its result and what comes between fit."""
    given = [operand(arg, values) for arg in op.args]
    if OPS[op.kind].lossy and keeps(op, values):
        return fits(given[0])
    if op.kind in SHIFTS and given[-1][1] > SIGN_BIT:
        return False
    between = BETWEEN[op.kind](*given) if op.kind in BETWEEN else ()
    return all(map(fits, (*given, result(op, values), *between)))


def keeps(op: Op, values: Bounds) -> bool:
    """Whether a lossy operation can never change its operand."""
    within = LOSSLESS[op.kind](*(arg for arg in op.args[1:] if isinstance(arg, int)))
    return fits(operand(op.args[0], values), within)


def _extent(row: NDArray[Any]) -> Interval:
    return int(row.min()), int(row.max())


def _multiplied(x: Interval, y: Interval) -> Interval:
    corners = [a * b for a, b in product(x, y)]
    return min(corners), max(corners)


def _divided(x: Interval, y: Interval) -> Interval:
    """A quotient is nowhere larger than what is divided; division by 0 gives 0."""
    largest = max(abs(x[0]), abs(x[1]))
    return (min(x[0], 0), max(x[1], 0)) if y[0] >= 0 else (-largest, largest)


def _to_zero(x: Interval, y: Interval, n: Interval) -> Interval:
    low, high = _multiplied(x, y)
    if not fits((low, high), WIDE):
        return WIDE
    return _toward_zero(low, n[0]), _toward_zero(high, n[0])


def _toward_zero(value: int, bits: int) -> int:
    return -(-value >> bits) if value < 0 else value >> bits


def _wrapped(x: Interval, n: Interval) -> Interval:
    within = LOSSLESS["wrap"](n[0])
    return x if fits(x, within) else within


def _turned(x: Interval, n: Interval) -> Interval:
    within, turn = LOSSLESS["wrap_once"](n[0]), 2 ** n[0]
    parts = [(max(x[0], within[0]), min(x[1], within[1]))]
    parts += [(max(x[0], within[1] + 1) - turn, x[1] - turn), (x[0] + turn, min(x[1], within[0] - 1) + turn)]
    return hull(*(part for part in parts if part[0] <= part[1]))


def _clipped(x: Interval, n: Interval, m: Interval) -> Interval:
    return min(max(x[0], n[0]), m[0]), min(max(x[1], n[0]), m[0])


LOSSLESS: Mapping[str, Callable[..., Interval]] = {
    "wrap": lambda bits: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
    "wrap_once": lambda bits: (1 - 2 ** (bits - 1), 2 ** (bits - 1)),
    "clip": lambda low, high: (low, high),
}

BETWEEN: Mapping[str, Callable[..., tuple[Interval, ...]]] = {
    "mul_shift": lambda x, y, n: (_multiplied(x, y), (0, 2 ** n[0] - 1)),
    "wrap_once": lambda _, n: ((0, 2 ** n[0]),),
}

RESULTS: Mapping[str, Callable[..., Interval]] = {
    "add": lambda x, y: (x[0] + y[0], x[1] + y[1]),
    "sub": lambda x, y: (x[0] - y[1], x[1] - y[0]),
    "mul": _multiplied,
    "minimum": lambda x, y: (min(x[0], y[0]), min(x[1], y[1])),
    "maximum": lambda x, y: (max(x[0], y[0]), max(x[1], y[1])),
    "divide_floor": _divided,
    "mul_shift": _to_zero,
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
