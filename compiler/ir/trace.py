"""Tracing: a step written as an ordinary Python function becomes a ``StepProgram``.

The function works on ``Value`` objects; every operator and helper on them records one operation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ranvier.compiler.ir.steps import INPUT, OPS, Domain, Op, Operand, State, StepProgram, problems


@dataclass(frozen=True)
class Value:
    """A named result inside the program being traced."""

    trace: "Trace"
    name: str

    def __add__(self, other: "Value | float") -> "Value":
        return self.trace.op("add", self, other)

    def __sub__(self, other: "Value | float") -> "Value":
        return self.trace.op("sub", self, other)

    def __mul__(self, other: "Value | float") -> "Value":
        return self.trace.op("mul", self, other)

    def __gt__(self, other: "Value | float") -> "Value":
        return self.trace.op("gt", self, other)

    def __ge__(self, other: "Value | float") -> "Value":
        return self.trace.op("ge", self, other)

    def __and__(self, other: "Value") -> "Value":
        return self.trace.op("and", self, other)

    def __invert__(self) -> "Value":
        return self.trace.op("not", self)

    def __lshift__(self, bits: int) -> "Value":
        return self.trace.op("shift_left", self, bits)

    def __rshift__(self, bits: int) -> "Value":
        return self.trace.op("shift_right", self, bits)

    def __floordiv__(self, other: "Value | float") -> "Value":
        return self.trace.op("divide_floor", self, other)


class Trace:
    """Collects the operations of one step function; ``finish`` closes and checks the program."""

    def __init__(self, semantics: str, domain: Domain) -> None:
        self._semantics, self.domain = semantics, domain
        self._states: list[State] = []
        self._params: list[str] = []
        self._ops: list[Op] = []
        self.input = Value(self, INPUT)

    def state(self, name: str, bits: int = 0) -> Value:
        """Declare a state and return its value at the start of the step."""
        self._states.append(State(name, bits))
        return Value(self, name)

    def param(self, name: str) -> Value:
        """Declare a parameter: one number per neuron, constant over time."""
        self._params.append(name)
        return Value(self, name)

    def op(self, kind: str, *args: "Value | float") -> Value:
        """Record ``kind(*args)`` and return its result."""
        assert kind in OPS, kind
        operands: tuple[Operand, ...] = tuple(a.name if isinstance(a, Value) else a for a in args)
        result = f"t{len(self._ops)}"
        self._ops.append(Op(result, kind, operands))
        return Value(self, result)

    def where(self, condition: Value, yes: "Value | float", no: "Value | float") -> Value:
        """``yes`` where ``condition`` holds, else ``no``."""
        return self.op("where", condition, yes, no)

    def finish(self, updates: Mapping[str, Value], spikes: Value, membrane: Value, graded: bool) -> StepProgram:
        """The finished program; a step function that builds an illegal one is a bug of ours."""
        ordered: Sequence[tuple[str, str]] = [(s.name, updates[s.name].name) for s in self._states]
        program = StepProgram(
            self._semantics,
            self.domain,
            tuple(self._states),
            tuple(self._params),
            tuple(self._ops),
            tuple(ordered),
            spikes.name,
            membrane.name,
            graded,
        )
        found = problems(program)
        assert not found, found
        return program
