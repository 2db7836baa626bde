"""The approximations that deployment makes: what can be exact or as deployed, each on its own."""

from collections.abc import Mapping
from typing import Any

from ranvier.compiler.ir.models import FORMS, levels
from ranvier.compiler.ir.neurons import Lif

INPUT = "input coding"
WEIGHTS = "weights"
DELAY = "delay"
CURRENT_DECAY = "current decay"
MEMBRANE_DECAY = "membrane decay"
COEFFICIENT = "coefficient"
BIAS = "bias"
THRESHOLD = "threshold"
COMPARISON = "comparison"
RESET = "reset"
INITIAL = "initial state"
ROUNDING = "rounding in the step"
WIDTH = "state width"

PER_LAYER: tuple[str, ...] = (
    WEIGHTS,
    DELAY,
    CURRENT_DECAY,
    MEMBRANE_DECAY,
    COEFFICIENT,
    BIAS,
    THRESHOLD,
    COMPARISON,
    RESET,
    INITIAL,
    ROUNDING,
    WIDTH,
)
ALL: tuple[str, ...] = (INPUT, *PER_LAYER)
EVERYTHING = frozenset(ALL)
NOTHING: frozenset[str] = frozenset()

MEANINGS: Mapping[str, str] = {
    INPUT: "real inputs become integers of a few bits",
    WEIGHTS: "weights lie on the chip's grid",
    DELAY: "steps between a sender and its receiver",
    CURRENT_DECAY: "the synaptic current decays by a 12-bit fraction",
    MEMBRANE_DECAY: "the membrane decays by a 12-bit fraction",
    COEFFICIENT: "other multipliers of states have 12 bits",
    BIAS: "the constant drive is a mantissa and an exponent",
    THRESHOLD: "the firing level is a register",
    COMPARISON: "whether equality fires",
    RESET: "what a spike leaves behind, the floor, the rest",
    INITIAL: "states before the first step",
    ROUNDING: "products and shifts are cut to integers in every step",
    WIDTH: "registers wrap, clip or saturate",
}
"""What each approximation is, for reports."""

_PARAMETERS: Mapping[str, str] = {
    "du": CURRENT_DECAY,
    "keep_current": CURRENT_DECAY,
    "keep_input": CURRENT_DECAY,
    "keep_dendrite": CURRENT_DECAY,
    "dv": MEMBRANE_DECAY,
    "keep_membrane": MEMBRANE_DECAY,
    "keep_soma": MEMBRANE_DECAY,
    "vth": THRESHOLD,
    "threshold": THRESHOLD,
    "bias": BIAS,
    "drive": BIAS,
    "current_drive": BIAS,
    "reset_value": RESET,
    "reset_amount": RESET,
    "dendrite_reset": RESET,
    "floor": RESET,
}
_LIF_LEVELS = ("vth", "threshold", "bias", "reset_value", "reset_amount", "floor")
LIMITS = ("_least", "_most")
"""Endings of the parameters at which a narrowed state saturates."""


def parameter_group(name: str, model: object) -> str:
    """The approximation that the register ``name`` belongs to, in a neuron of the source's ``model``."""
    if name.endswith(LIMITS):
        return WIDTH
    if name == "refractory":
        return COEFFICIENT if type(model) in FORMS else RESET
    return _PARAMETERS.get(name, COEFFICIENT)


def state_group(name: str, model: object) -> str:
    """The approximation that the start of the state ``name`` belongs to: a current starts against the bias."""
    return BIAS if name == "u" and isinstance(model, Lif) else INITIAL


def is_level(name: str, model: Any) -> bool:
    """Whether the register ``name`` counts membrane units, and not a fraction or steps."""
    if name.endswith(LIMITS):
        return True
    return name in levels(model) if type(model) in FORMS else name in _LIF_LEVELS
