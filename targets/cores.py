"""The ``[core]`` part of a target file: capacity rules and shared memories of one core."""

from collections import Counter
from collections.abc import Container, Iterable
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ranvier.targets.counters import COUNTERS, RULES
from ranvier.targets.expression import parse
from ranvier.targets.quantity import Fraction, Known, Name, Positive, Sourced, Strict, Text


def checked_use(text: str, counters: Iterable[str] = COUNTERS, rules: Container[str] = RULES) -> str:
    """``text`` itself if it is an expression over ``counters`` or names one of ``rules``."""
    if text.startswith("rule:"):
        if text[5:] not in rules:
            raise ValueError(f"unknown rule {text[5:]!r}; known are {', '.join(RULES)}")
    else:
        parse(text, frozenset(counters))
    return text


class CapacityRule(Strict):
    """``use``, an expression over the mapper's counters or ``rule:<id>``, may not exceed ``cap`` on any core.

    ``enforce = "warn"`` softens a doubtful limit; above ``warn_above`` there is a warning already.
    """

    name: Name
    cap: Known[Positive]
    use: Text
    enforce: Literal["error", "warn"] = "error"
    warn_above: Known[Positive] | None = None

    @field_validator("use")
    @classmethod
    def _use(cls, text: str) -> str:
        return cls.checked(text)

    @classmethod
    def checked(cls, text: str) -> str:
        """``text`` itself if it counts what there is on such a core."""
        return checked_use(text)

    @model_validator(mode="after")
    def _warns_first(self) -> Self:
        if self.warn_above and self.warn_above.v >= self.cap.v:
            raise ValueError(f"warn_above = {self.warn_above.v} is not below cap = {self.cap.v}")
        return self


class PoolMember(Sourced):
    """One user of a shared memory; exactly one of ``use_bits`` and ``use_bytes``."""

    name: Name
    use_bits: Text | None = None
    use_bytes: Text | None = None

    @field_validator("use_bits", "use_bytes")
    @classmethod
    def _use(cls, text: str | None) -> str | None:
        return text if text is None or text == "missing" else checked_use(text)

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if (self.use_bits is None) == (self.use_bytes is None):
            raise ValueError("exactly one of use_bits and use_bytes must be given")
        return self


class Pool(Strict):
    """A memory that several users share; ``cap_bytes * safety`` may be filled: some uses are unpublished."""

    name: Name
    cap_bytes: Known[Positive]
    safety: Known[Fraction]
    members: tuple[PoolMember, ...] = Field(min_length=1)
    enforce: Literal["error", "warn"] = "error"

    @property
    def usable_bytes(self) -> int:
        """Bytes that a program may fill."""
        return int(self.cap_bytes.v * self.safety.v)


class Core(Strict):
    """What one core can hold; all cores of the chip are alike."""

    kind: Literal["neurosynaptic"]
    resources: tuple[CapacityRule, ...] = Field(min_length=1)
    pools: tuple[Pool, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = Counter([r.name for r in self.resources] + [p.name for p in self.pools])
        if twice := [name for name, times in names.items() if times > 1]:
            raise ValueError(f"the resource {twice[0]!r} is given twice")
        return self
