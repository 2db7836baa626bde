"""A step program printed as LLVM instructions on vectors: what each operation becomes.

Every value is a vector of ``width`` lanes, one neuron each: numbers of one type, bools of one bit.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from ranvier.compiler.ir.steps import OPS, Op, StepProgram
from ranvier.runtimes.simulator.ranges import Traits

BIT = ir.IntType(1)
DOUBLE = ir.DoubleType()


@dataclass(frozen=True, eq=False)
class Lanes:
    """Where instructions go (``builder``) and what the vectors are: ``width`` lanes of ``number``."""

    builder: Any
    number: Any
    width: int

    @property
    def vector(self) -> Any:
        """The type of a value."""
        return ir.VectorType(self.number, self.width)

    @property
    def bits(self) -> int:
        """Bits of an integer lane."""
        return int(self.number.width)

    def constant(self, value: float) -> Any:
        """A vector of one number."""
        number = float(value) if self.number is DOUBLE else int(value)
        return ir.Constant(self.vector, [ir.Constant(self.number, number)] * self.width)

    def call(self, name: str, x: Any, y: Any) -> Any:
        """The LLVM intrinsic ``name`` of two vectors."""
        kind = f"v{self.width}{'f64' if self.number is DOUBLE else f'i{self.bits}'}"
        function = self.builder.module.declare_intrinsic(f"{name}.{kind}", (), ir.FunctionType(x.type, [x.type] * 2))
        return self.builder.call(function, [x, y])


Values = dict[str, Any]
Emit = Callable[..., Any]


def static(program: StepProgram) -> tuple[Op, ...]:
    """The operations that see neither input nor states: worked out once, not in every step."""
    known = set(program.params)
    found = []
    for op in program.ops:
        if all(not isinstance(arg, str) or arg in known for arg in op.args) and not OPS[op.kind].lossy:
            known.add(op.result)
            found.append(op)
    return tuple(found)


def emit(lanes: Lanes, op: Op, values: Values, traits: Traits) -> Any:
    """Print ``op``; returns its value, which also joins ``values``."""
    operands = [values[arg] if isinstance(arg, str) else lanes.constant(arg) for arg in op.args[: _numbers(op)]]
    constants = op.args[_numbers(op) :]
    if op.result in traits.lossless:
        values[op.result] = operands[0]
    else:
        table = FLOAT if lanes.number is DOUBLE else INTEGER
        values[op.result] = table[op.kind](lanes, *operands, *constants)
    return values[op.result]


def _numbers(op: Op) -> int:
    return OPS[op.kind].operands


def _mul_shift(lanes: Lanes, x: Any, y: Any, n: int) -> Any:
    """``x * y / 2**n`` toward zero: a negative product is raised by ``2**n - 1`` before the shift."""
    b, shift, mask = lanes.builder, lanes.constant(n), lanes.constant(2**n - 1)
    if lanes.bits == 64:
        whole = b.mul(x, y)
        return b.ashr(b.add(whole, b.and_(b.ashr(whole, lanes.constant(63)), mask)), shift)
    upper, lower = b.mul(b.ashr(x, shift), y), b.mul(b.and_(x, mask), y)  # y >= 0 and small: both fit 32 bits
    raised = b.add(lower, b.and_(b.ashr(x, lanes.constant(31)), mask))
    return b.add(upper, b.ashr(raised, shift))


def _wrap(lanes: Lanes, x: Any, n: int) -> Any:
    shift = lanes.constant(lanes.bits - n)
    return lanes.builder.ashr(lanes.builder.shl(x, shift), shift)


def _wrap_once(lanes: Lanes, x: Any, n: int) -> Any:
    b, half, turn = lanes.builder, 1 << (n - 1), lanes.constant(1 << n)
    lifted = b.select(b.icmp_signed("<=", x, lanes.constant(-half)), b.add(x, turn), x)
    return b.select(b.icmp_signed(">", x, lanes.constant(half)), b.sub(x, turn), lifted)


def _clip(lanes: Lanes, x: Any, low: int, high: int) -> Any:
    return lanes.call("llvm.smin", lanes.call("llvm.smax", x, lanes.constant(low)), lanes.constant(high))


def _divide(lanes: Lanes, x: Any, y: Any) -> Any:
    """``floor(x / y)``, and 0 where y is 0, as in numpy."""
    b, zero = lanes.builder, lanes.constant(0)
    nothing = b.icmp_signed("==", y, zero)
    divisor = b.select(nothing, lanes.constant(1), y)
    quotient, remainder = b.sdiv(x, divisor), b.srem(x, divisor)
    crossed = b.and_(b.icmp_signed("!=", remainder, zero), b.icmp_signed("<", b.xor(remainder, divisor), zero))
    floor = b.sub(quotient, b.zext(crossed, lanes.vector))
    return b.select(nothing, zero, floor)


def _divide_float(lanes: Lanes, x: Any, y: Any) -> Any:
    """``floor(x / y)`` as numpy rounds it: by the remainder, so no quotient just below a whole number is lifted."""
    b, zero, one = lanes.builder, lanes.constant(0), lanes.constant(1)
    remainder = b.frem(x, y)
    quotient = b.fdiv(b.fsub(x, remainder), y)
    apart = b.xor(b.fcmp_ordered("<", y, zero), b.fcmp_ordered("<", remainder, zero))
    crossed = b.and_(b.fcmp_unordered("!=", remainder, zero), apart)
    quotient = b.select(crossed, b.fsub(quotient, one), quotient)
    whole = _floor(lanes, quotient)
    lifted = b.fcmp_ordered(">", b.fsub(quotient, whole), lanes.constant(0.5))
    found = b.select(lifted, b.fadd(whole, one), whole)
    return b.select(b.fcmp_ordered("==", y, zero), b.fdiv(x, y), found)


def _floor(lanes: Lanes, x: Any) -> Any:
    function = ir.FunctionType(x.type, [x.type])
    floor = lanes.builder.module.declare_intrinsic(f"llvm.floor.v{lanes.width}f64", (), function)
    return lanes.builder.call(floor, [x])


COMMON: Mapping[str, Emit] = {
    "and": lambda lanes, x, y: lanes.builder.and_(x, y),
    "not": lambda lanes, x: lanes.builder.not_(x),
    "where": lambda lanes, c, x, y: lanes.builder.select(c, x, y),
}

INTEGER: Mapping[str, Emit] = {
    **COMMON,
    "add": lambda lanes, x, y: lanes.builder.add(x, y),
    "sub": lambda lanes, x, y: lanes.builder.sub(x, y),
    "mul": lambda lanes, x, y: lanes.builder.mul(x, y),
    "minimum": lambda lanes, x, y: lanes.call("llvm.smin", x, y),
    "maximum": lambda lanes, x, y: lanes.call("llvm.smax", x, y),
    "divide_floor": _divide,
    "mul_shift": _mul_shift,
    "shift_left": lambda lanes, x, n: lanes.builder.shl(x, lanes.constant(n)),
    "shift_right": lambda lanes, x, n: lanes.builder.ashr(x, lanes.constant(n)),
    "wrap": _wrap,
    "wrap_once": _wrap_once,
    "clip": _clip,
    "gt": lambda lanes, x, y: lanes.builder.icmp_signed(">", x, y),
    "ge": lambda lanes, x, y: lanes.builder.icmp_signed(">=", x, y),
}

FLOAT: Mapping[str, Emit] = {
    **COMMON,
    "add": lambda lanes, x, y: lanes.builder.fadd(x, y),
    "sub": lambda lanes, x, y: lanes.builder.fsub(x, y),
    "mul": lambda lanes, x, y: lanes.builder.fmul(x, y),
    "minimum": lambda lanes, x, y: lanes.call("llvm.minimum", x, y),
    "maximum": lambda lanes, x, y: lanes.call("llvm.maximum", x, y),
    "divide_floor": _divide_float,
    "gt": lambda lanes, x, y: lanes.builder.fcmp_ordered(">", x, y),
    "ge": lambda lanes, x, y: lanes.builder.fcmp_ordered(">=", x, y),
}
