"""The order of computations: which tile of which layer is computed when.

A computation node is one column tile of a layer, in one step or, in a batched block, in all steps. Within a layer they
form a chain, columns fastest, then time. Among the layers whose next node is ready the one with the largest
``(-fuse number, -step, -column, layer)`` runs: barriers outermost, then time, then columns, the deepest layer first.
Method: the "LYT_gated" order of STEMS (arXiv 2502.03287, public code).
"""

import numpy as np

from ranvier.compiler.passes.mapping.compiled import compiled
from ranvier.compiler.schedule.tables import Edges, Ints, Nodes, Tables


def order(t: Tables) -> Ints:
    """(computations, 3) int64: node, step (0 in a batched block), column tile; shorter than it should be if the
    schedule is illegal, because a batched layer waits for what comes after it.
    """
    return np.asarray(_order(t.nodes, t.edges, t.steps, t.sources))


def chain_lengths(t: Tables) -> Ints:
    """How many computations every node has."""
    lengths = np.where(t.nodes.batched == 1, t.nodes.tiles, t.nodes.tiles * t.steps)
    lengths[: t.sources] = 0
    return np.asarray(lengths)


@compiled
def _order(nodes: Nodes, edges: Edges, steps: int, sources: int) -> Ints:
    count = nodes.tiles.size
    lengths = np.zeros(count, np.int64)
    for node in range(sources, count):
        lengths[node] = nodes.tiles[node] * (1 if nodes.batched[node] else steps)
    done = np.zeros(count, np.int64)
    found = np.empty((lengths.sum(), 3), np.int64)
    for position in range(len(found)):
        best, best_key = -1, (0, 0, 0)
        for node in range(sources, count):
            if done[node] < lengths[node]:
                step, column = done[node] // nodes.tiles[node], done[node] % nodes.tiles[node]
                key = (-nodes.fuse[node], -step, -column)
                if (best < 0 or key >= best_key) and _ready(node, step, column, nodes, edges, steps, sources, done):
                    best, best_key = node, key
        if best < 0:
            return found[:position]
        found[position, 0] = best
        found[position, 1] = done[best] // nodes.tiles[best]
        found[position, 2] = done[best] % nodes.tiles[best]
        done[best] += 1
    return found


@compiled
def _ready(node: int, step: int, column: int, nodes: Nodes, edges: Edges, steps: int, sources: int, done: Ints) -> bool:
    """Whether everything that a computation reads has been computed."""
    for e in range(edges.first[node], edges.first[node + 1]):
        source = edges.source[e]
        if source < sources or (source == node and nodes.batched[node] and nodes.tiles[node] == 1):
            continue
        last = (steps - 1 if nodes.batched[node] else step) - edges.delay[e]
        high = edges.high[edges.window[e] + column]
        if last < 0 or high == 0:
            continue
        needed = high if nodes.batched[source] else last * nodes.tiles[source] + high
        if done[source] < needed:
            return False
    return True
