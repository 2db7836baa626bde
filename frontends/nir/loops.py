"""Loops of a graph: which edges carry the one step of delay that makes recurrence possible.

NIR states no delay on the edges of a loop. The exporters delay the spikes that a neuron sends back:
in ``lif -> w_rec -> lif`` the edge ``lif -> w_rec`` carries what was fired one step before. In general
populations are ranked by how many populations lie between them and the input, and a spike that goes
to a population of the same or a lower rank within its loop is delayed.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import numpy as np
from scipy import sparse

from ranvier.compiler.diagnostics import error

Pair = tuple[str, str]
FORWARD = 2**40


@dataclass(frozen=True)
class Loops:
    """``feedback``: the edges that carry a step; ``order``: all nodes so that other edges point forward;
    ``recurrent``: the nodes that lie on loops.
    """

    feedback: frozenset[Pair]
    order: tuple[str, ...]
    recurrent: frozenset[str]


def find_loops(names: Iterable[str], edges: Iterable[Pair], source: str, neurons: frozenset[str]) -> Loops:
    """Loops of the graph of ``edges`` that have no delay yet. Raises ``RanvierError`` on a loop without neurons."""
    nodes, pairs = list(names), list(edges)
    out: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in pairs:
        out[a].append(b)
    component = _components(nodes, pairs)
    linear_order = _order([n for n in nodes if n not in neurons], [p for p in pairs if not neurons.intersection(p)])
    rank = _ranks(out, source, neurons)
    highest, lowest = _reach(reversed(linear_order), out, component, rank, neurons)
    feedback: set[Pair] = set()
    pending = [(n, n, m) for n in neurons for m in out[n]]
    seen = set(pending)
    while pending:
        neuron, tail, head = pending.pop()
        own = rank.get(neuron, 0)
        if component[head] != component[neuron] or lowest[head] > own:
            continue
        if highest[head] <= own:
            feedback.add((tail, head))
            continue
        further = {(neuron, head, m) for m in out[head]} - seen
        seen |= further
        pending += sorted(further)
    order = _order(nodes, [pair for pair in pairs if pair not in feedback])
    counts = np.bincount(list(component.values()), minlength=1)
    recurrent = {n for n in nodes if counts[component[n]] > 1 or n in out[n]}
    return Loops(frozenset(feedback), tuple(order), frozenset(recurrent))


def _components(nodes: list[str], pairs: list[Pair]) -> dict[str, int]:
    """The strongly connected component of every node, as a number."""
    index = {name: i for i, name in enumerate(nodes)}
    rows, columns = [index[a] for a, _ in pairs], [index[b] for _, b in pairs]
    matrix = sparse.coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(nodes), len(nodes)))
    _, labels = sparse.csgraph.connected_components(matrix, directed=True, connection="strong")
    return {name: int(label) for name, label in zip(nodes, labels, strict=True)}


def _ranks(out: dict[str, list[str]], source: str, neurons: frozenset[str]) -> dict[str, int]:
    """Populations on the shortest way from ``source`` to each node, the node included."""
    rank = {source: 0}
    queue = deque([source])
    while queue:
        node = queue.popleft()
        for target in out[node]:
            cost = rank[node] + (target in neurons)
            if cost < rank.get(target, FORWARD):
                rank[target] = cost
                (queue.append if target in neurons else queue.appendleft)(target)
    return rank


def _reach(
    backwards: Iterable[str],
    out: dict[str, list[str]],
    component: dict[str, int],
    rank: dict[str, int],
    neurons: frozenset[str],
) -> tuple[dict[str, int], dict[str, int]]:
    """Highest and lowest rank of the first populations of its own loop that each node's output meets.

    An output that leaves the loop counts as ``FORWARD``.
    """
    highest = {n: rank.get(n, 0) for n in neurons}
    lowest = dict(highest)
    for node in backwards:
        inside = [m for m in out[node] if component[m] == component[node]]
        leaves = [FORWARD] if len(inside) < len(out[node]) or not inside else []
        highest[node] = max([highest[m] for m in inside] + leaves)
        lowest[node] = min([lowest[m] for m in inside] + leaves)
    return highest, lowest


def _order(nodes: list[str], pairs: list[Pair]) -> list[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter({name: [] for name in nodes})
    for a, b in pairs:
        sorter.add(b, a)
    try:
        return list(sorter.static_order())
    except CycleError as cycle:
        loop = " -> ".join(reversed(cycle.args[1][:12]))
        raise error(
            "RV106",
            "graph",
            f"the loop {loop} has no neuron in it, so it has no value in any step",
            "put a neuron or a Delay of at least one step into the loop",
        ) from None
