"""What the float and the integer form of a step do differently, so that each neuron is written once."""

from collections.abc import Mapping

from ranvier.compiler.ir.neuron_base import Compare, Reset
from ranvier.compiler.ir.steps import Domain, StepProgram
from ranvier.compiler.ir.trace import Trace, Value

STATE_BITS = 24
STATE_MAX = 2 ** (STATE_BITS - 1) - 1
DECAY_BITS = 12
DECAY_UNITY = 2**DECAY_BITS
INPUT_SHIFT = 6
VTH_MAX = 2**17 - 1
BIAS_MANTISSA_MAX = 2**12 - 1
BIAS_EXPONENT_MAX = 7


class Arithmetic:
    """A step being traced, in float64 or in the integers of a programmable core.

    Integers: states are 24 bits wide; what arrives is shifted left by 6 and saturates at 24 bits; a multiplier c is
    the register ``c * 4096``, and its product loses 12 bits toward zero; sums are exact (a few 24-bit terms fit into
    32 bits) and saturate where they are stored. Gains are in the weights by then.
    """

    def __init__(self, family: str, domain: Domain, *features: str) -> None:
        base = f"float.{family}" if domain == "float" else f"loihi2.{family}"
        self.trace = Trace(".".join([base, *filter(None, features)]), domain)
        self.exact = domain == "int"

    def state(self, name: str) -> Value:
        """A state of full width."""
        return self.trace.state(name, STATE_BITS if self.exact else 0)

    def param(self, name: str) -> Value:
        """A parameter in membrane units."""
        return self.trace.param(name)

    def arriving(self) -> Value:
        """The weighted input in membrane units."""
        if self.exact:
            return self.settled(self.trace.input << INPUT_SHIFT)
        return self.trace.param("gain") * self.trace.input

    def scaled(self, value: Value, name: str) -> Value:
        """``value`` times the multiplier ``name``."""
        return self.times(value, self.trace.param(name))

    def times(self, value: Value, multiplier: Value) -> Value:
        """``value`` times a multiplier already declared."""
        if self.exact:
            return self.trace.op("mul_shift", value, multiplier, DECAY_BITS)
        return multiplier * value

    def settled(self, value: Value) -> Value:
        """``value`` as a state holds it."""
        return self.trace.op("clip", value, -STATE_MAX, STATE_MAX) if self.exact else value

    def reaches(self, value: Value, level: Value, compare: Compare) -> Value:
        """Whether ``value`` is beyond ``level``."""
        return value >= level if compare == ">=" else value > level

    def reset(self, kind: Reset, h: Value, fire: Value, amount: Value | None = None) -> Value:
        """``h`` after a spike: as it was, at ``reset_value``, or less ``amount`` (else ``reset_amount``)."""
        if kind == "none":
            return h
        if kind == "value":
            return self.trace.where(fire, self.param("reset_value"), h)
        taken = self.param("reset_amount") if amount is None else amount
        return self.trace.where(fire, self.settled(h - taken), h)

    def finish(self, updates: Mapping[str, Value], spikes: Value, membrane: Value, graded: bool = False) -> StepProgram:
        """The finished program."""
        return self.trace.finish(updates, spikes, membrane, graded)


def equality(compare: Compare) -> str:
    """The part of a semantic id that says whether equality fires."""
    return "ge" if compare == ">=" else ""
