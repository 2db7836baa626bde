"""How a NIR file is read: what the file leaves open, given by the user or by a preset for its exporter.

NIR describes neurons by differential equations, strictly above threshold, reset to ``v_reset``. The time
step, the discretization, a reset by subtraction, ``>=`` and several spikes a step are agreements
between programs. Sources: the exporters' code, snnTorch 1.0, Norse 1.1, SpikingJelly 2.0, Sinabs 3.1,
Rockpool 3.1.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.network import Coding, Note, ReadoutKind
from ranvier.compiler.ir.neurons import UNLIMITED, Compare

Method = Literal["euler", "exp"]
ResetRule = Literal["value", "subtract", "delayed_value", "delayed_subtract"]
PresetName = Literal["spec", "snntorch", "norse", "spikingjelly", "sinabs", "rockpool"]
Initial = Literal["zero", "leak", "reset"]
NodeReset = Literal["value", "subtract", "delayed_value", "delayed_subtract", "none"]
"""What metadata may say of one node: a rule, or that it has no reset."""


@dataclass(frozen=True)
class Options:
    """What the user chose; None where nothing was said.

    ``reset``: ``value`` (to ``v_reset``), ``subtract`` (the threshold, in the step of the spike), or
    ``delayed_value`` and ``delayed_subtract`` (in the next step, snnTorch's ``reset_delay=True``).
    """

    dt: float | None = None
    method: Method | None = None
    reset: ResetRule | None = None
    compare: Compare | None = None
    max_spikes: int | None = None
    floor: float | None = None
    preset: PresetName | None = None
    coding: Coding = "spikes"
    readout: ReadoutKind | None = None

    @property
    def given(self) -> bool:
        """Whether the user said anything."""
        return self != Options()


@dataclass(frozen=True)
class Preset:
    """What files of one exporter mean; None where the exporter loses it and the user must say it.

    ``gain``: ``r`` reads ``r`` and ``w_in`` as NIR does; the other names are the exporters' own rules.
    """

    dt: float | None
    method: Method
    reset: ResetRule | None
    compare: Compare
    max_spikes: int
    initial: Initial = "zero"
    gain: Literal["r", "norse", "sinabs", "rockpool"] = "r"
    about: str = ""


CHOICES: Mapping[str, tuple[str, ...]] = {
    "method": get_args(Method),
    "reset": get_args(NodeReset),
    "compare": get_args(Compare),
}
"""What a node's metadata may say, with the values that it may have."""

PRESETS: Mapping[str, Preset] = {
    "spec": Preset(1e-4, "euler", "value", ">", 1),
    "snntorch": Preset(
        1e-4,
        "euler",
        None,
        ">",
        1,
        about="a gain r*dt/tau within 1e-5 of 1 is taken as 1; that reset_delay=False holds the level at twice the "
        "threshold while the membrane starts a step above it is not modelled",
    ),
    "norse": Preset(
        1e-3, "euler", "value", ">", 1, "leak", "norse", "the file holds tau times dt; r and w_in are not used"
    ),
    "spikingjelly": Preset(
        1e-4, "euler", "value", ">=", 1, "reset", about="a gain r*dt/tau within 1e-5 of 1 is taken as 1"
    ),
    "sinabs": Preset(
        1.0,
        "exp",
        "subtract",
        ">=",
        UNLIMITED,
        gain="sinabs",
        about="tau counts time steps; norm_input (on) and min_v_mem (none) are not in the file",
    ),
    "rockpool": Preset(
        None,
        "exp",
        "subtract",
        ">=",
        65536,
        gain="rockpool",
        about="dt is solved from r = tau exp(-dt/tau) / dt; the bias of neurons is not in the file",
    ),
}


@dataclass(frozen=True)
class Reading:
    """Every choice made; ``dt`` is None only where it is solved per node (rockpool) or not needed."""

    dt: float | None
    method: Method
    reset: NodeReset
    compare: Compare
    max_spikes: int
    floor: float | None
    initial: Initial
    gain: Literal["r", "norse", "sinabs", "rockpool"]
    snap: bool

    def for_node(self, metadata: Mapping[str, str | float], place: str) -> "Reading":
        """This reading with what the node's own metadata say in place of it."""
        dt, count = metadata.get("dt"), metadata.get("max_spikes")
        found = [*_check_dt(dt, place), *_check_count(count, place)]
        for name, legal in CHOICES.items():
            found += _check_choice(name, metadata.get(name), legal, place)
        if found:
            raise RanvierError(found)
        own: dict[str, Any] = {name: metadata[name] for name in CHOICES if name in metadata}
        own |= {"dt": float(dt)} if dt is not None else {}
        own |= {"max_spikes": int(count)} if count is not None else {}
        return replace(self, **own)


@dataclass(frozen=True)
class Needs:
    """The nodes whose meaning depends on ``dt``, on the kind of reset, and on comparison and count."""

    dt: tuple[str, ...]
    reset: tuple[str, ...]
    spiking: tuple[str, ...]


def resolve(options: Options, needs: Needs) -> tuple[Reading, tuple[Note, ...]]:
    """The reading that ``options`` and the preset give, and a note for every value the user did not state.

    Raises ``RanvierError`` with everything that is missing or illegal, at once.
    """
    problems = list(_illegal(options))
    preset = PRESETS.get(options.preset or "spec", PRESETS["spec"])
    stated = options.preset is not None
    dt = options.dt if options.dt is not None or not stated else preset.dt
    reset = options.reset or (preset.reset if stated else None)
    solvable = stated and preset.gain == "rockpool"
    if dt is None and needs.dt and not solvable:
        problems.append(_missing("dt", "the time step", needs.dt, "dt=1e-3 (seconds per step, as it was trained)"))
    if reset is None and needs.reset:
        fix = "reset='value', 'subtract', or snnTorch's default 'delayed_subtract' ('delayed_value' for zero)"
        problems.append(_missing("reset", "what a spike does to the membrane", needs.reset, fix))
    if problems:
        raise RanvierError(problems)
    reading = Reading(
        dt,
        options.method or preset.method,
        reset or "value",
        options.compare or preset.compare,
        preset.max_spikes if options.max_spikes is None else options.max_spikes,
        options.floor,
        preset.initial,
        preset.gain,
        stated and preset.gain == "r" and options.preset != "spec",
    )
    return reading, tuple(_notes(options, reading, needs))


def _notes(options: Options, reading: Reading, needs: Needs) -> Iterable[Note]:
    source = f"preset {options.preset}" if options.preset else "the NIR specification"
    relevant = {"dt": needs.dt, "method": needs.dt, "reset": needs.reset}
    relevant |= dict.fromkeys(("compare", "max_spikes", "floor"), needs.spiking)
    for name, concerned in relevant.items():
        if concerned and getattr(options, name) is None:
            value = getattr(reading, name)
            shown = "unlimited" if name == "max_spikes" and value == UNLIMITED else value
            yield Note("RV120", name, f"{name} = {shown}, from {source}, not from the file")
    about = PRESETS[options.preset].about if options.preset else ""
    if about:
        yield Note("RV121", f"preset {options.preset}", about)


def _illegal(options: Options) -> Iterable[Diagnostic]:
    yield from _check_dt(options.dt, "option dt")
    choices = {"method": Method, "reset": ResetRule, "compare": Compare, "preset": PresetName}
    choices |= {"coding": Coding, "readout": ReadoutKind}
    for name, legal in choices.items():
        yield from _check_choice(name, getattr(options, name), get_args(legal), f"option {name}")
    yield from _check_count(options.max_spikes, "option max_spikes")


def _check_dt(dt: str | float | None, place: str) -> list[Diagnostic]:
    if dt is None or (not isinstance(dt, str) and 0 < dt < 1e6):
        return []
    return [
        Diagnostic(
            "RV111", place, f"dt is {dt!r}, which is no length of a time step", "give seconds per step, e.g. 1e-3"
        )
    ]


def _check_count(count: str | float | None, place: str) -> list[Diagnostic]:
    if count is None or (not isinstance(count, str) and 0 <= count <= 65536 and count == int(count)):
        return []
    text = f"{count!r} is not a number of spikes per step"
    return [Diagnostic("RV111", place, text, "give 1, a number up to 65536, or 0 for no limit")]


def _check_choice(name: str, value: object, legal: tuple[object, ...], place: str) -> list[Diagnostic]:
    if value is None or value in legal:
        return []
    return [Diagnostic("RV111", place, f"{name} cannot be {value!r}", f"use one of {', '.join(map(repr, legal))}")]


def _missing(option: str, what: str, nodes: tuple[str, ...], give: str) -> Diagnostic:
    shown = ", ".join(nodes[:5]) + (f" and {len(nodes) - 5} more" if len(nodes) > 5 else "")
    message = f"{what} is not in a NIR file, and these nodes depend on it: {shown}"
    presets = ", ".join(repr(name) for name, p in PRESETS.items() if getattr(p, option) is not None)
    fix = f"say {give}, or name the exporting program's preset ({presets})"
    return Diagnostic("RV110", f"option {option}", message, fix, figures={"nodes": len(nodes)})
