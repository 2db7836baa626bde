"""Splits populations over cores under every limit of the target.

Each population is cut into the fewest balanced blocks that fit an empty core: ranges of neurons, or boxes of
channels, rows and columns where a convolution ends in it; among equal numbers of blocks, the cut with the
fewest input axons wins. Blocks are then packed in the order of the populations: a block joins the last core
while everything fits there. Output axons depend on where the targets lie, so the two steps repeat with the
slots that the last cut asked for; the number of blocks never falls, hence an end. Nothing is random.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from ranvier.compiler.analysis.resources import Demand, Mapper, total, usages
from ranvier.compiler.analysis.resources_blocks import Block, block_shape, cut, neuron_block, splits
from ranvier.compiler.analysis.resources_refusals import delay_refusals, overfull, too_many_cores, warnings
from ranvier.compiler.analysis.resources_synapses import fan_in
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import IntArray, Shape
from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.compiler.ir.program import Piece

if TYPE_CHECKING:
    from ranvier.targets.schema import Target

# Counters that do not shrink in proportion when a population is cut, so that they give no lower bound.
_NOT_ADDITIVE = re.compile(r"n_in_lists|_profiles|n_synapse_formats")
_MAX_ROUNDS = 64


@dataclass(frozen=True)
class Partitioned:
    """The pieces, cores counted from 0 without gaps, and what deserves a warning (doubtful limits)."""

    pieces: tuple[Piece, ...]
    warnings: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class Partition:
    """The pass; ``max_neurons`` per core and ``chips`` narrow the target's own limits.

    ``RanvierError`` with all violations when the network cannot fit: RV520 a delay that is too long, RV521 a
    resource that a single neuron exceeds on a core of its own, RV522 more cores than there are.
    """

    target: "Target"
    max_neurons: int | None = None
    chips: int | None = None

    def __call__(self, chip: ChipNetwork) -> Partitioned:
        """The network's pieces."""
        if refused := delay_refusals(chip, self.target):
            raise RanvierError(refused)
        mapper = Mapper(chip, self.target)
        packer = _Packer(mapper, self.max_neurons)
        cores = packer.run()
        limit = self.target.cores_per_chip * (self.chips or self.target.max_chips)
        if len(cores) > limit:
            raise RanvierError(too_many_cores(chip, self.target, cores, limit))
        slots = mapper.out_slots(block for core in cores for block in core)
        pieces, demands = [], []
        for number, core in enumerate(cores):
            loaded = [_with_slots(mapper.demand(block), block, slots) for block in core]
            demands.append(total(loaded))
            for block, demand in zip(core, loaded, strict=True):
                pieces += _pieces(block, demand, number, self.target)
        return Partitioned(tuple(pieces), warnings(mapper, cores, demands))


