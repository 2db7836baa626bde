"""``ranvier report``: what a program costs and how it was verified, as a page and on the terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from rich.console import RenderableType
from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.app import App
from ranvier.cli.options import DataOptions, ProgramFile
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data
from ranvier.cli.tables import report_tables, row, table
from ranvier.report.cores import cores
from ranvier.report.pictures import write_pictures
from ranvier.report.source import read_verification
from ranvier.report.words import cards, differences, provenance, verdict
from ranvier.summary import Report

MOODS = {"good": "bold green", "doubtful": "bold yellow", "bad": "bold red"}
Verified = Annotated[
    Path | None,
    Option("--verification", help="What ranvier verify --json wrote; with --explain --traces it shows causes too."),
]
Data = Annotated[Path | None, Option("--data", "-d", help="An .npz file: gives spike rates and energy.")]
Pictures = Annotated[
    Path | None,
    Option(help="Write pictures into this folder: placement, traffic, use of the cores, cost by layer."),
]
PictureFormat = Annotated[str, Option(help="Their format: svg, png or pdf.")]
Page = Annotated[Path | None, Option("--output", "-o", help="Write the page here (.html); it opens offline.")]


def report_program(
    program: ProgramFile,
    data: DataOptions,
    output: Output,
    verification: Verified = None,
    data_file: Data = None,
    page: Page = None,
    pictures: Pictures = None,
    picture_format: PictureFormat = "svg",
) -> Answer:
    """Show what a program costs, what was verified, and where it differs; write it as one page."""
    with output.working("reporting"):
        app = api.open(program)
        found = None if verification is None else read_verification(verification)
        report = app.report()
        if data_file is not None:
            _, report = app.measure(read_data(data_file, app.program.chip.ports[0], data).inputs)
        if page is not None:
            from ranvier.report.page import write_html  # noqa: PLC0415 - the page is made with tables of this package

            write_html(app, page, found, report)
        drawn = () if pictures is None else _pictures(app, report, pictures, picture_format)
    said = verdict(found)
    values = {
        "output": page,
        "pictures": drawn,
        "verdict": vars(said),
        "report": report.to_json(),
        "verification": found,
    }
    shown = (
        Text(said.text, style=MOODS[said.mood]),
        *_shown(app, report, found),
        *report_tables(report, output.verbose),
    )
    written = [path for path in (page, *drawn) if path is not None]
    return Answer(values, (*shown, *(Text(f"wrote {path}", style="bold") for path in written)))


def _pictures(app: App, report: Report, folder: Path, kind: str) -> tuple[Path, ...]:
    title = f"{app.program.chip.name} on {app.program.target}"
    return write_pictures(cores(app, report), title, folder, kind)


def _shown(app: App, report: Report, found: dict[str, Any] | None) -> Iterator[RenderableType]:
    glance = table("at a glance", "figure", "value#", "")
    for name, value, hint in cards(report, found):
        row(glance, name, value, hint)
    yield glance
    explained = (found or {}).get("explanation") or {}
    first = differences(found, explained)
    if first:
        made = table("first spikes that differ", "run", "where", "what", "cause")
        for difference in first:
            row(made, *(difference[name] for name in ("mode", "place", "values", "cause")))
        yield made
    origin = table("provenance", "what", "value")
    for name, value in provenance(app):
        row(origin, name, value)
    yield origin
