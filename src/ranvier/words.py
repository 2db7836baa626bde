"""Neurons of the intermediate representation in words."""

from dataclasses import fields
from typing import Any

import numpy as np

from ranvier.compiler.ir.neurons import PARAMETERS, READABLE, UNLIMITED, Lif, NeuronModel, Quantizer, RegisterLif


def words(model: NeuronModel) -> str:
    """A neuron of the intermediate representation in words: its kind, and what differs from the plain one."""
    if isinstance(model, RegisterLif):
        return "leaky integrate-and-fire in registers"
    return ", ".join([_kind(model), *_firing(model), *_more(model)])


def _kind(model: NeuronModel) -> str:
    if not isinstance(model, Lif):
        return READABLE[type(model)]
    leak = "leaky " if bool(np.any(model.keep_membrane != 1)) else ""
    current = " with a current" if model.has_current else ""
    return f"{leak}{'integrator' if _never(model) else 'integrate-and-fire'}{current}"


def _never(model: Lif) -> bool:
    """Whether the neuron never fires."""
    return bool(np.all(np.isposinf(model.threshold)))


def _firing(model: Any) -> list[str]:
    """Comparison, reset and spikes a step, as far as the kind has them."""
    if isinstance(model, Lif) and _never(model):
        return []
    if isinstance(model, Quantizer):
        return [f"steps of {float(model.step):g}", f"{model.message_bits} bits"]
    reset = getattr(model, "reset", None)
    value = bool(np.any(getattr(model, "reset_value", 0.0) != 0))
    resets = {
        "none": "no reset",
        "subtract": "reset by subtraction",
        "value": "reset to a value" if value else "reset to 0",
    }
    many = getattr(model, "max_spikes", 1)
    counts = [] if many == 1 else ["any number of spikes" if many == UNLIMITED else f"up to {many} spikes"]
    return [f"fires {model.compare}", *([resets.get(reset, f"reset {reset}")] if reset else []), *counts]


def _more(model: Any) -> list[str]:
    """Everything else in which a neuron differs from the plain one of its kind."""
    if not isinstance(model, Lif):
        return ["floor"] if getattr(model, "floored", False) else []
    numbers = {"refractory": "silent steps", "floor": "floor", "initial": "start", "drive": "constant input"}
    found = [words for name, words in numbers.items() if _differs(model, name)]
    if model.reset == "subtract" and not np.array_equal(model.reset_amount, model.threshold):
        found.append("subtracts another amount")
    known = {*numbers, *PARAMETERS, "compare", "max_spikes", "reset"}
    return found + [f.name.replace("_", " ") for f in fields(Lif) if f.name not in known and _differs(model, f.name)]


def _differs(model: Lif, name: str) -> bool:
    return not np.array_equal(getattr(model, name), getattr(Lif(), name))
