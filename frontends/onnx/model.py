"""The graph of an ONNX file as plain values: nodes, constants, inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape

Array = NDArray[Any]
Attribute = Union[int, float, str, tuple[int, ...], tuple[float, ...], tuple[str, ...], Array, "OnnxGraph"]


@dataclass(frozen=True, eq=False)
class OnnxNode:
    """One operation; an input name of "" is an optional input that is absent.

    ``scope`` is the path of the torch module it came from and ``classes`` the classes along it, outermost first; both
    are empty where the exporter wrote none.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    name: str
    scope: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def integer(self, name: str, default: int) -> int:
        """The whole-number attribute ``name``."""
        value = self.attributes.get(name, default)
        assert isinstance(value, int)
        return value

    def number(self, name: str, default: float) -> float:
        """The attribute ``name`` as a number."""
        value = self.attributes.get(name, default)
        assert isinstance(value, int | float)
        return float(value)

    def integers(self, name: str) -> tuple[int, ...] | None:
        """The list of whole numbers ``name``, None where it is absent."""
        value = self.attributes.get(name)
        assert value is None or isinstance(value, tuple)
        return None if value is None else tuple(int(v) for v in value)

    def text(self, name: str, default: str) -> str:
        """The text attribute ``name``."""
        value = self.attributes.get(name, default)
        assert isinstance(value, str)
        return value

    @property
    def place(self) -> str:
        """How a diagnostic names it."""
        where = f" in {'.'.join(filter(None, self.scope[-2:-1]))}" if len(self.scope) > 1 and self.scope[-2] else ""
        return f"{self.name or self.outputs[0]} ({self.op}){where}"


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A graph in execution order: ``nodes`` depend on inputs, everything else is folded into ``constants``.

    ``shapes`` has every tensor's shape with dynamic axes bound; ``constants`` are float64, int64 or bool.
    ``dynamic`` names the axes that were bound: (input, axis) -> name. ``double``: whether the file computes in float64,
    or else in float32.
    """

    file: str
    name: str
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, Array]
    inputs: Mapping[str, Shape]
    outputs: tuple[str, ...]
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    dynamic: Mapping[tuple[str, int], str] = field(default_factory=dict)
    double: bool = False
