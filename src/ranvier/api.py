# ruff: noqa: PLC0415 - what one function needs alone is imported there, so that each verb starts fast
"""The public functions: load, compile, open, check, verify, target_names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.app import App
from ranvier.compiler import artifact
from ranvier.compiler.archive import AGAIN
from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.coding import Encoder, frames_of
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.ir.network import Coding, Network, Note, Payload, ReadoutKind
from ranvier.compiler.ir.neurons import Compare
from ranvier.loading import LoadKeywords, LoadOptions, TorchModule, load_hosted

if TYPE_CHECKING:
    from ranvier.compiler.options import Options, RoundingMethod
    from ranvier.compiler.passes.mapping.effort import Effort
    from ranvier.frontends.nir import Restored
    from ranvier.hosted import HostedApp
    from ranvier.runtimes.perturb.trials import Perturbing
    from ranvier.runtimes.verify import Asked, Verification
    from ranvier.runtimes.verify.run import Progress
    from ranvier.targets.schema import Target

DEFAULT_TARGET = "loihi2"
INPUT_BITS = 8


@overload
def load(
    source: str | Path | TorchModule, *, host: Literal[False] = ..., **options: Unpack[LoadKeywords]
) -> Network: ...


@overload
def load(
    source: str | Path | TorchModule, *, host: bool, **options: Unpack[LoadKeywords]
) -> Network | HostedNetwork: ...


def load(  # noqa: PLR0913 one keyword per choice that a source leaves open
    source: str | Path | TorchModule,
    *,
    dt: float | None = None,
    method: str | None = None,
    reset: str | None = None,
    compare: Compare | None = None,
    max_spikes: int | None = None,
    floor: float | None = None,
    preset: str | None = None,
    coding: Coding | None = None,
    readout: ReadoutKind | None = None,
    input_shape: Shape | None = None,
    sample: object | None = None,
    steps: int | None = None,
    encode: Encoder | None = None,
    host: bool = False,
) -> Network | HostedNetwork:
    """The float network in ``source``: a ``.nir`` or ``.net`` file, or a torch module.

    For ``.nir`` files, which leave it open: ``dt`` in seconds per step, ``method`` (euler, exp), ``reset`` (value,
    subtract, delayed_value, delayed_subtract), ``compare`` (``>``, ``>=``), ``max_spikes`` per step (0: no limit),
    ``floor`` of the membrane, or the ``preset`` of the exporting program. For ``.net`` files that start with a
    convolution: ``input_shape`` (channels, height, width). For torch modules: ``sample``, one input
    as ``forward`` takes it, and ``steps`` where ``forward`` does a single step. ``coding`` says whether spikes or a
    current enter, ``readout`` how the answer is read. ``encode``, such as ``ranvier.encode.Rate(32, seed=0)``,
    makes the frames from samples (samples, *shape) wherever data are given. With ``host`` a torch module may contain
    softmax, activations, norms and products of real signals: the result is then a ``HostedNetwork``, whose spiking
    parts run on the chip and whose functions the host computes between them.

    Raises ``RanvierError`` with everything that is missing or cannot be read.
    """
    options = LoadOptions(
        dt, method, reset, compare, max_spikes, floor, preset, coding, readout, input_shape, sample, steps, encode,
        host or None,
    )  # fmt: skip
    return load_hosted(source, options)


class CompileOptions(TypedDict, total=False):
    """The keywords of ``compile``, which says what they mean."""

    input_bits: int
    weight_bits: int
    layer_bits: Mapping[str, int] | None
    per_channel: bool
    rounding: "RoundingMethod"
    equalize: bool
    correct_bias: bool
    prune: str
    exponent_groups: int
    effort: str
    progress: Callable[[str, float], None] | None
    stop: Callable[[], bool] | None


@overload
def compile(  # noqa: A001 the name of the verb
    net: Network, target: str | Path = ..., calibrate: ArrayLike | None = ..., **options: Unpack[CompileOptions]
) -> App: ...


@overload
def compile(  # noqa: A001 the name of the verb
    net: HostedNetwork, target: str | Path = ..., calibrate: ArrayLike | None = ..., **options: Unpack[CompileOptions]
) -> "HostedApp": ...


def compile(  # noqa: A001, PLR0913 the name of the verb; one keyword per choice
    net: Network | HostedNetwork,
    target: str | Path = DEFAULT_TARGET,
    calibrate: ArrayLike | None = None,
    *,
    input_bits: int = INPUT_BITS,
    weight_bits: int = 8,
    layer_bits: Mapping[str, int] | None = None,
    per_channel: bool = False,
    rounding: "RoundingMethod" = "nearest",
    equalize: bool = False,
    correct_bias: bool = False,
    prune: str = "",
    exponent_groups: int = 1,
    effort: str = "normal",
    progress: Callable[[str, float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> "App | HostedApp":
    """Compile ``net`` for ``target``: a shipped chip's name, or the path of a target file.

    ``calibrate``, inputs as ``App.run`` takes them, are what the float network's ranges are observed on, so that
    scales use the registers well; without them ranges are unknown, and the report says so. ``input_bits`` is
    the signed width of real-valued inputs on the wire, ``weight_bits`` the width of the weights (1 to 8),
    ``layer_bits`` overrides it by layer name, ``prune`` a pattern of zeros such as ``magnitude:0.8`` or ``2:4``
    (``docs/pruning.md``); what the others do is told at ``compiler.options.Options``.
    The artifact keeps all of them, so that the same point can be compiled again.
    ``effort`` is how long to search for a mapping with fewer messages: quick, normal, thorough or a number of seconds.
    ``progress(stage, share)`` is called as that goes; once ``stop()`` says True, the best mapping so far is taken.
    A network with functions of the host becomes a ``HostedApp``: its spiking parts are compiled, each by itself.

    Raises ``RanvierError`` with everything that stands in the way.
    """
    from ranvier.compiler.options import Options
    from ranvier.compiler.passes.mapping.effort import Effort, never, silent

    options = Options(
        input_bits, weight_bits, layer_bits=tuple((layer_bits or {}).items()), per_channel=per_channel,
        rounding=rounding, equalize=equalize, correct_bias=correct_bias, prune=prune, exponent_groups=exponent_groups,
    )  # fmt: skip
    searching = replace(Effort.named(effort), stop=stop or never)
    if isinstance(net, HostedNetwork):
        from ranvier.hosted import compile_hosted

        def one(part: Network, data: NDArray[Any] | None, widths: Mapping[str, int]) -> App:
            own = replace(options, layer_bits=tuple(widths.items()))
            return _compiled(part, target, data, own, searching, progress or silent)

        return compile_hosted(net, calibrate, layer_bits or {}, one)
    return _compiled(net, target, calibrate, options, searching, progress or silent)


def _compiled(
    net: Network,
    target: str | Path,
    calibrate: ArrayLike | None,
    options: "Options",
    searching: "Effort",
    progress: Callable[[str, float], None],
) -> App:
    """``net`` compiled for ``target``, whatever kind of chip that is."""
    from ranvier.compiling import Compilation
    from ranvier.devices import device_app
    from ranvier.targets.load import load_any
    from ranvier.targets.schema import HierarchyTarget, Target

    chosen = load_any(target)
    if isinstance(chosen, HierarchyTarget):
        text = "schedules are explored for it; programs are compiled for chips that hold a whole network"
        fix = f"ranvier explore MODEL --target {chosen.name}, or compile for one of the other targets"
        raise error("RV531", chosen.name, text, fix)
    if not isinstance(chosen, Target):
        return device_app(net, chosen, calibrate, options)
    return Compilation(net, target, calibrate).app(options, searching, progress)


@overload
def open(path: str | Path, *, host: Literal[False] = ...) -> App: ...  # noqa: A001 the name of the verb


@overload
def open(path: str | Path, *, host: Literal[True]) -> "HostedApp": ...  # noqa: A001 the name of the verb


def open(path: str | Path, *, host: bool = False) -> "App | HostedApp":  # noqa: A001 the name of the verb
    """The compiled network in the artifact at ``path``; raises ``RanvierError`` RV401 to RV408.

    Its target is the shipped one of its name, or the user's own, of which the artifact holds the files (RV790).
    ``path`` may also be a ``.nir`` file that ``App.export_nir`` wrote (RV467, RV698, RV699). With ``host`` it is the
    folder of a network whose functions the host computes, as ``HostedApp.save`` wrote it (RV741, RV744).
    """
    if host:
        from ranvier.hosted import HostedApp
        from ranvier.hosted_files import read

        return HostedApp(*read(Path(path), open))
    if Path(path).is_dir():
        fix = "name one of the .rnv files in it; what compile --host wrote is opened by ranvier.open(folder, host=True)"
        raise error("RV745", str(path), "is a folder, not a program", fix)
    if Path(path).suffix == ".nir":
        from ranvier.frontends.nir import load_nir_program

        found: artifact.Artifact | Restored = load_nir_program(path)
        artifact.checked(found.program, path)
    else:
        found = artifact.read(path)
    return App(found.program, _target(found, path), found.provenance, found.target_sha256)


def check(
    net: Network | HostedNetwork, target: str | Path = DEFAULT_TARGET, *, weight_bits: int = 8
) -> list[Diagnostic]:
    """Everything that stands in the way of ``net`` on ``target``; what was assumed or rounded as notes.

    The network can be compiled if no diagnostic is an error. A real-valued input, whose range only calibration data
    show, is taken to reach from -1 to 1, which is noted (RV606).
    """
    if isinstance(net, HostedNetwork):
        from ranvier.hosted import check_hosted

        return check_hosted(net, partial(check, target=target, weight_bits=weight_bits))
    try:
        program = compile(_with_range(net), target, weight_bits=weight_bits).program
    except RanvierError as refused:
        return list(refused.diagnostics)
    return [_as_diagnostic(note) for note in (*program.chip.notes, *program.notes)]


def verify(
    app: "App | HostedApp",
    net: Network | HostedNetwork | None,
    data: tuple[ArrayLike, ArrayLike | None],
    runtimes: Sequence[str] = ("simulator",),
    *,
    samples_lava: int | None = None,
    explain: "Asked | None" = None,
    perturb: "Perturbing | None" = None,
    progress: "Progress | None" = None,
) -> "Verification":
    """What deploying ``net`` as ``app`` costs on ``data`` (inputs, labels or None), and whether all runtimes agree.

    The first of ``runtimes`` runs all samples and is compared with the float network; the others are compared
    with it in every spike and state, Lava on the first ``samples_lava`` samples. Inputs are what ``App.run`` takes.
    ``explain`` asks which approximation makes them differ, layer by layer (``docs/verification.md``); ``perturb``,
    ``Perturbing("pcm", trials=50)``, what is left of it on devices that are not ideal (``docs/robustness.md``).
    ``progress(what, done, total)`` is called as it goes. Without ``net`` the float network in the program is taken.
    Raises ``RanvierError`` for data that do not fit, runtimes that cannot run, RV605 for another network, and RV746
    where a hosted network is to be explained or perturbed.
    """
    if not isinstance(app, App):
        from ranvier.hosted import verify_hosted

        more = explain is not None or perturb is not None
        return verify_hosted(app, net, data, runtimes, samples_lava, progress, more=more)
    if isinstance(net, HostedNetwork):
        fix = "give the folder that it was compiled into, or compile this network"
        raise error("RV605", net.name, "the program is none of a network with functions of the host", fix)
    from ranvier.runtimes.verify import verify as verify_program

    if net is not None and app.program.source is not None:
        _refuse_another(app.program.source, net)
    frames, labels = frames_of(app.program.chip.ports[0], np.asarray(data[0])), data[1]
    found = verify_program(
        app.program,
        net,
        frames,
        labels,
        runtimes=runtimes,
        samples_lava=samples_lava,
        explain=explain,
        progress=progress,
    )
    if perturb is None:
        return found
    from ranvier.runtimes.perturb.trials import robustness

    return replace(found, robustness=robustness(app.program.chip, frames, labels, perturb, progress))


def target_names() -> tuple[str, ...]:
    """The names of the shipped targets; ``ranvier.targets`` is the package that holds them."""
    from ranvier.targets import load

    return load.target_names()


def _target(held: "artifact.Artifact | Restored", path: str | Path) -> "Target | None":
    """The target of what the file at ``path`` holds: from its own files (RV790), else the shipped one of its name."""
    from ranvier.targets.load import load_target, load_texts, meshes
    from ranvier.targets.schema import Target

    name = held.program.target
    if not held.target_files:
        return load_target(name) if name in meshes() else None
    try:
        found = load_texts(held.target_files)
    except RanvierError as refused:
        text = f"the target that it was compiled for cannot be read: {refused.diagnostics[0]}"
        raise error("RV790", str(path), text, AGAIN) from refused
    if not isinstance(found, Target) or (found.name, found.sha256) != (name, held.target_sha256):
        text = f"the target that it holds is not the one that it was compiled for ({name})"
        raise error("RV790", str(path), text, AGAIN)
    return found


def _refuse_another(source: Network, net: Network) -> None:
    """Raise RV605 unless ``net`` prepares to the float network ``source`` that a program was compiled from."""
    from ranvier.compiler.ir.text import equal
    from ranvier.compiler.pipeline import prepare

    own, given = (replace(network, name="", notes=()) for network in (source, prepare(net)))
    if not equal(own, given):
        fix = "give the network, with the options, that was compiled, or compile this one"
        raise error("RV605", net.name, f"the program was compiled from another network ({source.name})", fix)


def _with_range(net: Network) -> Network:
    """``net`` with the range -1 to 1 for real-valued inputs whose payload is not known."""
    unknown = [node for node in net.inputs if node.coding == "current" and node.payload is None]
    text = "the range of its values is not known yet: checked for -1 to 1; compile wants calibration data"
    added = [Note("RV606", node.name, text) for node in unknown]
    payload = Payload(INPUT_BITS, 2.0 ** (INPUT_BITS - 1) - 1)
    nodes = [replace(node, payload=payload) if node in unknown else node for node in net.nodes]
    return replace(net, nodes=tuple(nodes), notes=(*net.notes, *added))


def _as_diagnostic(note: Note) -> Diagnostic:
    return Diagnostic(note.code, note.place, note.text, "nothing has to be done", "note")
