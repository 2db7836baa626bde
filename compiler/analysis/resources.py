"""What blocks of neurons demand of a core, in the counters of the target files, against its limits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from ranvier.compiler.analysis.resources_blocks import Block
from ranvier.compiler.analysis.resources_synapses import (
    Format,
    Lists,
    axon_slots,
    likeness,
    lists,
    reach,
    reach_box,
    weight_bits,
)
from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, Population
from ranvier.targets.counters import COUNTERS
from ranvier.targets.expression import ExpressionError, parse

if TYPE_CHECKING:
    from ranvier.targets.schema import Target

STATE_WORD_BYTES = 4
_SYNAPSE_BITS = "rule:loihi.synapse_bits"
_MISSING = "missing"

Profile = tuple[int, ...]


@dataclass(frozen=True)
class Demand:
    """The counters of what lies on a core; demands add up, shared settings count once."""

    neurons: int = 0
    state_bytes: int = 0
    in_lists: int = 0
    out_slots: int = 0
    synapse_bits: int = 0
    profiles: frozenset[Profile] = field(default_factory=frozenset)
    thresholds: frozenset[Profile] = field(default_factory=frozenset)
    formats: frozenset[Format] = field(default_factory=frozenset)
    max_delay: int = 0

    def __add__(self, other: "Demand") -> "Demand":
        return Demand(
            self.neurons + other.neurons,
            self.state_bytes + other.state_bytes,
            self.in_lists + other.in_lists,
            self.out_slots + other.out_slots,
            self.synapse_bits + other.synapse_bits,
            self.profiles | other.profiles,
            self.thresholds | other.thresholds,
            self.formats | other.formats,
            max(self.max_delay, other.max_delay),
        )

    def counters(self) -> dict[str, int]:
        """The figures by the names that capacity rules use."""
        return {
            "n_neurons": self.neurons,
            "n_compartments": self.neurons,
            "n_state_bytes": self.state_bytes,
            "n_in_lists": self.in_lists,
            "n_out_slots": self.out_slots,
            "n_compartment_profiles": len(self.profiles),
            "n_vth_profiles": len(self.thresholds),
            "n_synapse_formats": len(self.formats),
            "max_delay": self.max_delay,
        }


@dataclass(frozen=True)
class Usage:
    """One resource of one core: used, limit, where the limit stands and who says so."""

    resource: str
    used: int
    limit: int
    hard: bool
    warn_above: int
    key: str
    cite: str
    use: str

    @property
    def over(self) -> bool:
        """Whether the limit is exceeded."""
        return self.used > self.limit

    @property
    def doubtful(self) -> bool:
        """Whether the use is legal but deserves a warning."""
        return self.used > self.warn_above and not (self.over and self.hard)


def total(demands: Iterable[Demand]) -> Demand:
    """The demand of everything together."""
    return reduce(Demand.__add__, demands, Demand())


@dataclass(frozen=True, eq=False)
class Mapper:
    """Demands of the blocks of one network on one target; what was computed once is kept."""

    chip: ChipNetwork
    target: "Target"
    _demands: dict[tuple[object, ...], Demand] = field(default_factory=dict)
    _seen: dict[Block, Demand] = field(default_factory=dict)
    _stored: dict[tuple[object, ...], Lists] = field(default_factory=dict)
    _widths: dict[str, int] = field(default_factory=dict)

    def demand(self, block: Block) -> Demand:
        """The demand of one block, output slots left at 0: they depend on where the block's targets lie."""
        if block not in self._seen:
            self._seen[block] = self._alike(block)
        return self._seen[block]

    def _alike(self, block: Block) -> Demand:
        """The demand of the block, computed once for all blocks that are alike."""
        population = self.chip.by_name[block.population]
        assert isinstance(population, Population)
        uniform = all(v.ndim == 0 for v in population.params.values())
        alike = [likeness(c, block) for c in self.chip.into[block.population]] if uniform else [(block,)]
        key = (block.population, block.size, *alike)
        if key not in self._demands:
            self._demands[key] = self._demand(block)
        return self._demands[key]

    def lists(self, connection: Connection, block: Block) -> Lists:
        """The storage of a connection for a block of its target."""
        if connection.name not in self._widths:
            self._widths[connection.name] = weight_bits(connection, self.target)
        key = (connection.name, *likeness(connection, block))
        if key not in self._stored:
            self._stored[key] = lists(connection, block, self.target, self._widths[connection.name])
        return self._stored[key]

    def out_slots(self, blocks: Iterable[Block]) -> dict[str, IntArray]:
        """Per population, (neurons,) output slots of each neuron when its targets are cut into ``blocks``."""
        slots = {p.name: np.zeros(p.size, dtype=np.int64) for p in self.chip.populations}
        for block in blocks:
            for connection in self.chip.into[block.population]:
                if connection.source in slots:
                    price = axon_slots(connection, self.target, self.lists(connection, block).axons)
                    synapse, paid = connection.synapse, slots[connection.source]
                    if isinstance(synapse, ConvSynapse):
                        paid.reshape(synapse.in_shape)[reach_box(synapse, block)] += price
                    else:
                        paid += price * reach(connection, block)
        return slots

    def _demand(self, block: Block) -> Demand:
        population = self.chip.by_name[block.population]
        assert isinstance(population, Population)
        incoming = [(c, self.lists(c, block)) for c in self.chip.into[block.population]]
        return Demand(
            neurons=block.size,
            state_bytes=block.size * state_bytes(population, self.target),
            in_lists=sum(found.axons for _, found in incoming),
            synapse_bits=sum(found.bits for _, found in incoming),
            profiles=_distinct(population, ("du", "dv", "refractory"), block),
            thresholds=_distinct(population, ("vth", "threshold"), block),
            formats=frozenset(found.format for _, found in incoming if found.axons),
            max_delay=max((c.delay for c, _ in incoming), default=0),
        )


