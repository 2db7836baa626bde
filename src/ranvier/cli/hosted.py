"""Networks with functions of the host on the command line: a folder in place of a program file."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.text import Text

from ranvier import api
from ranvier.cli.arrays import write_arrays
from ranvier.cli.options import DataOptions, RuntimeName
from ranvier.cli.output import Answer, Output, clean
from ranvier.cli.sources import read_data
from ranvier.cli.tables import notes, percent, plural, row, table, verification_tables
from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.data import Samples
from ranvier.hosted_report import HostedReport
from ranvier.runtimes.hosted import HostedRecording
from ranvier.runtimes.verify.overflow import diagnose, locate
from ranvier.runtimes.verify.statistics import wilson

if TYPE_CHECKING:
    from ranvier.runtimes.verify import Verification

MEASURED = 100
"""Calibration samples on which the shares of the parts are measured."""


def compiled(
    network: HostedNetwork, samples: Samples | None, folder: Path, lava: Path | None, options: Mapping[str, Any]
) -> Answer:
    """Compile ``network`` into ``folder``; with calibration data, what each part takes of them."""
    app = api.compile(network, calibrate=None if samples is None else samples.inputs, **options)
    app.save(folder)
    if lava is not None:
        app.emit_lava(lava)
    report = app.report(None if samples is None else app.run(samples.inputs[:MEASURED]))
    written = [Text(f"wrote {name}", style="bold") for name in (folder, lava) if name is not None]
    values = {"output": folder, "lava": lava, "report": report.to_json()}
    return Answer(values, (*hosted_tables(report), *notes(report.notes), *written))


def simulated(
    folder: Path, data_file: Path, data: DataOptions, output: Output, runtime: RuntimeName, result: Path | None
) -> Answer:
    """Run the network in ``folder`` on data, its chip parts in ``runtime``, and say what it predicts."""
    app = api.open(folder, host=True)
    samples = read_data(data_file, app.parts.source, data)
    recording = app.run(samples.inputs, runtime=runtime.value)
    report = app.report(recording)
    if result is not None:
        _write(result, recording)
    found = [d for one, ran in zip(app.apps, recording.chips, strict=True)
             for d in diagnose(locate(one.program.chip, ran.overflows))]  # fmt: skip
    values: dict[str, object] = {
        "program": folder,
        "runtime": runtime.value,
        "samples": len(samples),
        "steps": recording.outputs.shape[1],
        "seconds": recording.seconds,
        "predictions": recording.predictions,
        "report": report.to_json(),
        "output": result,
        "diagnostics": [diagnostic.to_json() for diagnostic in found],
    }
    said = (
        f"{len(samples)} samples of {recording.outputs.shape[1]} steps in {recording.seconds:.2f} s ({runtime.value})"
    )
    if samples.labels is not None:
        right = int((recording.predictions == samples.labels).sum())
        values |= {"accuracy": right / len(samples), "interval": wilson(right, len(samples))}
        low, high = wilson(right, len(samples))
        said += f"; accuracy {percent(right / len(samples))}, 95 % interval {100 * low:.2f} to {percent(high)}"
    if not output.json:
        output.refuse(found)
    return Answer(values, (*hosted_tables(report), Text(said)))


def verified(found: "Verification") -> Answer:
    """What a verification of all parts found."""
    wrong = any(diagnostic.severity == "error" for diagnostic in found.diagnostics)
    return Answer(found.to_json(), verification_tables(found), found.agrees and not wrong)


def refuse_program_options(given: Mapping[str, bool]) -> None:
    """Raise RV747 for options that mean something for single programs only."""
    wrong = [name for name, used in given.items() if used]
    if wrong:
        text = f"{', '.join(wrong)}: for the program of a single network only"
        raise error("RV747", "options", text, "leave them out, or name the program of one part, folder/partN.rnv")


def hosted_tables(report: HostedReport) -> tuple[RenderableType, ...]:
    """The parts, where each runs and what it takes; what the energy rests on."""
    columns = ("part", "holds", "neurons#", "operations#", "share#", "energy#", "share#")
    made = table(f"{report.network} on {report.target}, by the sample", *columns)
    for part in report.parts:
        shares = (report.operation_share(part), report.energy_share(part))
        row(
            made,
            f"{part.name} {part.kind}",
            ", ".join(part.holds),
            f"{part.neurons:,}" if part.neurons else "",
            "" if part.operations is None else f"{part.operations:,.0f}",
            "" if shares[0] is None else percent(shares[0]),
            "" if part.energy_j is None else f"{1e6 * part.energy_j:.3g} uJ",
            "" if shares[1] is None else percent(shares[1]),
        )
    said = [f"{plural(report.neurons, 'neuron')}, {plural(len(report.chips), 'program')}", report.basis]
    said += [
        f"{part.name}: {percent(part.clipped)} of what enters lies beyond the range of the calibration data"
        for part in report.parts
        if part.clipped
    ]
    return made, Text("\n".join(clean(line) for line in said if line))


def _write(path: Path, recording: HostedRecording) -> None:
    arrays: dict[str, Any] = {}
    for ran in recording.chips:
        arrays |= {f"spikes/{name}": array for name, array in ran.spikes.items()}
    write_arrays(path, arrays | {"outputs": recording.outputs, "predictions": recording.predictions})
