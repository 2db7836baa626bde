"""Fewer messages between cores for networks of ranges: columns through several layers, then annealing.

A core that holds neighbouring ranges of consecutive layers keeps their spikes to itself. How many layers make a column
is tried; where the order of the neurons says little, cores grown along the axons are the better start. The best start
is annealed on the axon hypergraph (``partition_kernels``). Capacities other than the number of neurons are checked
afterwards by the mapper's own figures: a start that breaks one is not taken, and of a result the neurons of the cores
that break one are put back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.passes.mapping.axons import Axons, axons_of
from ranvier.compiler.passes.mapping.effort import NORMAL, Effort, Progress
from ranvier.compiler.passes.mapping.engines import ENGINES, Engine
from ranvier.compiler.passes.mapping.legality import Assignment, Cores, Legality
from ranvier.compiler.passes.mapping.loads import Loads

if TYPE_CHECKING:
    from ranvier.compiler.passes.mapping.partition_kernels import Assigned, Hypergraph

# Layers in a column that are tried; where they do not divide the number of layers, columns differ by one.
_HEIGHTS = (2, 2.5, 3, 4, 5, 6, 8)
# A quick search grows cores only where columns cost more messages than this for each spike.
_SCATTERED = 2.0
_MOST_OFFERS = 60_000_000
_MOST_COUNTS = 500_000_000
_MOST_MOVES_PER_EFFORT, _MOST_READS_PER_EFFORT = 20_000, 1_000_000
# A core may become this much fuller than the fullest was, if the target allows.
_SLACK = 1.03
# Temperatures in messages of a mean axon: at the first most moves that cost one are refused, at the last nearly all.
_HOT, _COLD = 0.6, 0.15


@dataclass(frozen=True)
class Refinement:
    """Refines the cores of one network; ``seed`` decides the random moves."""

    loads: Loads
    effort: Effort
    seed: int
    progress: Progress
    engine: Engine = "columns"

    def __call__(self, cores: Cores) -> Cores:
        """Cores with at most as many messages between them, each limit kept as it was."""
        chip = self.loads.mapper.chip
        axons = axons_of(chip, chip.rates) if len(cores) > 1 else None
        if axons is None or axons.neurons * len(cores) > _MOST_COUNTS:
            return cores
        count = len(cores)  # what is found may leave some empty: numbers stay below this all the same
        legality = Legality(self.loads, axons, cores)
        start = legality.assignment()
        before = _cost(axons, start, count)
        for found, cost in sorted(self._starts(chip, axons, count), key=lambda pair: pair[1]):
            if cost >= before:
                break
            if (legal := legality.checked(found)) is not None:
                start, cores, before = found, legal.blocks, cost
                break
        found, cost = self._annealed(axons, start, count)
        kept = legality.retreat(found, start) if cost < before else None
        return cores if kept is None or _cost(axons, kept.core, count) >= before else kept.blocks

    def _starts(self, chip: ChipNetwork, axons: Axons, cores: int) -> Iterator[tuple[Assignment, float]]:
        if self.engine != "columns":
            cut = ENGINES[self.engine](axons, cores, self.seed)
            yield cut, _cost(axons, cut, cores)
        lowest = float("inf")
        for found, cost in column_starts([p.size for p in chip.populations], axons, cores):
            lowest = min(lowest, cost)
            yield found, cost
        worthwhile = self.effort.moves >= NORMAL.moves or lowest > _SCATTERED * axons.weights.sum()
        if worthwhile and _offers(axons, cores) <= _MOST_OFFERS:
            found = _grown(axons, cores)
            yield found, _cost(axons, found, cores)

    def _annealed(self, axons: Axons, start: Assignment, cores: int) -> tuple[Assignment, float]:
        """The best assignment of a cooling run from ``start``, and its cost."""
        from ranvier.compiler.passes.mapping.compiled import random_state  # noqa: PLC0415 -- Numba is slow to load
        from ranvier.compiler.passes.mapping.partition_kernels import anneal  # noqa: PLC0415

        graph, state, cost = _counted(axons, start, cores)
        room, best, lowest = self._room(state.load), start, cost
        random, unit = random_state(self.seed), float(axons.weights.mean()) or 1.0
        axons_of_one = max(1, axons.axons.size // axons.neurons)  # a move looks at all axons of a neuron
        most = self.effort.moves * min(_MOST_MOVES_PER_EFFORT, _MOST_READS_PER_EFFORT // axons_of_one)
        self.progress("refine the partition", 0.0)
        for begin, end, moves in self.effort.rounds(axons.neurons, most):
            hot, cold = (unit * _HOT * (_COLD / _HOT) ** share for share in (begin, end))
            cost += anneal(graph, state, random, room, moves, hot, cold)
            if cost < lowest:
                best, lowest = state.core.copy(), cost
            self.progress("refine the partition", end)
        return best, lowest

    def _room(self, load: IntArray) -> int:
        """Neurons that a core may hold: little more than the fullest does, and what the limits allow."""
        wanted = int(_SLACK * load.max()) + 1
        rules = self.loads.mapper.target.core.resources
        limits = [r.cap.v for r in rules if r.use in ("n_neurons", "n_compartments") and r.enforce == "error"]
        limits += [self.loads.max_neurons] if self.loads.max_neurons else []
        return min([wanted, *limits])


def column_starts(sizes: Sequence[int], axons: Axons, cores: int) -> Iterator[tuple[Assignment, float]]:
    """Columns of several heights, and what each costs."""
    for groups in sorted({max(1, round(len(sizes) / height)) for height in _HEIGHTS}):
        if (found := columns(sizes, groups, cores)) is not None:
            yield found, _cost(axons, found, cores)


def columns(sizes: Sequence[int], groups: int, cores: int) -> Assignment | None:
    """(neurons,) cores in columns through ``groups`` groups of consecutive layers; None if one would get no core.

    A group of layers has its share of the cores by neurons; each of its layers is spread evenly over them.
    """
    group = np.arange(len(sizes)) * groups // len(sizes)
    edges = np.cumsum(np.bincount(group, weights=sizes, minlength=groups))
    bounds = np.concatenate([[0], np.rint(cores * edges / edges[-1]).astype(np.int64)])
    if np.any(np.diff(bounds) < 1):
        return None
    shares = [bounds[g] + np.arange(n) * (bounds[g + 1] - bounds[g]) // n for g, n in zip(group, sizes, strict=True)]
    return np.concatenate(shares).astype(np.int32)


def _offers(axons: Axons, cores: int) -> int:
    """At most so often growing cores look at a neuron: an axon's members for every core that it touches."""
    sizes = np.diff(axons.pointers)
    return int(np.sum(sizes * np.minimum(sizes, cores)))


