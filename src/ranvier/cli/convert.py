"""``ranvier convert``: a ReLU network to a spiking one, its accuracy by steps, and a program file."""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from numpy.typing import NDArray
from rich.console import RenderableType
from rich.text import Text
from typer import Argument, Option

from ranvier import api, conversion
from ranvier.app import App
from ranvier.cli.options import TARGET, CoderOptions, TargetName
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import named_source, read_encoder
from ranvier.cli.tables import report_tables, row, table
from ranvier.compiler.ir.coding import encode
from ranvier.compiler.ir.network import Network
from ranvier.data import Samples, load_data

CONVERSION = "Conversion"
COMPILED_WITH = 32


class MaxPools(StrEnum):
    """What becomes of max pools."""

    exact = "exact"
    average = "average"


ReluModel = Annotated[
    str,
    Argument(
        metavar="MODEL",
        help="An .onnx file, or file.py:name for a torch module, its class, or a function that returns it. "
        "A .py file is run, so name only files that you trust.",
    ),
]
Typical = Annotated[
    Path | None,
    Option("--calibrate", help="An .npz file with 100 to 500 typical inputs (samples, *shape); labels are not used."),
]
Labelled = Annotated[
    Path | None, Option("--data", help="An .npz file with inputs and labels, to measure the accuracy by steps with.")
]


@dataclass(frozen=True)
class ConversionOptions:
    """What a user may choose about a conversion."""

    steps: Annotated[int, Option(min=1, help="How many steps an input will be shown.", rich_help_panel=CONVERSION)] = 32
    percentile: Annotated[
        float | None,
        Option(help="Of a layer's activations, what a spike stands for.", rich_help_panel=CONVERSION),
    ] = None
    per_channel: Annotated[
        bool, Option("--per-channel", help="One amplitude for each channel.", rich_help_panel=CONVERSION)
    ] = False
    max_pool: Annotated[
        MaxPools,
        Option(help="Maxima exactly, by more layers, or averages in their place.", rich_help_panel=CONVERSION),
    ] = MaxPools.exact
    least: Annotated[
        float | None,
        Option(help="The accuracy wanted, 0 to 1: says the fewest steps that reach it.", rich_help_panel=CONVERSION),
    ] = None


def convert_model(
    model: ReluModel,
    options: ConversionOptions,
    coder: CoderOptions,
    output: Output,
    calibrate: Typical = None,
    data: Labelled = None,
    target: TargetName = TARGET,
    result: Annotated[Path | None, Option("--output", "-o", help="Where to write the program.")] = None,
) -> Answer:
    """Convert a ReLU network to a spiking one, compile it, and measure its accuracy by steps."""
    with output.working("converting"):
        inputs = None if calibrate is None else load_data(calibrate).inputs
        tested = None if data is None else load_data(data)
        source: Any = named_source(model)
        net = conversion.convert(
            source,
            calibrate=inputs,
            steps=options.steps,
            percentile=options.percentile,
            per_channel=options.per_channel,
            max_pool="exact" if options.max_pool is MaxPools.exact else "average",
            encode=read_encoder(coder, options.steps),
        )
        app = api.compile(net, target, None if inputs is None else _shown_longest(net, inputs, tested is not None))
        path = result or Path(f"{net.name}.rnv")
        app.save(path)
        measured = {} if tested is None else _measured(net, app, tested)
    enough = None
    if options.least is not None and measured:
        enough = conversion.fewest_steps(measured["deployed"], options.least)
    report = app.report()
    values = {"output": path, "accuracy_by_steps": measured, "fewest_steps": enough, "report": report.to_json()}
    return Answer(values, (*report_tables(report, output.verbose), *_shown(measured, enough), Text(f"wrote {path}")))


def _shown_longest(net: Network, inputs: NDArray[Any], measured: bool) -> NDArray[Any]:
    """The first inputs as frames, for as many steps as the network will run, so that the scales hold that long."""
    encoder = net.inputs[0].encoder
    assert encoder is not None
    longest = max(encoder.steps, *conversion.STEPS) if measured else encoder.steps
    return encode(replace(encoder, steps=longest), inputs[:COMPILED_WITH])


def _measured(net: Network, app: App, data: Samples) -> dict[str, dict[int, float]]:
    """The accuracy by steps, in float and on the chip; RV674 without labels."""
    labels = () if data.labels is None else data.labels
    return {
        "float": conversion.accuracy_by_steps(net, data.inputs, labels),
        "deployed": conversion.accuracy_by_steps(app, data.inputs, labels),
    }


def _shown(measured: dict[str, dict[int, float]], enough: int | None) -> tuple[RenderableType, ...]:
    if not measured:
        return ()
    made = table("accuracy by steps", "run", *(f"{t}#" for t in measured["float"]))
    for run, accuracies in measured.items():
        row(made, run, *(f"{100 * share:.2f} %" for share in accuracies.values()))
    return (made,) if enough is None else (made, Text(f"{enough} steps are enough"))
