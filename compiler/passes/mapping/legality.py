"""Whether an assignment of single neurons to cores keeps the limits, by the figures that also made the first cut."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.resources_blocks import Block, Interval, ranges_block
from ranvier.compiler.passes.mapping.axons import Axons
from ranvier.compiler.passes.mapping.loads import Loads, Verdict

Cores = Sequence[Sequence[Block]]
Assignment = NDArray[np.int32]
# Times that neurons of cores which break a limit are put back before a refinement is given up.
_RETREATS = 6


@dataclass(frozen=True, eq=False)
class Legal:
    """An assignment that keeps the limits, and its blocks on each core that holds any."""

    core: Assignment
    blocks: Cores


@dataclass(frozen=True, eq=False)
class Legality:
    """Judges assignments of one network against its limits and against ``before``, the cores it has."""

    loads: Loads
    axons: Axons
    before: Cores

    def assignment(self) -> Assignment:
        """(neurons,) the core of each neuron in ``before``."""
        found = np.empty(self.axons.neurons, dtype=np.int32)
        for number, core in enumerate(self.before):
            for block in core:
                found[self.axons.first[block.population] + block.indices()] = number
        return found

    def checked(self, core: Assignment) -> Legal | None:
        """The assignment if all hard limits are kept and no more doubtful ones broken than before."""
        held = self._blocks(core)
        return None if self._faulty(held) else Legal(core, [held[number] for number in sorted(held)])

    def retreat(self, wanted: Assignment, safe: Assignment) -> Legal | None:
        """``wanted``, but neurons of cores that break a limit are where ``safe`` has them; None if that is too little.

        Putting neurons back changes other cores too, so it is repeated.
        """
        found = wanted.copy()
        for _ in range(_RETREATS):
            held = self._blocks(found)
            if not (faulty := self._faulty(held)):
                return Legal(found, [held[number] for number in sorted(held)])
            back = (found != safe) & (np.isin(found, faulty) | np.isin(safe, faulty))
            if not back.any():
                return None
            found[back] = safe[back]
        return None

    @cached_property
    def _doubtful_before(self) -> int:
        verdicts = self._verdicts(dict(enumerate(self.before)))
        return sum(not v.comfortable for v in verdicts.values())

    def _faulty(self, held: Mapping[int, Sequence[Block]]) -> list[int]:
        """The cores that break a hard limit or, if more are in doubt than before, a doubtful one."""
        verdicts = self._verdicts(held)
        broken = [number for number, v in verdicts.items() if not v.fits]
        doubtful = [number for number, v in verdicts.items() if not v.comfortable]
        return broken or (doubtful if doubtful and len(doubtful) > self._doubtful_before else [])

    def _verdicts(self, held: Mapping[int, Sequence[Block]]) -> dict[int, Verdict]:
        slots = self.loads.mapper.out_slots(block for core in held.values() for block in core)
        return {number: self.loads.verdict(self.loads.core(core, slots)) for number, core in held.items()}

    def _blocks(self, core: Assignment) -> dict[int, list[Block]]:
        """The blocks on each core that holds any."""
        held: dict[int, list[Block]] = {}
        for population in self.loads.mapper.chip.populations:
            own = core[self.axons.first[population.name] :][: population.size]
            edges = np.concatenate([[0], np.flatnonzero(np.diff(own)) + 1, [population.size]]).tolist()
            runs: dict[int, list[Interval]] = {}
            for start, stop in pairwise(edges):
                runs.setdefault(int(own[start]), []).append((start, stop))
            for number, ranges in runs.items():
                held.setdefault(number, []).append(ranges_block(population.name, (population.size,), ranges))
        return held
