"""In how many bits a kernel works out each operation, from intervals that hold every value of its step program."""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from ranvier.compiler.ir.ranges import INT32, RESULTS, Interval, Ranges, fits, invariant, keeps, operand, result
from ranvier.compiler.ir.steps import OPS, Op
from ranvier.runtimes.simulator.plan import Layer

SIGN_BIT = 31
SHIFTS = ("mul_shift", "shift_left", "shift_right")


def bounds(layer: Layer, current: Interval = INT32) -> Ranges:
    """Every name of the program of ``layer`` with its interval, when its input lies in ``current``."""
    program = layer.program
    params = {name: _extent(row) for name, row in zip(program.params, layer.params, strict=True)}
    initial = {state.name: _extent(row) for state, row in zip(program.states, layer.initial, strict=True)}
    return invariant(program, params, initial, current)


def narrow(op: Op, values: Ranges) -> bool:
    """Whether ``op`` can be worked out in 32 bits: its operands, its result and what comes between fit."""
    given = [operand(arg, values) for arg in op.args]
    if OPS[op.kind].lossy and keeps(op, values):
        return fits(given[0])
    if op.kind in SHIFTS and given[-1][1] > SIGN_BIT:
        return False
    between = BETWEEN[op.kind](*given) if op.kind in BETWEEN else ()
    return all(map(fits, (*given, result(op, values), *between)))


def _extent(row: NDArray[Any]) -> Interval:
    return int(row.min()), int(row.max())


BETWEEN: Mapping[str, Callable[..., tuple[Interval, ...]]] = {
    "mul_shift": lambda x, y, n: (RESULTS["mul"](x, y), (0, 2 ** n[0] - 1)),
    "wrap_once": lambda _, n: ((0, 2 ** n[0]),),
}
