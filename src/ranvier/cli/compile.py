"""``ranvier compile``: a model to a program file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli.options import TARGET, DataOptions, ModelName, ModelOptions, TargetName
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data, read_model
from ranvier.cli.tables import report_tables

InputBits = Annotated[int, Option(min=2, max=24, help="Signed width of real-valued inputs on the wire.")]
Calibration = Annotated[
    Path | None, Option("--calibrate", help="An .npz file with typical inputs, to choose the scales with.")
]


@dataclass(frozen=True)
class Products:
    """What is written."""

    result: Annotated[
        Path | None, Option("--output", "-o", help="The program file; by default the model's name with .rnv.")
    ] = None
    lava: Annotated[Path | None, Option("--lava", help="Also write a Lava project into this folder.")] = None


def compile_model(
    model: ModelName,
    options: ModelOptions,
    data: DataOptions,
    products: Products,
    output: Output,
    target: TargetName = TARGET,
    calibrate: Calibration = None,
    input_bits: InputBits = 8,
) -> Answer:
    """Compile a model for a chip and write the program file."""
    with output.working("compiling"):
        network = read_model(model, options)
        shape = network.inputs[0].shape
        samples = None if calibrate is None else read_data(calibrate, shape, data)
        app = api.compile(network, target, None if samples is None else samples.inputs, input_bits=input_bits)
        path = products.result or Path(f"{network.name}.rnv")
        app.save(path)
        if products.lava is not None:
            app.emit_lava(products.lava)
    report = app.report()
    written = [Text(f"wrote {name}", style="bold") for name in (path, products.lava) if name is not None]
    values = {"output": path, "lava": products.lava, "report": report.to_json()}
    return Answer(values, (*report_tables(report, output.verbose), *written))
