"""``ranvier compile``: a model to a program file."""

from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli.options import TARGET, DataOptions, ModelName, ModelOptions, TargetName
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data, read_model
from ranvier.cli.tables import report_tables

Calibration = Annotated[
    Path | None, Option("--calibrate", help="An .npz file with typical inputs, to choose the scales with.")
]
Result = Annotated[
    Path | None, Option("--output", "-o", help="The program file; by default the model's name with .rnv.")
]
InputBits = Annotated[int, Option(min=2, max=24, help="Signed width of real-valued inputs on the wire.")]
LavaFolder = Annotated[Path | None, Option("--lava", help="Also write a Lava project into this folder.")]


def compile_model(
    model: ModelName,
    options: ModelOptions,
    data: DataOptions,
    output: Output,
    target: TargetName = TARGET,
    calibrate: Calibration = None,
    result: Result = None,
    input_bits: InputBits = 8,
    lava: LavaFolder = None,
) -> Answer:
    """Compile a model for a chip and write the program file."""
    with output.working("compiling"):
        network = read_model(model, options)
        shape = network.inputs[0].shape
        samples = None if calibrate is None else read_data(calibrate, shape, data)
        app = api.compile(network, target, None if samples is None else samples.inputs, input_bits=input_bits)
        path = result or Path(f"{network.name}.rnv")
        app.save(path)
        if lava is not None:
            app.emit_lava(lava)
    report = app.report()
    written = [Text(f"wrote {path}", style="bold")] + ([Text(f"wrote {lava}")] if lava else [])
    values = {"output": path, "lava": lava, "report": report.to_json()}
    return Answer(values, (*report_tables(report, output.verbose), *written))
