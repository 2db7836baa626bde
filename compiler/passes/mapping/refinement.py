"""Fewer messages between cores for networks of ranges: columns through several layers, then annealing.

A core that holds neighbouring ranges of consecutive layers keeps their spikes to itself. How many layers make a column
is tried; the best start is annealed on the axon hypergraph (``partition_kernels``). Capacities other than the number
of neurons are checked afterwards by the mapper's own figures: a start or a result that breaks one is not taken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.resources import Mapper
from ranvier.compiler.analysis.resources_blocks import Block, Interval, ranges_block
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.passes.mapping.axons import Axons, axons_of
from ranvier.compiler.passes.mapping.effort import Effort, Progress
from ranvier.compiler.passes.mapping.loads import Loads, Verdict
from ranvier.compiler.passes.mapping.metis import metis

if TYPE_CHECKING:
    from ranvier.compiler.passes.mapping.partition_kernels import Assigned, Hypergraph

Cores = Sequence[Sequence[Block]]
# Where the start of the refinement comes from: columns alone, or METIS too.
Engine = Literal["columns", "metis"]
Assignment = NDArray[np.int32]
_COLUMNS = (1, 2, 3, 4, 6, 8)
_MOST_COUNTS = 500_000_000
_MOST_MOVES_PER_EFFORT = 20_000
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
        start = _assignment(cores, axons)
        before = _cost(axons, start, len(cores))
        for found, cost in sorted(self._starts(chip, axons, len(cores)), key=lambda pair: pair[1]):
            if cost >= before:
                break
            if (legal := self._legal(found, axons, cores)) is not None:
                start, cores, before = found, legal, cost
                break
        found, cost = self._annealed(axons, start, len(cores))
        legal = self._legal(found, axons, cores) if cost < before else None
        return cores if legal is None else legal

    def _starts(self, chip: ChipNetwork, axons: Axons, cores: int) -> Iterator[tuple[Assignment, float]]:
        if self.engine == "metis":
            cut = metis(axons, cores, self.seed)
            yield cut, _cost(axons, cut, cores)
        for layers in _COLUMNS:
            found = columns([p.size for p in chip.populations], layers, cores)
            if found is not None and layers <= len(chip.populations):
                yield found, _cost(axons, found, cores)

    def _annealed(self, axons: Axons, start: Assignment, cores: int) -> tuple[Assignment, float]:
        """The best assignment of a cooling run from ``start``, and its cost."""
        from ranvier.compiler.passes.mapping.compiled import random_state  # noqa: PLC0415 -- Numba is slow to load
        from ranvier.compiler.passes.mapping.partition_kernels import anneal  # noqa: PLC0415

        graph, state, cost = _counted(axons, start, cores)
        room, best, lowest = self._room(state.load), start, cost
        random, unit = random_state(self.seed), float(axons.weights.mean()) or 1.0
        most = self.effort.moves * _MOST_MOVES_PER_EFFORT
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

    def _legal(self, core: Assignment, axons: Axons, before: Cores) -> Cores | None:
        """The blocks of an assignment if all hard limits are kept and no more doubtful ones broken than before."""
        held = _blocks(core, axons, self.loads.mapper)
        verdicts = [self._verdicts(cores) for cores in (held, before)]
        if not all(v.fits for v in verdicts[0]):
            return None
        doubtful, allowed = (sum(not v.comfortable for v in found) for found in verdicts)
        return held if doubtful <= allowed else None

    def _verdicts(self, cores: Cores) -> list[Verdict]:
        slots = self.loads.mapper.out_slots(block for core in cores for block in core)
        return [self.loads.verdict(self.loads.core(core, slots)) for core in cores]


def columns(sizes: Sequence[int], layers: int, cores: int) -> Assignment | None:
    """(neurons,) cores in columns of ``layers`` consecutive layers; None if a group of layers would get no core.

    A group of layers has its share of the cores by neurons; each of its layers is spread evenly over them.
    """
    ends = np.cumsum(sizes)
    edges = np.append(ends[layers - 1 : -1 : layers], ends[-1])
    bounds = np.concatenate([[0], np.rint(cores * edges / ends[-1]).astype(np.int64)])
    if np.any(np.diff(bounds) < 1):
        return None
    parts = []
    for i, size in enumerate(sizes):
        group = i // layers
        share = np.arange(size) * (bounds[group + 1] - bounds[group]) // size
        parts.append(bounds[group] + share)
    return np.concatenate(parts).astype(np.int32)


def _assignment(cores: Cores, axons: Axons) -> Assignment:
    found = np.empty(axons.neurons, dtype=np.int32)
    for number, core in enumerate(cores):
        for block in core:
            found[axons.first[block.population] + block.indices()] = number
    return found


def _cost(axons: Axons, core: Assignment, cores: int) -> float:
    return _counted(axons, core, cores)[2]


def _counted(axons: Axons, core: Assignment, cores: int) -> tuple["Hypergraph", "Assigned", float]:
    """The hypergraph and an assignment as the kernels take them, and its cost."""
    from ranvier.compiler.passes.mapping.partition_kernels import (  # noqa: PLC0415 -- Numba is slow to load
        Assigned,
        Hypergraph,
        count_members,
    )

    graph = Hypergraph(axons.pointers, axons.members, axons.near, axons.axons, axons.weights)
    counts = np.zeros((axons.neurons, cores), dtype=np.uint16)
    state = Assigned(core.copy(), counts, np.zeros(cores, dtype=np.int64))
    return graph, state, count_members(graph, state)


def _blocks(core: Assignment, axons: Axons, mapper: Mapper) -> list[list[Block]]:
    """The blocks on each core that holds any, in the order of the assignment's numbers."""
    held: dict[int, list[Block]] = {}
    for population in mapper.chip.populations:
        own = core[axons.first[population.name] :][: population.size]
        edges = np.concatenate([[0], np.flatnonzero(np.diff(own)) + 1, [population.size]]).tolist()
        runs: dict[int, list[Interval]] = {}
        for start, stop in pairwise(edges):
            runs.setdefault(int(own[start]), []).append((start, stop))
        for number, ranges in runs.items():
            held.setdefault(number, []).append(ranges_block(population.name, (population.size,), ranges))
    return [held[number] for number in sorted(held)]
