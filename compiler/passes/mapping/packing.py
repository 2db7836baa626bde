"""Puts the blocks of all populations on cores under every limit of the target.

Populations are cut from the last to the first, because the output slots of a neuron depend on how its targets are cut.
Blocks are packed in the order of the populations: a block joins the last core while everything fits there. Where a
network has loops the two steps repeat with the slots that the last cut asked for; the number of blocks never falls,
hence an end. At last, cores that are at most half full are joined. Nothing is random.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ranvier.compiler.analysis.resources_blocks import Block
from ranvier.compiler.analysis.resources_refusals import overfull
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.passes.mapping.cutting import Cutter
from ranvier.compiler.passes.mapping.loads import Loads, Slots

Cores = list[list[Block]]
_MAX_ROUNDS = 64
_HALF = 0.5
# A light core is offered to this many light cores before it.
_WINDOW = 16


@dataclass
class Packer:
    """One run over one network."""

    loads: Loads
    cuts: dict[str, tuple[Block, ...]] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._cutter = Cutter(self.loads)

    def run(self) -> tuple[Cores, Slots]:
        """The blocks of each core and the output slots of all neurons; ``RanvierError`` when limits cannot be kept."""
        mapper = self.loads.mapper
        slots: Mapping[str, IntArray] = {p.name: np.zeros(p.size, dtype=np.int64) for p in mapper.chip.populations}
        for _ in range(_MAX_ROUNDS + len(mapper.chip.populations)):
            wanted = self._cut_all(slots)
            slots = {name: np.maximum(slots[name], wanted[name]) for name in slots}
            cores = self._pack(slots)
            over = [core for core in cores if not self.loads.fits(self.loads.core(core, slots))]
            crowded = [core for core in cores if len(core) > 1 and not self._comfortable(core, slots)]
            if not over and not crowded:
                return self._joined(cores, slots), wanted
            self.alone |= {block.population for core in crowded for block in core}
        if not over:
            return cores, wanted
        # Crowded layers have been set apart: what remains are output axons that chase each other round a loop.
        raise RanvierError([d for core in over for d in overfull(mapper, core, self.loads.core(core, slots))])

    def _cut_all(self, floor: Slots) -> Slots:
        """Cuts all populations; the output slots that the cuts ask for."""
        refused: list[Diagnostic] = []
        populations = sorted(self.loads.mapper.chip.populations, key=lambda p: -p.latency)
        wanted = {p.name: np.zeros(p.size, dtype=np.int64) for p in populations}
        for population in populations:
            known = {name: np.maximum(floor[name], wanted[name]) for name in self._near(population.name)}
            blocks = self._cutter.cut(population, known, len(self.cuts.get(population.name, ())))
            if unfit := [block for block in blocks if not self.loads.fits(self.loads.block(block, known))]:
                refused += self._refusal(unfit, known)
            self.cuts[population.name] = blocks
            for name, added in self.loads.mapper.out_slots(blocks).items():
                wanted[name] += added
        if refused:
            raise RanvierError(sorted(refused, key=self._place_in_order))
        return wanted

    def _near(self, population: str) -> set[str]:
        """The population and those that feed it."""
        chip = self.loads.mapper.chip
        names = {p.name for p in chip.populations}
        return {population} | {c.source for c in chip.into[population] if c.source in names}

    def _place_in_order(self, diagnostic: Diagnostic) -> int:
        return [p.name for p in self.loads.mapper.chip.populations].index(diagnostic.place)

    def _refusal(self, unfit: list[Block], slots: Slots) -> list[Diagnostic]:
        """One diagnostic for each resource that a neuron exceeds by itself, for the neuron that exceeds it most."""
        found: dict[str, Diagnostic] = {}
        for block in unfit:
            for problem in overfull(self.loads.mapper, [block], self.loads.block(block, slots)):
                name, used = str(problem.figures["resource"]), problem.figures["used"]
                if name not in found or int(str(used)) > int(str(found[name].figures["used"])):
                    found[name] = problem
        return list(found.values())

    def _pack(self, slots: Slots) -> Cores:
        cores: Cores = []
        for population in self.loads.mapper.chip.populations:
            for number, block in enumerate(self.cuts[population.name]):
                share = number == 0 and bool(cores) and self._may_join(cores[-1], [block], slots)
                if share:
                    cores[-1].append(block)
                else:
                    cores.append([block])
        return cores

    def _joined(self, cores: Cores, slots: Slots) -> Cores:
        """The cores, light ones put together where everything fits."""
        result: Cores = []
        light: list[list[Block]] = []
        for core in cores:
            if self._share(core, slots) > _HALF:
                result.append(core)
                continue
            home = next((one for one in reversed(light[-_WINDOW:]) if self._may_join(one, core, slots)), None)
            if home is None:
                light.append(core)
                result.append(core)
            else:
                home += core
        return result

    def _share(self, core: list[Block], slots: Slots) -> float:
        return self.loads.verdict(self.loads.core(core, slots)).fullest

    def _may_join(self, core: list[Block], more: list[Block], slots: Slots) -> bool:
        """Whether ``more`` may lie on the core beside what is there; a population is never twice on a core."""
        there, new = {b.population for b in core}, {b.population for b in more}
        if self.alone & (there | new) or there & new:
            return False
        return self._comfortable([*core, *more], slots)

    def _comfortable(self, core: list[Block], slots: Slots) -> bool:
        return self.loads.comfortable(self.loads.core(core, slots))
