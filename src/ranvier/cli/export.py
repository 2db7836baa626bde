"""``ranvier export``: a model as a NIR file, a compiled program as the files of other programs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from numpy.typing import NDArray
from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.app import App
from ranvier.cli.options import DataOptions, ModelName, ModelOptions
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data, read_model
from ranvier.cli.tables import notes
from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.network import Note
from ranvier.runtimes.exports.nir import export_nir

EXPORT = "Export"
PROGRAM = "Export of a compiled program"
Writer = Callable[[App, Path], Iterable[Note] | None]
WRITERS: Mapping[str, Writer] = {
    "nir": App.export_nir,
    "xylo": App.export_xylo,
    "dynapcnn": App.export_dynapcnn,
    "sanafe": App.export_sanafe,
}
"""What writes a compiled program, by the option that names its file."""


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
    nir: Annotated[
        Path | None,
        Option(help="The program as a .nir file: integer weights, registers, placement.", rich_help_panel=PROGRAM),
    ] = None
    xylo: Annotated[
        Path | None,
        Option(help="A program for xylo_a2 as the specification that Rockpool takes (.json).", rich_help_panel=PROGRAM),
    ] = None
    dynapcnn: Annotated[
        Path | None,
        Option(help="A program for speck2f as a DynapCNN layer table (.json).", rich_help_panel=PROGRAM),
    ] = None
    sanafe: Annotated[
        Path | None,
        Option(help="A program for loihi1 as a folder that SANA-FE 2.x takes (.yaml).", rich_help_panel=PROGRAM),
    ] = None
    data: Annotated[
        Path | None,
        Option("--data", "-d", help="Data (.npz) of which one sample enters there (sanafe).", rich_help_panel=PROGRAM),
    ] = None
    data_sample: Annotated[int, Option(min=0, help="Which sample that is, from 0.", rich_help_panel=PROGRAM)] = 0
    steps: Annotated[
        int | None, Option(min=1, help="Its steps: a static input is repeated.", rich_help_panel=PROGRAM)
    ] = None

    def programs(self) -> dict[str, Path]:
        """The files of a compiled program that are asked for, by option."""
        return {name: path for name in WRITERS if (path := getattr(self, name)) is not None}


def export(model: ModelName, options: ModelOptions, file: ExportOptions, output: Output) -> Answer:
    """Write a model as a NIR file, or a compiled program (.rnv) as files of other programs, and say what differs."""
    with output.working("exporting"):
        if Path(model).suffix == ".rnv":
            return _program(model, options, file)
        if asked := file.programs():
            text = f"--{' and --'.join(asked)} take a compiled program, and {model} is none"
            raise error("RV469", "option", text, "compile it (ranvier compile), and export the .rnv file")
        network = read_model(model, options)
        path = file.result or Path(f"{network.name}.nir")
        found = export_nir(network, path, reader=file.reader, dt=file.file_dt, portable=file.portable)  # type: ignore[arg-type]
    values = {"output": path, "reader": file.reader, "notes": [vars(note) for note in found]}
    return Answer(values, (*notes(found), Text(f"wrote {path}", style="bold")))


def _program(model: str, options: ModelOptions, file: ExportOptions) -> Answer:
    """The compiled program in ``model``, in every form that is asked for; as a NIR file, if none is."""
    wrong = [f.name for f in fields(options) if getattr(options, f.name) is not None]
    wrong += [name for name in ("reader", "file_dt", "portable") if getattr(file, name) != getattr(ExportOptions, name)]
    if wrong:
        fix = "leave it out; a program says all of itself"
        raise RanvierError(Diagnostic("RV469", f"option {n}", "it means nothing for a program", fix) for n in wrong)
    files = file.programs()
    if file.result is not None or not files:
        files.setdefault("nir", file.result or Path(model).with_suffix(".nir"))
    if file.data is not None and file.sanafe is None:
        raise error("RV450", "option data", "data are written for SANA-FE alone", "leave it out, or add --sanafe DIR")
    app = api.open(model)
    writers: dict[str, Writer] = {**WRITERS, "sanafe": partial(App.export_sanafe, x=_sample(app, file))}
    found = [note for name, path in files.items() for note in writers[name](app, path) or ()]
    values = {"outputs": files, "notes": [vars(note) for note in found]}
    return Answer(values, (*notes(found), *(Text(f"wrote {path}", style="bold") for path in files.values())))


def _sample(app: App, file: ExportOptions) -> NDArray[Any] | None:
    """The sample that enters, (1, steps, *shape) or as the coder takes it; None without data."""
    if file.data is None:
        return None
    held = read_data(file.data, app.program.chip.ports[0], DataOptions(steps=file.steps)).inputs
    if file.data_sample >= len(held):
        text = f"there is no sample {file.data_sample}: the file holds {len(held)}"
        raise error("RV450", str(file.data), text, f"choose one of 0 to {len(held) - 1}")
    return held[file.data_sample : file.data_sample + 1]
