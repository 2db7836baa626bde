# ruff: noqa: PLC0415 - what one method needs alone is imported there, so that each verb starts fast
"""Networks whose softmax, norms and gates the host computes: compiled part by part, run as one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.app import App, Runtime
from ranvier.compiler.diagnostics import Diagnostic, Figure, RanvierError, error
from ranvier.compiler.ir.coding import frames_of
from ranvier.compiler.ir.hosted import ChipPart, HostedNetwork, HostPart, Part, Parts
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.passes.cut import Cut
from ranvier.compiler.pipeline import prepare
from ranvier.runtimes import simulator
from ranvier.runtimes.hosted import HostedRecording, Runner, arriving, run_parts
from ranvier.runtimes.recording import Records, check_frames
from ranvier.runtimes.units import sent_units
from ranvier.runtimes.verify.executors import executor

if TYPE_CHECKING:
    from ranvier.hosted_report import HostedReport
    from ranvier.runtimes.verify import Verification
    from ranvier.runtimes.verify.run import Progress

CompileOne = Callable[[Network, NDArray[Any] | None, Mapping[str, int]], App]
"""Compiles a network with calibration data, and widths by layer name."""
SENT: Records = ("spikes",)


@dataclass(frozen=True, eq=False)
class HostedApp:
    """A compiled hosted network: its ``parts`` in the order in which they run, and the program of each chip part.

    The networks of the chip parts are those in their programs: folded, in float.
    """

    parts: Parts
    apps: tuple[App, ...]
    provenance: Mapping[str, Figure] = field(default_factory=dict)

    def run(self, x: ArrayLike, record: Records = SENT, runtime: Runtime = "simulator") -> HostedRecording:
        """Run all parts on ``x``, frames or what the input's encoder takes, as ``App.run`` does.

        The chip parts run in ``runtime``, the others here, in float64; all runtimes give the same values. ``record``
        names what to keep of the layers of chip parts; spikes are kept always.
        """
        return run_parts(self.parts, self.frames(x), self.runners(runtime, record))

    def run_float(self, x: ArrayLike) -> HostedRecording:
        """What all parts do in float, without quantization, on ``x``."""
        return run_parts(self.parts, self.frames(x), self.runners("float", ("spikes", "membrane")))

    def frames(self, x: ArrayLike) -> NDArray[Any]:
        """The frames (samples, steps, *shape) of ``x``; raises ``RanvierError`` for what the input cannot take."""
        return _frames(self.parts, x)

    def runners(self, runtime: str, record: Records) -> list[Runner]:
        """What runs each chip part: an executor of its program, or ``float``."""
        if runtime == "float":
            return [_float_runner(part.network, record) for part in self.parts.chips]
        return [_chip_runner(app, runtime, record) for app in self.apps]

    def report(self, recording: HostedRecording | None = None) -> "HostedReport":
        """What every part holds; with a ``recording`` also its operations and energy, and their shares."""
        from ranvier.hosted_report import hosted_report

        return hosted_report(self.parts, self.apps, recording)

    def save(self, folder: str | Path) -> None:
        """Write the programs (``partN.rnv``) and the host's parts (``hosted.rnv``) into ``folder``; RV409, RV743."""
        from ranvier.hosted_files import save

        save(self.parts, self.apps, self.provenance, Path(folder))

    def emit_lava(self, folder: str | Path) -> Path:
        """Write a Lava project for each chip part, and ``PARTS.md``, which says what the host does between them."""
        from ranvier.hosted_files import emit_lava

        return emit_lava(self.parts, self.apps, Path(folder))


def compile_hosted(
    network: HostedNetwork, calibrate: ArrayLike | None, layer_bits: Mapping[str, int], compile_one: CompileOne
) -> HostedApp:
    """``network`` cut, its chip parts compiled by ``compile_one`` on what reaches them when ``calibrate`` enters.

    Senders of real numbers are scaled by their largest value there; each part gets the widths of its layers. Raises
    ``RanvierError`` with everything that stands in the way of any part, and RV742 where real numbers cross into a part
    and there are no calibration data.
    """
    parts = Cut()(network)
    entered: Sequence[NDArray[Any] | None] = [None] * len(parts.chips)
    if calibrate is None:
        _refuse_unknown_ranges(parts)
    else:
        runners = [_float_runner(prepare(part.network), ("spikes", "membrane")) for part in parts.chips]
        sent = run_parts(parts, _frames(parts, calibrate), runners).sent
        parts = Cut({name: float(np.abs(values).max()) or 1.0 for name, values in sent.items()})(network)
        entered = [arriving(part, sent) for part in parts.chips]
    chips = [(name, part.network) for name, part in parts.named if isinstance(part, ChipPart)]
    layers = [{op.name for op in prepare(part).linears} for _, part in chips]
    apps, problems = [], []
    for (name, part), data, own in zip(chips, entered, layers, strict=True):
        widths = {
            layer: bits for layer, bits in layer_bits.items() if layer in own or layer not in set().union(*layers)
        }
        try:
            apps.append(compile_one(part, data, widths))
        except RanvierError as refused:
            problems += [_of_part(name, found) for found in refused.diagnostics]
    if problems:
        raise RanvierError(problems)
    return HostedApp(with_programs(parts, apps), tuple(apps), {"network": network.name, "parts": len(parts.parts)})


