"""The graph of a NIR file: read, with nested graphs flattened to dotted names."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.frontends.fields import Fields
from ranvier.frontends.hdf5 import Group

MAX_NODES = 1_000
MAX_EDGES = 10_000
SPIKING = ("LIF", "IF", "CubaLIF", "Threshold")
INTEGRATORS = ("LI", "I", "CubaLI")
NEURONS = SPIKING + INTEGRATORS
LINEARS = ("Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Delay")
SUPPORTED = ("Input", "Output", *LINEARS, *NEURONS, "NIRGraph")
PASS = "pass"
"""Type given to the inputs and outputs of nested graphs, which hand on what arrives."""

Pair = tuple[str, str]
_FIX = "export the network again with a current nir package"


@dataclass(frozen=True)
class RawNode:
    """One node as the file has it: its dotted ``name``, its NIR ``type``, its values and its metadata."""

    name: str
    type: str
    fields: Fields
    metadata: Mapping[str, str | float]

    @property
    def place(self) -> str:
        """How diagnostics call this node."""
        return self.fields.place


@dataclass
class RawGraph:
    """Nodes by dotted name and edges between names, subgraphs dissolved."""

    nodes: dict[str, RawNode] = field(default_factory=dict)
    edges: list[Pair] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)

    def of_type(self, *types: str) -> list[RawNode]:
        """The nodes of the given NIR types."""
        return [node for node in self.nodes.values() if node.type in types]


def read_graph(root: Group) -> RawGraph:
    """The graph under the file's ``node`` group. Raises ``RanvierError`` with everything wrong in it."""
    top = root.groups.get("node")
    if top is None or top.text("type") != "NIRGraph":
        raise _no_graph("the file has no group 'node' of type NIRGraph")
    graph = RawGraph()
    _read_into(graph, top, "", {})
    if len(graph.nodes) > MAX_NODES or len(graph.edges) > MAX_EDGES:
        raise _no_graph(
            f"{len(graph.nodes)} nodes and {len(graph.edges)} edges are more than {MAX_NODES} and {MAX_EDGES}"
        )
    _check_edges(graph)
    if graph.problems:
        raise RanvierError(graph.problems)
    return graph


def _read_into(graph: RawGraph, group: Group, prefix: str, inherited: dict[str, str | float]) -> None:
    """Add the nodes and edges of ``group``; ``prefix`` is the dotted path of the subgraph ("" at the top)."""
    members, edges = group.groups.get("nodes"), group.values.get("edges")
    if members is None or not members.groups:
        raise _no_graph(f"the graph {prefix or 'node'} has no nodes")
    metadata = inherited | _metadata(group)
    ends: dict[str, Pair] = {}
    for name, member in members.groups.items():
        full = f"{prefix}{name}"
        kind = member.text("type") or "(no type)"
        if kind == "NIRGraph":
            _read_into(graph, member, f"{full}.", metadata)
            ends[full] = _subgraph_ends(graph, full, member)
        else:
            _add(graph, _node(full, kind, member, metadata, nested=bool(prefix)))
    texts = edges if isinstance(edges, tuple) else ()
    pairs = [(f"{prefix}{a}", f"{prefix}{b}") for a, b in zip(texts[::2], texts[1::2], strict=False)]
    for a, b in pairs:
        graph.edges.append((ends.get(a, (a, a))[1], ends.get(b, (b, b))[0]))


def _node(full: str, kind: str, member: Group, metadata: dict[str, str | float], nested: bool) -> RawNode:
    is_port = nested and kind in ("Input", "Output")
    fields = Fields(member, f"node {full} ({kind})", "RV103", "RV109", _FIX)
    return RawNode(full, PASS if is_port else kind, fields, metadata | _metadata(member))


def _add(graph: RawGraph, node: RawNode) -> None:
    if node.name in graph.nodes:
        graph.problems.append(_problem("RV104", node.place, "two nodes have this dotted name", "rename one of them"))
    if node.type != PASS and node.type not in SUPPORTED:
        known = ", ".join(SUPPORTED)
        graph.problems.append(
            _problem("RV102", node.place, f"nodes of type {node.type} cannot be read", f"use {known}")
        )
    graph.nodes[node.name] = node


def _subgraph_ends(graph: RawGraph, full: str, member: Group) -> Pair:
    """The names of the nodes through which a subgraph is entered and left."""
    inner = member.groups["nodes"].groups
    ends = []
    for kind in ("Input", "Output"):
        names = [f"{full}.{n}" for n, g in inner.items() if g.text("type") == kind]
        if len(names) != 1:
            text = f"a nested graph needs exactly one {kind}, it has {len(names)}"
            graph.problems.append(
                _problem("RV105", f"node {full} (NIRGraph)", text, "flatten the graph before exporting it")
            )
        ends.append(names[0] if names else full)
    return ends[0], ends[1]


def _metadata(group: Group) -> dict[str, str | float]:
    found: dict[str, str | float] = {}
    held = group.groups.get("metadata")
    for name, value in (held.values if held else {}).items():
        if isinstance(value, str):
            found[name] = value
        elif isinstance(value, np.ndarray) and value.size == 1 and bool(np.isfinite(value).all()):
            found[name] = float(value.ravel()[0])
    return found


def _check_edges(graph: RawGraph) -> None:
    for pair, count in Counter(graph.edges).items():
        place = f"edge {pair[0]} -> {pair[1]}"
        if count > 1:
            text = f"the edge is there {count} times; a repeated edge has no meaning in NIR"
            graph.problems.append(_problem("RV104", place, text, "scale the weights instead of repeating the edge"))
        unknown = [name for name in pair if name not in graph.nodes]
        if unknown:
            text = f"there is no node {' and no node '.join(unknown)}"
            graph.problems.append(_problem("RV104", place, text, "correct the edges in the exporting program"))
    for kind in ("Input", "Output"):
        names = [node.name for node in graph.of_type(kind)]
        if len(names) != 1:
            text = f"the graph has {len(names)} {kind} nodes ({', '.join(names[:5]) or 'none'}); one is supported"
            graph.problems.append(_problem("RV105", "graph", text, f"export a network with one {kind}"))


def _problem(code: str, place: str, message: str, fix: str) -> Diagnostic:
    return Diagnostic(code, place, message, fix)


def _no_graph(why: str) -> RanvierError:
    return error("RV101", "graph", f"{why}: not a NIR network", "write the file with nir.write")
