"""Slow, independent accounts of messages between cores, and best placements of a few cores, for tests of the mapper."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np

from ranvier.compiler.analysis.flows import Flows
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import CoreSite, Piece
from support.mapping import reach_matrix

Pair = tuple[int, int]


def home_table(chip: ChipNetwork, pieces: Sequence[Piece]) -> dict[str, list[int]]:
    """Per population, the core of each neuron."""
    homes = {p.name: [-1] * p.size for p in chip.populations}
    for piece in pieces:
        homes[piece.population][piece.start : piece.stop] = [piece.core] * (piece.stop - piece.start)
    return homes


def messages_between(chip: ChipNetwork, pieces: Sequence[Piece], rates: Mapping[str, float]) -> dict[Pair, float]:
    """Messages per step from core to core, neuron by neuron."""
    homes = home_table(chip, pieces)
    goals: dict[tuple[str, int], set[int]] = defaultdict(set)
    for connection in chip.connections:
        matrix = reach_matrix(connection)
        for neuron in range(len(homes.get(connection.source, ()))):
            reached = np.flatnonzero(matrix[:, neuron])
            goals[connection.source, neuron] |= {homes[connection.target][int(target)] for target in reached}
    found: dict[Pair, float] = defaultdict(float)
    for (source, neuron), cores in goals.items():
        home = homes[source][neuron]
        for goal in cores - {home}:
            found[home, goal] += rates.get(source, 1.0)
    return dict(found)


def walked(flow: Flows, sites: Sequence[CoreSite]) -> tuple[float, float, float, float]:
    """(messages, hops, busiest link, between chips) by walking every message link by link, x before y."""
    links, hops, crossing = Counter[tuple[int, Pair, Pair]](), 0.0, 0.0
    for a, b, sent in zip(flow.sources.tolist(), flow.targets.tolist(), flow.messages.tolist(), strict=True):
        start, goal = sites[a], sites[b]
        if start.chip != goal.chip:
            crossing += sent
            continue
        x, y = start.x, start.y
        while start.x >= 0 and (x, y) != (goal.x, goal.y):
            step = (x + (goal.x > x) - (goal.x < x), y) if x != goal.x else (x, y + (goal.y > y) - (goal.y < y))
            links[start.chip, (x, y), step] += sent
            hops += sent
            x, y = step
    return float(flow.messages.sum()), hops, max(links.values(), default=0.0), crossing


def hops_of(flow: Flows, points: Sequence[Pair], order: Sequence[int]) -> float:
    """Hops of all messages where core i is at ``points[order[i]]``."""
    far = [
        sum(abs(p - q) for p, q in zip(points[order[a]], points[order[b]], strict=True))
        for a, b in zip(flow.sources.tolist(), flow.targets.tolist(), strict=True)
    ]
    return float(np.dot(far, flow.messages))


def best_by_trying(flow: Flows, points: Sequence[Pair]) -> float:
    """The fewest hops of all placements; for at most eight points."""
    return min(hops_of(flow, points, order) for order in permutations(range(len(points)), flow.cores))
