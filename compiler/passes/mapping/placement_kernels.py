"""Annealing of a placement: a core changes places with another, or with a free place."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.passes.mapping.compiled import Random, accepted, below, compiled

Numbers = NDArray[np.int32]


class Graph(NamedTuple):
    """Core i sends to and gets from ``others[pointers[i]:pointers[i + 1]]``, ``sent`` messages both ways together."""

    pointers: IntArray
    others: Numbers
    sent: FloatArray


class Places(NamedTuple):
    """Chip and coordinates of each place; ``costs`` per hop along x, along y, and between chips."""

    chip: Numbers
    x: Numbers
    y: Numbers
    costs: FloatArray


class Placed(NamedTuple):
    """The place of each core, and the core at each place (-1: free)."""

    place: Numbers
    tenant: Numbers


@compiled
def _far(places: Places, a: int, b: int) -> float:
    """What a message between two places costs."""
    if places.chip[a] != places.chip[b]:
        return float(places.costs[2])
    x, y = abs(places.x[a] - places.x[b]), abs(places.y[a] - places.y[b])
    return float(places.costs[0] * x + places.costs[1] * y)


@compiled
def total_cost(graph: Graph, places: Places, state: Placed) -> float:
    """The cost of all messages."""
    found = 0.0
    for i in range(graph.pointers.size - 1):
        for k in range(graph.pointers[i], graph.pointers[i + 1]):
            found += 0.5 * graph.sent[k] * _far(places, state.place[i], state.place[graph.others[k]])
    return found


@compiled
def change_of(graph: Graph, places: Places, state: Placed, core: int, beside: int, new: int) -> float:
    """What it costs that ``core`` goes to ``new``, its messages with the core ``beside`` left out."""
    found, old = 0.0, state.place[core]
    for k in range(graph.pointers[core], graph.pointers[core + 1]):
        if graph.others[k] != beside:
            there = state.place[graph.others[k]]
            found += graph.sent[k] * (_far(places, new, there) - _far(places, old, there))
    return found


@compiled
def goal_of(graph: Graph, state: Placed, random: Random, core: int, reach: int) -> int:
    """A place near that of a random neighbour of ``core``, places being numbered along a curve; or any place."""
    if below(random, 2):
        return below(random, state.tenant.size)
    first, last = graph.pointers[core], graph.pointers[core + 1]
    near = state.place[graph.others[first + below(random, last - first)]]
    return int(near - reach + below(random, 2 * reach + 1))


@compiled
def anneal(
    graph: Graph,
    places: Places,
    state: Placed,
    random: Random,
    moves: int,
    reach: int,
    hot: float,
    cold: float,
) -> float:
    """Tries ``moves`` swaps while cooling from ``hot`` to ``cold``, changing ``state``; the change of the cost."""
    total = 0.0
    for step in range(moves):
        core = below(random, state.place.size)
        if graph.pointers[core] == graph.pointers[core + 1]:
            continue
        old, new = state.place[core], goal_of(graph, state, random, core, reach)
        if new < 0 or new >= state.tenant.size or new == old:
            continue
        back = state.tenant[new]
        change = change_of(graph, places, state, core, back, new)
        if back >= 0:
            change += change_of(graph, places, state, back, core, old)
        if accepted(random, change, hot * (cold / hot) ** (step / moves)):
            state.place[core], state.tenant[new], state.tenant[old] = new, core, back
            if back >= 0:
                state.place[back] = old
            total += change
    return total
