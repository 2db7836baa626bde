"""The step programs of the leaky integrate-and-fire family, float and integer, from one text."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ranvier.compiler.ir.neuron_steps.arithmetic import (
    BIAS_EXPONENT_MAX,
    BIAS_MANTISSA_MAX,
    DECAY_BITS,
    DECAY_UNITY,
    INPUT_SHIFT,
    STATE_BITS,
    STATE_MAX,
    VTH_MAX,
)
from ranvier.compiler.ir.neurons import UNLIMITED, Compare, Lif, Reset
from ranvier.compiler.ir.steps import StepProgram
from ranvier.compiler.ir.trace import Trace, Value

__all__ = [
    "BIAS_EXPONENT_MAX",
    "BIAS_MANTISSA_MAX",
    "CUBA_LIF",
    "CUBA_REFRACTORY",
    "DECAY_BITS",
    "DECAY_UNITY",
    "INPUT_SHIFT",
    "STATE_BITS",
    "STATE_MAX",
    "VTH_MAX",
    "Features",
    "chip_features",
    "chip_lif",
    "features",
    "float_lif",
]
CUBA_LIF = "loihi.cuba_lif"
CUBA_REFRACTORY = "loihi.cuba_lif.refractory"


@dataclass(frozen=True)
class Features:
    """What a neuron of the family has beyond leak, threshold and reset; decides the operations.

    ``full_width`` asks for a programmed neuron where a stock one would do: for resets or starts other than 0.
    ``wired`` stands for the stock neuron with the refractory register of a core that is not programmable.
    """

    reset: Reset = "value"
    compare: Compare = ">"
    max_spikes: int = 1
    current: bool = True
    current_drive: bool = False
    late_guard: bool = False
    refractory: bool = False
    floor: bool = False
    full_width: bool = False
    late_current: bool = False
    reset_current: bool = False
    block_input: bool = False
    wired: bool = False

    @property
    def stock(self) -> bool:
        """Whether a Loihi 1 core has this neuron in hardware (and Lava as a stock process)."""
        return self == Features()

    @property
    def mantissa(self) -> bool:
        """Whether its threshold is the 17-bit mantissa of a fixed core."""
        return self.stock or self.wired


def features(model: Lif) -> Features:
    """The features that ``model`` uses."""
    return Features(
        model.reset,
        model.compare,
        model.max_spikes,
        model.has_current,
        bool(np.any(model.current_drive != 0.0)),
        model.late_guard,
        model.refractory > 0,
        model.floor is not None,
        late_current=model.late_current,
        reset_current=model.reset_current,
        block_input=model.block_input,
    )


def chip_features(model: Lif) -> Features:
    """The integer program's features for ``model``: those that do not depend on float details."""
    f = features(model)
    compare: Compare = f.compare if f.max_spikes != 1 else ">"
    plain = replace(f, current=True, current_drive=False, compare=compare)
    zero = model.reset == "value" and not np.any(model.reset_value)
    if plain == replace(Features(), compare=compare) and not (zero and not np.any(model.initial)):
        return replace(plain, full_width=True)
    return plain


@lru_cache
def float_lif(f: Features) -> StepProgram:
    """The float64 program of :class:`~ranvier.compiler.ir.neurons.Lif` with these features."""
    t = Trace(_name("float.lif", f), "float")
    v = t.state("v")
    i = t.input
    updates: dict[str, Value] = {}
    if f.current:
        before = t.state("u")
        i = t.param("keep_current") * before + t.input
    if f.current_drive:
        i = i + t.param("current_drive")
    if f.current:
        updates["u"] = i
        i = before if f.late_current else i
    h = t.param("keep_membrane") * v + t.param("gain") * i + t.param("drive")
    return _fire_and_reset(t, f, v, h, t.param("threshold"), updates)


