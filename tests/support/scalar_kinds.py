"""The neurons beyond the leaky integrate-and-fire family in plain Python integers, from their equations.

Each function gives (sent, membrane, new states) of one neuron for parameters, states and the weighted input ``a``.
"""

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction

Numbers = Mapping[str, int]
Step = tuple[int, int, dict[str, int]]
TOP = 2**23 - 1


def kept(value: int, register: int) -> int:
    """``value * register / 4096`` without its fraction."""
    quotient = abs(value * register) // 4096
    return quotient if value * register >= 0 else -quotient


def limited(x: int) -> int:
    """The nearest value of a symmetric 24-bit register."""
    return max(-TOP, min(TOP, x))


def beyond(words: set[str], value: int, level: int) -> bool:
    """The comparison that the semantic id names."""
    return value >= level if "ge" in words else value > level


def adaptive_lif(words: set[str], p: Numbers, s: Numbers, a: int) -> Step:
    """A threshold of three parts: its own, z, and r."""
    after = {}
    x = limited(64 * a)
    if "current" in words:
        x = after["u"] = limited(kept(s["u"], p["keep_current"]) + x + p["current_drive"])
    h = limited(kept(s["v"], p["keep_membrane"]) + x + p["drive"])
    raised = p["threshold"] + s["z"]
    level = raised + s.get("r", 0)
    fires = beyond(words, h, level)
    most = next((int(word.removeprefix("counts")) for word in words if word.startswith("counts")), 1)
    sent = int(fires)
    if fires and most != 1:
        sent = min(h // max(level, 1), most or TOP)
    after["v"] = h
    if fires and "value" in words:
        after["v"] = p["reset_value"]
    if fires and "subtract" in words:
        after["v"] = limited(h - sent * level)
    if "floored" in words:
        after["v"] = max(after["v"], p["floor"])
    after["z"] = kept(s["z"], p["keep_adaptation"])
    if "r" in s:
        after["r"] = kept(s["r"], p["keep_refractory"])
    if fires:
        after["z"] = limited(after["z"] + sent * p["adaptation"])
        if "r" in s:
            after["r"] = limited(after["r"] + kept(raised, p["refractory"]))
    return sent, h, after


def feedback_lif(words: set[str], p: Numbers, s: Numbers, a: int) -> Step:
    """lpRNN: everything from the states before the step."""
    u = limited(kept(s["u"], p["keep_current"]) + s["s"] + p["drive"])
    h = limited(kept(s["v"], p["keep_membrane"]) + s["u"] + s["w"])
    if "rectified" in words:
        u, h = max(u, 0), max(h, 0)
    fires = beyond(words, h, p["threshold"])
    w = kept(s["w"], p["keep_feedback"])
    return int(fires), h, {
        "s": limited(kept(s["s"], p["keep_input"]) + limited(64 * a) + p["current_drive"]),
        "u": u,
        "v": p["reset_value"] if fires else h,
        "w": limited(w + p["feedback"]) if fires else w,
    }  # fmt: skip


def two_compartment(words: set[str], p: Numbers, s: Numbers, a: int) -> Step:
    """The soma reads the dendrite of the same step."""
    drives = kept(s["u"], p["keep_dendrite"]) + kept(s["v"], p["from_soma"])
    u = limited(drives + limited(64 * a) + p["drive"])
    h = limited(kept(s["v"], p["keep_soma"]) + kept(u, p["from_dendrite"]))
    if not beyond(words, h, p["threshold"]):
        return 0, h, {"u": u, "v": h}
    v = h
    if "value" in words:
        v = p["reset_value"]
    if "subtract" in words:
        v = limited(h - p["reset_amount"])
    return 1, h, {"u": limited(u - p["dendrite_reset"]), "v": v}


def resonator(words: set[str], p: Numbers, s: Numbers, a: int) -> Step:
    """Each product is rounded by itself."""
    real, imag = p["rotate_real"], p["rotate_imag"]
    re_ = limited(kept(s["u"], real) - kept(s["v"], imag) + limited(64 * a) + p["drive"])
    im = limited(kept(s["u"], imag) + kept(s["v"], real))
    fires = beyond(words, re_ if "phase" in words else im, p["threshold"])
    if "phase" in words:
        fires = fires and im >= 0 > s["v"]
    u = 0 if fires and "reset_both" in words else re_
    v = p["reset_value"] if fires and words & {"reset_both", "reset_imaginary"} else im
    return int(fires), re_ if "phase" in words else im, {"u": u, "v": v}


def message_of(words: set[str]) -> tuple[int, int]:
    """The shift and the width of messages that the semantic id names."""
    found = {name: next(w for w in words if re.fullmatch(name + r"\d+", w)) for name in ("shift", "bits")}
    return int(found["shift"][5:]), int(found["bits"][4:])


def graded_lif(words: set[str], p: Numbers, s: Numbers, a: int) -> Step:
    """What is sent is rounded to the nearest message, halves up, and forgotten."""
    shift, bits = message_of(words)
    x = limited(64 * a)
    x = kept(x, p["gain"]) if "gained" in words else x
    h = limited(kept(s["v"], p["keep_membrane"]) + x + p["drive"])
    if not beyond(words, h, p["threshold"]):
        return 0, h, {"v": h}
    top, sent = 2 ** (bits - 1) - 1, math.floor(Fraction(h - p["offset"], 2**shift) + Fraction(1, 2))
    return max(-top, min(top, sent)), h, {"v": 0}


def quantizer(words: set[str], p: Numbers, _s: Numbers, a: int) -> Step:
    """The nearest level, halves away from zero."""
    shift, bits = message_of(words)
    h = limited(limited(64 * a) + p["drive"])
    count = min(math.floor(Fraction(abs(h), 2**shift) + Fraction(1, 2)), 2 ** (bits - 1) - 1)
    return (count if h >= 0 else -count), h, {}


def sigma_delta(words: set[str], p: Numbers, s: Numbers, a: int) -> Step:
    """What is sent loses its last bits, and exactly what is sent is remembered."""
    shift, bits = message_of(words)
    u = limited(s.get("u", 0) + limited(64 * a) + p["drive"])
    act = limited(u + p["bias"])
    act = max(act, 0) if "relu" in words else act
    change = act - s["v"]
    sent = 0
    if beyond(words, abs(change), p["threshold"]):
        sent = abs(change) // 2**shift * (1 if change >= 0 else -1)
    top = 2 ** (bits - 1) - 1
    sent = max(-top, min(top, sent))
    after = {"v": limited(s["v"] + sent * 2**shift)} | ({"u": u} if "u" in s else {})
    return sent, act, after


KINDS: Mapping[str, Callable[[set[str], Numbers, Numbers, int], Step]] = {
    "adaptive_lif": adaptive_lif,
    "feedback_lif": feedback_lif,
    "two_compartment": two_compartment,
    "resonator": resonator,
    "graded_lif": graded_lif,
    "quantizer": quantizer,
    "sigma_delta": sigma_delta,
    "delta": sigma_delta,
}


def advance(semantics: str, p: Numbers, s: Numbers, a: int) -> Step:
    """One step of the neuron with this semantic id."""
    _, family, *words = semantics.split(".")
    return KINDS[family](set(words), p, s, a)
