"""``ranvier search``: the network that fits the budget."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import RenderableType
from rich.text import Text
from typer import Option

from ranvier.cli.options import TARGET, TargetName
from ranvier.cli.output import Answer, Output
from ranvier.cli.tables import percent, summary_table
from ranvier.compiler.diagnostics import error
from ranvier.data import Samples, load_data
from ranvier.search import SPACES, Found, Settings, Skeleton, save_architecture, search
from ranvier.search.deploy import Deployed, checked_labels, deploy, save_module
from ranvier.search.run import IMAGES_FIX, Strategy
from ranvier.tuning.budget import Budget, parse_budget

NETWORK, SEARCH, TRAINING = "Network", "Search", "Training"
STEPS = 5
PAIR = re.compile(r"(\d{1,6}),(\d{1,6})")


@dataclass(frozen=True)
class NetworkOptions:
    """What all networks of the search share."""

    space: Annotated[str, Option(help=f"The operations: {', '.join(SPACES)}.", rich_help_panel=NETWORK)] = "spikenas"
    channels: Annotated[str, Option(help="Widths of the two cells.", rich_help_panel=NETWORK)] = "16,32"
    hidden: Annotated[int, Option(help="Neurons of the hidden layer.", rich_help_panel=NETWORK)] = 64
    votes: Annotated[int, Option(help="Outputs per class.", rich_help_panel=NETWORK)] = 1
    steps: Annotated[
        int | None,
        Option(help="Steps for which an image is shown, by default 5; frames have their own.", rich_help_panel=NETWORK),
    ] = None


@dataclass(frozen=True)
class SearchOptions:
    """How the search goes."""

    strategy: Annotated[str, Option(help="greedy, random or tpe.", rich_help_panel=SEARCH)] = "greedy"
    trials: Annotated[int, Option(help="Architectures to look at.", rich_help_panel=SEARCH)] = 200
    search_seed: Annotated[int, Option(help="Seed of search and training.", rich_help_panel=SEARCH)] = 0
    study: Annotated[
        str | None,
        Option(
            help="Database URL; by default sqlite:///DATA.search.db. A second call goes on.", rich_help_panel=SEARCH
        ),
    ] = None
    workers: Annotated[int, Option(help="Processes; they do not change the result.", rich_help_panel=SEARCH)] = 1
    weight_bits: Annotated[int, Option(help="Width of the weights.", rich_help_panel=SEARCH)] = 8
    samples: Annotated[
        int | None, Option(min=1, help="Use the first samples only.", rich_help_panel=SEARCH)
    ] = None  # fmt: skip

    bin_us: Annotated[
        float | None, Option(help="Microseconds per step, for event data.", rich_help_panel=SEARCH)
    ] = None  # fmt: skip

    @property
    def settings(self) -> Settings:
        """As the library takes them."""
        strategy: Strategy = self.strategy  # type: ignore[assignment]
        return Settings(strategy, self.trials, self.search_seed, self.study, self.workers, self.weight_bits)


@dataclass(frozen=True)
class Written:
    """What is made of the best architecture."""

    epochs: Annotated[int, Option(min=0, help="Times that it is shown the data.", rich_help_panel=TRAINING)] = 0
    result: Annotated[Path | None, Option("--output", "-o", help="The program; by default DATA.rnv.")] = None
    architecture: Annotated[Path | None, Option(help="The architecture; by default the program's name with .json.")] = (
        None
    )
    module: Annotated[Path | None, Option(help="The module's weights (.pt), where they are wanted.")] = None


def search_network(
    budget: Annotated[str, Option("--budget", help="Such as 2MB, or memory=96KiB,cores=4.")],
    data_file: Annotated[Path, Option("--data", "-d", help="An .npz file: images or frames as inputs, labels.")],
    network: NetworkOptions,
    options: SearchOptions,
    written: Written,
    output: Output,
    target: TargetName = TARGET,
) -> Answer:
    """Find the spiking network with the best training-free score within a budget; train, compile and verify it."""
    if importlib.util.find_spec("torch") is None:
        raise error("RV585", "search", "networks are made with torch", "install ranvier[torch,tune]")
    limits = parse_budget(budget if "=" in budget else f"memory={budget}")
    steps = None if options.bin_us is None else network.steps
    samples = load_data(data_file, bin_us=options.bin_us, steps=steps)[: options.samples]
    labels = checked_labels(samples.labels, len(samples))
    skeleton, path = _skeleton(samples, network, int(labels.max()) + 1), written.result or data_file.with_suffix(".rnv")
    found = _found(samples, (network, skeleton), limits, target, options, data_file, output)
    architecture = written.architecture or path.with_suffix(".json")
    save_architecture(found.best.architecture, architecture)
    with output.working("training") as tick:
        made = deploy(
            found.best.architecture, samples.inputs, labels, limits, target, epochs=written.epochs,
            seed=options.search_seed, weight_bits=options.weight_bits,
            progress=lambda done, total: tick("epochs", done, total),
        )  # fmt: skip
    made.app.save(path)
    if written.module is not None:
        save_module(made.module, written.module)
    values = {"output": path, "architecture_file": architecture, "module": written.module, **found.to_json()}
    shown = (*_shown(found, limits), *_deployed(made), Text(f"wrote {path} and {architecture}", style="bold"))
    return Answer(values | {"deployed": made.to_json()}, shown, made.verification.agrees)


def _found(
    samples: Samples, network: tuple[NetworkOptions, Skeleton], limits: Budget, target: str, options: SearchOptions,
    data_file: Path, output: Output,
) -> Found:  # fmt: skip
    """The search; where it is interrupted, what to do is said."""
    named, skeleton = network
    if named.space not in SPACES:
        raise error("RV588", "option space", f"{named.space!r:.40} is none", f"there are {', '.join(SPACES)}")
    study = options.study or f"sqlite:///{data_file.stem}.search.db"
    settings = replace(options.settings, study=study)
    try:
        with output.working("searching") as tick:
            return search(
                samples.inputs, SPACES[named.space], skeleton, limits, target, settings,
                progress=lambda done, total: tick("architectures", done, total),
            )  # fmt: skip
    except KeyboardInterrupt:
        output.say(f"interrupted: what was looked at is in {study}; the same command goes on from there")
        raise


def _skeleton(samples: Samples, options: NetworkOptions, classes: int) -> Skeleton:
    sizes, widths = np.shape(samples.inputs)[1:], PAIR.fullmatch(options.channels)
    if len(sizes) not in (3, 4):
        raise error("RV583", "images", f"inputs of shape {np.shape(samples.inputs)} are no images", IMAGES_FIX)
    if widths is None:
        raise error("RV588", "option channels", f"{options.channels!r:.40} are no two widths", "write 16,32")
    *frames, channels, height, width = sizes
    if frames and options.steps not in (None, frames[0]):
        text = f"{options.steps} steps are asked for, and the data have {frames[0]} frames a sample"
        raise error("RV770", "option steps", text, "leave --steps out, or cut the data")
    steps = frames[0] if frames else STEPS if options.steps is None else options.steps
    shape, pair = (channels, height, width), (int(widths[1]), int(widths[2]))
    return Skeleton(shape, classes, pair, options.hidden, options.votes, steps)


def _shown(found: Found, limits: Budget) -> Iterator[RenderableType]:
    best, over = found.best, sum(c.score is None for c in found.looked_at)
    first, second = best.architecture.ids
    assert best.used is not None
    lines = [
        f"cells {first} and {second} of {best.architecture.space.name}",
        f"{best.architecture.parameters:,} parameters, {best.architecture.neurons:,} neurons",
        f"score {best.score:.2f}, the best of {len(found.looked_at) - over} within the budget; {over} were over it",
        f"{best.used.memory:,.0f} bytes of {limits.memory:,.0f}, {best.used.cores} cores, counted before training",
        f"{found.seconds:.1f} s; {found.resumed} architectures were known from an earlier call",
    ]
    yield Text("\n".join(lines))


def _deployed(made: Deployed) -> Iterator[RenderableType]:
    yield Text(
        f"deployed: {made.used.memory:,.0f} bytes on {made.used.cores} cores; {percent(made.accuracy)} right in torch "
        f"on {made.judged} samples kept apart, taught with {made.taught}"
    )
    yield summary_table(made.verification)
