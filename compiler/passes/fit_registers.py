"""The registers of one population while they are being fitted, and what rounding each of them cost."""

from dataclasses import dataclass, field

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic
from ranvier.compiler.ir.arrays import FloatArray, IntArray, integers
from ranvier.compiler.ir.chip import Rounding
from ranvier.compiler.ir.neurons import UNLIMITED
from ranvier.compiler.ir.programs import STATE_MAX
from ranvier.targets.schema import Target


@dataclass
class Fitted:
    """Registers of one population, with what rounding each of them cost."""

    place: str
    params: dict[str, IntArray] = field(default_factory=dict)
    initial: dict[str, IntArray] = field(default_factory=dict)
    roundings: list[Rounding] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)

    def put(self, name: str, register: IntArray | FloatArray, wanted: FloatArray, got: FloatArray) -> None:
        """Store ``register`` as parameter ``name``; ``wanted`` and ``got`` are its meaning in source units."""
        self.params[name] = integers(register)
        self.rounding(name, wanted, got)

    def rounding(self, name: str, wanted: FloatArray, got: FloatArray) -> None:
        """Record the worst difference between what was ``wanted`` and ``got``, if there is one."""
        error = np.abs(np.asarray(got) - np.asarray(wanted))
        if bool(np.any(error > 0)):
            scale = np.maximum(np.abs(wanted), 1e-30)
            self.roundings.append(Rounding(self.place, name, float(error.max()), float((error / scale).max())))

    def refuse(self, code: str, message: str, fix: str) -> None:
        """Report that the population cannot be fitted."""
        self.problems.append(Diagnostic(code, self.place, message, fix))


def count_bits(fit: Fitted, most: int, target: Target) -> int:
    """Bits with sign of a message that says how often a neuron fired: at most ``most`` times (0: without limit)."""
    largest = STATE_MAX // max(int(np.min(fit.params["threshold"])), 1) if "threshold" in fit.params else 1
    largest = largest if most == UNLIMITED else min(largest, most)
    bits = max(int(largest), 1).bit_length() + 1
    if bits > target.graded_bits:
        text = f"up to {largest} spikes a step need {bits} bits in a message, {target.name} has {target.graded_bits}"
        fix = "limit the spikes per step (max_spikes=...), or use a target with graded spikes"
        fit.refuse("RV391", text, fix)
    return bits
