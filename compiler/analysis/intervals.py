"""Step programs on intervals: what every value of a step can be, for all inputs and states in given ranges.

A ``where`` is evaluated once per way in which its condition can come out, each time with what that says
about the operands (``x > y`` bounds x from below in one branch and from above in the other). That is what
makes a reset bound the membrane. Source of the method: abstract interpretation, Cousot and Cousot 1977.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.interpret import mul_shift
from ranvier.compiler.ir.ranges import REGISTERS
from ranvier.compiler.ir.steps import INPUT, OPS, Op, Operand, StepProgram

LIMIT = 2**60
DEPTH = 2


@dataclass(frozen=True, eq=False)
class Interval:
    """Integers from ``low`` to ``high``, per neuron; empty where ``low > high``."""

    low: IntArray
    high: IntArray

    def __or__(self, other: "Interval") -> "Interval":
        """The smallest interval around both; an empty one adds nothing."""
        mine, theirs = self.low <= self.high, other.low <= other.high
        low = np.where(mine & theirs, np.minimum(self.low, other.low), np.where(mine, self.low, other.low))
        high = np.where(mine & theirs, np.maximum(self.high, other.high), np.where(mine, self.high, other.high))
        return Interval(low, high)

    def __and__(self, other: "Interval") -> "Interval":
        """What both have in common."""
        return Interval(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def inside(self, low: int, high: int) -> np.ndarray:
        """Whether the interval lies within ``low`` to ``high``."""
        return (self.low >= low) & (self.high <= high)


Ranges = Mapping[str, Interval]


def exactly(values: IntArray) -> Interval:
    """The interval that holds one value."""
    return Interval(values, values)


@dataclass(frozen=True, eq=False)
class StepRange:
    """Ranges after one step, and of the operand of every lossy operation, which decides if it can lose anything."""

    states: Mapping[str, Interval]
    spikes: Interval
    membrane: Interval
    lossy: Mapping[str, Interval]


def _corners(f: Callable[[IntArray, IntArray], IntArray], x: Interval, y: Interval) -> Interval:
    values = [f(a, b) for a in (x.low, x.high) for b in (y.low, y.high)]
    return Interval(reduce(np.minimum, values), reduce(np.maximum, values))


def _saturated(f: Callable[[IntArray, IntArray], IntArray]) -> Callable[[IntArray, IntArray], IntArray]:
    """``f``, a product, kept within the limit: beyond 2**60 all that matters is that it is far out."""

    def product(a: IntArray, b: IntArray) -> IntArray:
        far = np.abs(a.astype(np.float64) * b) > LIMIT
        return np.where(far, np.sign(a) * np.sign(b) * LIMIT, f(np.where(far, 0, a), b))

    return product


def _wrap(x: Interval, bits: int) -> Interval:
    least, most = REGISTERS["wrap"](bits)
    fits = x.inside(least, most)
    return Interval(np.where(fits, x.low, least), np.where(fits, x.high, most))


def _wrap_once(x: Interval, bits: int) -> Interval:
    (least, most), turn = REGISTERS["wrap_once"](bits), 1 << bits
    above = x & Interval(np.full_like(x.low, most + 1), np.full_like(x.high, LIMIT))
    below = x & Interval(np.full_like(x.low, -LIMIT), np.full_like(x.high, least - 1))
    within = x & Interval(np.full_like(x.low, least), np.full_like(x.high, most))
    return within | Interval(above.low - turn, above.high - turn) | Interval(below.low + turn, below.high + turn)


def _compare(f: Callable[[IntArray, IntArray], np.ndarray], x: Interval, y: Interval) -> Interval:
    return Interval(f(x.low, y.high).astype(np.int64), f(x.high, y.low).astype(np.int64))


RULES: Mapping[str, Callable[..., Interval]] = {
    "add": lambda x, y: Interval(x.low + y.low, x.high + y.high),
    "sub": lambda x, y: Interval(x.low - y.high, x.high - y.low),
    "mul": lambda x, y: _corners(_saturated(np.multiply), x, y),
    "minimum": lambda x, y: Interval(np.minimum(x.low, y.low), np.minimum(x.high, y.high)),
    "maximum": lambda x, y: Interval(np.maximum(x.low, y.low), np.maximum(x.high, y.high)),
    "divide_floor": lambda x, y: _corners(lambda a, b: a // np.maximum(b, 1), x, y),
    "mul_shift": lambda x, y, n: _corners(_saturated(lambda a, b: mul_shift(a, b, n)), x, y),
    "shift_left": lambda x, n: Interval(_shifted(x.low, n), _shifted(x.high, n)),
    "shift_right": lambda x, n: Interval(x.low >> n, x.high >> n),
    "wrap": _wrap,
    "wrap_once": _wrap_once,
    "clip": lambda x, n, m: Interval(np.clip(x.low, n, m), np.clip(x.high, n, m)),
    "gt": lambda x, y: _compare(np.greater, x, y),
    "ge": lambda x, y: _compare(np.greater_equal, x, y),
    "and": lambda x, y: Interval(np.minimum(x.low, y.low), np.minimum(x.high, y.high)),
    "not": lambda x: Interval(1 - x.high, 1 - x.low),
}


def _shifted(values: IntArray, bits: int) -> IntArray:
    return np.clip(values, -(LIMIT >> bits), LIMIT >> bits) << bits


def step_range(program: StepProgram, states: Ranges, params: Mapping[str, IntArray], current: Interval) -> StepRange:
    """Ranges after one step of an integer ``program`` from any state in ``states`` with any input in ``current``."""
    return Evaluation(program, states, params, current).result()


class Evaluation:
    """All values of one step, again and again under the assumptions that the branches make.

    ``states`` and ``current`` are what the step starts from, ``params`` one value per neuron; ``held`` are the
    ranges of all values by name.
    """

    def __init__(self, program: StepProgram, states: Ranges, params: Mapping[str, IntArray], current: Interval) -> None:
        self.program = program
        self.start = {**states, **{name: exactly(np.asarray(v)) for name, v in params.items()}, INPUT: current}
        self.defined: dict[str, Op] = {op.result: op for op in program.ops}
        self.held = self._values({}, 0)

    def result(self) -> StepRange:
        """The ranges that leave the step."""
        held, program = self.held, self.program
        lossy = {op.result: held[str(op.args[0])] for op in program.ops if OPS[op.kind].lossy}
        after = {state: held[name] for state, name in program.updates}
        return StepRange(after, held[program.spikes], held[program.membrane], lossy)

    def after_spike(self) -> dict[str, Interval]:
        """The states after a step in which the neuron fired; empty where it cannot. Only for bool ``spikes``."""
        ways = self._ways(self.program.spikes, True, {}, self.held, 1)
        return {state: self._joined(value, ways) for state, value in self.program.updates}

    def branch(self, op: Op, truth: bool) -> Interval:
        """What the ``where`` operation ``op`` gives in the steps in which its condition is ``truth``."""
        return self._joined(op.args[1 if truth else 2], self._ways(str(op.args[0]), truth, {}, self.held, 1))

    def _values(self, assumed: Ranges, depth: int) -> dict[str, Interval]:
        """All values, each cut to what is ``assumed`` of it; ``depth`` counts the branches taken on the way here."""
        held = {name: value & assumed[name] if name in assumed else value for name, value in self.start.items()}
        ways: dict[tuple[str, bool], list[dict[str, Interval]]] = {}
        for op in self.program.ops:
            value = self._where(op, assumed, held, depth, ways) if op.kind == "where" else self._apply(op, held)
            held[op.result] = value & assumed[op.result] if op.result in assumed else value
        return held

    def _apply(self, op: Op, held: Ranges) -> Interval:
        spec = OPS[op.kind]
        operands = [_operand(arg, held) for arg in op.args[: spec.operands]]
        return RULES[op.kind](*operands, *op.args[spec.operands :])

    def _where(
        self,
        op: Op,
        assumed: Ranges,
        held: Ranges,
        depth: int,
        ways: dict[tuple[str, bool], list[dict[str, Interval]]],
    ) -> Interval:
        """The union of both branches, each under every way in which the condition can choose it.

        Where it is known how the condition comes out one branch is left; after ``DEPTH`` branches both are taken as
        they are, because every further one doubles the work.
        """
        condition, found = str(op.args[0]), []
        for truth, branch in ((True, op.args[1]), (False, op.args[2])):
            if bool((held[condition].low == held[condition].high).all()) or depth == DEPTH:
                possible = (held[condition].low <= int(truth)) & (held[condition].high >= int(truth))
                found.append(self._possible(_operand(branch, held), possible))
                continue
            if (condition, truth) not in ways:
                ways[condition, truth] = self._ways(condition, truth, assumed, held, depth + 1)
            found.append(self._joined(branch, ways[condition, truth]))
        return found[0] | found[1]

    def _ways(
        self, condition: str, truth: bool, assumed: Ranges, held: Ranges, depth: int
    ) -> list[dict[str, Interval]]:
        """All values for each way in which ``condition`` can come out as ``truth``."""
        return [self._values(_both(assumed, case), depth) for case in self._cases(condition, truth, held)]

    def _joined(self, arg: Operand, ways: list[dict[str, Interval]]) -> Interval:
        """``arg`` in any of these ways, in those neurons in which no value contradicts another."""
        found = []
        for way in ways:
            feasible = reduce(np.logical_and, (v.low <= v.high for v in way.values()))
            found.append(self._possible(_operand(arg, way), feasible))
        return reduce(Interval.__or__, found)

    def _possible(self, value: Interval, where: np.ndarray) -> Interval:
        """``value`` for the neurons in ``where``, nothing for the others."""
        kept = np.broadcast_to(where, self.start[INPUT].low.shape)
        return Interval(np.where(kept, value.low, 1), np.where(kept, value.high, 0))

    def _cases(self, name: str, truth: bool, held: Ranges) -> list[Ranges]:
        """The alternatives that condition ``name`` being ``truth`` stands for: ranges of what it compares."""
        op = self.defined.get(name)
        if op is not None and op.kind == "not":
            return self._cases(str(op.args[0]), not truth, held)
        if op is not None and op.kind == "and":
            left, right = (self._cases(str(arg), truth, held) for arg in op.args)
            return [_both(a, b) for a in left for b in right] if truth else left + right
        said: dict[str, Interval] = {name: exactly(np.array(int(truth)))}
        if op is not None and op.kind in {"gt", "ge"}:
            said |= _implied(op, truth, held)
        return [said]


def _both(a: Ranges, b: Ranges) -> Ranges:
    """Both sets of ranges at once."""
    return {**a, **{name: value & a[name] if name in a else value for name, value in b.items()}}


def _implied(op: Op, truth: bool, held: Ranges) -> dict[str, Interval]:
    """What the comparison ``op`` being ``truth`` says about each of its operands."""
    upper, lower = op.args if truth else reversed(op.args)
    strict = int((op.kind == "gt") == truth)
    top, bottom = _operand(upper, held), _operand(lower, held)
    said: dict[str, Interval] = {}
    if isinstance(upper, str):
        said[upper] = Interval(bottom.low + strict, np.full_like(bottom.low, LIMIT))
    if isinstance(lower, str):
        said[lower] = Interval(np.full_like(top.high, -LIMIT), top.high - strict)
    return said


def _operand(arg: Operand, held: Ranges) -> Interval:
    return held[arg] if isinstance(arg, str) else exactly(np.array(int(arg)))
