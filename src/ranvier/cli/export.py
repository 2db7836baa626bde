"""``ranvier export``: a model to a NIR file for other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Option

from ranvier.cli.options import ModelName, ModelOptions
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_model
from ranvier.cli.tables import notes
from ranvier.runtimes.exports.nir import export_nir

EXPORT = "Export"


@dataclass(frozen=True)
class ExportOptions:
    """How the file is written."""

    result: Annotated[
        Path | None,
        Option("--output", "-o", help="The .nir file; by default the model's name.", rich_help_panel=EXPORT),
    ] = None
    reader: Annotated[
        str,
        Option(
            help="Who will read it: spec (NIR as it is defined), snntorch, norse, spikingjelly or sinabs.",
            rich_help_panel=EXPORT,
        ),
    ] = "spec"
    file_dt: Annotated[
        float | None, Option(help="Seconds per step that the file is written for.", rich_help_panel=EXPORT)
    ] = None
    portable: Annotated[
        bool,
        Option("--portable", help="Refuse what the reader would run differently.", rich_help_panel=EXPORT),
    ] = False


def export(model: ModelName, options: ModelOptions, file: ExportOptions, output: Output) -> Answer:
    """Write a model as a NIR file for other programs, and say what they will make different of it."""
    with output.working("exporting"):
        network = read_model(model, options)
        path = file.result or Path(f"{network.name}.nir")
        found = export_nir(network, path, reader=file.reader, dt=file.file_dt, portable=file.portable)  # type: ignore[arg-type]
    values = {"output": path, "reader": file.reader, "notes": [vars(note) for note in found]}
    return Answer(values, (*notes(found), Text(f"wrote {path}", style="bold")))
