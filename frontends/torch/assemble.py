"""Expressions to nodes and edges: delays go to the edges that leave populations and inputs."""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.linear import Linear, Scale
from ranvier.compiler.ir.network import Edge, Input, Neurons, Node
from ranvier.frontends.torch.populations import INPUT, Folded, Population
from ranvier.frontends.torch.values import Apply, Expr, Fixed, Leaf, Sum, leaves

Term = tuple[str, int]


@dataclass(eq=False)
class Graph:
    """The network under construction; ``inner`` names, per population, what its module computes inside."""

    steps: int
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    inner: dict[str, tuple[str, ...]] = field(default_factory=dict)
    placed: dict[int, str] = field(default_factory=dict)
    held: list[Expr] = field(default_factory=list)


def assemble(folded: Folded, source: Input, readout: str) -> tuple[Graph, tuple[str, ...]]:
    """The graph of everything that reaches ``readout``, and the names of the populations that do not."""
    graph = Graph(folded.steps)
    graph.nodes[source.name] = source
    reached = _reaching(folded, readout)
    for name in reached:
        population = folded.populations[name]
        graph.nodes[name] = Neurons(name, population.shape, population.described.model, population.described.scale)
    for name in reached:
        _connect(graph, folded.populations[name].inputs[-1], name)
        _recur(graph, folded.populations[name])
    graph.nodes = {name: graph.nodes[name] for name in _ordered(graph)}
    return graph, tuple(name for name in folded.populations if name not in reached)


def _reaching(folded: Folded, readout: str) -> list[str]:
    found, todo = {readout}, [readout]
    while todo:
        for source in {leaf.source for leaf in leaves(folded.populations[todo.pop()].inputs[-1])}:
            if source != INPUT and source not in found:
                found.add(source)
                todo.append(source)
    return [name for name in folded.populations if name in found]


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
    if isinstance(expr, Leaf) and expr.output in ("input", "spikes"):
        return [(expr.source, 0 if expr.step is None else graph.steps - 1 - expr.step)]
    if not isinstance(expr, Apply):
        what = f"the {expr.output} of {expr.source}" if isinstance(expr, Leaf) else "a constant or a sum over time"
        raise error(
            "RV185",
            target,
            f"it is fed with {what}, but only spikes and input frames travel between layers.",
            "Feed it with spikes; put constants into the bias of a layer.",
        )
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
