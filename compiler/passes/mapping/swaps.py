"""Better places for cores than the order of the layers gives them: swaps while cooling, from any start."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.flows import Flows
from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.passes.mapping.effort import Effort, Progress

Site = tuple[int, int, int]
_MOST_MOVES_PER_EFFORT = 20_000
# Moves that are tried per core, for each move of the effort.
_MOVES_PER_CORE = 8
# Temperatures as shares of the mean message load of a pair of cores.
_HOT, _COLD = 2.0, 0.01
_REACH = 6


@dataclass(frozen=True)
class Costs:
    """What one message costs per hop east or west, per hop north or south, and when it leaves its chip."""

    east_west: float = 1.0
    north_south: float = 1.0
    crossing: float = 30.0


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
        from ranvier.compiler.passes.mapping.placement_kernels import Graph, Placed, Places, anneal  # noqa: PLC0415

        place = np.arange(flow.cores, dtype=np.int32)
        if flow.messages.size == 0 or not flow.messages.any():
            return place.astype(np.int64)
        tenant = np.full(len(sites), -1, dtype=np.int32)
        tenant[: flow.cores] = place
        graph, state, random = Graph(*_both_ways(flow)), Placed(place, tenant), random_state(self.seed)
        chip, x, y = (np.array(axis, dtype=np.int32) for axis in zip(*sites, strict=True))
        weights = np.array([self.costs.east_west, self.costs.north_south, self.costs.crossing])
        best, change, lowest = place.copy(), 0.0, 0.0
        unit = float(graph.sent[graph.sent > 0].mean())
        most = self.effort.moves * _MOST_MOVES_PER_EFFORT
        for begin, end, moves in self.effort.rounds(_MOVES_PER_CORE * flow.cores, most):
            hot, cold = (unit * _HOT * (_COLD / _HOT) ** share for share in (begin, end))
            change += anneal(graph, Places(chip, x, y, weights), state, random, moves, _REACH, hot, cold)
            if change < lowest:
                best, lowest = place.copy(), change
            self.progress("refine the placement", end)
        return best.astype(np.int64)


def _both_ways(flow: Flows) -> tuple[IntArray, NDArray[np.int32], FloatArray]:
    """For every core its neighbours and the messages to and from each."""
    from scipy.sparse import coo_array  # noqa: PLC0415 -- importing the compiler stays fast

    shape = (flow.cores, flow.cores)
    table = coo_array((flow.messages, (flow.sources, flow.targets)), shape=shape).tocsr()
    table = (table + table.T).tocsr()
    return table.indptr.astype(np.int64), table.indices.astype(np.int32), table.data.astype(np.float64)
