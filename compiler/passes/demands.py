"""What each kind of neurons asks of its scale: what must fit into registers, and what it sends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.models import FORMS, levels
from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.neurons import NUMERIC, Lif
from ranvier.compiler.ir.programs import chip_features


@dataclass(frozen=True, eq=False)
class Demand:
    """``states`` must fit into a state, ``bias`` into the bias register of a stock neuron (all in source units).

    ``stock``: the threshold is a mantissa times 64. ``grid``: the scale must be this times a power of two (0: any).
    """

    states: tuple[FloatArray, ...]
    bias: FloatArray = field(default_factory=lambda: np.zeros(()))
    stock: bool = False
    grid: float = 0.0


def demand(model: Any) -> Demand:
    """What ``model`` asks of its scale; not for neurons that are given in registers."""
    return DEMANDS[type(model)](model)


def sent_scale(node: Neurons) -> float:
    """Integers on the wire per unit that ``node`` sends; 1 for spikes."""
    form = FORMS.get(type(node.model))
    return form.message(node.model)[0] or 1.0 if form is not None else 1.0


def sends_numbers(node: Neurons) -> bool:
    """Whether ``node`` sends real numbers, whose scale is still to be chosen."""
    return isinstance(node.model, NUMERIC) and node.model.message_scale == 0.0


def steady_drive(model: Lif) -> FloatArray:
    """The constant that a neuron's membrane receives each step once its current has settled."""
    if not model.has_current:
        return np.asarray(model.drive + model.current_drive)
    return np.asarray(model.drive + model.current_drive / (1.0 - np.minimum(model.keep_current, 1.0 - 1e-12)))


def _lif(model: Lif) -> Demand:
    states = (model.threshold, model.reset_amount, model.reset_value, model.initial)
    return Demand(states, steady_drive(model), chip_features(model).stock)


def _formed(model: Any) -> Demand:
    form = FORMS[type(model)]
    states = (*(getattr(model, name) for name in levels(model)), *form.derived(model).values())
    return Demand(states, grid=form.message(model)[0])


DEMANDS: Mapping[type, Callable[[Any], Demand]] = {Lif: _lif, **dict.fromkeys(FORMS, _formed)}
