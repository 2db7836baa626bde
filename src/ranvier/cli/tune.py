"""``ranvier tune``: the most accurate deployment within a budget."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from typer import Option

from ranvier.cli.options import TARGET, CoderOptions, DataOptions, ModelName, ModelOptions, ProgramResult, TargetName
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data, read_encoder, read_model
from ranvier.cli.tables import percent
from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.coding import frames_of
from ranvier.tuning import Metrics, Tuned, parse_budget, tune
from ranvier.tuning.plot import draw

SEARCH = "Search"


@dataclass(frozen=True)
class SearchOptions:
    """How the search goes."""

    budget: Annotated[
        str, Option(help="Limits such as memory=96KiB,cores=4,energy=2uJ,steps=16.", rich_help_panel=SEARCH)
    ] = ""
    min_accuracy: Annotated[
        float, Option(min=0.0, max=1.0, help="Accuracy that the result must reach.", rich_help_panel=SEARCH)
    ] = 0.0
    trials: Annotated[int, Option(min=1, help="Points to measure in all.", rich_help_panel=SEARCH)] = 60
    search_seed: Annotated[int, Option(help="Seed of the search.", rich_help_panel=SEARCH)] = 0
    study: Annotated[
        str | None,
        Option(
            help="Database URL; by default sqlite:///NETWORK.tune.db. A second call goes on.", rich_help_panel=SEARCH
        ),
    ] = None
    workers: Annotated[int, Option(min=1, help="Processes that share the study.", rich_help_panel=SEARCH)] = 1


@dataclass(frozen=True)
class Written:
    """What is written."""

    result: ProgramResult = None
    plot: Annotated[Path | None, Option("--plot", help="A picture of all points (.png, .svg, .pdf).")] = None


def tune_model(  # noqa: PLR0913, PLR0917 one parameter per group of options
    model: ModelName,
    data_file: Annotated[Path, Option("--data", "-d", help="An .npz file with inputs and labels.")],
    options: ModelOptions,
    coder: CoderOptions,
    data: DataOptions,
    search: SearchOptions,
    written: Written,
    output: Output,
    target: TargetName = TARGET,
) -> Answer:
    """Find widths, scales and steps that keep the accuracy within a budget, and compile that point."""
    budget = parse_budget(search.budget)
    with output.working("searching") as tick:
        net = read_model(model, options, read_encoder(coder, data.steps))
        samples = read_data(data_file, net.inputs[0], data)
        if samples.labels is None:
            raise error("RV882", str(data_file), "the data have no labels", "save them beside the inputs: labels=...")
        found = tune(
            net, target, frames_of(net.inputs[0], samples.inputs), samples.labels, budget,
            min_accuracy=search.min_accuracy, trials=search.trials, seed=search.search_seed,
            study=search.study or f"sqlite:///{net.name}.tune.db", workers=search.workers,
            progress=lambda done, total: tick("points", done, total),
        )  # fmt: skip
        path = written.result or Path(f"{net.name}.rnv")
        found.app.save(path)
        if written.plot is not None:
            draw(found, budget, written.plot)
    values = {"output": path, "plot": written.plot, **found.to_json()}
    return Answer(values, (*_shown(found), Text(f"wrote {path}", style="bold")))


def _shown(found: Tuned) -> Iterator[RenderableType]:
    layers = Table("layer", "bits", "accuracy lost alone", "bytes saved", title="Sensitivity")
    for s in found.sensitivities:
        layers.add_row(
            s.layer, str(s.bits), f"{100 * s.lost:+.2f} points", "?" if s.saved is None else f"{s.saved:.0f}"
        )
    yield layers
    points = Table("accuracy", "memory", "cores", "energy", "steps", "weight bits", title="Best within the budget")
    for tried in found.pareto:
        style = "bold" if tried == found.chosen else ""
        bits = " ".join(f"{name}={bits}" for name, bits in tried.point.layer_bits)
        points.add_row(*_row(tried.metrics), bits, style=style)
    yield points
    chosen, full = found.chosen.metrics, found.full.metrics
    text = (
        f"chosen: {percent(chosen.accuracy)} on {found.seen} samples of the search (8 bits: {percent(full.accuracy)}), "
    )
    yield Text(text + f"{percent(found.held_out.accuracy)} on {found.unseen} others")
    widths = ", ".join(f"{state} {bits}" for state, bits in found.state_registers.items())
    yield Text(f"states: registers of fixed width ({widths} bits), not searched")


def _row(m: Metrics) -> tuple[str, ...]:
    memory = "?" if m.memory is None else f"{m.memory / 1024:.1f} KiB"
    energy = "?" if m.energy is None else f"{m.energy:.3g} nJ"
    return percent(m.accuracy), memory, str(m.cores), energy, str(m.steps)
