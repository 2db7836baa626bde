"""``ranvier verify``: what deploying cost, and whether all executors agree."""

from pathlib import Path
from typing import Annotated

from typer import Option

from ranvier import api
from ranvier.cli.options import DataOptions, ModelOptions, ProgramFile, RuntimeName
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data, read_model
from ranvier.cli.tables import verification_tables

Against = Annotated[
    str | None,
    Option(
        "--against", "-a", metavar="MODEL", help="The model it was compiled from; by default the one in the program."
    ),
]
Data = Annotated[Path, Option("--data", "-d", help="An .npz file with inputs or events; labels optional.")]
Executors = Annotated[
    list[RuntimeName] | None, Option("--runtime", "-r", help="An executor; may be given several times.")
]
LavaSamples = Annotated[int | None, Option(min=1, help="Samples that run in Lava, which is slow.")]


def verify(
    program: ProgramFile,
    data_file: Data,
    options: ModelOptions,
    data: DataOptions,
    output: Output,
    against: Against = None,
    runtime: Executors = None,
    lava_samples: LavaSamples = None,
) -> Answer:
    """Compare the deployed program with its float network, and its executors with each other, spike by spike."""
    with output.working("verifying") as tick:
        app = api.open(program)
        network = None if against is None else read_model(against, options)
        samples = read_data(data_file, app.program.chip.ports[0].shape, data)
        names = tuple(r.value for r in runtime or (RuntimeName.simulator,))
        found = api.verify(
            app, network, (samples.inputs, samples.labels), names, samples_lava=lava_samples, progress=tick
        )
    wrong = any(diagnostic.severity == "error" for diagnostic in found.diagnostics)
    return Answer(found.to_json(), verification_tables(found), found.agrees and not wrong)
