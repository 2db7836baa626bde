"""A point of the search, and what it gives on the user's data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.app import App
from ranvier.compiler.options import Options, RoundingMethod

WIDTHS = (2, 3, 4, 5, 6, 7, 8)
EXPONENTS = (1, 2, 4)
STEP_SHARES = (1.0, 0.75, 0.5, 0.375, 0.25)


@dataclass(frozen=True)
class Point:
    """One way to deploy: weight widths by synapse, how they are rounded and scaled, steps per sample.

    ``exponent_groups``: how many weight exponents a layer may have.
    """

    layer_bits: tuple[tuple[str, int], ...]
    rounding: RoundingMethod = "output"
    per_channel: bool = False
    correct_bias: bool = False
    steps: int = 0
    exponent_groups: int = 1

    @property
    def options(self) -> Options:
        """What the compiler is told."""
        return Options(
            layer_bits=self.layer_bits, rounding=self.rounding, per_channel=self.per_channel,
            correct_bias=self.correct_bias, exponent_groups=self.exponent_groups,
        )  # fmt: skip

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self) | {"layer_bits": dict(self.layer_bits)}


@dataclass(frozen=True)
class Metrics:
    """``accuracy``, ``memory`` in bytes, ``cores``, ``energy`` in nJ per inference (None: not known), ``steps``."""

    accuracy: float
    memory: float | None
    cores: int
    energy: float | None
    steps: int

    def to_json(self) -> dict[str, float | int | None]:
        """Plain values."""
        return asdict(self)


def metrics_from(values: Mapping[str, Any]) -> Metrics:
    """What ``to_json`` gave."""
    return Metrics(**values)


def measured(app: App, inputs: NDArray[Any], labels: NDArray[np.int64]) -> Metrics:
    """What ``app`` gives on ``inputs`` (samples, steps, *shape) with ``labels`` (samples,)."""
    recording = app.run(inputs)
    report = app.report(recording)
    dynamic = None if report.energy is None or report.energy.dynamic_nj is None else report.energy.dynamic_nj.value
    right = float(np.mean(recording.predictions == labels))
    return Metrics(right, report.memory_bytes, report.cores, dynamic, inputs.shape[1])
