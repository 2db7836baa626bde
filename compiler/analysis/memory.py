"""Where the memory goes: bytes of weights and state and axons, per layer and per core, and what binds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ranvier.compiler.analysis.resources import Demand, Mapper, Usage, total, usages
from ranvier.compiler.analysis.resources_blocks import blocks_of
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import Placement

if TYPE_CHECKING:
    from ranvier.targets.schema import Target


@dataclass(frozen=True)
class LayerMemory:
    """One population over all its cores; shared kernels count once for each core that holds them."""

    name: str
    neurons: int
    cores: int
    weight_bytes: int
    state_bytes: int
    in_axons: int
    out_axons: int


@dataclass(frozen=True)
class CoreMemory:
    """One core: its populations, each resource, and the one that is nearest its limit."""

    core: int
    populations: tuple[str, ...]
    weight_bytes: int
    state_bytes: int
    in_axons: int
    out_axons: int
    usages: tuple[Usage, ...]

    @property
    def binding(self) -> Usage:
        """The resource with the largest share of its limit used."""
        return max(self.usages, key=lambda usage: usage.used / usage.limit)


@dataclass(frozen=True)
class MemoryReport:
    """The memory of a placed program; figures that rest on estimates are named in ``estimates``."""

    target: str
    layers: tuple[LayerMemory, ...]
    cores: tuple[CoreMemory, ...]
    chips: int
    estimates: tuple[str, ...]

    @property
    def weight_bytes(self) -> int:
        """Bytes of synaptic memory on all cores."""
        return sum(core.weight_bytes for core in self.cores)

    @property
    def state_bytes(self) -> int:
        """Bytes of neuron state on all cores."""
        return sum(core.state_bytes for core in self.cores)

    @property
    def utilisation(self) -> Mapping[str, float]:
        """Mean use of each resource over the cores, as a share of its limit."""
        names = [usage.resource for usage in self.cores[0].usages] if self.cores else []
        return {
            name: sum(core.usages[n].used / core.usages[n].limit for core in self.cores) / len(self.cores)
            for n, name in enumerate(names)
        }

    def to_json(self) -> dict[str, object]:
        """Plain values for ``--json``."""
        return {
            "target": self.target,
            "cores": len(self.cores),
            "chips": self.chips,
            "weight_bytes": self.weight_bytes,
            "state_bytes": self.state_bytes,
            "utilisation": dict(self.utilisation),
            "layers": [dict(vars(layer)) for layer in self.layers],
            "per_core": [_core_json(core) for core in self.cores],
            "estimates": list(self.estimates),
        }


def memory(chip: ChipNetwork, placement: Placement, target: "Target") -> MemoryReport:
    """What the placed network takes of the target's memories."""
    mapper = Mapper(chip, target)
    on_core = blocks_of(chip, placement.pieces)
    slots = mapper.out_slots(block for blocks in on_core.values() for block in blocks)
    per_layer: dict[str, list[Demand]] = {p.name: [] for p in chip.populations}
    cores = []
    for core, blocks in on_core.items():
        loads = []
        for block in blocks:
            outgoing = int(slots[block.population][block.indices()].sum())
            loads.append(mapper.demand(block) + Demand(out_slots=outgoing))
            per_layer[block.population].append(loads[-1])
        cores.append(_core(core, tuple(block.population for block in blocks), total(loads), target))
    layers = tuple(_layer(name, loads) for name, loads in per_layer.items())
    return MemoryReport(target.name, layers, tuple(cores), placement.chips, _estimates(target))


def _core(core: int, populations: tuple[str, ...], load: Demand, target: "Target") -> CoreMemory:
    weights = -(-load.synapse_bits // 8)
    found = usages(load, target)
    return CoreMemory(core, populations, weights, load.state_bytes, load.in_lists, load.out_slots, found)


def _layer(name: str, loads: list[Demand]) -> LayerMemory:
    whole = total(loads)
    weights = sum(-(-load.synapse_bits // 8) for load in loads)
    return LayerMemory(name, whole.neurons, len(loads), weights, whole.state_bytes, whole.in_lists, whole.out_slots)


def _core_json(core: CoreMemory) -> dict[str, object]:
    return {
        "core": core.core,
        "populations": list(core.populations),
        "binding": core.binding.resource,
        "usages": {usage.resource: {"used": usage.used, "limit": usage.limit} for usage in core.usages},
    }


def _estimates(target: "Target") -> tuple[str, ...]:
    """The parts of the memory model that are no published facts of this chip."""
    members = [(pool.name, member) for pool in target.core.pools for member in pool.members]
    return tuple(
        f"{pool}.{member.name}: {member.note or target.cite(member)}"
        for pool, member in members
        if member.basis == "estimate" or "missing" in (member.use_bits, member.use_bytes)
    )