def state_bytes(population: Population, target: "Target") -> int:
    """Bytes per neuron: what the target budgets, or a word per state and own parameter if that is more."""
    own = len(population.program.states) + sum(p.ndim > 0 for p in population.params.values())
    return max(target.neuron(population.program.semantics).state_bytes_max, STATE_WORD_BYTES * own)


def usages(demand: Demand, target: "Target") -> tuple[Usage, ...]:
    """Every resource of the target's core under ``demand``."""
    counters = demand.counters()
    found = []
    for rule in target.core.resources:
        warn = rule.warn_above.v if rule.warn_above else rule.cap.v
        used = _amount(rule.use, counters, demand, target)
        key, cite = f"{target.name}.core.{rule.name}", target.cite(rule.cap)
        found.append(Usage(rule.name, used, rule.cap.v, rule.enforce == "error", warn, key, cite, rule.use))
    for pool in target.core.pools:
        parts = pool_bytes(demand, target)[pool.name]
        key, cite = f"{target.name}.core.{pool.name}", target.cite(pool.cap_bytes)
        limit, hard, use = pool.usable_bytes, pool.enforce == "error", " + ".join(parts)
        found.append(Usage(pool.name, sum(parts.values()), limit, hard, limit, key, cite, use))
    return tuple(found)


def pool_bytes(demand: Demand, target: "Target") -> dict[str, dict[str, int]]:
    """Bytes of each known member of each shared memory."""
    counters = demand.counters()
    found: dict[str, dict[str, int]] = {}
    for pool in target.core.pools:
        found[pool.name] = {}
        for member in pool.members:
            text = member.use_bits if member.use_bits is not None else member.use_bytes
            assert text is not None, "the schema asks for one of them"
            if text != _MISSING:
                amount = _amount(text, counters, demand, target)
                found[pool.name][member.name] = -(-amount // 8) if member.use_bits is not None else amount
    return found


def _amount(use: str, counters: Mapping[str, int], demand: Demand, target: "Target") -> int:
    if use == _SYNAPSE_BITS:
        return demand.synapse_bits
    try:
        return parse(use, frozenset(COUNTERS))(counters)
    except ExpressionError as problem:
        fix = "correct the expression in the target file"
        raise error("RV509", target.file, f"{use!r} has no value: {problem}", fix) from None


def _distinct(population: Population, names: tuple[str, ...], block: Block) -> frozenset[Profile]:
    """The distinct combinations of the parameters ``names`` (those that exist) among the block's neurons."""
    values = [population.params[name] for name in names if name in population.params]
    if all(v.ndim == 0 for v in values):
        return frozenset([tuple(int(v) for v in values)]) if values else frozenset()
    neurons = block.indices()
    table = np.stack([np.broadcast_to(v, (population.size,))[neurons] for v in values], axis=1)
    return frozenset(tuple(int(x) for x in row) for row in np.unique(table, axis=0))
