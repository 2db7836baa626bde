"""Why a network does not fit, or only just: resource, used, limit, whose limit it is, causes, what helps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ranvier.compiler.analysis.resources import Demand, Mapper, Usage, usages
from ranvier.compiler.analysis.resources_blocks import Block
from ranvier.compiler.diagnostics import Diagnostic, Figure, Severity
from ranvier.compiler.ir.chip import ChipNetwork

if TYPE_CHECKING:
    from ranvier.targets.schema import Target

# What the rule of a limit counts -> what helps; the first that occurs in the rule decides.
_FIXES: Final = (
    ("max_delay", "shorten the delays of the layer's synapses"),
    ("n_in_lists", "prune or share weights (a convolution), or feed the layer from fewer neurons"),
    (
        "n_out_slots",
        "make the layers that this one feeds smaller or sparser, so that they lie on fewer cores",
    ),
    ("n_synapse_formats", "join the connections that end in this layer"),
    ("synapse", "prune weights, share them (a convolution), or feed the layer from fewer neurons"),
    ("profiles", "let the layer's neurons share their parameters"),
)


def delay_refusals(chip: ChipNetwork, target: "Target") -> list[Diagnostic]:
    """RV520 for every connection whose delay the target cannot hold."""
    limit, delay = target.synapse.max_delay, target.synapse.delay
    cite = f"[{target.name}.synapse.delay; {target.cite(delay)}]"
    return [
        Diagnostic(
            "RV520",
            c.name,
            f"a delay of {c.delay} steps exceeds the {limit} that a synapse can hold {cite}",
            "shorten the delay, or pass the spikes on through a layer of relay neurons",
            figures={"delay": c.delay, "limit": limit},
        )
        for c in chip.connections
        if c.delay > limit
    ]


def overfull(mapper: Mapper, blocks: Sequence[Block], demand: Demand) -> list[Diagnostic]:
    """RV521 for every hard limit that ``blocks`` exceed on one core, with the figures of each cause."""
    place = max(blocks, key=lambda block: block.size).population
    what = "a single neuron" if demand.neurons == 1 else f"{demand.neurons} neurons"
    return [
        _finding("RV521", place, f"{what} on a core", usage, _causes(mapper, blocks, usage), "error")
        for usage in usages(demand, mapper.target)
        if usage.over and usage.hard
    ]


def warnings(mapper: Mapper, cores: Sequence[Sequence[Block]], demands: Sequence[Demand]) -> tuple[Diagnostic, ...]:
    """RV523 for every doubtful limit that is exceeded: once per layer and resource, on its fullest core."""
    worst: dict[tuple[str, str], tuple[int, Diagnostic]] = {}
    for number, (blocks, demand) in enumerate(zip(cores, demands, strict=True)):
        for usage in usages(demand, mapper.target):
            if usage.doubtful:
                place = blocks[0].population
                found = _finding("RV523", place, f"core {number}", usage, _causes(mapper, blocks, usage), "warning")
                before = worst.get((place, usage.resource), (-1, found))
                worst[place, usage.resource] = max(before, (usage.used, found), key=lambda pair: pair[0])
    return tuple(found for _, found in worst.values())


def too_many_cores(
    target: "Target", cores: int, per_layer: Mapping[str, int], limit: int, *, at_least: bool = False
) -> list[Diagnostic]:
    """RV522: the network needs more cores than there are; ``at_least`` where ``cores`` is only a lower bound."""
    largest = sorted(per_layer.items(), key=lambda item: -item[1])[:4]
    causes = ", ".join(f"{name} ({count})" for name, count in largest)
    cite = f"[{target.name}.chip.count; {target.cite(target.chip.count)}]"
    needed = f"at least {cores}" if at_least else str(cores)
    return [
        Diagnostic(
            "RV522",
            largest[0][0],
            f"the network needs {needed} cores of {limit} {cite}. Caused by: {causes}",
            "allow more chips, make the largest layers smaller, or share their weights (a convolution)",
            figures={"used": cores, "limit": limit, "causes": causes},
        )
    ]


def _finding(code: str, place: str, where: str, usage: Usage, causes: str, severity: Severity) -> Diagnostic:
    percent = 100 * usage.used // usage.limit
    text = (
        f"{usage.resource} uses {usage.used} of {usage.limit} ({percent} %) with {where} "
        f"[{usage.key}; {usage.cite}]. Caused by: {causes}"
    )
    fix = next((fix for word, fix in _FIXES if word in usage.use), "make the layer smaller or take a larger target")
    figures: dict[str, Figure] = {
        "resource": usage.resource,
        "used": usage.used,
        "limit": usage.limit,
        "key": usage.key,
        "causes": causes,
    }
    return Diagnostic(code, place, text, fix, severity, figures)


def _causes(mapper: Mapper, blocks: Sequence[Block], usage: Usage) -> str:
    """The connections or populations behind a figure, largest first."""
    amounts: dict[str, int] = {}
    for block in blocks:
        for name, amount in _shares(mapper, block, usage):
            amounts[name] = amounts.get(name, 0) + amount
    ordered = sorted(amounts.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{name} ({amount})" for name, amount in ordered)


def _shares(mapper: Mapper, block: Block, usage: Usage) -> list[tuple[str, int]]:
    stored = [(c.name, mapper.lists(c, block)) for c in mapper.chip.into[block.population]]
    demand = mapper.demand(block)
    if any(usage.resource == pool.name for pool in mapper.target.core.pools):
        return [(name, -(-found.bits // 8)) for name, found in stored] + [
            (f"state of {block.population}", demand.state_bytes)
        ]
    if "n_in_lists" in usage.use:
        return [(name, found.axons) for name, found in stored]
    if usage.use.startswith("rule:"):
        return [(name, found.bits) for name, found in stored]
    if "n_out_slots" in usage.use:
        return [(c.name, block.size) for c in mapper.chip.connections if c.source == block.population]
    return [(block.population, block.size)]
