"""``ranvier evaluate``: a program on a whole data set, in many processes or on a cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli.options import DataFile, DataOptions, ProgramFile
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data
from ranvier.cli.tables import percent
from ranvier.evaluation import Evaluation, evaluate
from ranvier.runtimes.verify.overflow import diagnose

EngineName = Annotated[
    str,
    Option(
        "--engine", "-e", help="local, or a cluster: dask://host:port, ray://host:port; without host: one started here."
    ),
]
Workers = Annotated[int | None, Option(min=1, help="Processes; by default one per processor, or all of the cluster.")]


def evaluate_data(
    program: ProgramFile,
    data_file: DataFile,
    data: DataOptions,
    output: Output,
    engine: EngineName = "local",
    workers: Workers = None,
) -> Answer:
    """Run a program on a whole data set; a second call goes on where an interrupted one ended."""
    app = api.open(program)
    samples = read_data(data_file, app.program.chip.ports[0], data)
    with _bar(output) as progress:
        found = evaluate(app, samples.inputs, samples.labels, engine=engine, workers=workers, progress=progress)
    problems = diagnose(found.overflows)
    if not output.json:
        output.refuse(problems)
    values = {"program": program, "engine": engine, **found.to_json(), "diagnostics": [d.to_json() for d in problems]}
    return Answer(values, tuple(_shown(found)), found.complete)


class _Rate(ProgressColumn):
    """Samples per second."""

    def render(self, task: Task) -> Text:
        return Text("" if not task.speed else f"{task.speed:.1f} samples/s")


@contextmanager
def _bar(output: Output) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with rate and remaining time, on a terminal only."""
    visible = output.err.is_terminal and not (output.quiet or output.json)
    columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=output.err, transient=True, disable=not visible) as progress:
        task = progress.add_task("evaluating", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _shown(found: Evaluation) -> Iterator[RenderableType]:
    if found.confusion is not None and len(found.confusion) <= 32:
        yield _confusion(found)
    text = f"{found.done} of {found.samples} samples in {found.seconds:.2f} s"
    text += f" ({found.resumed} were done before)" if found.resumed else ""
    if found.accuracy is not None and found.interval is not None:
        low, high = found.interval
        text += f"; accuracy {percent(found.accuracy)}, 95 % interval {100 * low:.2f} to {percent(high)}"
    if not found.complete:
        text += "; interrupted: the same command goes on from here"
    yield Text(text)


def _confusion(found: Evaluation) -> Table:
    assert found.confusion is not None
    table = Table("true", *(str(c) for c in range(len(found.confusion))), title="Predicted class")
    for label, row in enumerate(found.confusion):
        table.add_row(str(label), *(str(n) if n else "·" for n in row))
    return table
