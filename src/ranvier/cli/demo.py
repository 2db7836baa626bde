"""``ranvier demo``: the main job on the network that ships with Ranvier, from snnTorch to Lava."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli.output import Answer, Output, drawn
from ranvier.cli.tables import bytes_text, energy_text, report_tables, row, table, twin_text, verification_rows
from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.coding import Direct
from ranvier.compiler.ir.network import Network
from ranvier.data import load_data
from ranvier.runtimes.lava.environment import lava_python, lava_status
from ranvier.runtimes.verify import Verification
from ranvier.summary import Report

TARGET = "loihi2"
NEXT = "ranvier check my_model.py:net --sample 1,1,28,28"
NoLava = Annotated[bool, Option("--no-lava", help="Leave Lava out.")]
LavaSamples = Annotated[int | None, Option(min=1, help="Samples that run in Lava; by default all.")]


@dataclass(frozen=True, eq=False)
class _Example:
    """The float network, images that calibrate it, and the test data: images (samples, *shape) and labels."""

    network: Network
    calibration: NDArray[Any]
    inputs: NDArray[Any]
    labels: NDArray[Any]


def demo(output: Output, no_lava: NoLava = False, lava_samples: LavaSamples = None) -> Answer:
    """Load, check, compile, simulate, run in Lava and verify a network for the 8x8 digits."""
    output.say("loading a convolutional network that was trained with snnTorch")
    with output.working("loading"), as_file(files("ranvier") / "examples" / "digits") as folder:
        example = _example(folder)
    output.say(f"checking and compiling it for {TARGET}")
    with output.working("compiling"):
        found = api.check(example.network, TARGET)
        if any(diagnostic.severity == "error" for diagnostic in found):
            raise RanvierError(found)
        app = api.compile(example.network, TARGET, example.calibration)
    output.say(f"simulating {len(example.labels)} test images")
    with output.working("simulating"):
        _, report = app.measure(example.inputs)
    refused = () if no_lava else _lava_refusal(output)
    runtimes: tuple[str, ...] = ("simulator", "oracle")
    if not (no_lava or refused):
        runtimes = (*runtimes, "lava")
    output.say(f"verifying: float network, {', '.join(runtimes)}")
    with output.working("verifying") as tick:
        data = (example.inputs, example.labels)
        v = api.verify(app, example.network, data, runtimes, samples_lava=lava_samples, progress=tick)
    wrong = any(diagnostic.severity == "error" for diagnostic in v.diagnostics)
    values = {
        "verification": v.to_json(),
        "report": report.to_json(),
        "diagnostics": [d.to_json() for d in (*refused, *v.diagnostics)],
        "next": NEXT,
    }
    return Answer(values, _shown(v, report, refused, output.verbose), v.agrees and not wrong and not refused)


def _example(folder: Path) -> _Example:
    try:
        from ranvier.examples.digits.model import STEPS, trained  # noqa: PLC0415 - torch may be absent
    except ImportError as problem:
        message = f"the example needs {problem.name}, which is not installed"
        raise error("RV618", "demo", message, "pip install 'ranvier[demo]'") from problem
    test, calibration = load_data(folder / "test.npz"), load_data(folder / "calibration.npz")
    assert test.labels is not None
    network = api.load(trained(), sample=test.inputs[:1], encode=Direct(STEPS))
    return _Example(network, calibration.inputs, test.inputs, test.labels)


def _lava_refusal(output: Output) -> tuple[Diagnostic, ...]:
    """Nothing when Lava can be run, its environment built if it has to be; else why it cannot."""
    try:
        if not lava_status().ready:
            output.say("building the environment that Lava needs; only the first time, it takes some minutes")
            with output.working("Lava environment"):
                lava_python(create=True)
    except RanvierError as refused:
        way_out = Diagnostic("RV619", "demo", "Lava was left out", "mend it, or use ranvier demo --no-lava")
        return (*refused.diagnostics, way_out)
    return ()


def _shown(
    v: Verification, report: Report, refused: tuple[Diagnostic, ...], verbose: bool
) -> tuple[RenderableType, ...]:
    details = report_tables(report, verbose) if verbose else ()
    advice = Text.assemble("\nTry it on a network of your own:\n  ", (NEXT, "bold"))
    return (*details, *drawn(v.diagnostics), _figures(v, report), *drawn(refused), advice)


def _figures(v: Verification, report: Report) -> Table:
    made = table(f"8x8 digits on {v.target}: {v.samples} test images, {v.steps} steps each", "figure", "value")
    for name, value in verification_rows(v):
        row(made, name, value)
    for c in v.comparisons:
        row(made, f"{c.runtime} against {v.runtime}", f"{c.samples} samples, {c.disagreements:,} disagreements")
    row(made, "cores", str(report.cores))
    if report.memory_bytes is not None:
        row(made, "memory", bytes_text(report.memory_bytes))
    if report.energy is not None:
        row(made, "energy", energy_text(report.energy))
        if report.energy.equivalent is not None:
            row(made, "as a conventional network", twin_text(report.energy.equivalent))
    return made
