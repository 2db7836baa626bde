"""The options of the verbs, in groups: a group is a frozen dataclass whose fields are options."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ranvier.api import DEFAULT_TARGET

MODEL = "Model"
DATA = "Data"
CODING = "Input coding"
OUTPUT = "Output"

ModelName = Annotated[
    str,
    Argument(
        metavar="MODEL",
        help="A .nir or .net file, or file.py:name for a torch module, its class, or a function that "
        "returns it. A .py file is run, so name only files that you trust.",
    ),
]
ProgramFile = Annotated[Path, Argument(metavar="PROGRAM", help="An .rnv file that ranvier compile wrote.")]
ProgramPath = Annotated[
    Path, Argument(metavar="PROGRAM", help="An .rnv file that ranvier compile wrote, or a folder that --host wrote.")
]
TargetName = Annotated[
    str, Option("--target", "-t", help="The chip: a name that ranvier targets lists, or a .toml file.")
]
DataFile = Annotated[
    Path,
    Argument(metavar="DATA", help="An .npz file with inputs, or with events x, y, p, t_us, offsets; labels optional."),
]
CoderSteps = Annotated[
    int | None, Option("--steps", min=1, help="Steps for which a coder shows a sample.", rich_help_panel=CODING)
]
ProgramResult = Annotated[
    Path | None,
    Option("--output", "-o", help="The program file; by default the model's name with .rnv (a folder with --host)."),
]
HostOption = Annotated[
    bool, Option("--host", help="Let the host compute softmax, norms, SiLU and products of real numbers (torch).")
]
TARGET = DEFAULT_TARGET


class RuntimeName(StrEnum):
    """The executors of a program."""

    simulator = "simulator"
    gpu = "gpu"
    oracle = "oracle"
    lava = "lava"


@dataclass(frozen=True)
class ModelOptions:
    """What a model file leaves open."""

    dt: Annotated[float | None, Option(help="Seconds per step (.nir).", rich_help_panel=MODEL)] = None
    method: Annotated[
        str | None, Option(help="How the equations become steps: euler or exp (.nir).", rich_help_panel=MODEL)
    ] = None
    reset: Annotated[
        str | None,
        Option(help="value, subtract, delayed_value or delayed_subtract (.nir).", rich_help_panel=MODEL),
    ] = None
    compare: Annotated[
        str | None, Option(help="A spike is fired where the membrane is '>' or '>=' (.nir).", rich_help_panel=MODEL)
    ] = None
    max_spikes: Annotated[
        int | None, Option(help="Spikes per neuron and step, 0 for no limit (.nir).", rich_help_panel=MODEL)
    ] = None
    floor: Annotated[float | None, Option(help="Lowest value of the membrane (.nir).", rich_help_panel=MODEL)] = None
    preset: Annotated[
        str | None, Option(help="The program that wrote the .nir file, e.g. sinabs.", rich_help_panel=MODEL)
    ] = None
    coding: Annotated[str | None, Option(help="What enters: spikes or current.", rich_help_panel=MODEL)] = None
    readout: Annotated[
        str | None,
        Option(help="spike_count, first_spike, last_membrane, max_membrane or sum_membrane.", rich_help_panel=MODEL),
    ] = None
    input_shape: Annotated[
        str | None,
        Option(help="Shape of the first convolution's input, such as 2,34,34 (.net).", rich_help_panel=MODEL),
    ] = None
    sample: Annotated[
        str | None,
        Option(
            help="An input as the torch module's forward takes it: an .npz file, or a shape such as 1,1,28,28.",
            rich_help_panel=MODEL,
        ),
    ] = None
    module_steps: Annotated[
        int | None,
        Option(help="Calls per sample, where the torch module's forward does one step.", rich_help_panel=MODEL),
    ] = None


class CoderName(StrEnum):
    """The coders of samples."""

    direct = "direct"
    rate = "rate"
    latency = "latency"
    delta = "delta"
    phase = "phase"
    burst = "burst"


@dataclass(frozen=True)
class CoderOptions:
    """How samples become frames, each field but the first named after the coder's parameter it sets."""

    encode: Annotated[
        CoderName | None,
        Option(help="The coder at the input, which shows samples for --steps steps.", rich_help_panel=CODING),
    ] = None
    seed: Annotated[int | None, Option(help="Seed of the spikes that are drawn (rate).", rich_help_panel=CODING)] = None
    threshold: Annotated[
        float | None, Option("--delta-threshold", help="Change that a spike stands for.", rich_help_panel=CODING)
    ] = None
    bits: Annotated[
        int | None, Option("--phase-bits", help="Binary digits of a value; by default 8.", rich_help_panel=CODING)
    ] = None
    longest: Annotated[
        int | None, Option("--burst-longest", help="Spikes of the value 1; by default 5.", rich_help_panel=CODING)
    ] = None
    gap: Annotated[
        int | None,
        Option("--burst-gap", help="Silent steps between spikes of value 0; by default 2.", rich_help_panel=CODING),
    ] = None


@dataclass(frozen=True)
class DataOptions:
    """How data become frames."""

    steps: Annotated[
        int | None, Option(min=1, help="Steps per sample: static inputs are repeated or encoded.", rich_help_panel=DATA)
    ] = None
    bin_us: Annotated[float | None, Option(help="Microseconds per step, for event data.", rich_help_panel=DATA)] = None
    samples: Annotated[int | None, Option(min=1, help="Use the first samples only.", rich_help_panel=DATA)] = None


@dataclass(frozen=True)
class OutputOptions:
    """How the verb answers."""

    as_json: Annotated[
        bool, Option("--json", help="Answer with one JSON object on standard output.", rich_help_panel=OUTPUT)
    ] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Say nothing but errors.", rich_help_panel=OUTPUT)] = False
    verbose: Annotated[bool, Option("--verbose", "-v", help="Say every detail.", rich_help_panel=OUTPUT)] = False