def _grown(axons: Axons, cores: int) -> Assignment:
    """(neurons,) cores of equal size, grown along the axons."""
    from ranvier.compiler.passes.mapping.growth_kernels import grown  # noqa: PLC0415 -- Numba is slow to load

    return grown(_hypergraph(axons), np.diff(np.arange(cores + 1) * axons.neurons // cores))


def _cost(axons: Axons, core: Assignment, cores: int) -> float:
    from ranvier.compiler.passes.mapping.partition_kernels import cost_of  # noqa: PLC0415 -- Numba is slow to load

    return float(cost_of(_hypergraph(axons), core, cores))


def _hypergraph(axons: Axons) -> "Hypergraph":
    """The hypergraph as the kernels take it."""
    from ranvier.compiler.passes.mapping.partition_kernels import Hypergraph  # noqa: PLC0415 -- Numba is slow to load

    return Hypergraph(axons.pointers, axons.members, axons.near, axons.axons, axons.weights)


def _counted(axons: Axons, core: Assignment, cores: int) -> tuple["Hypergraph", "Assigned", float]:
    """The hypergraph and an assignment as the kernels take them, and its cost."""
    from ranvier.compiler.passes.mapping.partition_kernels import (  # noqa: PLC0415 -- Numba is slow to load
        Assigned,
        count_members,
    )

    graph = _hypergraph(axons)
    counts = np.zeros((axons.neurons, cores), dtype=np.uint16)
    state = Assigned(core.copy(), counts, np.zeros(cores, dtype=np.int64))
    return graph, state, count_members(graph, state)
