"""Better places for cores than the order of the layers gives them: swaps while cooling, from any start.

First for hops and messages between chips alone; then, where the mesh is known, again with the load of the links in the
cost, which levels the busiest link for at most one per cent more hops.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.flows import Flows
from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.passes.mapping.effort import Effort, Progress

if TYPE_CHECKING:
    from ranvier.compiler.passes.mapping.compiled import Random
    from ranvier.compiler.passes.mapping.placement_kernels import Graph, Placed, Places

Site = tuple[int, int, int]
# Moves that are tried per core, for each move of the effort, and at most per move of the effort: alone, with links.
_MOVES_PER_CORE = 8
_MOST_MOVES_PER_EFFORT, _MOST_SPREADS_PER_EFFORT = 20_000, 2_000
# Temperatures as shares of the mean message load of a pair of cores.
_HOT, _COLD, _COLD_SPREAD = 2.0, 0.01, 0.1
_REACH = 6
# What all links cost when their levelling starts, and what it may add, as shares of the cost of hops and crossings.
_LINKS, _TOLERANCE = 0.05, 0.01


@dataclass(frozen=True)
class Costs:
    """What one message costs per hop east or west, per hop north or south, and when it leaves its chip."""

    east_west: float = 1.0
    north_south: float = 1.0
    crossing: float = 30.0


@dataclass(frozen=True, eq=False)
class _Search:
    """The state of one search, as the kernels take it."""

    flow: Flows
    graph: "Graph"
    places: "Places"
    state: "Placed"
    random: "Random"
    unit: float


@dataclass(frozen=True)
class Swaps:
    """Refines a placement; ``seed`` decides the random swaps."""

    costs: Costs
    effort: Effort
    seed: int
    progress: Progress

    def __call__(self, flow: Flows, sites: Sequence[Site]) -> IntArray:
        """(cores,) the number of each core's site; core i starts at site i, and further sites are free.

        ``sites``: (chip, x, y), numbered so that neighbours in number are near each other.
        """
        from ranvier.compiler.passes.mapping.compiled import random_state  # noqa: PLC0415 -- Numba is slow to load
        from ranvier.compiler.passes.mapping.placement_kernels import Graph, Placed, Places  # noqa: PLC0415

        place = np.arange(flow.cores, dtype=np.int32)
        if flow.messages.size == 0 or not flow.messages.any():
            return place.astype(np.int64)
        chip, x, y = (np.array(axis, dtype=np.int32) for axis in zip(*sites, strict=True))
        weights = np.array([self.costs.east_west, self.costs.north_south, self.costs.crossing])
        graph = Graph(*_both_ways(flow))
        unit = float(graph.sent[graph.sent > 0].mean())
        state = Placed(place, np.empty(len(sites), dtype=np.int32))
        search = _Search(flow, graph, Places(chip, x, y, weights), state, random_state(self.seed), unit)
        known = bool(np.all(x >= 0) and len({*zip(x.tolist(), y.tolist(), strict=True)}) > 1)
        effort = self.effort
        if known and effort.seconds is not None:
            effort = replace(effort, seconds=effort.seconds / 2)
        _settle(state, place)
        best = self._near(search, effort)
        if known:
            _settle(state, best)
            best = self._levelled(search, effort)
        return best.astype(np.int64)

    def _near(self, search: _Search, effort: Effort) -> NDArray[np.int32]:
        """The places with the lowest cost of hops and crossings."""
        from ranvier.compiler.passes.mapping.placement_kernels import anneal  # noqa: PLC0415 -- Numba is slow to load

        best, change, lowest = search.state.place.copy(), 0.0, 0.0
        most = self.effort.moves * _MOST_MOVES_PER_EFFORT
        for moves, hot, cold in self._rounds(search, effort, most, (_HOT, _COLD), "refine the placement"):
            change += anneal(search.graph, search.places, search.state, search.random, moves, _REACH, hot, cold)
            if change < lowest:
                best, lowest = search.state.place.copy(), change
        return best

    def _levelled(self, search: _Search, effort: Effort) -> NDArray[np.int32]:
        """The places with the lowest cost, links included, of those that hardly cost more hops and crossings."""
        from ranvier.compiler.passes.mapping.link_kernels import POWER, Links, fill, spread  # noqa: PLC0415
        from ranvier.compiler.passes.mapping.placement_kernels import total_cost  # noqa: PLC0415

        graph, places, state = search.graph, search.places, search.state
        width, height = int(places.x.max()) + 1, int(places.y.max()) + 1
        loads = np.zeros((int(places.chip.max()) + 1) * width * height * 4)
        links = Links(*_each_way(search.flow, graph), loads, np.array([width, height]), 0.0)
        fill(graph, links, places, state.place)
        cost, busy = total_cost(graph, places, state), float(np.sum(loads**POWER))
        best = state.place.copy()
        if not busy:
            return best
        links = links._replace(weight=_LINKS * cost / busy)
        apart = change = lowest = 0.0
        most = self.effort.moves * _MOST_SPREADS_PER_EFFORT
        # Where there are too few moves to cool from the heat that mixes everything, they start cooler.
        hottest = max(_COLD_SPREAD, _HOT * min(1.0, _MOST_SPREADS_PER_EFFORT / (_MOVES_PER_CORE * state.place.size)))
        for moves, hot, cold in self._rounds(search, effort, most, (hottest, _COLD_SPREAD), "level the links"):
            more, added = spread(graph, links, places, state, search.random, moves, _REACH, (hot, cold))
            apart, change = apart + more, change + added
            if change < lowest and apart <= _TOLERANCE * cost:
                best, lowest = state.place.copy(), change
        return best

    def _rounds(
        self, search: _Search, effort: Effort, most: int, temperatures: tuple[float, float], stage: str
    ) -> Iterator[tuple[int, float, float]]:
        """Rounds of a search that cools between the temperatures: (moves, hottest, coldest)."""
        hot, cold = temperatures
        self.progress(stage, 0.0)
        for begin, end, moves in effort.rounds(_MOVES_PER_CORE * search.state.place.size, most):
            first, last = (search.unit * hot * (cold / hot) ** share for share in (begin, end))
            yield moves, first, last
            self.progress(stage, end)


def _settle(state: "Placed", place: NDArray[np.int32]) -> None:
    """Puts the cores at ``place``."""
    state.place[:] = place
    state.tenant[:] = -1
    state.tenant[place] = np.arange(place.size)


def _both_ways(flow: Flows) -> tuple[IntArray, NDArray[np.int32], FloatArray]:
    """For every core its neighbours and the messages to and from each."""
    from scipy.sparse import coo_array  # noqa: PLC0415 -- importing the compiler stays fast

    shape = (flow.cores, flow.cores)
    table = coo_array((flow.messages, (flow.sources, flow.targets)), shape=shape).tocsr()
    table = (table + table.T).tocsr()
    return table.indptr.astype(np.int64), table.indices.astype(np.int32), table.data.astype(np.float64)


def _each_way(flow: Flows, graph: "Graph") -> tuple[FloatArray, FloatArray]:
    """For every core the messages to each of its neighbours in ``graph``, and those from it."""
    cores = np.repeat(np.arange(flow.cores), np.diff(graph.pointers))
    keys, order = flow.sources * flow.cores + flow.targets, np.argsort(flow.sources * flow.cores + flow.targets)

    def sent(sources: IntArray, targets: IntArray) -> FloatArray:
        wanted = sources * flow.cores + targets
        where = np.minimum(np.searchsorted(keys[order], wanted), keys.size - 1)
        return np.where(keys[order][where] == wanted, flow.messages[order][where], 0.0)

    others = graph.others.astype(np.int64)
    return sent(cores, others), sent(others, cores)
