"""``ranvier compile``: a model to a program file."""

from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli import hosted
from ranvier.cli.options import (
    TARGET,
    CoderOptions,
    DataOptions,
    HostOption,
    ModelName,
    ModelOptions,
    ProgramResult,
    TargetName,
)
from ranvier.cli.output import Answer, Output
from ranvier.cli.searching import searching
from ranvier.cli.sources import read_data, read_encoder, read_hosted
from ranvier.cli.tables import report_tables
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.options import parse_layer_bits

InputBits = Annotated[int, Option(min=2, max=24, help="Signed width of real-valued inputs on the wire.")]
Calibration = Annotated[
    Path | None, Option("--calibrate", help="An .npz file with typical inputs, to choose the scales with.")
]
MappingEffort = Annotated[
    str,
    Option("--effort", help="Search for a better mapping to cores: quick, normal, thorough or a number of seconds."),
]
FITTING = "Fitting"


class RoundingName(StrEnum):
    """How weights are rounded."""

    nearest = "nearest"
    output = "output"


@dataclass(frozen=True)
class Fitting:
    """How the network becomes integers."""

    weight_bits: Annotated[
        int, Option(min=1, max=8, help="Width of the weights, sign included.", rich_help_panel=FITTING)
    ] = 8
    layer_bits: Annotated[
        str, Option(help="Widths of single layers, such as conv1=6,fc=4.", rich_help_panel=FITTING)
    ] = ""
    per_channel: Annotated[
        bool, Option("--per-channel", help="A scale for each output channel.", rich_help_panel=FITTING)
    ] = False
    rounding: Annotated[
        RoundingName,
        Option(
            help="Every weight to the nearest level, or so that the membranes' error on the calibration data is least.",
            rich_help_panel=FITTING,
        ),
    ] = RoundingName.nearest
    equalize: Annotated[
        bool, Option("--equalize", help="Rescale what senders of real numbers send.", rich_help_panel=FITTING)
    ] = False
    correct_bias: Annotated[
        bool,
        Option("--correct-bias", help="Take the mean shift of rounding back in the bias.", rich_help_panel=FITTING),
    ] = False
    prune: Annotated[
        str,
        Option(help="Prune to a pattern: magnitude:0.8 (share of zeros), 2:4 or 64:2:5.", rich_help_panel=FITTING),
    ] = ""
    exponent_groups: Annotated[
        int,
        Option(min=1, max=8, help="Weight exponents that a dense or sparse layer may have.", rich_help_panel=FITTING),
    ] = 1


@dataclass(frozen=True)
class Products:
    """What is written."""

    result: ProgramResult = None
    lava: Annotated[Path | None, Option("--lava", help="Also write a Lava project into this folder.")] = None


def compile_model(  # noqa: PLR0913, PLR0917 one parameter per group of options
    model: ModelName,
    options: ModelOptions,
    coder: CoderOptions,
    data: DataOptions,
    products: Products,
    fitting: Fitting,
    output: Output,
    target: TargetName = TARGET,
    calibrate: Calibration = None,
    input_bits: InputBits = 8,
    effort: MappingEffort = "normal",
    host: HostOption = False,
) -> Answer:
    """Compile a model for a chip and write the program file; with --host, a folder of programs and the host's parts."""
    with output.working("compiling") as tick:
        network = read_hosted(model, options, read_encoder(coder, data.steps), host)
        samples = None if calibrate is None else read_data(calibrate, network.inputs[0], data)
        with searching(output, tick) as search:
            how: dict[str, Any] = {
                "input_bits": input_bits,
                "effort": effort,
                "progress": search.progress,
                "stop": search.stop,
            }
            how |= _chosen(fitting)
            if isinstance(network, HostedNetwork):
                folder = products.result or Path(network.name)
                return hosted.compiled(network, samples, folder, products.lava, {"target": target, **how})
            app = api.compile(network, target, None if samples is None else samples.inputs, **how)
        path = products.result or Path(f"{network.name}.rnv")
        app.save(path)
        if products.lava is not None:
            app.emit_lava(products.lava)
    report = app.report()
    written = [Text(f"wrote {name}", style="bold") for name in (path, products.lava) if name is not None]
    values = {"output": path, "lava": products.lava, "report": report.to_json()}
    return Answer(values, (*report_tables(report, output.verbose), *written))


def _chosen(fitting: Fitting) -> dict[str, Any]:
    """``fitting`` as keywords of ``api.compile``."""
    given = {f.name: getattr(fitting, f.name) for f in fields(fitting)}
    return given | {"layer_bits": dict(parse_layer_bits(fitting.layer_bits)), "rounding": fitting.rounding.value}
