"""Quantized activations (QCFS) in ONNX files: not one operator but several, found around the one that rounds.

What leads from one tensor to another through elementwise operators with single constants is a function of one number,
and can be asked what it is. Straight-through estimators (``y + (floor(y) - y).detach()``) are such functions too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.frontends.conversion.graph import Activation
from ranvier.frontends.conversion.probe import identified
from ranvier.frontends.onnx.evaluate import operate
from ranvier.frontends.onnx.model import OnnxGraph, OnnxNode

ROUNDING = frozenset({"Floor", "Round", "Ceil"})
ELEMENTWISE = ROUNDING | {"Mul", "Div", "Add", "Sub", "Neg", "Clip", "Relu", "Min", "Max"}
MAX_NODES = 12
MAX_ROUNDING = 256


@dataclass(frozen=True, eq=False)
class Staircase:
    """The ``nodes`` that compute ``activation`` of the tensor ``source``; the result is the last one's."""

    source: str
    nodes: tuple[OnnxNode, ...]
    activation: Activation


def staircases(graph: OnnxGraph) -> tuple[Staircase, ...]:
    """The quantized activations of ``graph``, each as large as it can be, around the first 256 operators that round."""
    search = _Search(graph)
    found: list[Staircase] = []
    for node in [n for n in graph.nodes if n.op in ROUNDING][:MAX_ROUNDING]:
        if not any(node in s.nodes for s in found):
            made = next((s for source in search.sources(node) for s in search.around(source, node)), None)
            found += [] if made is None else [made]
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Search:
    graph: OnnxGraph

    @cached_property
    def makers(self) -> dict[str, OnnxNode]:
        return {name: node for node in self.graph.nodes for name in node.outputs}

    @cached_property
    def readers(self) -> dict[str, list[OnnxNode]]:
        found: dict[str, list[OnnxNode]] = {}
        for node in self.graph.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found

    def live(self, node: OnnxNode) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for n in node.inputs if n and n not in self.graph.constants))

    def plain(self, node: OnnxNode) -> bool:
        """Whether ``node`` works element by element, the same on each."""
        sizes = [self.graph.constants[n].size for n in node.inputs if n in self.graph.constants]
        return node.op in ELEMENTWISE and max(sizes, default=1) == 1

    def sources(self, rounding: OnnxNode) -> list[str]:
        """The tensors before ``rounding`` that it may be a function of, the farthest first."""
        found: list[str] = []
        node: OnnxNode | None = rounding
        while node is not None and len(found) < MAX_NODES and self.plain(node) and self.live(node):
            found.append(self.live(node)[0])
            node = self.makers.get(found[-1])
        return found[::-1]

    def around(self, source: str, rounding: OnnxNode) -> Iterator[Staircase]:
        """Activations of ``source`` with ``rounding`` in them whose inner tensors nothing else uses, largest first."""
        nodes = self.following(source)
        for last in range(len(nodes), 0, -1):
            inside = tuple(nodes[:last])
            if rounding in inside and self.closed(inside):
                activation = _activation(self.graph, source, inside)
                if activation is not None:
                    yield Staircase(source, inside, activation)

    def following(self, source: str) -> list[OnnxNode]:
        """The first operators that depend on ``source`` and constants alone."""
        nodes: list[OnnxNode] = []
        made, grown = {source}, True
        while grown and len(nodes) < MAX_NODES:
            ready = [n for name in made for n in self.readers.get(name, ())[:MAX_NODES]]
            ready = [n for n in ready if n not in nodes and self.plain(n) and made.issuperset(self.live(n))]
            ready.sort(key=self.places.__getitem__)
            grown = bool(ready)
            for node in ready[:1]:
                nodes.append(node)
                made.add(node.outputs[0])
        return nodes

    @cached_property
    def places(self) -> dict[OnnxNode, int]:
        return {node: i for i, node in enumerate(self.graph.nodes)}

    def closed(self, inside: tuple[OnnxNode, ...]) -> bool:
        """Whether only the last result is used elsewhere, and every other one is used."""
        inner = [n.outputs[0] for n in inside[:-1]]
        used = all(name in self.readers and set(self.readers[name]) <= set(inside) for name in inner)
        return used and not set(inner) & set(self.graph.outputs)


def _activation(graph: OnnxGraph, source: str, inside: tuple[OnnxNode, ...]) -> Activation | None:
    last = inside[-1]
    shape = graph.shapes[last.outputs[0]]
    if shape != graph.shapes[source]:
        return None

    def function(x: FloatArray) -> FloatArray:
        values = {source: x}
        for node in inside:
            args = [None if not n else values[n] if n in values else graph.constants[n].ravel() for n in node.inputs]
            values[node.outputs[0]] = operate(node, args, graph.file)[0]
        return np.asarray(values[last.outputs[0]], np.float64)

    return identified(last.outputs[0], tuple(shape[1:]) or (1,), function)
