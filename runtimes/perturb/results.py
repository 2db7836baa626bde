"""Accuracy on devices that are not ideal, as data."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Point:
    """What chips of one kind do, ``trials`` of them on the same samples.

    ``x`` is the place on the curve's axis. ``accuracy`` is the mean share of right answers, ``interval`` its 95 % t
    interval over chips (how well the mean of all chips is known, on these samples), ``chips`` the 5 % and 95 % quantile
    of single chips; None without labels. ``same``, ``same_interval``: the mean share of samples that are answered as
    by the unperturbed network, and its interval. ``values``: the accuracy of each chip (``same`` without labels).
    """

    label: str
    x: float
    trials: int
    accuracy: float | None
    interval: tuple[float, float] | None
    chips: tuple[float, float] | None
    same: float
    same_interval: tuple[float, float]
    values: tuple[float, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        plain = dict(vars(self))
        pairs = {name: None if plain[name] is None else list(plain[name]) for name in ("interval", "chips")}
        return plain | pairs | {"same_interval": list(self.same_interval), "values": list(self.values)}


@dataclass(frozen=True)
class Curve:
    """Points along one axis, in its ``unit``; an empty unit where the points have labels only."""

    name: str
    axis: str
    unit: str
    points: tuple[Point, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"name": self.name, "axis": self.axis, "unit": self.unit, "points": [p.to_json() for p in self.points]}


@dataclass(frozen=True)
class Robustness:
    """A deployed network on cells of ``device``, ``trials`` chips made with ``seed``, on ``samples``.

    ``after_s``: when they run, in seconds since they were written. ``accuracy`` and ``interval`` (Wilson, 95 %) are the
    unperturbed network's. ``curves``: ``noise`` (everything multiplied by a factor), ``time`` (everything, later and
    later), ``effects`` (each alone). ``sources``: where the device's figures come from.
    """

    device: str
    seed: int
    trials: int
    samples: int
    after_s: float
    accuracy: float | None
    interval: tuple[float, float] | None
    curves: tuple[Curve, ...]
    sources: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The whole content as plain values."""
        plain = dict(vars(self))
        return plain | {
            "interval": None if self.interval is None else list(self.interval),
            "curves": [c.to_json() for c in self.curves],
            "sources": list(self.sources),
        }


def point(label: str, x: float, right: NDArray[np.float64] | None, same: NDArray[np.float64]) -> Point:
    """The point of chips with ``right`` (trials,) shares of right answers and ``same`` (trials,) of unchanged ones."""
    mean, low, high = _mean(same)
    if right is None:
        return Point(label, x, same.size, None, None, None, mean, (low, high), tuple(same.tolist()))
    accuracy, least, most = _mean(right)
    quantiles = np.quantile(right, [0.05, 0.95])
    chips = (float(quantiles[0]), float(quantiles[1]))
    return Point(label, x, same.size, accuracy, (least, most), chips, mean, (low, high), tuple(right.tolist()))


def _mean(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The mean of shares, and its interval ``mean -+ t s / sqrt(n)`` (Student 1908) within 0 and 1."""
    from scipy.special import stdtrit  # noqa: PLC0415 scipy takes a while to import

    mean = float(values.mean())
    if values.size < 2:
        return mean, 0.0, 1.0
    quantile = float(stdtrit(values.size - 1, 0.5 + CONFIDENCE / 2))
    spread = quantile * float(values.std(ddof=1)) / values.size**0.5
    return mean, max(0.0, mean - spread), min(1.0, mean + spread)
