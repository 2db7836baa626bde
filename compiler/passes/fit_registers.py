"""The registers of one population while they are being fitted, and what rounding each of them cost."""

from dataclasses import dataclass, field

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic
from ranvier.compiler.ir.arrays import FloatArray, IntArray, integers
from ranvier.compiler.ir.chip import Rounding


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
