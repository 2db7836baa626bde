"""Expressions to nodes and edges: delays go to the edges that leave populations and inputs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.hosted import HostedNetwork, HostedNode, HostFunction
from ranvier.compiler.ir.linear import Linear, Scale
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Note, Readout
from ranvier.frontends.torch.islands import Island
from ranvier.frontends.torch.populations import INPUT, Folded, Population
from ranvier.frontends.torch.values import SENT, Apply, Expr, Fixed, Leaf, Sum, leaves

Term = tuple[str, int]


@dataclass(eq=False)
class Graph:
    """The network under construction; ``inner`` names, per population, what its module computes inside."""

    steps: int
    nodes: dict[str, HostedNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    inner: dict[str, tuple[str, ...]] = field(default_factory=dict)
    placed: dict[int, str] = field(default_factory=dict)
    held: list[Expr] = field(default_factory=list)


def assemble(folded: Folded, source: Input, readout: str) -> tuple[Graph, tuple[str, ...]]:
    """The graph of everything that reaches ``readout``, and the names of the populations that do not.

    Raises ``RanvierError`` RV185 for what does not travel between layers, RV732 for infinite constants.
    """
    graph = Graph(folded.steps)
    graph.nodes[source.name] = source
    reached = _reaching(folded, readout)
    populations = {name: folded.populations[name] for name in reached if name in folded.populations}
    graph.nodes |= {n: Neurons(n, p.shape, p.described.model, p.described.scale) for n, p in populations.items()}
    graph.nodes |= {name: folded.islands[name].function for name in reached if name in folded.islands}
    for name in reached:
        _connect(graph, _receivers(folded)[name].inputs[-1], name)
    for population in populations.values():
        _recur(graph, population)
    graph.nodes = {name: graph.nodes[name] for name in _ordered(graph)}
    return graph, tuple(name for name in folded.populations if name not in reached)


def network_of(graph: Graph, title: str, readout: Readout, notes: tuple[Note, ...]) -> Network | HostedNetwork:
    """The graph as a network: a plain one where nothing is left to the host."""
    nodes, edges = tuple(graph.nodes.values()), tuple(graph.edges)
    plain = tuple(node for node in nodes if not isinstance(node, HostFunction))
    if len(plain) == len(nodes):
        return Network(title, plain, edges, readout, notes)
    return HostedNetwork(title, nodes, edges, readout, notes)


def _receivers(folded: Folded) -> Mapping[str, Population | Island]:
    return {**folded.populations, **folded.islands}


def _reaching(folded: Folded, readout: str) -> list[str]:
    found, todo, receivers = {readout}, [readout], _receivers(folded)
    while todo:
        for source in {leaf.source for leaf in leaves(receivers[todo.pop()].inputs[-1])}:
            if source != INPUT and source not in found:
                found.add(source)
                todo.append(source)
    return [name for name in receivers if name in found]


def _connect(graph: Graph, expr: Expr, target: str) -> None:
    """Edges for every term of ``expr``; a term that comes n times goes through a factor n."""
    terms: Counter[Term] = Counter()
    for term in expr.terms if isinstance(expr, Sum) else (expr,):
        for placed in _place(graph, term, target):
            terms[placed] += 1
    for (source, delay), times in terms.items():
        if times > 1:
            shape = graph.nodes[source].out_shape
            scale = Scale(_unique(graph, f"{target}.times"), shape, np.array(float(times)), np.array(0.0))
            graph.nodes[scale.name] = scale
            graph.edges += [Edge(source, scale.name, delay), Edge(scale.name, target)]
        else:
            graph.edges.append(Edge(source, target, delay))


def _place(graph: Graph, expr: Expr, target: str) -> list[Term]:
    if isinstance(expr, Fixed) and expr.zero:
        return []
    if isinstance(expr, Leaf) and expr.output in SENT:
        return [(expr.source, 0 if expr.step is None else graph.steps - 1 - expr.step)]
    if not isinstance(expr, Apply):
        what = f"the {expr.output} of {expr.source}" if isinstance(expr, Leaf) else "a constant or a sum over time"
        raise error(
            "RV185",
            target,
            f"it is fed with {what}, but only spikes and input frames travel between layers.",
            "Feed it with spikes; put constants into the bias of a layer.",
        )
    if isinstance(expr.op, Scale) and not np.all(np.isfinite(expr.op.shift)):
        text = "an infinite constant is added to what it is fed with"
        fix = "Keep masks of minus infinity right in front of a softmax, with host=True; else take a finite number."
        raise error("RV732", target, text, fix)
    if id(expr) not in graph.placed:
        name = _unique(graph, expr.op.name)
        graph.placed[id(expr)] = name
        graph.held.append(expr)
        graph.nodes[name] = _renamed(expr.op, name)
        _connect(graph, expr.arg, name)
    return [(graph.placed[id(expr)], 0)]


def _recur(graph: Graph, population: Population) -> None:
    inner = []
    for op in (population.described.recurrent, population.described.feedback):
        if op is not None:
            name = _unique(graph, op.name)
            graph.nodes[name] = _renamed(op, name)
            inner.append(name)
            graph.edges += [Edge(population.name, name, 1), Edge(name, population.name)]
    graph.inner[population.name] = tuple(inner)


def _renamed(op: Linear | Neurons, name: str) -> Linear | Neurons:
    return op if op.name == name else replace(op, name=name)


def _unique(graph: Graph, name: str) -> str:
    if name not in graph.nodes:
        return name
    return next(f"{name}_{i}" for i in range(2, len(graph.nodes) + 3) if f"{name}_{i}" not in graph.nodes)


def _ordered(graph: Graph) -> list[str]:
    """Names along the zero-delay edges."""
    before = {name: [e.source for e in graph.edges if e.target == name and e.delay == 0] for name in graph.nodes}
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in order:
            for source in before[name]:
                visit(source)
            order[name] = None

    for name in graph.nodes:
        visit(name)
    return list(order)
