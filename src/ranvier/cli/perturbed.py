"""What devices that are not ideal do to a network, as tables for people, and the options that ask for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from ranvier.cli.tables import percent, row, table
from ranvier.runtimes.perturb.network import AFTER_S
from ranvier.runtimes.perturb.results import Point, Robustness
from ranvier.runtimes.perturb.trials import TRIALS, Perturbing

PANEL = "Devices that are not ideal"


@dataclass(frozen=True)
class PerturbOptions:
    """On which devices, how many of them, and when."""

    perturb: Annotated[
        str | None,
        Option(
            "--perturb",
            metavar="DEVICE",
            help="Also run it on cells of pcm, memristor, stuck, or of a .toml file.",
            rich_help_panel=PANEL,
        ),
    ] = None
    trials: Annotated[int, Option(min=1, help="Chips of that kind.", rich_help_panel=PANEL)] = TRIALS
    perturb_seed: Annotated[int, Option(min=0, help="Seed of the chips.", rich_help_panel=PANEL)] = 0
    after: Annotated[
        float, Option(min=0.0, help="Seconds between writing the weights and the run.", rich_help_panel=PANEL)
    ] = AFTER_S
    curve: Annotated[
        Path | None, Option("--curve", help="Write the curves here (.svg, .png, .pdf).", rich_help_panel=PANEL)
    ] = None


def asked(options: PerturbOptions) -> Perturbing | None:
    """What ``options`` ask for; None without a device."""
    if options.perturb is None:
        return None
    return Perturbing(options.perturb, options.trials, options.perturb_seed, options.after)


def robustness_tables(found: Robustness) -> Iterator[RenderableType]:
    """A table for each curve, and where the device's figures come from."""
    for curve in found.curves:
        title = f"{found.device}, {found.trials} chips: {curve.axis}{f' [{curve.unit}]' if curve.unit else ''}"
        made = table(title, "point", "accuracy#", "95 % of the mean#", "9 of 10 chips#", "as unperturbed#")
        for point in curve.points:
            row(made, point.label, *_cells(point))
        yield made
    if found.accuracy is not None and found.interval is not None:
        low, high = found.interval
        text = f"unperturbed: {percent(found.accuracy)}, 95 % Wilson interval {100 * low:.2f} to {percent(high)}"
        yield Text(text + "; intervals above are over chips, on the same samples")
    yield Text("device figures: " + "; ".join(found.sources), style="dim")


def _cells(point: Point) -> tuple[str, str, str, str]:
    if point.accuracy is None or point.interval is None or point.chips is None:
        return "", "", "", percent(point.same)
    return percent(point.accuracy), _span(point.interval), _span(point.chips), percent(point.same)


def _span(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"