def check_hosted(network: HostedNetwork, check_one: Callable[[Network], list[Diagnostic]]) -> list[Diagnostic]:
    """Everything that stands in the way of any part of ``network``, with the part in its place; notes as well."""
    try:
        parts = Cut()(network)
    except RanvierError as refused:
        return list(refused.diagnostics)
    chips = [(name, part) for name, part in parts.named if isinstance(part, ChipPart)]
    return [_of_part(name, found) for name, part in chips for found in check_one(part.network)]


def verify_hosted(
    app: HostedApp,
    network: Network | HostedNetwork | None,
    data: tuple[ArrayLike, ArrayLike | None],
    runtimes: Sequence[str] = ("simulator",),
    samples_lava: int | None = None,
    progress: "Progress | None" = None,
    more: bool = False,
) -> "Verification":
    """What deploying ``network`` as ``app`` costs on ``data``; ``ranvier.verify`` says the rest.

    ``more``: an explanation or perturbations were asked for, which are refused (RV746).
    """
    from ranvier.runtimes.verify.hosted import verify_hosted as verify_parts

    if more:
        fix = "leave these options out, or verify the program of one part: ranvier.verify(app.apps[0], None, ...)"
        raise error("RV746", app.parts.name, "explaining and perturbing is done for single programs", fix)
    if network is not None:
        _refuse_another(app, network)
    return verify_parts(
        app.parts,
        [one.program.chip for one in app.apps],
        app.runners,
        app.frames(data[0]),
        data[1],
        runtimes=runtimes,
        samples_lava=samples_lava,
        progress=progress,
    )


def with_programs(parts: Parts, apps: Sequence[App]) -> Parts:
    """``parts`` whose chip parts hold the float networks of their programs."""
    left = iter(apps)
    held: list[Part] = []
    for part in parts.parts:
        source = next(left).program.source if isinstance(part, ChipPart) else None
        held.append(replace(part, network=source) if isinstance(part, ChipPart) and source is not None else part)
    return replace(parts, parts=tuple(held))


def _frames(parts: Parts, x: ArrayLike) -> NDArray[Any]:
    frames = frames_of(parts.source, np.asarray(x))
    check_frames(frames, parts.source)
    return frames


def _float_runner(network: Network, record: Records) -> Runner:
    return Runner(lambda frames: simulator.run(network, frames, (*SENT, *record)))


def _chip_runner(app: App, runtime: str, record: Records) -> Runner:
    chip, source = app.program.chip, app.program.source
    nodes = {} if source is None else source.by_name
    models = {p.name: node.model for p in chip.populations if isinstance(node := nodes.get(p.name), Neurons)}
    units = {p.name: sent_units(p, models[p.name]) for p in chip.populations if p.name in models}
    run = executor(runtime)
    return Runner(lambda frames: run(chip, frames, tuple(dict.fromkeys((*SENT, *record)))), units)


def _refuse_unknown_ranges(parts: Parts) -> None:
    """Raise RV742 for chip parts into which real numbers cross, whose range only calibration data show."""
    found = []
    for name, part in parts.named:
        senders = [c.source for c in part.takes if c.source != parts.source.name]
        if isinstance(part, ChipPart) and senders and part.network.inputs[0].coding == "current":
            text = f"real numbers of {', '.join(senders)} enter it, and their range is not known"
            fix = "give calibration data: compile(..., calibrate=samples) or --calibrate data.npz"
            found.append(Diagnostic("RV742", name, text, fix))
    if found:
        raise RanvierError(found)


def _refuse_another(app: HostedApp, network: Network | HostedNetwork) -> None:
    """Raise RV605 unless ``network`` is cut and folded into the parts of ``app``."""
    scales = {c.source: c.scale for part in app.parts.chips for c in part.takes if c.scale != 1.0}
    parts = Cut(scales)(network) if isinstance(network, HostedNetwork) else None
    held = () if parts is None else parts.parts
    given = [replace(p, network=prepare(p.network)) if isinstance(p, ChipPart) else p for p in held]
    ends = parts is not None and (parts.source, parts.readout) == (app.parts.source, app.parts.readout)
    if not ends or len(given) != len(app.parts.parts) or not all(map(_same, app.parts.parts, given)):
        fix = "give the network, with the options, that was compiled, or compile this one"
        raise error("RV605", network.name, f"the program was compiled from another network ({app.parts.name})", fix)


def _same(ours: Part, theirs: Part) -> bool:
    """Whether both compute, take and give the same; names of networks and notes aside."""
    from ranvier.compiler.ir.text import equal

    if isinstance(ours, ChipPart) and isinstance(theirs, ChipPart):
        own, given = (replace(part.network, name="", notes=()) for part in (ours, theirs))
        return (ours.takes, ours.gives) == (theirs.takes, theirs.gives) and equal(own, given)
    return isinstance(ours, HostPart) and isinstance(theirs, HostPart) and equal(ours, theirs)


def _of_part(name: str, found: Diagnostic) -> Diagnostic:
    return replace(found, place=f"{name}: {found.place}")
