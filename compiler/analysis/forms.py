"""Step programs as linear filters: which values are sums of decayed states and input, and what else can go into them.

A value's form says: it is at most (and, with the other ends, at least) ``sum of coefficient * positive part of the
state or input + constant``, or it is something ``instead``, where a reset or a limit replaced it. Both hold as long as
no wrap on the way loses anything, for ``coefficient >= 0``: rounding toward zero and clipping only shrink a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.intervals import Evaluation, Interval
from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.interpret import NUMPY
from ranvier.compiler.ir.steps import INPUT, OPS, Op, Operand


@dataclass(frozen=True, eq=False)
class Form:
    """``coefficients`` (neurons,) by state or input, ``constant`` and ``instead`` (2, neurons): most and least.

    Both ends of ``constant`` and ``instead`` contain 0.
    """

    coefficients: Mapping[str, FloatArray]
    constant: FloatArray
    instead: FloatArray

    def settled(self) -> "Form":
        """The same as one sum: what is there instead is added, which is more than either."""
        return Form(self.coefficients, self.constant + self.instead, np.zeros_like(self.instead))

    def times(self, factor: FloatArray) -> "Form":
        """The form times ``factor >= 0``."""
        scaled = {name: factor * values for name, values in self.coefficients.items()}
        return Form(scaled, factor * self.constant, factor * self.instead)

    def plus(self, other: "Form", sign: int) -> "Form":
        """The sum, or the difference where ``sign`` is -1; then a coefficient may come out negative."""
        mine, theirs = self.settled(), other.settled()
        names = {*mine.coefficients, *theirs.coefficients}
        zero = np.zeros(self.constant.shape[1])
        added = {n: mine.coefficients.get(n, zero) + sign * theirs.coefficients.get(n, zero) for n in sorted(names)}
        constant = theirs.constant if sign > 0 else -theirs.constant[::-1]
        return Form(added, mine.constant + constant, mine.instead)

    def where(self, keep: np.ndarray, other: "Form") -> "Form":
        """This form for the neurons in ``keep``, ``other`` for the rest."""
        zero = np.zeros(keep.size)
        names = {*self.coefficients, *other.coefficients}
        chosen = {
            n: np.where(keep, self.coefficients.get(n, zero), other.coefficients.get(n, zero)) for n in sorted(names)
        }
        constant = np.where(keep, self.constant, other.constant)
        return Form(chosen, constant, np.where(keep, self.instead, other.instead))


def anything(value: Interval) -> Form:
    """The form of a value of which only its range is known."""
    ends = around_zero(value)
    return Form({}, ends, np.zeros_like(ends))


def around_zero(value: Interval) -> FloatArray:
    """(2, neurons) most and least of ``value`` and 0; an empty interval counts as 0."""
    there = value.low <= value.high
    high, low = np.where(there, np.maximum(value.high, 0), 0), np.where(there, np.minimum(value.low, 0), 0)
    return np.stack([high, low]).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Forms:
    """The forms of all values of a program by name, and the ``wraps`` (results) that they take for exact."""

    by_name: Mapping[str, Form]
    wraps: tuple[str, ...] = ()


@dataclass(eq=False)
class _Reader:
    """Reads the operations of a program one by one."""

    evaluation: Evaluation
    neurons: int
    found: dict[str, Form] = field(default_factory=dict)
    fixed: dict[str, NDArray[Any]] = field(default_factory=dict)

    def form(self, arg: Operand) -> Form:
        """The form of an operand."""
        if isinstance(arg, str):
            return self.found[arg]
        return anything(self.range(arg))

    def range(self, arg: Operand) -> Interval:
        """The range of an operand, per neuron."""
        if isinstance(arg, str):
            held = self.evaluation.held[arg]
            return Interval(np.broadcast_to(held.low, (self.neurons,)), np.broadcast_to(held.high, (self.neurons,)))
        value = np.full(self.neurons, int(arg), np.int64)
        return Interval(value, value)

    def constant(self, arg: Operand) -> NDArray[Any] | None:
        """The value of an operand that is the same in every step."""
        return self.fixed.get(arg) if isinstance(arg, str) else np.full(self.neurons, arg, np.int64)

    def read(self, op: Op) -> None:
        """Add the form of ``op``; where a coefficient would be negative, only the range is kept."""
        values = [self.constant(arg) for arg in op.args[: OPS[op.kind].operands]]
        if all(value is not None for value in values):
            self.fixed[op.result] = NUMPY[op.kind](*values, *op.args[OPS[op.kind].operands :])
        plain = anything(self.range(op.result))
        made = self._made(op)
        if made is None:
            self.found[op.result] = plain
            return
        keep = np.logical_and.reduce([c >= 0 for c in made.coefficients.values()] or [np.ones(self.neurons, np.bool_)])
        self.found[op.result] = made.where(keep, plain)

    def _made(self, op: Op) -> Form | None:
        if op.kind in {"add", "sub"}:
            return self.form(op.args[0]).plus(self.form(op.args[1]), 1 if op.kind == "add" else -1)
        if op.kind == "shift_left":
            return self.form(op.args[0]).times(np.full(self.neurons, 2.0 ** int(op.args[1])))
        if op.kind.startswith("wrap") or (op.kind == "clip" and int(op.args[1]) <= 0 <= int(op.args[2])):
            return self.form(op.args[0])
        if op.kind in {"mul", "mul_shift"}:
            return self._product(op)
        if op.kind == "where":
            return self._chosen(op)
        if op.kind in {"minimum", "maximum"}:
            return self._either(op.args[0], self.range(op.args[1])) or self._either(op.args[1], self.range(op.args[0]))
        return None

    def _product(self, op: Op) -> Form | None:
        shift = int(op.args[2]) if op.kind == "mul_shift" else 0
        for factor, value in ((op.args[1], op.args[0]), (op.args[0], op.args[1])):
            known = self.constant(factor)
            if known is not None and self.form(value).coefficients:
                kept = self.form(value).times(np.maximum(known, 0) / 2.0**shift)
                return kept.where(known >= 0, anything(self.range(op.result)))
        return None

    def _chosen(self, op: Op) -> Form | None:
        """A branch that follows the input is the filter; what the other branch gives is there instead."""
        no = self._either(op.args[2], self.evaluation.branch(op, True))
        return no or self._either(op.args[1], self.evaluation.branch(op, False))

    def _either(self, main: Operand, other: Interval) -> Form | None:
        form = self.form(main)
        if not form.coefficients:
            return None
        ends = around_zero(other)
        instead = np.stack([np.maximum(form.instead[0], ends[0]), np.minimum(form.instead[1], ends[1])])
        return Form(form.coefficients, form.constant, instead)


def forms(evaluation: Evaluation, floors: float) -> Forms:
    """The forms of all values of the step that ``evaluation`` ran; ``floors`` is what the input can fall short of its
    exact sum.
    """
    program = evaluation.program
    neurons = evaluation.held[INPUT].low.size
    reader, zero = _Reader(evaluation, neurons), np.zeros((2, neurons))
    for name in program.params:
        reader.found[name] = anything(reader.range(name))
        reader.fixed[name] = reader.range(name).low
    for state in program.states:
        reader.found[state.name] = Form({state.name: np.ones(neurons)}, zero, zero)
    short = np.stack([np.zeros(neurons), np.full(neurons, -floors)])
    reader.found[INPUT] = Form({INPUT: np.ones(neurons)}, short, zero)
    for op in program.ops:
        reader.read(op)
    followed = {op.result for op in program.ops if reader.found[op.result].coefficients}
    wraps = tuple(op.result for op in program.ops if op.kind.startswith("wrap") and op.result in followed)
    return Forms(reader.found, wraps)