@lru_cache
def chip_lif(f: Features) -> StepProgram:
    """The integer program: Loihi's current-based LIF, with the features a programmable core adds.

    ``u = wrap24(rz(u * (4096 - (du + 1)) / 4096) + 64 a)``, ``h = clip24(rz(v * (4096 - dv) / 4096) +
    u + bias)``, spike where ``h > 64 vth``; ``rz`` rounds toward zero. Stock neurons compare with the
    17-bit threshold mantissa ``vth``; the others with a full 24-bit ``threshold``. All sums pass through
    32-bit registers, as in Lava's fixed-point processes. Source: Lava 0.10.0 ``fixed_pt`` models. While refractory
    (``rest > 0``) the membrane stays as its reset left it and nothing is sent, whereas u takes its input: on a fixed
    core that is a refractory register of one more step (nengo-loihi 1.1: v is set to 0, R = 1 is no extra step).
    """
    t = Trace(CUBA_LIF if f.stock else CUBA_REFRACTORY if f.wired else _name("loihi2.lif", f), "int")
    u, v = t.state("u", STATE_BITS), t.state("v", STATE_BITS)
    arriving = t.op("wrap", t.input << INPUT_SHIFT, 32)
    kept_u = t.op("mul_shift", u, t.op("sub", DECAY_UNITY - 1, t.param("du")), DECAY_BITS)
    new_u = t.op("wrap_once", t.op("wrap", kept_u + arriving, 32), STATE_BITS)
    kept_v = t.op("mul_shift", v, t.op("sub", DECAY_UNITY, t.param("dv")), DECAY_BITS)
    current = u if f.late_current else new_u
    charged = t.op("wrap", t.op("wrap", kept_v + current, 32) + t.param("bias"), 32)
    h = t.op("clip", charged, -STATE_MAX, STATE_MAX)
    threshold = t.param("vth") << INPUT_SHIFT if f.mantissa else t.param("threshold")
    return _fire_and_reset(t, f, v, h, threshold, {"u": new_u})


def _fire_and_reset(
    t: Trace, f: Features, v: Value, h: Value, threshold: Value, updates: dict[str, Value]
) -> StepProgram:
    """The part that float and integer neurons share: refractory hold, comparison, count, reset, floor."""
    level = threshold
    if f.late_guard:
        level = t.where(v > threshold, threshold + threshold, threshold)
    held = None
    if f.refractory:
        rest = t.state("rest", 0 if t.domain == "float" else 8)
        held = rest > 0
        h = t.where(held, v, h)
    fire = h >= level if f.compare == ">=" else h > level
    fire = fire & ~held if held is not None else fire
    count = fire if f.max_spikes == 1 else t.where(fire, _count(t, f, h, level), 0)
    new_v = _reset(t, f, h, fire, count)
    if f.floor:
        new_v = t.op("maximum", new_v, t.param("floor"))
    if f.block_input and held is not None and "u" in updates:
        updates["u"] = t.where(held, 0, updates["u"])
    if f.reset_current and "u" in updates:
        updates["u"] = t.where(fire, 0, updates["u"])
    if f.refractory:
        updates["rest"] = t.where(fire, t.param("refractory"), t.op("maximum", rest - 1, 0))
    return t.finish(updates | {"v": new_v}, spikes=count, membrane=h, graded=f.max_spikes != 1)


def _count(t: Trace, f: Features, h: Value, level: Value) -> Value:
    count = h // level
    return count if f.max_spikes == UNLIMITED else t.op("minimum", count, f.max_spikes)


def _reset(t: Trace, f: Features, h: Value, fire: Value, count: Value) -> Value:
    if f.reset == "none":
        return h
    if f.reset == "value":
        if t.domain == "int" and f.mantissa:
            return t.where(fire, 0, h)
        return t.where(fire, t.param("reset_value"), h)
    amount = t.param("reset_amount")
    reduced = h - amount if f.max_spikes == 1 else h - count * amount
    if t.domain == "int":
        reduced = t.op("clip", reduced, -STATE_MAX, STATE_MAX)
    return t.where(fire, reduced, h) if f.max_spikes == 1 else reduced


def _name(base: str, f: Features) -> str:
    extras = [f.reset if f.reset != "value" else "", "ge" if f.compare == ">=" else ""]
    extras += ["" if f.max_spikes == 1 else f"multi{f.max_spikes or ''}", "" if f.current else "no_current"]
    extras += ["current_drive" if f.current_drive else ""]
    extras += [
        "late_guard" if f.late_guard else "",
        "refractory" if f.refractory else "",
        "floor" if f.floor else "",
    ]
    extras += ["full_width" if f.full_width else ""]
    extras += [name for name in ("late_current", "reset_current", "block_input") if getattr(f, name)]
    return ".".join([base, *filter(None, extras)])