@dataclass
class _Packer:
    mapper: Mapper
    max_neurons: int | None
    cuts: dict[str, tuple[Block, ...]] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)

    def run(self) -> list[list[Block]]:
        """The blocks of each core, every hard limit kept; ``RanvierError`` when that cannot be."""
        populations = self.mapper.chip.populations
        slots: Mapping[str, IntArray] = {p.name: np.zeros(p.size, dtype=np.int64) for p in populations}
        for _ in range(_MAX_ROUNDS + len(populations)):
            self._cut_all(slots)
            cores = self._pack(slots)
            wanted = self.mapper.out_slots(block for core in cores for block in core)
            slots = {name: np.maximum(slots[name], wanted[name]) for name in slots}
            over = [core for core in cores if not self._fits(self._load(core, slots))]
            crowded = [core for core in cores if len(core) > 1 and not self._comfortable(core, slots)]
            if not over and not crowded:
                return cores
            self.alone |= {block.population for core in crowded for block in core}
        if not over:
            return cores
        # Crowded layers have been set apart: what remains are output axons that chase each other round a loop.
        raise RanvierError([d for core in over for d in overfull(self.mapper, core, self._load(core, slots))])

    def _cut_all(self, slots: Mapping[str, IntArray]) -> None:
        refused: list[Diagnostic] = []
        for population in self.mapper.chip.populations:
            blocks = self._cut(population, slots)
            if unfit := [block for block in blocks if not self._fits(self._load([block], slots))]:
                refused += self._refusal(unfit, slots)
            self.cuts[population.name] = blocks
        if refused:
            raise RanvierError(refused)

    def _cut(self, population: Population, slots: Mapping[str, IntArray]) -> tuple[Block, ...]:
        """The fewest blocks that fit one core each; if there are none, single neurons, some of which do not fit."""
        shape = block_shape(self.mapper.chip, population)
        worst = self._worst_neurons(population, shape, slots)
        if not self._all_fit(worst, slots):
            return worst
        parts = max(len(self.cuts.get(population.name, ())), self._least(population, shape, slots))
        while parts <= population.size:
            fitting = [c for c in self._candidates(population, shape, parts) if self._all_fit(c, slots)]
            if fitting:
                return min(fitting, key=self._axons)
            parts += max(1, parts // 16)
        return cut(population.name, shape, shape)

    def _candidates(self, population: Population, shape: Shape, parts: int) -> Iterator[tuple[Block, ...]]:
        for counts in splits(shape, parts):
            yield cut(population.name, shape, counts)

    def _axons(self, blocks: tuple[Block, ...]) -> int:
        return sum(self.mapper.demand(block).in_lists for block in blocks)

    def _least(self, population: Population, shape: Shape, slots: Mapping[str, IntArray]) -> int:
        """A lower bound on the number of blocks, from what only divides when a population is cut."""
        (whole,) = cut(population.name, shape, (1,) * len(shape))
        demand = self._load([whole], slots)
        found = [u for u in usages(demand, self.mapper.target) if u.hard and not _NOT_ADDITIVE.search(u.use)]
        bounds = [ceil(u.used / u.limit) for u in found]
        bounds.append(ceil(demand.neurons / self.max_neurons) if self.max_neurons else 1)
        return max(1, min(population.size, max(bounds)))

    def _worst_neurons(self, population: Population, shape: Shape, slots: Mapping[str, IntArray]) -> tuple[Block, ...]:
        """The neurons most likely not to fit: with the largest fan-in, with the most output slots."""
        incoming = self.mapper.chip.into[population.name]
        fan = sum((fan_in(c.synapse) for c in incoming), np.zeros(population.size, dtype=np.int64))
        picks = {int(np.argmax(fan)), int(np.argmax(slots[population.name]))}
        return tuple(neuron_block(population.name, shape, neuron) for neuron in sorted(picks))

    def _refusal(self, unfit: list[Block], slots: Mapping[str, IntArray]) -> list[Diagnostic]:
        """One diagnostic for each resource that a neuron exceeds by itself, for the neuron that exceeds it most."""
        found: dict[str, Diagnostic] = {}
        for block in unfit:
            for problem in overfull(self.mapper, [block], self._load([block], slots)):
                name, used = str(problem.figures["resource"]), problem.figures["used"]
                if name not in found or int(str(used)) > int(str(found[name].figures["used"])):
                    found[name] = problem
        return list(found.values())

    def _pack(self, slots: Mapping[str, IntArray]) -> list[list[Block]]:
        cores: list[list[Block]] = []
        for population in self.mapper.chip.populations:
            for number, block in enumerate(self.cuts[population.name]):
                share = number == 0 and bool(cores) and self._may_join(cores[-1], block, slots)
                if share:
                    cores[-1].append(block)
                else:
                    cores.append([block])
        return cores

    def _may_join(self, core: list[Block], block: Block, slots: Mapping[str, IntArray]) -> bool:
        """Whether the block may lie on the core beside what is there."""
        if self.alone & {block.population, *(b.population for b in core)}:
            return False
        return self._comfortable([*core, block], slots)

    def _comfortable(self, core: list[Block], slots: Mapping[str, IntArray]) -> bool:
        """Whether the core keeps every limit, the doubtful ones too."""
        demand = self._load(core, slots)
        found = usages(demand, self.mapper.target)
        return self._neurons_fit(demand) and not any(u.over or u.doubtful for u in found)

    def _load(self, blocks: list[Block], slots: Mapping[str, IntArray]) -> Demand:
        return total(_with_slots(self.mapper.demand(block), block, slots) for block in blocks)

    def _all_fit(self, blocks: tuple[Block, ...], slots: Mapping[str, IntArray]) -> bool:
        return all(self._fits(self._load([block], slots)) for block in blocks)

    def _fits(self, demand: Demand) -> bool:
        found = usages(demand, self.mapper.target)
        return self._neurons_fit(demand) and not any(u.over and u.hard for u in found)

    def _neurons_fit(self, demand: Demand) -> bool:
        return self.max_neurons is None or demand.neurons <= self.max_neurons


def _with_slots(demand: Demand, block: Block, slots: Mapping[str, IntArray]) -> Demand:
    return demand + Demand(out_slots=int(slots[block.population][block.indices()].sum()))


def _pieces(block: Block, demand: Demand, core: int, target: "Target") -> list[Piece]:
    """The block's contiguous pieces; the first one carries what the whole block uses."""
    use = {u.resource: u.used for u in usages(demand, target)}
    return [
        Piece(block.population, start, stop, core, use if number == 0 else {})
        for number, (start, stop) in enumerate(block.ranges())
    ]
