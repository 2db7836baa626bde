"""``read_graph``: an ONNX file as a checked graph with constants folded and every shape known."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.frontends.onnx.evaluate import KNOWN, dry_run, operate
from ranvier.frontends.onnx.model import Array, OnnxGraph, OnnxNode
from ranvier.frontends.onnx.parse import parse

__all__ = ["OnnxGraph", "OnnxNode", "read_graph"]

SHAPE_ONLY = frozenset({"Shape", "Size"})
MAX_NODES = 60_000


def read_graph(path: str | Path, *, sizes: Mapping[str, int] | None = None) -> OnnxGraph:
    """The graph of the ONNX file at ``path``, checked and with constants folded.

    ``sizes`` gives dynamic axes their length by name; those not named become 1, as a batch of one sample. In the
    result every node depends on an input; Identity and Dropout are gone; constants are float64, int64 or bool; and
    ``shapes`` holds the shape of every tensor.

    Raises ``RanvierError``: RV280 no ONNX file, RV281 too large or values elsewhere, RV282 onnx missing, RV283 values,
    shapes or graph that cannot be, RV284 operations or operator sets that are not known (all at once).
    """
    graph = parse(Path(path), sizes or {})
    _check_operations(graph)
    _check_order(graph)
    folded = _fold(graph)
    values = dry_run(folded)
    return replace(folded, shapes={name: value.shape for name, value in values.items()})


def _blocks(graph: OnnxGraph) -> Iterable[OnnxGraph]:
    yield graph
    for node in graph.nodes:
        for value in node.attributes.values():
            if isinstance(value, OnnxGraph):
                yield from _blocks(value)


def _check_operations(graph: OnnxGraph) -> None:
    unknown: dict[str, list[str]] = {}
    for block in _blocks(graph):
        for node in block.nodes:
            if node.op not in KNOWN:
                unknown.setdefault(node.op, []).append(node.name or (node.outputs or ("",))[0])
    if unknown:
        raise RanvierError(
            Diagnostic(
                "RV284",
                f"{graph.file}: {op} ({len(names)} times, first {names[0]})",
                "the operation is not known.",
                "Write this part with linear layers, pools and spiking neurons, and export it with dynamo=True.",
            )
            for op, names in sorted(unknown.items())
        )


def _check_order(graph: OnnxGraph, outer: frozenset[str] = frozenset()) -> None:
    """Every tensor is defined once, before it is used: a graph with a cycle has no such order."""
    known = {*outer, *graph.constants, *graph.inputs, ""}
    made = {name for node in graph.nodes for name in node.outputs}
    if len(graph.nodes) > MAX_NODES:
        raise _broken(graph, f"it has {len(graph.nodes)} nodes; up to {MAX_NODES} are read")
    for node in graph.nodes:
        missing = next((name for name in node.inputs if name not in known), None)
        if missing is not None:
            late = "is used before it is made: the graph has a cycle or is out of order"
            raise _broken(
                graph, f"{node.place} takes {missing!r}, which {late if missing in made else 'nothing makes'}"
            )
        for name in node.outputs:
            if name and name in known:
                raise _broken(graph, f"{name!r} is made twice, the second time by {node.place}")
            known.add(name)
        for value in node.attributes.values():
            if isinstance(value, OnnxGraph):
                _check_order(value, frozenset(known))
    unmade = [name for name in graph.outputs if name not in known or not name]
    if unmade:
        raise _broken(graph, f"its output {unmade[0]!r} is made by nothing")


def _broken(graph: OnnxGraph, why: str) -> RanvierError:
    fix = "Export the network again; loops over time are exported unrolled or as Scan."
    return error("RV283", f"graph {graph.name!r} of {graph.file}", f"{why}.", fix)


def _fold(graph: OnnxGraph) -> OnnxGraph:
    """Constants computed, aliases resolved; shapes of inputs are constants because every axis is bound."""
    shapes = {name: value.shape for name, value in dry_run(graph).items()}
    constants: dict[str, Array] = dict(graph.constants)
    alias: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(alias.get(name, name) for name in node.inputs)
        node = replace(node, inputs=inputs)  # noqa: PLW2901 - the same node with its aliases resolved
        if node.op in SHAPE_ONLY:
            constants[node.outputs[0]] = _shape_of(node, shapes[inputs[0]], graph.file)
        elif node.op != "Scan" and all(name in constants or not name for name in inputs):
            args = [constants[name] if name else None for name in inputs]
            made = operate(node, args, graph.file)
            constants.update(zip(node.outputs, made if graph.double else map(_single, made), strict=False))
        elif node.op in ("Identity", "Dropout"):
            alias[node.outputs[0]] = inputs[0]
        else:
            nodes.append(node)
    outputs = tuple(alias.get(name, name) for name in graph.outputs)
    return replace(graph, nodes=_biased(nodes, constants, outputs), constants=constants, outputs=outputs)


def _single(values: Array) -> Array:
    """Rounded as the file computes it, in float32."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64) if values.dtype.kind == "f" else values


def _biased(nodes: list[OnnxNode], constants: Mapping[str, Array], outputs: tuple[str, ...]) -> tuple[OnnxNode, ...]:
    """MatMul with a constant matrix, and the Add of a constant row after it, as one node with three inputs."""
    uses: dict[str, list[OnnxNode]] = {}
    for node in nodes:
        for name in node.inputs:
            uses.setdefault(name, []).append(node)
    taken: dict[int, OnnxNode] = {}
    for node in nodes:
        after = uses.get(node.outputs[0], []) if node.outputs else []
        if node.op != "MatMul" or len(after) != 1 or after[0].op != "Add" or node.outputs[0] in outputs:
            continue
        weight = constants.get(node.inputs[1])
        rows = [n for n in after[0].inputs if n in constants and constants[n].ndim == 1]
        if weight is not None and weight.ndim == 2 and rows and constants[rows[0]].shape == weight.shape[1:]:
            taken[id(node)] = replace(node, inputs=(*node.inputs, rows[0]), outputs=after[0].outputs)
            taken[id(after[0])] = taken[id(node)]
    return tuple(dict.fromkeys(taken.get(id(node), node) for node in nodes))


def _shape_of(node: OnnxNode, shape: tuple[int, ...], file: str) -> Array:
    return operate(node, [np.broadcast_to(np.zeros(()), shape)], file)[0]
