"""A conventional network as the conversion sees it: linear layers, activations and maxima, joined by sums."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray, Shape, frozen_mapping, size
from ranvier.compiler.ir.linear import Linear, windows

ActivationKind = Literal["relu", "clip", "quantized"]


@dataclass(frozen=True, eq=False)
class Activation:
    """A function of each element that spikes can carry: zero below zero, rising, then straight or flat.

    ``relu``: max(x, 0). ``clip``: min(max(x, 0), ceiling), as in ReLU6. ``quantized`` (QCFS):
    ``ceiling * clip(floor(x / ceiling * levels + 1/2) / levels, 0, 1)``. Source of the last: Bu et al., ICLR 2022.
    """

    name: str
    shape: Shape
    kind: ActivationKind = "relu"
    ceiling: float = float("inf")
    levels: int = 0

    @property
    def in_size(self) -> int:
        """Number of elements."""
        return size(self.shape)

    @property
    def out_shape(self) -> Shape:
        """Unchanged."""
        return self.shape

    def __call__(self, x: FloatArray) -> FloatArray:
        """The activation of ``x``, element by element."""
        if self.kind == "quantized":
            steps = np.floor(x / self.ceiling * self.levels + 0.5) / self.levels
            return np.asarray(self.ceiling * np.clip(steps, 0.0, 1.0))
        return np.clip(x, 0.0, self.ceiling)


@dataclass(frozen=True)
class MaxPool:
    """The maximum over windows of each channel; padding never wins."""

    name: str
    in_shape: Shape
    kernel: Shape
    stride: Shape
    padding: tuple[tuple[int, int], ...]

    @property
    def dilation(self) -> Shape:
        """Windows are dense: ones."""
        return (1,) * len(self.kernel)

    @property
    def in_size(self) -> int:
        """Number of elements that enter."""
        return size(self.in_shape)

    @property
    def out_shape(self) -> Shape:
        """(channels, *spatial)."""
        return (self.in_shape[0], *windows(self.in_shape[1:], self.kernel, self))


@dataclass(frozen=True)
class Entry:
    """Where data enter: frames of ``shape``."""

    name: str
    shape: Shape

    @property
    def out_shape(self) -> Shape:
        """Shape of one frame."""
        return self.shape


Op = Linear | Activation | MaxPool


@dataclass(frozen=True, eq=False)
class Graph:
    """Operations in an order in which they can be computed; what ``sources`` names for each adds up at its input.

    ``output`` names the operation whose values are the answer, one per class.
    """

    name: str
    entry: Entry
    ops: tuple[Op, ...]
    sources: Mapping[str, tuple[str, ...]]
    output: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", frozen_mapping(self.sources))
        known = {self.entry.name}
        for op in self.ops:
            assert op.name not in known, f"two operations are called {op.name}"
            assert known >= set(self.sources[op.name]), f"{op.name} comes before what it needs"
            known.add(op.name)
        assert self.output in known

    @cached_property
    def by_name(self) -> Mapping[str, Op]:
        """The operations by name."""
        return frozen_mapping({op.name: op for op in self.ops})

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the operations that each value enters."""
        names = (self.entry.name, *self.by_name)
        return frozen_mapping({n: tuple(o.name for o in self.ops if n in self.sources[o.name]) for n in names})

    @property
    def activations(self) -> tuple[Activation, ...]:
        """The activations, in order."""
        return tuple(op for op in self.ops if isinstance(op, Activation))

    def shape(self, name: str) -> Shape:
        """Shape of one frame of the value ``name``."""
        return self.entry.shape if name == self.entry.name else self.by_name[name].out_shape


def check_shapes(graph: Graph) -> None:
    """Raise ``RanvierError`` RV660 where what enters an operation has not the number of elements that it takes."""
    for op in graph.ops:
        for source in graph.sources[op.name]:
            if size(graph.shape(source)) != op.in_size:
                raise error("RV660", op.name, f"it takes {op.in_size} values, {source} gives {graph.shape(source)}",
                            "check the shapes of the model's layers and of its input")  # fmt: skip
