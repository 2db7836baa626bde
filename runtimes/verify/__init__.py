"""Verify a deployment: float against deployed, executor against executor, spike by spike."""

from ranvier.runtimes.verify.overflow import Overflow
from ranvier.runtimes.verify.results import Agreement, Comparison, Difference
from ranvier.runtimes.verify.run import RUNTIMES, verify
from ranvier.runtimes.verify.statistics import Paired
from ranvier.runtimes.verify.verification import Verification

__all__ = [
    "RUNTIMES",
    "Agreement",
    "Comparison",
    "Difference",
    "Overflow",
    "Paired",
    "Verification",
    "verify",
]
