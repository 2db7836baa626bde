"""Splits populations over cores under every limit of the target, with as few messages between cores as it finds.

The steps: cuts that cost the fewest cores and then the fewest messages, packed in the order of the layers
(``mapping.packing``); then patches of consecutive layers on one core, for convolutions (``mapping.fusion``), or columns
through several layers and annealing on the axon hypergraph, for networks of ranges (``mapping.refinement``), kept
only where every limit still is.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from ranvier.compiler.analysis.resources import Mapper, Usage, total
from ranvier.compiler.analysis.resources_blocks import Block
from ranvier.compiler.analysis.resources_refusals import delay_refusals, too_many_cores, warnings
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import Piece
from ranvier.compiler.passes.mapping.effort import CUTTING, NORMAL, Effort, Progress, silent
from ranvier.compiler.passes.mapping.engines import Engine
from ranvier.compiler.passes.mapping.fusion import Fusion
from ranvier.compiler.passes.mapping.loads import Loads, with_slots
from ranvier.compiler.passes.mapping.packing import Packer
from ranvier.compiler.passes.mapping.refinement import Refinement

if TYPE_CHECKING:
    from ranvier.targets.schema import Target


@dataclass(frozen=True)
class Partitioned:
    """The pieces, cores counted from 0 without gaps, and what deserves a warning (doubtful limits)."""

    pieces: tuple[Piece, ...]
    warnings: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class Partition:
    """The pass; ``max_neurons`` per core and ``chips`` narrow the target's own limits.

    ``effort`` says how long refinement may search and ``seed`` what is random in it; ``engine`` "metis" or
    "mtkahypar" adds that partitioner to the starts of the search (RV526 where it is not installed); ``progress`` is
    told the stages.
    ``RanvierError`` with all violations when the network cannot fit: RV520 a delay that is too long, RV521 a
    resource that a single neuron exceeds on a core of its own, RV522 more cores than there are.
    """

    target: "Target"
    max_neurons: int | None = None
    chips: int | None = None
    effort: Effort = NORMAL
    seed: int = 0
    engine: Engine = "columns"
    progress: Progress = field(default=silent, compare=False)

    def __call__(self, chip: ChipNetwork) -> Partitioned:
        """The network's pieces."""
        if refused := delay_refusals(chip, self.target):
            raise RanvierError(refused)
        loads = Loads(Mapper(chip, self.target), self.max_neurons)
        limit = self.target.cores_per_chip * (self.chips or self.target.max_chips)
        self._refuse_what_is_too_large(loads, limit)
        self.progress(CUTTING, 0.0)
        cores, slots = Packer(loads).run()
        if len(cores) > limit:
            held = Counter(name for core in cores for name in {block.population for block in core})
            raise RanvierError(too_many_cores(self.target, len(cores), held, limit))
        fused = Fusion(loads, slots, self.progress)(cores)
        refined = Refinement(loads, self.effort, self.seed, self.progress, self.engine)(fused)
        return self._partitioned(loads, refined)

    def _refuse_what_is_too_large(self, loads: Loads, limit: int) -> None:
        """A network whose neurons alone need more cores than there are is refused before anything is cut."""
        chip = loads.mapper.chip
        size = next((r.cap.v for r in self.target.core.resources if r.use in ("n_neurons", "n_compartments")), None)
        most = min((n for n in (size, self.max_neurons) if n is not None), default=None)
        neurons = sum(p.size for p in chip.populations)
        if most is None or neurons <= most * limit:
            return
        per_layer = {p.name: ceil(p.size / most) for p in chip.populations}
        raise RanvierError(too_many_cores(self.target, ceil(neurons / most), per_layer, limit, at_least=True))

    def _partitioned(self, loads: Loads, cores: Sequence[Sequence[Block]]) -> Partitioned:
        slots = loads.mapper.out_slots(block for core in cores for block in core)
        pieces, demands = [], []
        for number, core in enumerate(cores):
            loaded = [with_slots(loads.mapper.demand(block), block, slots) for block in core]
            demands.append(total(loaded))
            for block, demand in zip(core, loaded, strict=True):
                pieces += _pieces(block, loads.usages(demand), number)
        return Partitioned(tuple(pieces), warnings(loads.mapper, cores, demands))


def _pieces(block: Block, usages: Sequence[Usage], core: int) -> list[Piece]:
    """The block's contiguous pieces; the first one carries what the whole block uses."""
    use = {u.resource: u.used for u in usages}
    return [
        Piece(block.population, start, stop, core, use if number == 0 else {})
        for number, (start, stop) in enumerate(block.ranges())
    ]
