"""Tensors that are membranes: thresholds look at them, or the graph returns them without any threshold, step by step.

An integrator or a linear layer at the end of a network has no spikes by which its steps could be told apart. They are
found from the outputs backwards: what is stacked and reduced over time, or what is continued from itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice

from ranvier.frontends.onnx.model import OnnxGraph, OnnxNode
from ranvier.frontends.onnx.states import ELEMENTWISE

COMPARES = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
REDUCING = frozenset({"ReduceMax", "ReduceSum", "ReduceMean"})
MOVING = frozenset({"Unsqueeze", "Squeeze", "Reshape", "Identity", "Flatten"})
CONTINUING = ELEMENTWISE - {"Cast"}
LEAST = 3
MAX_WALK = 400
Makers = Mapping[str, OnnxNode]


@dataclass(frozen=True)
class Shown:
    """A tensor that shows a readout: ``group`` counts the readouts; ``axis`` is that of time, None for one step."""

    group: int
    axis: int | None = None


def shown_tensors(graph: OnnxGraph) -> dict[str, Shown]:
    """The tensors that the outputs of ``graph`` show, by name; one that a threshold made is none but does no harm.

    The states of spiking neurons, which many modules return as well, are none.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    inside = _inside_neurons(graph, makers)
    found: dict[str, Shown] = {}
    for group, output in enumerate(graph.outputs):
        steps = list(_behind(graph, makers, output))
        for name, axis in () if inside & {name for name, _ in steps} else steps:
            found.setdefault(name, Shown(group, axis))
    return found


def _inside_neurons(graph: OnnxGraph, makers: Makers) -> set[str]:
    """What the membranes before thresholds are made of element by element, such as synaptic currents."""
    pending = list(compared_tensors(graph, set(graph.constants)))
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        maker = makers.get(name)
        if name not in seen and maker is not None and maker.op in CONTINUING | MOVING:
            seen.add(name)
            pending += maker.inputs
    return seen


def scanned_tensors(body: OnnxGraph, states: int) -> dict[str, Shown]:
    """The same for the body of a Scan: what it hands out in every step."""
    makers = {name: node for node in body.nodes for name in node.outputs}
    return {_unmoved(makers, name): Shown(i) for i, name in enumerate(body.outputs[states:])}


def _behind(graph: OnnxGraph, makers: Makers, output: str) -> list[tuple[str, int | None]]:
    """The steps of a stack; a tensor that holds all of them; or a tensor and those it continues."""
    name, axis = _unmoved(makers, output), None
    maker = makers.get(name)
    if maker is not None and maker.op in REDUCING:
        axis = _axis(graph, maker)
        name = _unmoved(makers, maker.inputs[0])
        maker = makers.get(name)
    elif maker is not None and maker.op == "Gather" and _stacked(makers, maker.inputs[0]):
        name = _unmoved(makers, maker.inputs[0])
        maker = makers[name]
    if maker is None:
        return []
    if maker.op == "Concat":
        steps = [_unmoved(makers, n) for n in maker.inputs]
        same = {graph.shapes.get(n) for n in steps}
        alike = len(steps) >= LEAST and len(same) == 1 and set(steps) <= set(makers)
        return [(n, None) for n in steps] if alike else []
    if axis is not None:
        return [(name, axis)]
    return [(n, None) for n in _continued(graph, makers, name)]


def _unmoved(makers: Makers, name: str) -> str:
    """The tensor before its elements were given another shape."""
    for _ in range(MAX_WALK):
        maker = makers.get(name)
        if maker is None or maker.op not in MOVING:
            break
        name = maker.inputs[0]
    return name


def _stacked(makers: Makers, name: str) -> bool:
    """Whether the tensor is a stack of steps."""
    maker = makers.get(_unmoved(makers, name))
    return maker is not None and maker.op == "Concat"


def _axis(graph: OnnxGraph, node: OnnxNode) -> int | None:
    """The one axis that ``node`` reduces."""
    axes = node.integers("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1] in graph.constants:
        axes = tuple(int(a) for a in graph.constants[node.inputs[1]].ravel())
    count = len(graph.shapes[node.inputs[0]])
    return axes[0] % count if axes is not None and len(axes) == 1 and count else None


def _continued(graph: OnnxGraph, makers: Makers, last: str) -> Sequence[str]:
    """``last`` and the tensors of earlier steps that it is made from, over and over in one way, in order of time."""
    longest: list[str] = []
    for path in _ways(graph, makers, last):
        chain = [last]
        while len(chain) < MAX_WALK and (before := _along(graph, makers, chain[-1], path)) is not None:
            chain.append(before)
            if makers[before].op != makers[last].op:
                break
        longest = max(longest, chain, key=len)
    return longest[::-1] if len(longest) >= LEAST else ()


def _ways(graph: OnnxGraph, makers: Makers, last: str) -> Iterator[tuple[int, ...]]:
    """The ways back from ``last`` to another tensor that the same operation makes, shortest first."""
    pending: list[tuple[str, tuple[int, ...]]] = [(last, ())]
    for name, path in islice(_growing(pending), MAX_WALK):
        maker = makers.get(name)
        if maker is None or maker.op not in CONTINUING or graph.shapes.get(name) != graph.shapes.get(last):
            continue
        if path and maker.op == makers[last].op:
            yield path
        pending += [(n, (*path, i)) for i, n in enumerate(maker.inputs) if n]


def _growing(pending: list[tuple[str, tuple[int, ...]]]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The items of a list that grows while it is gone through."""
    index = 0
    while index < len(pending):
        yield pending[index]
        index += 1


def _along(graph: OnnxGraph, makers: Makers, name: str, path: tuple[int, ...]) -> str | None:
    """The tensor at the end of ``path`` from ``name``; None where the way ends earlier or the shape changes."""
    shape = graph.shapes.get(name)
    for index in path:
        maker = makers.get(name)
        if maker is None or maker.op not in CONTINUING or index >= len(maker.inputs):
            return None
        name = maker.inputs[index]
    return name if name in makers and graph.shapes.get(name) == shape else None


def compared_tensors(graph: OnnxGraph, known: AbstractSet[str]) -> set[str]:
    """The tensors that thresholds look at."""
    return {tensor for tensor, _ in comparisons(graph, known)}


def comparisons(graph: OnnxGraph, known: AbstractSet[str]) -> Iterator[tuple[str, OnnxNode]]:
    """What thresholds look at and where: v in ``v > c``, ``v - c > 0`` and ``floor(abs(v / c))``, c in ``known``."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    for node in graph.nodes:
        if node.op in COMPARES:
            passed: tuple[str, ...] = ("Sub",)
        elif node.op in ("Floor", "Sign", "Abs"):
            passed = ("Div", "Abs")
        else:
            continue
        for name in node.inputs:
            tensor = name
            while (maker := makers.get(tensor)) is not None and maker.op in passed:
                if len(maker.inputs) > 1 and maker.inputs[1] not in known:
                    break
                tensor = maker.inputs[0]
                passed = tuple(op for op in passed if op != maker.op)
            if tensor in makers:
                yield tensor, node


def last_uses(graph: OnnxGraph) -> dict[int, list[str]]:
    """The tensors that nothing needs after a node, by the node's position."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in (*node.inputs, *node.outputs):
            last[name] = index
    freed: dict[int, list[str]] = {}
    for name, index in last.items():
        if name and name not in graph.outputs and name not in graph.constants:
            freed.setdefault(index, []).append(name)
    return freed
