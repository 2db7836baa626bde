"""What every computation uses: groups of tiles by operand, and when each tile is used again.

Groups are what is held or streamed together: the weights, the state, what is sent, and what is read of each source.
"""

from typing import NamedTuple

import numpy as np

from ranvier.compiler.passes.mapping.compiled import compiled
from ranvier.compiler.schedule.choices import Rules
from ranvier.compiler.schedule.tables import Edges, Ints, Nodes, Role, Tables

NEVER = 2**40
INPUT, WEIGHT, OUTPUT, STATE = int(Role.INPUT), int(Role.WEIGHT), int(Role.OUTPUT), int(Role.STATE)


class Uses(NamedTuple):
    """``group[c]``: the first group of computation c (one longer); ``role[g]`` and the first use ``use[g]`` of group g.

    By use: its ``tile``, how many uses of that are ``left`` after it, and the tile's ``key`` from then on: what has the
    smallest key leaves the store first.
    """

    group: Ints
    role: Ints
    use: Ints
    tile: Ints
    left: Ints
    key: Ints


class _Lists(NamedTuple):
    """The parts of ``Uses`` that are made first; ``size``: groups and uses so far. Empty arrays are only counted."""

    group: Ints
    role: Ints
    use: Ints
    tile: Ints
    size: Ints


def uses(t: Tables, sequence: Ints, rules: Rules) -> Uses:
    """The uses of the computations in ``sequence``, with keys for ``rules.evict``."""
    none, tiles = np.empty(0, np.int64), t.tiles.bits.size
    counted = _Lists(none, none, none, none, np.zeros(2, np.int64))
    _walk(t.nodes, t.edges, t.steps, sequence, tiles, counted)
    groups, used = counted.size
    group, role, use, tile = (np.empty(n, np.int64) for n in (len(sequence) + 1, groups, groups + 1, used))
    made = _Lists(group, role, use, tile, np.zeros(2, np.int64))
    _walk(t.nodes, t.edges, t.steps, sequence, tiles, made)
    group[-1], use[-1] = groups, used
    left, key = _again(group, use, tile, tiles, t.tiles.node - t.sources, rules.evict == "farthest")
    return Uses(group, role, use, tile, left, key)


@compiled
def _walk(nodes: Nodes, edges: Edges, steps: int, sequence: Ints, tiles: int, lists: _Lists) -> None:
    """Go through all computations, counting or filling ``lists``."""
    seen = np.full(tiles, -1, np.int64)
    for c in range(len(sequence)):
        if lists.group.size:
            lists.group[c] = lists.size[0]
        node, step, column = sequence[c, 0], sequence[c, 1], sequence[c, 2]
        low, high = (0, steps) if nodes.batched[node] else (step, step + 1)
        if nodes.weight[node]:
            _open(lists, WEIGHT)
            _add(lists, nodes.weight_tile[node])
        if nodes.state[node]:
            _open(lists, STATE)
            _add(lists, nodes.state_tile[node] + column)
        _open(lists, OUTPUT)
        for now in range(low, high):
            _add(lists, nodes.output_tile[node] + now * nodes.tiles[node] + column)
        previous = -1
        for e in range(edges.first[node], edges.first[node + 1]):
            if edges.source[e] != node or not nodes.batched[node]:
                previous = _read(nodes, edges, e, (low, high, column), (c, previous), seen, lists)


@compiled
def _read(
    nodes: Nodes, edges: Edges, e: int, part: tuple[int, int, int], at: tuple[int, int], seen: Ints, lists: _Lists
) -> int:
    """What is read over edge ``e`` for ``part``: steps from, to, and column; one group for all edges of a source.

    ``at``: the computation, and the source whose group is open, which is returned.
    """
    (low, high, column), (c, previous) = part, at
    source, window = edges.source[e], edges.window[e] + column
    for then in range(max(low - edges.delay[e], 0), high - edges.delay[e]):
        for j in range(edges.low[window], edges.high[window]):
            tile = nodes.output_tile[source] + then * nodes.tiles[source] + j
            if seen[tile] != c:
                seen[tile] = c
                if source != previous:
                    _open(lists, INPUT)
                    previous = source
                _add(lists, tile)
    return int(previous)


@compiled
def _open(lists: _Lists, role: int) -> None:
    """A new group."""
    if lists.role.size:
        lists.role[lists.size[0]] = role
        lists.use[lists.size[0]] = lists.size[1]
    lists.size[0] += 1


@compiled
def _add(lists: _Lists, tile: int) -> None:
    """A tile in the group that is open."""
    if lists.tile.size:
        lists.tile[lists.size[1]] = tile
    lists.size[1] += 1


@compiled
def _again(group: Ints, use: Ints, tile: Ints, tiles: int, layer: Ints, farthest: bool) -> tuple[Ints, Ints]:
    """For every use how many uses of its tile are left after it, and the tile's key from then on."""
    left, key = np.empty(tile.size, np.int64), np.empty(tile.size, np.int64)
    remaining, following = np.zeros(tiles, np.int64), np.full(tiles, NEVER, np.int64)
    for c in range(group.size - 2, -1, -1):
        for u in range(use[group[c]], use[group[c + 1]]):
            this = tile[u]
            left[u] = remaining[this]
            key[u] = -following[this] if farthest else 100 * remaining[this] - layer[this]
            remaining[this] += 1
            following[this] = c
    return left, key
