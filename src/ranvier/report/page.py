# ruff: noqa: PLC0415 - jinja2 and plotly are imported when a page is made
"""The page: tables and figures of one program, and of its verification, in one file that opens offline."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ranvier.app import App
from ranvier.cli.tables import energy_words, twin_rows
from ranvier.compiler.diagnostics import error
from ranvier.report import figures, robustness
from ranvier.report.cores import cores
from ranvier.report.figures import Figure
from ranvier.report.mapping import mapping_figures
from ranvier.report.source import malformed
from ranvier.report.words import cards, differences, provenance, verdict
from ranvier.summary import Report

FOLDER = Path(__file__).parent


def write_html(
    app: App, path: str | Path, verification: Mapping[str, Any] | None = None, report: Report | None = None
) -> None:
    """Write the report of ``app`` to ``path``, whole or not at all.

    ``verification`` is what ``ranvier verify --json`` gives; rasters, traces and causes need it to have been run with
    ``--explain --traces N``. A ``report`` of a run on data (``App.measure``) has rates and energy. Raises
    ``RanvierError`` RV890 for a verification of another form, RV891 of another program, RV892 without plotly, RV893
    for a path that fails.
    """
    if verification is not None and verification["network"] != app.program.chip.name:
        text = f"it is of {verification['network']!r}, the program is {app.program.chip.name!r}"
        raise error("RV891", "verification", text, "give the verification of this program")
    from jinja2 import TemplateError

    try:
        page = _page(app, verification, app.report() if report is None else report)
    except (TemplateError, LookupError, TypeError, ValueError, AttributeError) as problem:
        if verification is None:
            raise
        raise malformed(problem) from problem
    draft = Path(f"{path}.part")
    try:
        draft.write_text(page, encoding="utf-8")
        draft.replace(path)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        text = f"it cannot be written: {problem.strerror or problem}"
        raise error("RV893", str(path), text, "choose a folder that can be written") from problem


def _page(app: App, verification: Mapping[str, Any] | None, report: Report) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as missing:
        raise error("RV892", "report", "figures need plotly", "install ranvier[report]") from missing
    explained = (verification or {}).get("explanation") or {}
    charts = {
        "accuracy": figures.confusion((verification or {}).get("confusion") or {}),
        "layers": _layer_figures(explained),
        "margins": _some(figures.margins(report)),
        "robustness": robustness.curves((verification or {}).get("robustness") or {}),
        "resources": _some(figures.memory(report), figures.energy(report)),
        "mapping": mapping_figures(cores(app, report)),
    }
    traces = _traces(explained)
    drawn = [figure for part in charts.values() for figure in part]
    drawn += [
        figure for trace in traces for layer in trace["layers"] for figure in (layer["raster"], *layer["membranes"])
    ]
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html.j2").render(
        report=report,
        energy_words=energy_words,
        twin_rows=twin_rows,
        app=app,
        verification=verification,
        explained=explained,
        perturbed=(verification or {}).get("robustness") or {},
        verdict=verdict(verification),
        cards=cards(report, verification),
        differences=differences(verification, explained),
        provenance=provenance(app),
        figures=charts,
        traces=traces,
        specs=_for_script({figure.name: figure.spec for figure in drawn}),
        plotly=get_plotlyjs(),
        style=(FOLDER / "style.css").read_text(),
        script=(FOLDER / "draw.js").read_text(),
    )


def _layer_figures(explained: Mapping[str, Any]) -> list[Figure]:
    layers = explained.get("layers") or []
    if not layers:
        return []
    return _some(figures.disagreement(layers), figures.membrane_errors(layers), figures.effects(explained["effects"]))


def _traces(explained: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By chosen sample: what it is, and for each layer its raster and its membranes."""
    found = []
    for trace in explained.get("traces") or []:
        layers = [
            {"raster": figures.raster(trace, layer, explained["steps"]), "membranes": figures.membranes(trace, layer)}
            for layer in trace["layers"]
        ]
        about = {name: trace[name] for name in ("sample", "label", "predictions")}
        found.append({**about, "layers": layers})
    return found


def _some(*found: Figure | None) -> list[Figure]:
    return [figure for figure in found if figure is not None]


def _for_script(values: Mapping[str, Any]) -> str:
    """JSON that can stand inside a script element: no ``<``, so that nothing can end the element."""
    text = json.dumps(values, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
