"""Models and data as the command line names them."""

import importlib.util
import inspect
import re
import sys
import traceback
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.cli.options import CoderOptions, DataOptions, ModelOptions
from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.chip import Port
from ranvier.compiler.ir.coding import CODERS, Encoder, coder, described, takes
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.ir.network import Input, Network
from ranvier.data import Samples, load_data
from ranvier.loading import LoadOptions, is_module, load_hosted, load_network

PYTHON_OBJECT = re.compile(r"(?P<file>.+\.py)(?::(?P<name>[A-Za-z_]\w*))?")
SHAPE = re.compile(r"\d{1,9}(,\d{1,9})*")
MAX_SAMPLE = 2**27
SHARED = ("dt", "method", "reset", "compare", "max_spikes", "floor", "preset", "coding", "readout")


def read_model(model: str, options: ModelOptions, encoder: Encoder | None = None) -> Network:
    """The network that ``model`` names: a file's path, or ``file.py:name``, which runs that file."""
    return read_source(named_source(model), options, encoder)


def read_source(source: object, options: ModelOptions, encoder: Encoder | None = None) -> Network:
    """The network in ``source``, a path or a torch module."""
    return load_network(source, load_options(options, encoder))


def read_hosted(
    model: str, options: ModelOptions, encoder: Encoder | None = None, host: bool = False
) -> Network | HostedNetwork:
    """The network that ``model`` names; with ``host``, one whose functions the host computes where it has any."""
    given, source = load_options(options, encoder), named_source(model)
    return load_hosted(source, replace(given, host=True)) if host else load_network(source, given)


def load_options(options: ModelOptions, encoder: Encoder | None) -> LoadOptions:
    """The options of a model as ``load_network`` takes them."""
    shared = {f.name: getattr(options, f.name) for f in fields(options) if f.name in SHARED}
    sample = None if options.sample is None else read_sample(options.sample)
    shape = None if options.input_shape is None else _shape(options.input_shape, "option input-shape")
    steps = options.module_steps
    return LoadOptions(**shared, input_shape=shape, sample=sample, steps=steps, encode=encoder)


def read_encoder(options: CoderOptions, steps: int | None) -> Encoder | None:
    """The coder that the options describe, for samples of ``steps`` steps; None where none is asked for."""
    given = {f.name: value for f in fields(options) if (value := getattr(options, f.name)) is not None}
    name = given.pop("encode", None)
    if name is None:
        if given:
            fix = f"leave it out, or choose a coder: --encode {', '.join(CODERS)}"
            raise error("RV607", f"option of coders ({', '.join(given)})", "no coder was chosen", fix)
        return None
    if steps is None:
        raise error("RV608", "option encode", f"for how many steps {name.value} shows a sample is not known",
                    "say it: --steps 32")  # fmt: skip
    return coder(name.value, steps=steps, **given)


def named_source(model: str) -> object:
    """What ``model`` names: a file's path as it is, or the object behind ``file.py:name``, whose file is run."""
    named = PYTHON_OBJECT.fullmatch(model)
    return model if named is None else _module(Path(named["file"]), named["name"])


def read_sample(text: str) -> NDArray[Any]:
    """The first of the ``inputs`` of an ``.npz`` file, or noise from 0 to 1 of a shape such as ``1,28,28``."""
    if not SHAPE.fullmatch(text):
        return np.ascontiguousarray(load_data(text).inputs[:1], dtype=np.float32)
    shape = _shape(text, "option sample")
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def _shape(text: str, place: str) -> Shape:
    fix = "give the shape of one input, such as 1,28,28"
    if not SHAPE.fullmatch(text):
        raise error("RV611", place, f"{text!r:.60} is no shape", fix)
    shape = tuple(map(int, text.split(",")))
    if not 0 < np.prod([float(n) for n in shape]) <= MAX_SAMPLE:
        raise error("RV611", place, f"shape {shape} is empty or too large", fix)
    return shape


def read_data(path: Path, entry: Input | Port, options: DataOptions) -> Samples:
    """The data that enter at ``entry``: samples as its encoder takes them, or frames; static ones are repeated."""
    shape = entry.shape
    image = (shape[0], shape[1], shape[2]) if len(shape) == 3 else None
    timed = options.bin_us is not None
    steps = options.steps if timed else None
    samples = load_data(path, bin_us=options.bin_us, steps=steps, shape=image if timed else None)
    if options.samples is not None:
        samples = samples[: options.samples]
    inputs = samples.inputs
    if entry.encoder is not None and takes(entry, inputs.shape):
        _check_steps(path, entry.encoder, options.steps)
        return samples
    if inputs.shape[1:] == shape:
        if options.steps is None:
            fix = "say for how many steps each input is shown: --steps 20"
            raise error("RV612", str(path), "the inputs are static: they have no axis of steps", fix)
        inputs = np.repeat(inputs[:, None], options.steps, axis=1)
    elif options.steps is not None:
        inputs = inputs[:, : options.steps]
    return Samples(inputs, samples.labels)


def _check_steps(path: Path, encoder: Encoder, steps: int | None) -> None:
    if steps not in (None, encoder.steps):
        text = f"each sample is shown for {encoder.steps} steps by {described(encoder)}, not for {steps}"
        raise error("RV609", str(path), text, f"leave --steps out, or compile with --steps {steps}")


def _module(file: Path, name: str | None) -> object:
    """The torch module that ``name`` stands for in a Python file: an object, a class, or a function."""
    if not file.is_file():
        raise error("RV613", str(file), "there is no such file", "check the path")
    if name is None:
        fix = f"name the module, its class, or a function that returns it: {file}:net"
        raise error("RV614", str(file), "a Python file can hold many objects", fix)
    try:
        found = getattr(_executed(file), name, None)
        if not is_module(found) and (inspect.isclass(found) or inspect.isfunction(found)):
            found = found()
    except RanvierError:
        raise
    except (Exception, SystemExit) as problem:
        line = _line_in(file, problem)
        message = f"the file fails with {type(problem).__name__}: {problem}"
        place = f"{file}:{line}" if line else str(file)
        raise error("RV615", place, message, "correct the file; try it with python first") from problem
    if not is_module(found):
        kind = "there is none of this name" if found is None else f"it is a {type(found).__name__}"
        fix = "name a torch.nn.Module, its class, or a function without arguments that returns it"
        raise error("RV616", f"{file}:{name}", f"no torch module: {kind}", fix)
    return found


def _line_in(file: Path, problem: BaseException) -> int:
    """The line of ``file`` that was running when ``problem`` was raised, or that is no Python; 0 if there is none."""
    own = str(file.resolve())
    if isinstance(problem, SyntaxError) and problem.filename == own:
        return problem.lineno or 0
    frames = reversed(traceback.extract_tb(problem.__traceback__))
    return next((frame.lineno or 0 for frame in frames if frame.filename == own), 0)


def _executed(file: Path) -> ModuleType:
    """The module of a Python file, its own folder first on the path, as Python itself would have it."""
    spec = importlib.util.spec_from_file_location(f"_user_{file.stem}", file.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module
