"""Verify a deployment: float against deployed, executor against executor, spike by spike."""

from ranvier.runtimes.verify.asked import Asked
from ranvier.runtimes.verify.explain.results import Explanation
from ranvier.runtimes.verify.overflow import Overflow
from ranvier.runtimes.verify.results import Agreement, Comparison, Difference
from ranvier.runtimes.verify.run import RUNTIMES, verify
from ranvier.runtimes.verify.statistics import Paired
from ranvier.runtimes.verify.verification import Verification

__all__ = [
    "RUNTIMES",
    "Agreement",
    "Asked",
    "Comparison",
    "Difference",
    "Explanation",
    "Overflow",
    "Paired",
    "Verification",
    "verify",
]
