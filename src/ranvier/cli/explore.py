# ruff: noqa: PLC0415 - what only this verb needs is imported in it, so that the others start fast
"""``ranvier explore``: schedules of a model on a chip with a hierarchy of memories."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli.options import CoderOptions, DataOptions, ModelName, ModelOptions, TargetName
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data, read_encoder, read_model
from ranvier.cli.tables import percent, plural, row, table

if TYPE_CHECKING:
    from ranvier.compiler.ir.chip import ChipNetwork
    from ranvier.compiler.ir.network import Network
    from ranvier.compiler.schedule.search import Point
    from ranvier.exploration import Elision, Exploration

MIB = 8 * 2**20
SCHEDULE = "Schedule"


class ObjectiveName(StrEnum):
    """What the search minimizes."""

    energy = "energy"
    traffic = "traffic"
    cycles = "cycles"


@dataclass(frozen=True)
class Scheduling:
    """How schedules are made and compared."""

    schedule: Annotated[
        str | None,
        Option(help="Take this one: ST-LBL, ST-LF, TB-LBL or TB-LF, or one a block between commas.",
               rich_help_panel=SCHEDULE),
    ] = None  # fmt: skip
    objective: Annotated[ObjectiveName, Option(help="What is minimized.", rich_help_panel=SCHEDULE)] = (
        ObjectiveName.energy
    )
    published: Annotated[
        bool,
        Option("--published-rules", help="The memory manager of STEMS: states charged at both ends of the run, "
               "evictions by remaining uses, the store flushed before streaming.", rich_help_panel=SCHEDULE),
    ] = False  # fmt: skip
    weight_bits: Annotated[
        int | None, Option(min=1, max=32, help="Bits of a weight; by default the target's.", rich_help_panel=SCHEDULE)
    ] = None
    state_bits: Annotated[
        int | None, Option(min=1, max=64, help="Bits of a state; by default the target's.", rich_help_panel=SCHEDULE)
    ] = None
    elide: Annotated[
        list[str] | None,
        Option("--elide", help="A layer to run without states; repeat it to drop several together.",
               rich_help_panel=SCHEDULE),
    ] = None  # fmt: skip
    prove: Annotated[
        bool,
        Option("--prove", help="Look at every schedule that could still be better than the best one found.",
               rich_help_panel=SCHEDULE),
    ] = False  # fmt: skip
    density: Annotated[
        float | None,
        Option(min=0.0, max=1.0, help="Share of the inputs of all layers that are not zero; by default measured on the "
               "data, and without data 1.", rich_help_panel=SCHEDULE),
    ] = None  # fmt: skip
    picture: Annotated[
        Path | None,
        Option("--picture", help="Draw the schedule into this .svg, .png or .pdf.", rich_help_panel=SCHEDULE),
    ] = None


DataOption = Annotated[
    Path | None, Option("--data", help="An .npz file: carry the schedules out on it, and try layers without states.")
]


def explore_model(
    model: ModelName,
    options: ModelOptions,
    coder: CoderOptions,
    data: DataOptions,
    scheduling: Scheduling,
    output: Output,
    target: TargetName = "stems_1mb",
    data_file: DataOption = None,
) -> Answer:
    """Find where states, weights and activations should live, and when, on a chip with a hierarchy of memories."""
    from ranvier.compiler.ir.network import Network
    from ranvier.compiler.schedule.choices import OWN, PUBLISHED
    from ranvier.exploration import Wish, explore
    from ranvier.exploration.picture import draw

    with output.working("exploring") as tick:
        network = _source(model, options, coder, data)
        entry = network.inputs[0] if isinstance(network, Network) else network.ports[0]
        samples = None if data_file is None else read_data(data_file, entry, data)
        given = None if samples is None else (samples.inputs, samples.labels)
        wish = Wish(
            scheduling.objective.value, scheduling.schedule, PUBLISHED if scheduling.published else OWN,
            scheduling.weight_bits, scheduling.state_bits, tuple(scheduling.elide or ()), scheduling.density,
            scheduling.prove,
        )  # fmt: skip
        found = explore(network, target, data.steps, given, wish, lambda done, total: tick("schedules", done, total))
        if scheduling.picture is not None:
            draw(found, scheduling.picture)
    written = () if scheduling.picture is None else (Text(f"wrote {scheduling.picture}", style="bold"),)
    values = {**found.to_json(), "picture": scheduling.picture}
    return Answer(values, (*_shown(found), *written), found.agrees)


def _source(model: str, options: ModelOptions, coder: CoderOptions, data: DataOptions) -> "Network | ChipNetwork":
    if Path(model).suffix.lower() == ".rnv":
        return api.open(model).program.chip
    return read_model(model, options, read_encoder(coder, data.steps))


def _shown(found: "Exploration") -> tuple[RenderableType, ...]:
    parts: list[RenderableType] = [
        _schedules(found), _verdict(found), _blocks(found), _layers(found), _operands(found)
    ]  # fmt: skip
    if found.executions:
        parts.append(_executions(found))
    if found.elisions:
        parts.append(_elisions(found))
    return tuple(parts)


def _schedules(found: "Exploration") -> RenderableType:
    """The uniform schedules and the chosen one, beside the plain one."""
    made = table(
        f"{found.workload.name} on {found.target}, {plural(found.workload.steps, 'step')}",
        "KiB off chip", "W#", "V#", "A#", "total#", "less#", "uJ#", "less#", "kcycles#", "store#",
    )  # fmt: skip
    plain = next(iter(found.found.uniform.values()), None)
    for choice, point in found.found.uniform.items():
        row(made, str(choice), *_point(point, plain))
    row(made, "chosen", *_point(found.chosen, plain))
    return made


def _point(point: "Point", plain: "Point | None") -> tuple[str, ...]:
    parts = (f"{bits / 8192:,.2f}" for bits in point.bits.values())
    traffic = "" if plain is None or not point.dram_bits else f"{plain.dram_bits / point.dram_bits:.2f}"
    energy = "" if plain is None or not point.energy_pj else f"{plain.energy_pj / point.energy_pj:.2f}"
    return (*parts, f"{point.dram_bits / 8192:,.2f}", traffic, f"{point.energy_pj / 1e6:,.3f}", energy,
            f"{point.cycles / 1e3:,.0f}", f"{point.peak_bits / 8192:,.0f}")  # fmt: skip


def _verdict(found: "Exploration") -> Text:
    how = "no other can be better" if found.found.exact else f"beam search; {_gap(found)} above a bound for all"
    state = found.wish.rules.state_io
    memory = f"weights {found.workload.weight_bits / 8192:,.2f} KiB, states {found.workload.state_bits / 8192:,.2f} KiB"
    front = f"{plural(len(found.found.pareto), 'schedule')} on the Pareto front"
    lines = [
        f"{plural(found.found.tried, 'schedule')} tried ({how}), least {found.wish.objective}; state_io = {state}",
        f"{memory}, {plural(found.plan.evictions, 'eviction')} in the chosen schedule, {front}",
        _density(found),
    ]
    return Text("\n".join(lines))


def _gap(found: "Exploration") -> str:
    """How far the best schedule is above what every schedule costs at least."""
    best, bound = found.found.best.worth(found.wish.objective)[0], found.found.bound
    return percent(best / bound - 1) if bound else "any share"


def _density(found: "Exploration") -> str:
    """On what the shares of inputs that are not zero rest."""
    match found.density.basis:
        case "measured":
            return f"density of inputs: measured on {plural(found.density.samples, 'sample')}; it scales products"
        case "given":
            return "density of inputs: as given, the same for all layers; it scales products"
        case "assumed":
            return "density of inputs: not known, all are taken to be non-zero (--data measures it, --density gives it)"


def _blocks(found: "Exploration") -> RenderableType:
    made = table("chosen schedule", "block#", "runs", "layers")
    for number, (names, choice) in enumerate(zip(found.workload.blocks, found.chosen.schedule, strict=True)):
        row(made, str(number), str(choice), ", ".join(names))
    return made


def _layers(found: "Exploration") -> RenderableType:
    from ranvier.compiler.schedule.cost import LEVELS, OPERANDS
    from ranvier.compiler.schedule.workload import Layer
    from ranvier.exploration.explore import layer_bits

    made = table(
        "KiB off chip (W weights, V states, A activations), density of what is read, uJ", "layer", "W#", "V#", "A#",
        "density#", *(f"{level}#" for level in LEVELS),
    )  # fmt: skip
    for node in found.workload.nodes:
        moved = (f"{layer_bits(found.plan, node.name, roles) / 8192:,.2f}" for roles in OPERANDS.values())
        density = percent(node.density) if isinstance(node, Layer) else ""
        levels = found.costs.levels(node.name)
        row(made, node.name, *moved, density, *(f"{levels[level] / 1e6:,.3f}" for level in LEVELS))
    return made


def _operands(found: "Exploration") -> RenderableType:
    """Where the energy of the chosen schedule goes: operations, and every operand in every memory."""
    from ranvier.compiler.schedule.cost import MEMORIES

    made = table("uJ by operand and memory", "operand", *(f"{level}#" for level in MEMORIES), "total#")
    operands = found.costs.operands()
    for name, levels in operands.items():
        row(made, name, *(f"{levels[m] / 1e6:,.3f}" for m in MEMORIES), f"{sum(levels.values()) / 1e6:,.3f}")
    sums = (f"{found.costs.level_pj(m) / 1e6:,.3f}" for m in MEMORIES)
    row(made, "operations", *("" for _ in MEMORIES), f"{found.costs.level_pj('compute') / 1e6:,.3f}")
    row(made, "all", *sums, f"{found.costs.total_pj / 1e6:,.3f}")
    return made


def _executions(found: "Exploration") -> RenderableType:
    samples = plural(found.executions[0].samples, "sample")
    made = table(f"carried out on {samples}", "schedule", "modelled bits#", "counted bits#", "values#", "differ#")
    for e in found.executions:
        row(made, e.schedule, f"{e.modelled_bits:,}", f"{e.counted_bits:,}", f"{e.compared:,}", f"{e.differing:,}")
    return made


def _elisions(found: "Exploration") -> RenderableType:
    made = table(
        "without states between steps: KiB of states and off chip", "layers", "states#", "moved#", "uJ#",
        "spikes#", "answers#", "accuracy#",
    )  # fmt: skip
    chosen = found.chosen
    row(made, "(none)", f"{found.workload.state_bits / 8192:,.2f}", f"{chosen.dram_bits / 8192:,.2f}",
        f"{chosen.energy_pj / 1e6:,.3f}", "", "", _share(found.accuracy))  # fmt: skip
    for elision in found.elisions:
        row(made, *_elision(elision))
    return made


def _elision(e: "Elision") -> tuple[str, ...]:
    shares = (_share(e.agreement), _share(e.same_predictions), _share(e.accuracy))
    return (", ".join(e.layers), f"{e.state_bits / 8192:,.2f}", f"{e.dram_bits / 8192:,.2f}",
            f"{e.energy_pj / 1e6:,.3f}", *shares)  # fmt: skip


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)
