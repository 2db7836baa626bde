"""What all neuron models share: their words and the form of their parameters."""

from dataclasses import field, fields
from typing import Any, Literal

from ranvier.compiler.ir.arrays import FloatArray, IntArray, compact, floats

Compare = Literal[">", ">="]
Reset = Literal["none", "value", "subtract"]
MULTIPLIER = {"kind": "multiplier"}
"""Marks a parameter without a unit: it multiplies a state. The others are in membrane units."""


def multiplier(value: float) -> Any:
    """A dataclass field: an array parameter without a unit."""
    return field(default_factory=lambda: floats(value), metadata=MULTIPLIER)


def level(value: float) -> Any:
    """A dataclass field: an array parameter in membrane units."""
    return field(default_factory=lambda: floats(value))


def array_fields(model: Any) -> tuple[str, ...]:
    """The names of a model's parameters that are arrays, in their order."""
    return tuple(f.name for f in fields(model) if f.type in (FloatArray, IntArray))


class Parameters:
    """Base of the models whose arrays are real: float64, read-only, and scalar where all entries are equal."""

    def __post_init__(self) -> None:
        for name in array_fields(self):
            object.__setattr__(self, name, compact(floats(getattr(self, name))))
