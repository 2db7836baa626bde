"""``ranvier fine-tune``: a program taught by the float network in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.text import Text
from typer import Option

from ranvier import api
from ranvier.cli.options import DataFile, DataOptions, ProgramFile
from ranvier.cli.output import Answer, Output
from ranvier.cli.sources import read_data
from ranvier.fine_tuning import BATCH, EPOCHS, HELD_OUT, RATE, TAUGHT, FineTuned, fine_tune

TRAINING = "Training"
TunedResult = Annotated[
    Path | None, Option("--output", "-o", help="The program file; by default the program's name with .tuned.rnv.")
]


@dataclass(frozen=True)
class TrainingOptions:
    """How it learns."""

    epochs: Annotated[int, Option(min=1, help="Times that all samples are seen.", rich_help_panel=TRAINING)] = EPOCHS
    rate: Annotated[
        float,
        Option(help="How far a step moves a parameter, as a share of its layer's size.", rich_help_panel=TRAINING),
    ] = RATE
    batch: Annotated[int, Option(min=1, help="Samples of one step.", rich_help_panel=TRAINING)] = BATCH
    held_out: Annotated[
        float, Option(help="Share of the samples that judge and do not teach.", rich_help_panel=TRAINING)
    ] = HELD_OUT
    trained: Annotated[
        str, Option(help="What may change: weight, threshold, bias, decay.", rich_help_panel=TRAINING)
    ] = ",".join(TAUGHT)
    training_seed: Annotated[
        int, Option(help="Draws the samples that judge, and the batches.", rich_help_panel=TRAINING)
    ] = 0


def fine_tune_program(
    program: ProgramFile,
    data_file: DataFile,
    data: DataOptions,
    training: TrainingOptions,
    output: Output,
    result: TunedResult = None,
) -> Answer:
    """Train a program, as it is deployed, to answer as its float network does; with labels, these too."""
    app = api.open(program)
    samples = read_data(data_file, app.program.chip.ports[0], data)
    with output.working("fine-tuning") as tick:
        found = fine_tune(
            app, samples.inputs, samples.labels, epochs=training.epochs, rate=training.rate, batch=training.batch,
            held_out=training.held_out, trained=[name.strip() for name in training.trained.split(",")],
            seed=training.training_seed, progress=lambda done, total: tick("epochs", done, total),
        )  # fmt: skip
    path = result or program.with_suffix(".tuned.rnv")
    found.app.save(path)
    values = {"program": program, "output": path, "labels": samples.labels is not None, **found.to_json()}
    return Answer(values, (_shown(found, samples.labels is not None), Text(f"wrote {path}", style="bold")))


def _shown(found: FineTuned, with_labels: bool) -> Text:
    before, after = found.history[0], found.history[found.epoch]
    meant = "right answers" if with_labels else "answers of the float network"
    lines = [
        f"learnt from {found.learnt_from} samples, judged on {found.kept_apart} others",
        f"  {meant}: {before.right} before, {after.right} after",
        f"  loss: {before.loss:.4f} before, {after.loss:.4f} after",
    ]
    chosen = f"taken from epoch {found.epoch} of {len(found.history) - 1}"
    return Text("\n".join([*lines, chosen if found.epoch else "nothing learnt was better: the program is as it was"]))
