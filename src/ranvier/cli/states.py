# ruff: noqa: PLC0415 - what only this verb needs is imported in it, so that the others start fast
"""``ranvier states``: how wide the states of a program have to be."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import RenderableType
from rich.text import Text
from typer import Argument, Option

from ranvier import api
from ranvier.cli.options import DataOptions, ProgramFile
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data
from ranvier.cli.tables import percent, row, table

if TYPE_CHECKING:
    from ranvier.compiler.analysis.states import Column, StateMemory
    from ranvier.states import StateFit, Trial

StateData = Annotated[
    Path | None,
    Argument(metavar="[DATA]", help="An .npz file with inputs, or with events; without it only the proof is shown."),
]
Together = Annotated[
    list[str] | None, Option("--elide", help="A layer to run without states; repeat it to drop several together.")
]
Elided = Annotated[
    Path | None, Option("--output", "-o", help="Write the program without the states of the --elide layers here.")
]
HEADINGS: Mapping["Column", str] = {
    "register": "registers",
    "proved": "proved for every input",
    "measured": "all values on these data",
    "fitted": "smallest with the same spikes on these data",
}


def states(
    program: ProgramFile,
    data: DataOptions,
    output: Output,
    data_file: StateData = None,
    elide: Together = None,
    result: Elided = None,
) -> Answer:
    """Find the smallest width of every state that keeps the spikes, and what layers without state would cost."""
    from ranvier.compiler.analysis.states import chip_states
    from ranvier.states import elided, fit_states

    with output.working("fitting states"):
        app = api.open(program)
        chip = app.program.chip
        shorter = elided(app, elide or ())
        if data_file is None:
            values, shown = _proof(chip_states(chip))
        else:
            samples = read_data(data_file, chip.ports[0], data)
            values, shown = _fit(fit_states(chip, samples.inputs, samples.labels, elide or ()))
        if result is not None:
            shorter.save(result)
    written = () if result is None else (Text(f"wrote {result}", style="bold"),)
    return Answer({"program": program, "states": values, "output": result}, (*shown, *written))


def _proof(memory: "StateMemory") -> tuple[dict[str, object], tuple[RenderableType, ...]]:
    return memory.to_json(), _memory_tables(memory)


def _fit(fit: "StateFit") -> tuple[dict[str, object], tuple[RenderableType, ...]]:
    return fit.to_json(), (*_memory_tables(fit.memory), _verdict(fit), _elision_table(fit))


def _memory_tables(memory: "StateMemory") -> tuple[RenderableType, ...]:
    made = table(
        f"states of {memory.network}, bits",
        "layer",
        "neurons#",
        "kept#",
        "state",
        *(f"{c}#" for c in (*HEADINGS, "dropped")),
    )
    for layer in memory.layers:
        keep = "" if layer.keep is None else f"{layer.keep:.3f}"
        for state in layer.states:
            widths = (_cell(getattr(state, column)) for column in (*HEADINGS, "dropped"))
            row(made, layer.name, f"{layer.neurons:,}", keep, state.name, *widths)
    totals = [f"  {text}: {kib:,.2f} KiB" for c, text in HEADINGS.items() if (kib := memory.kib(c)) is not None]
    elided = [layer.name for layer in memory.layers if layer.elided]
    told = f"proved to keep nothing from step to step: {', '.join(elided)}" if elided else "every layer keeps state"
    return made, Text("\n".join(["state memory", *totals])), Text(told)


def _cell(bits: int | None) -> str:
    return "-" if bits is None else str(bits)


def _verdict(fit: "StateFit") -> Text:
    lines = [
        f"  {HEADINGS[column]}: {trial.differing:,} of {trial.compared:,} neuron-steps differ"
        for column, trial in fit.verified.items()
    ]
    return Text("\n".join([f"run again on {fit.samples} samples of {fit.steps} steps with these widths", *lines]))


def _elision_table(fit: "StateFit") -> RenderableType:
    made = table(
        "without states between steps", "layers", "state memory#", "equal spikes#", "predictions#", "accuracy#"
    )
    row(made, "(none)", f"{fit.memory.kib('register'):,.2f} KiB", "", "", _share(fit.accuracy))
    for trial in fit.elisions:
        row(made, *_elision_cells(trial))
    return made


def _elision_cells(trial: "Trial") -> tuple[str, ...]:
    memory = f"{trial.bits / 8 / 1024:,.2f} KiB"
    agreement = f"{100 * trial.agreement:.3f} %"
    return ", ".join(trial.layers), memory, agreement, percent(trial.same_predictions), _share(trial.accuracy)


def _share(value: float | None) -> str:
    return "" if value is None else percent(value)
