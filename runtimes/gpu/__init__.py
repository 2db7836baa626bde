"""The GPU executor: step programs printed as Triton, synapses on tensor cores where exact."""

from ranvier.runtimes.gpu.engine import describe, run

__all__ = ["describe", "run"]
