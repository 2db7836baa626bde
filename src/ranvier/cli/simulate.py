"""``ranvier simulate``: run a program on data."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.app import App
from ranvier.cli import hosted
from ranvier.cli.arrays import write_arrays
from ranvier.cli.options import DataFile, DataOptions, ProgramPath, RuntimeName
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data
from ranvier.cli.tables import layers_table, percent
from ranvier.compiler.ir.coding import frames_of
from ranvier.data import Samples
from ranvier.runtimes.recording import Recording
from ranvier.runtimes.verify.overflow import diagnose, locate
from ranvier.runtimes.verify.statistics import wilson

if TYPE_CHECKING:
    from ranvier.runtimes.simulator.profile import Profile

Executor = Annotated[RuntimeName, Option("--runtime", "-r", help="What runs the program.")]
Results = Annotated[
    Path | None,
    Option("--output", "-o", help="Write outputs, predictions and the spikes of every layer to this .npz file."),
]
Profiled = Annotated[
    bool, Option("--profile", help="Also show where the simulator's time goes, and how each layer's sums were made.")
]


def simulate(
    program: ProgramPath,
    data_file: DataFile,
    data: DataOptions,
    output: Output,
    runtime: Executor = RuntimeName.simulator,
    result: Results = None,
    profile: Profiled = False,
) -> Answer:
    """Run a program on data, bit for bit as on the chip, and say what it predicts."""
    with output.working("simulating"):
        if program.is_dir():
            hosted.refuse_program_options({"--profile": profile})
            return hosted.simulated(program, data_file, data, output, runtime, result)
        app = api.open(program)
        samples = read_data(data_file, app.program.chip.ports[0], data)
        recording, report = app.measure(samples.inputs, runtime.value)
        if result is not None:
            if not recording.spikes:
                recording = app.run(samples.inputs, ("spikes",), runtime.value)
            _write(result, recording)
        where = profiled(app, samples.inputs) if profile else None
    found = diagnose(locate(app.program.chip, recording.overflows))
    values: dict[str, object] = {
        "program": program,
        "runtime": runtime.value,
        "samples": len(samples),
        "steps": recording.outputs.shape[1],
        "seconds": recording.seconds,
        "predictions": recording.predictions,
        "layers": {name: vars(stats) for name, stats in recording.stats.items()},
        "energy": None if report.energy is None else report.energy.to_json(),
        "output": result,
        "profile": None if where is None else where.to_json(),
        "diagnostics": [diagnostic.to_json() for diagnostic in found],
    } | _accuracy(recording.predictions, samples)
    if not output.json:
        output.refuse(found)
    shown: tuple[RenderableType, ...] = (*layers_table(report), Text(_sentence(values)))
    return Answer(values, shown if where is None else (*shown, Text(str(where))))


def profiled(app: App, inputs: NDArray[Any]) -> "Profile":
    """Where the simulator's time goes on ``inputs``."""
    from ranvier.runtimes.simulator.profile import profile  # noqa: PLC0415 - needs Numba

    return profile(app.program.chip, frames_of(app.program.chip.ports[0], inputs))


def _accuracy(predictions: NDArray[np.int64], samples: Samples) -> dict[str, object]:
    if samples.labels is None:
        return {"accuracy": None, "interval": None}
    right = int((predictions == samples.labels).sum())
    return {"accuracy": right / len(samples), "interval": wilson(right, len(samples))}


def _sentence(values: dict[str, Any]) -> str:
    ran = f"{values['samples']} samples of {values['steps']} steps in {values['seconds']:.2f} s ({values['runtime']})"
    if values["accuracy"] is None:
        counts = Counter(values["predictions"].tolist())
        return f"{ran}; predictions: " + ", ".join(f"{n} of class {c}" for c, n in sorted(counts.items()))
    low, high = values["interval"]
    return f"{ran}; accuracy {percent(values['accuracy'])}, 95 % interval {100 * low:.2f} to {percent(high)}"


def _write(path: Path, recording: Recording) -> None:
    arrays: dict[str, Any] = {f"spikes/{name}": array for name, array in recording.spikes.items()}
    arrays |= {"outputs": recording.outputs, "predictions": recording.predictions}
    write_arrays(path, arrays)
