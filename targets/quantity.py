"""Values of target files: each one with its source, its basis and how sure we are that the source says it."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Basis = Literal["architectural", "measured", "regression", "simulated", "derived", "estimate", "policy"]
Confidence = Literal["high", "medium", "low"]
Missing = Literal["missing"]

Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(gt=0, lt=2**63)]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
Text = Annotated[str, Field(max_length=400)]

T = TypeVar("T")


def _spelled(name: str) -> str:
    """The key of a field in a file: units are spelled properly there."""
    return name.replace("_pj", "_pJ").replace("_mw_", "_mW_")


class Strict(BaseModel):
    """A frozen table that refuses unknown keys and converts nothing."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", alias_generator=_spelled)


class Source(Strict):
    """Where numbers come from; its basis and confidence hold for every value that names none of its own."""

    cite: Text
    basis: Basis
    conf: Confidence


class Sourced(Strict):
    """What every sourced value says about itself: ``err`` is the known relative error against silicon."""

    src: Name
    basis: Basis
    conf: Confidence
    err: Fraction | None = None
    note: Text | None = None


class Known(Sourced, Generic[T]):
    """A value the compiler cannot do without."""

    v: T


def _kind(value: object) -> str:
    return "missing" if isinstance(value, str) and value == "missing" else "value"


class Quantity(Sourced, Generic[T]):
    """A value that may be the string ``missing``; whoever needs it then refuses to print a figure."""

    v: Annotated[Annotated[T, Tag("value")] | Annotated[Missing, Tag("missing")], Discriminator(_kind)]

    def known(self) -> T | None:
        """The value, or None when it is missing."""
        return None if isinstance(self.v, str) and self.v == "missing" else self.v


class Range(Strict):
    """Integers from ``low`` to ``high``, both included; written ``[low, high]`` in a file."""

    low: int
    high: int

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: Any) -> Any:
        if isinstance(value, tuple) and len(value) == 2:
            return {"low": value[0], "high": value[1]}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"the range [{self.low}, {self.high}] is empty")
        return self

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high
