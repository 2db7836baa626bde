"""Annealing of a placement with the load of the mesh links as part of the cost, kept up to date swap by swap.

Messages go along x first, then along y, within a chip. The cost is that of ``placement_kernels`` plus
``weight * sum over links of load**POWER``: a high power is nearly the busiest link alone, and yet every message counts.
"""

from typing import NamedTuple

from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.passes.mapping.compiled import Random, accepted, below, compiled
from ranvier.compiler.passes.mapping.placement_kernels import Graph, Numbers, Placed, Places, change_of, goal_of

POWER = 4
# Swaps that cost more temperatures than this before the links are looked at are not tried.
_HOPELESS = 8


class Links(NamedTuple):
    """``out`` messages go from core i to ``others[k]`` of its graph and ``back`` come from it; ``loads`` of all links.

    The link that leaves (x, y) of a chip in direction d is number ``((chip * height + y) * width + x) * 4 + d``.
    """

    out: FloatArray
    back: FloatArray
    loads: FloatArray
    size: IntArray
    weight: float


@compiled
def _step(links: Links, link: int, amount: float) -> float:
    """Puts messages on a link; the change of its cost."""
    old = links.loads[link]
    new = old + amount
    links.loads[link] = new
    return float(links.weight * (new**POWER - old**POWER))


@compiled
def _route(links: Links, places: Places, a: int, b: int, amount: float) -> float:
    """Puts messages on all links from place a to place b; the change of the cost."""
    if amount == 0 or places.chip[a] != places.chip[b]:
        return 0.0
    width, height = links.size
    row = (places.chip[a] * height + places.y[a]) * width
    change, x, goal = 0.0, places.x[a], places.x[b]
    while x != goal:
        change += _step(links, (row + x) * 4 + (0 if goal > x else 1), amount)
        x += 1 if goal > x else -1
    y, goal = places.y[a], places.y[b]
    while y != goal:
        change += _step(links, ((places.chip[a] * height + y) * width + x) * 4 + (2 if goal > y else 3), amount)
        y += 1 if goal > y else -1
    return change


@compiled
def _put(graph: Graph, links: Links, places: Places, place: Numbers, core: int, beside: int, sign: float) -> float:
    """Puts (sign 1) or takes (-1) all messages of a core, those with ``beside`` left out; the change of the cost."""
    change = 0.0
    for k in range(graph.pointers[core], graph.pointers[core + 1]):
        other = graph.others[k]
        if other != beside:
            change += _route(links, places, place[core], place[other], sign * links.out[k])
            change += _route(links, places, place[other], place[core], sign * links.back[k])
    return change


@compiled
def fill(graph: Graph, links: Links, places: Places, place: Numbers) -> None:
    """Puts all messages on empty links."""
    for core in range(graph.pointers.size - 1):
        for k in range(graph.pointers[core], graph.pointers[core + 1]):
            _route(links, places, place[core], place[graph.others[k]], links.out[k])


@compiled
def _moved(graph: Graph, links: Links, places: Places, state: Placed, core: int, new: int) -> float:
    """Moves a core to a place, whoever is there to the core's old one; the change of the links' cost."""
    old, back = state.place[core], state.tenant[new]
    change = _put(graph, links, places, state.place, core, -1, -1.0)
    if back >= 0:
        change += _put(graph, links, places, state.place, back, core, -1.0)
        state.place[back] = old
    state.place[core], state.tenant[new], state.tenant[old] = new, core, back
    change += _put(graph, links, places, state.place, core, -1, 1.0)
    if back >= 0:
        change += _put(graph, links, places, state.place, back, core, 1.0)
    return change


@compiled
def spread(
    graph: Graph,
    links: Links,
    places: Places,
    state: Placed,
    random: Random,
    moves: int,
    reach: int,
    heat: tuple[float, float],
) -> tuple[float, float]:
    """Tries ``moves`` swaps while cooling from ``heat[0]`` to ``heat[1]``, changing ``state``.

    Returns the changes of the cost without the links, and of all.
    """
    apart, total = 0.0, 0.0
    for step in range(moves):
        core, temperature = below(random, state.place.size), heat[0] * (heat[1] / heat[0]) ** (step / moves)
        if graph.pointers[core] == graph.pointers[core + 1]:
            continue
        old, new = state.place[core], goal_of(graph, state, random, core, reach)
        if new < 0 or new >= state.tenant.size or new == old:
            continue
        back = state.tenant[new]
        change = change_of(graph, places, state, core, back, new)
        if back >= 0:
            change += change_of(graph, places, state, back, core, old)
        if change > _HOPELESS * temperature:
            continue
        loaded = _moved(graph, links, places, state, core, new)
        if accepted(random, change + loaded, temperature):
            apart += change
            total += change + loaded
        else:
            _moved(graph, links, places, state, core, old)
    return apart, total
