"""Neurons fed by spikes with no layer between: in the first step their membrane is nothing but these spikes.

An exporter that knows the states to be zero then lets one tensor stand for both, the spikes of one module and the
membrane of the next. Inside that module the tensor gets a name of its own.
"""

from collections.abc import Mapping
from dataclasses import replace

from ranvier.frontends.onnx.model import OnnxGraph, OnnxNode
from ranvier.frontends.onnx.shown import COMPARES, comparisons

MEMBRANE = "#membrane of "
"""What the names of such membranes contain, before that of their module."""
ADDING = frozenset({"Add", "Sub", "Sum"})


def separated(graph: OnnxGraph) -> OnnxGraph:
    """``graph`` with an Identity where a module compares the spikes that another made with its threshold."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    joined = {
        (name, node.scope[:-1]): f"{name}{MEMBRANE}{node.scope[-2]}"
        for name, node in comparisons(graph, set(graph.constants))
        if _fired(makers, name) and len(node.scope) > 1 and makers[name].scope[:-1] not in ((), node.scope[:-1])
    }
    if not joined:
        return graph
    nodes: list[OnnxNode] = []
    made: set[str] = set()
    shapes = dict(graph.shapes)
    for node in graph.nodes:
        renamed = {name: joined[name, node.scope[:-1]] for name in node.inputs if (name, node.scope[:-1]) in joined}
        for name, own in renamed.items():
            if own not in made:
                made.add(own)
                shapes[own] = graph.shapes[name]
                nodes.append(OnnxNode("Identity", (name,), (own,), {}, own, node.scope, node.classes))
        nodes.append(replace(node, inputs=tuple(renamed.get(n, n) for n in node.inputs)))
    return replace(graph, nodes=tuple(nodes), shapes=shapes)


def _fired(makers: Mapping[str, OnnxNode], name: str) -> bool:
    """Whether ``name`` is the number of a comparison."""
    maker = makers[name]
    if maker.op not in ("Cast", "CastLike"):
        return False
    asked = makers.get(maker.inputs[0])
    return asked is not None and asked.op in COMPARES


def is_membrane(node: OnnxNode, name: str) -> bool:
    """Whether a tensor that equals the spikes of others is a membrane: a sum, or what ``separated`` named so."""
    return node.op in ADDING or MEMBRANE in name
