"""Why a layer lies where it lies, in words: its cores, how it was cut, what fills them, where its spikes go."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ranvier.compiler.analysis.resources import Demand, Mapper, total, usages
from ranvier.compiler.analysis.resources_blocks import Block, blocks_of
from ranvier.compiler.analysis.traffic import mean, traffic
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import Placement

if TYPE_CHECKING:
    from ranvier.targets.schema import Target

_AXES = ("channels", "rows", "columns")


def reasons(chip: ChipNetwork, placement: Placement, target: "Target") -> Mapping[str, str]:
    """One sentence or two for each population of ``chip`` as ``placement`` puts it on cores of ``target``."""
    on_core, mapper = blocks_of(chip, placement.pieces), Mapper(chip, target)
    slots = mapper.out_slots(block for blocks in on_core.values() for block in blocks)
    demands = {
        core: total(mapper.demand(b) + Demand(out_slots=int(slots[b.population][b.indices()].sum())) for b in blocks)
        for core, blocks in on_core.items()
    }
    sent = traffic(chip, placement)
    found = {}
    for population in chip.populations:
        held = {core: b for core, blocks in on_core.items() for b in blocks if b.population == population.name}
        where = f"{population.name} is on {_cores(sorted(held))} because {_binding(held, demands, target)}"
        parts = [where, _shape(list(held.values()))]
        if beside := sorted({b.population for core in held for b in on_core[core]} - {population.name}):
            parts.append(f"shares cores with {', '.join(beside)}")
        if any(c.source == population.name for c in chip.connections):
            parts.append(f"a spike is sent to {mean(sent[population.name].messages):.1f} cores")
        found[population.name] = "; ".join(parts)
    return found


def _binding(held: Mapping[int, Block], demands: Mapping[int, Demand], target: "Target") -> str:
    """The resource that is fullest on a core of the population."""
    core, fullest = max(
        ((core, max(usages(demands[core], target), key=lambda u: u.used / u.limit)) for core in held),
        key=lambda pair: pair[1].used / pair[1].limit,
    )
    share = f"{100 * fullest.used // fullest.limit} % of {fullest.resource}"
    if len(held) == 1:
        return f"one core holds it, at {share}"
    return f"{share} are in use on core {core}, the fullest of them"


def _shape(blocks: Sequence[Block]) -> str:
    if len(blocks) == 1:
        return "it is not cut"
    if len(blocks[0].shape) == 1:
        return f"it is cut into ranges of up to {max(b.size for b in blocks)} neurons"
    cut = [axis for axis, name in enumerate(_AXES) if any(b.box[axis] != (0, b.shape[axis]) for b in blocks)]
    largest = " x ".join(str(max(b.box[axis][1] - b.box[axis][0] for b in blocks)) for axis in range(3))
    return f"it is cut by {' and '.join(_AXES[axis] for axis in cut)} into boxes of up to {largest}"


def _cores(cores: Sequence[int]) -> str:
    """``cores 5 to 9 and 12``."""
    breaks = [0, *(i for i, (a, b) in enumerate(pairwise(cores), 1) if b != a + 1), len(cores)]
    runs = [(cores[a], cores[b - 1]) for a, b in pairwise(breaks)]
    words = [str(a) if a == b else f"{a} to {b}" for a, b in runs]
    shown = words if len(words) <= 4 else [*words[:3], f"{len(words) - 3} more groups"]
    joined = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    return f"core{'s' if len(cores) > 1 else ''} {joined}"
