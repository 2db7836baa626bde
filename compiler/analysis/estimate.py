"""A figure with the band of what is known about its error."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A figure with the band of its constants' known error; no band where nobody has published one."""

    value: float
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> "Estimate":
        """The figure and its band, scaled."""
        low, high = self.low, self.high
        return Estimate(
            self.value * factor, None if low is None else low * factor, None if high is None else high * factor
        )
