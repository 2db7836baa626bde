"""What lies on a core against its limits, each figure computed once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ranvier.compiler.analysis.resources import Demand, Mapper, Usage, total, usages
from ranvier.compiler.analysis.resources_blocks import Block
from ranvier.compiler.ir.arrays import IntArray

# Output slots of every neuron of each population.
Slots = Mapping[str, IntArray]


@dataclass(frozen=True)
class Verdict:
    """Whether a demand keeps the hard limits, the doubtful ones too, and the fullest resource's share of its limit."""

    fits: bool
    comfortable: bool
    fullest: float


@dataclass(frozen=True, eq=False)
class Loads:
    """Demands and verdicts for one network and target; ``max_neurons`` narrows the target's own limit."""

    mapper: Mapper
    max_neurons: int | None = None
    _verdicts: dict[Demand, Verdict] = field(default_factory=dict)
    _usages: dict[Demand, tuple[Usage, ...]] = field(default_factory=dict)

    def block(self, block: Block, slots: Slots) -> Demand:
        """The demand of one block, output slots included."""
        return with_slots(self.mapper.demand(block), block, slots)

    def core(self, blocks: Iterable[Block], slots: Slots) -> Demand:
        """The demand of blocks on one core."""
        return total(self.block(block, slots) for block in blocks)

    def verdict(self, demand: Demand) -> Verdict:
        """How ``demand`` stands against every limit."""
        if demand not in self._verdicts:
            self._verdicts[demand] = self._judge(demand)
        return self._verdicts[demand]

    def usages(self, demand: Demand) -> tuple[Usage, ...]:
        """Every resource of a core under ``demand``."""
        if demand not in self._usages:
            self._usages[demand] = usages(demand, self.mapper.target)
        return self._usages[demand]

    def fits(self, demand: Demand) -> bool:
        """Whether every hard limit is kept."""
        return self.verdict(demand).fits

    def comfortable(self, demand: Demand) -> bool:
        """Whether every limit is kept, the doubtful ones too."""
        return self.verdict(demand).comfortable

    def all_fit(self, blocks: Iterable[Block], slots: Slots) -> bool:
        """Whether each block fits a core of its own."""
        return all(self.fits(self.block(block, slots)) for block in blocks)

    @cached_property
    def slots_of_a_core(self) -> int | None:
        """The hard limit of output slots on a core, None where there is none."""
        caps = [u.limit for u in usages(Demand(), self.mapper.target) if u.hard and u.use == "n_out_slots"]
        return min(caps, default=None)

    def _judge(self, demand: Demand) -> Verdict:
        few = self.max_neurons is None or demand.neurons <= self.max_neurons
        found = self.usages(demand)
        fits = few and not any(u.over and u.hard for u in found)
        comfortable = few and not any(u.over or u.doubtful for u in found)
        shares = [u.used / u.limit for u in found] + ([demand.neurons / self.max_neurons] if self.max_neurons else [])
        return Verdict(fits, comfortable, max(shares, default=0.0))


def with_slots(demand: Demand, block: Block, slots: Slots) -> Demand:
    """The block's demand and the output slots that its neurons need."""
    held = slots[block.population]
    if block.runs:
        own = held[block.indices()]
    else:
        own = held.reshape(block.shape)[tuple(slice(start, stop) for start, stop in block.box)]
    return demand + Demand(out_slots=int(own.sum()))
