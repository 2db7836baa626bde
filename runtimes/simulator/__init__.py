"""The CPU simulator: event-driven, compiled by Numba from the step programs, equal to the oracle."""

from ranvier.runtimes.simulator.engine import run

__all__ = ["run"]
