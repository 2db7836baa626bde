"""The few statistics that the benchmark needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Law:
    """``y = factor * x**exponent``, fitted to logarithms by least squares; ``r2``: the share of variance explained."""

    factor: float
    exponent: float
    r2: float

    def at(self, x: float) -> float:
        """The law's value."""
        return float(self.factor * x**self.exponent)


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return float(np.median(values))


def spread(values: Sequence[float]) -> float:
    """Half the distance between the extremes over the median: how far the repeats lie apart."""
    return (max(values) - min(values)) / (2 * median(values))


def fit_power(x: Sequence[float], y: Sequence[float]) -> Law:
    """The power law through positive points; with equal ``y``, which have no variance, ``r2`` is 1."""
    assert len(x) == len(y) >= 2
    assert min(*x, *y) > 0
    a, b = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    exponent, intercept = np.polyfit(a, b, 1)
    rest, whole = float(((b - (exponent * a + intercept)) ** 2).sum()), float(((b - b.mean()) ** 2).sum())
    return Law(float(np.exp(intercept)), float(exponent), 1.0 if whole == 0.0 else 1.0 - rest / whole)


def number(value: float) -> str:
    """Three significant digits, without exponents."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 4
    return f"{value:,.{digits}f}"
