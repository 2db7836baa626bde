"""What cells of an analogue memory do to weights, as data: the schema of a device file.

Each value carries source, basis and confidence, as those of the targets do. Conductances g are relative to the largest
one that is written; times are seconds since the cells were programmed.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ranvier.targets.quantity import Count, Known, Name, Source, Strict, Text

Real = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Duration = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Bits = Annotated[int, Field(ge=2, le=24)]


class Spread(Strict):
    """Standard deviation of a written conductance, from ``after_s`` on: ``sum of coefficient[i] g**i``."""

    after_s: Known[Amount]
    coefficients_us: Known[tuple[Real, ...]] = Field(alias="coefficients_uS")


class LogLine(Strict):
    """``clip(slope ln g + offset, low, high)``."""

    slope: Real
    offset: Real
    low: Amount
    high: Amount


class Drift(Strict):
    """How conductances fall with time t.

    ``power``: ``g (t / t0)**-nu`` for t > t0, with ``nu = |normal(nu_mean(g), nu_spread(g))|`` of each cell;
    ``exponential``: ``g (kept + (1 - kept) exp(-t / tau))``. ``compensated``: one factor for each array brings the mean
    conductance back when the run begins. ``in_run``: the fall goes on from step to step, else it stops there.
    """

    law: Literal["none", "power", "exponential"]
    t0_s: Known[Duration] | None = None
    nu_mean: Known[LogLine] | None = None
    nu_spread: Known[LogLine] | None = None
    tau_s: Known[Duration] | None = None
    kept: Known[Share] | None = None
    compensated: Known[bool] | None = None
    in_run: Known[bool] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"none": (), "power": ("t0_s", "nu_mean", "nu_spread"), "exponential": ("tau_s", "kept")}[self.law]
        lacking = [name for name in needed if getattr(self, name) is None]
        if lacking:
            raise ValueError(f"the law {self.law!r} needs {', '.join(lacking)}")
        return self


class Read(Strict):
    """Noise of a read: ``g min(coefficient g**-exponent, most)``, times a root if its spectrum is known.

    With ``t_read_s`` it is 1/f noise, and after a time t the root is that of ``ln((t + t_read) / (2 t_read))``.
    """

    coefficient: Known[Amount]
    exponent: Known[Share]
    most: Known[Amount] | None = None
    t_read_s: Known[Duration] | None = None


class Stuck(Strict):
    """Shares of cells that stay at the conductance 0 (``low``) or 1 (``high``)."""

    low: Known[Share]
    high: Known[Share]

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.low.v + self.high.v > 1:
            raise ValueError(f"{self.low.v} and {self.high.v} of the cells are more than all")
        return self


class Converter(Strict):
    """Converters of ``bits``, sign included, at the column sums of every array."""

    bits: Known[Bits]


class Timing(Strict):
    """``step_s``: how long a network step takes."""

    step_s: Known[Duration]


class Device(Strict):
    """Cells of one kind, a differential pair for each weight; ``sources`` are those that its values name.

    ``levels`` conductances can be told apart from 0 to ``g_max_us``, both included; 0: any.
    """

    name: Name
    g_max_us: Known[Duration] = Field(alias="g_max_uS")
    levels: Known[Count]
    spread: tuple[Spread, ...] = ()
    drift: Drift
    read: Read | None = None
    stuck: Stuck | None = None
    converter: Converter | None = None
    timing: Timing
    sources: dict[Name, Source]
    file: Text

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        times = [s.after_s.v for s in self.spread]
        if times and (times[0] != 0 or times != sorted(set(times))):
            raise ValueError(f"spread begins after 0 s and goes on in time, not {times}")
        if self.levels.v == 1:
            raise ValueError("one level holds no weight")
        return self
