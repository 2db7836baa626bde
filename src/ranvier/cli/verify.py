"""``ranvier verify``: what deploying cost, whether all executors agree, and why the spikes differ."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from ranvier import api
from ranvier.cli import hosted
from ranvier.cli.explained import explanation_tables
from ranvier.cli.options import DataOptions, ModelOptions, ProgramPath, RuntimeName
from ranvier.cli.output import Answer, Output, Tick
from ranvier.cli.perturbed import PerturbOptions, asked, robustness_tables
from ranvier.cli.sources import named_source, read_data, read_hosted, read_sample, read_source
from ranvier.cli.tables import overflow_lines, verification_tables
from ranvier.framework import framework
from ranvier.loading import is_module
from ranvier.perturbed import draw
from ranvier.runtimes.verify.asked import SAMPLES, Asked, Framework

EXPLAIN = "Explanation"
Data = Annotated[Path, Option("--data", "-d", help="An .npz file with inputs or events; labels optional.")]


@dataclass(frozen=True)
class CompareOptions:
    """What is compared."""

    against: Annotated[
        str | None,
        Option(
            "--against",
            "-a",
            metavar="MODEL",
            help="The model it was compiled from; by default the one in the program.",
        ),
    ] = None
    runtime: Annotated[
        list[RuntimeName] | None, Option("--runtime", "-r", help="An executor; may be given several times.")
    ] = None
    lava_samples: Annotated[int | None, Option(min=1, help="Samples that run in Lava, which is slow.")] = None


@dataclass(frozen=True)
class ExplainOptions:
    """Whether, and on how much, the differences are explained."""

    explain: Annotated[
        bool, Option("--explain", help="Find which approximation makes spikes differ.", rich_help_panel=EXPLAIN)
    ] = False
    explain_samples: Annotated[
        int, Option(min=1, help="Samples that are explained, the first ones.", rich_help_panel=EXPLAIN)
    ] = SAMPLES
    traces: Annotated[
        int, Option(min=0, help="Samples whose spikes and membranes the JSON holds.", rich_help_panel=EXPLAIN)
    ] = 0
    reference: Annotated[
        Path | None,
        Option(
            metavar="PROGRAM",
            help="An .rnv file known to be right: registers are held against its own.",
            rich_help_panel=EXPLAIN,
        ),
    ] = None


def verify(
    program: ProgramPath,
    data_file: Data,
    options: ModelOptions,
    data: DataOptions,
    comparing: CompareOptions,
    explaining: ExplainOptions,
    perturbing: PerturbOptions,
    output: Output,
) -> Answer:
    """Compare the deployed program with its float network, and its executors with each other, spike by spike."""
    with output.working("verifying") as tick:
        if program.is_dir():
            explains = explaining.explain or bool(explaining.traces) or explaining.reference is not None
            hosted.refuse_program_options({"explaining": explains, "--perturb": asked(perturbing) is not None})
            return _hosted(program, data_file, data, comparing, options, tick)
        app = api.open(program)
        port = app.program.chip.ports[0]
        source = None if comparing.against is None else named_source(comparing.against)
        network = None if source is None else read_source(source, options, port.encoder)
        samples = read_data(data_file, port, data)
        names = tuple(r.value for r in comparing.runtime or (RuntimeName.simulator,))
        found = api.verify(
            app,
            network,
            (samples.inputs, samples.labels),
            names,
            samples_lava=comparing.lava_samples,
            explain=_asked(explaining, _framework(source, options)),
            perturb=asked(perturbing),
            progress=tick,
        )
        if found.robustness is not None and perturbing.curve is not None:
            draw(found.robustness, perturbing.curve)
    wrong = any(diagnostic.severity == "error" for diagnostic in found.diagnostics)
    report = app.report()
    shown = (*verification_tables(found), *overflow_lines(report))
    if found.explanation is not None:
        shown = (*explanation_tables(found.explanation, output.verbose), *shown)
    if found.robustness is not None:
        shown = (*robustness_tables(found.robustness), *shown)
    values = {**found.to_json(), "registers": report.to_json()["registers"]}
    return Answer(values, shown, found.agrees and not wrong)


def _hosted(
    folder: Path, data_file: Path, data: DataOptions, comparing: CompareOptions, options: ModelOptions, tick: Tick
) -> Answer:
    """The same for a folder of programs and parts of the host."""
    app = api.open(folder, host=True)
    encoder = app.parts.source.encoder
    network = None if comparing.against is None else read_hosted(comparing.against, options, encoder, host=True)
    samples = read_data(data_file, app.parts.source, data)
    names = tuple(r.value for r in comparing.runtime or (RuntimeName.simulator,))
    found = api.verify(
        app, network, (samples.inputs, samples.labels), names, samples_lava=comparing.lava_samples, progress=tick
    )
    return hosted.verified(found)


def _framework(source: object, options: ModelOptions) -> Framework | None:
    """The user's torch module as a stage of its own, where one was named."""
    if not is_module(source) or options.sample is None:
        return None
    assert callable(source)
    return framework(source, read_sample(options.sample), options.module_steps)


def _asked(options: ExplainOptions, module: Framework | None) -> Asked | None:
    if not (options.explain or options.traces or options.reference):
        return None
    reference = None if options.reference is None else api.open(options.reference).program.chip
    return Asked(options.explain_samples, options.traces, module, reference)
