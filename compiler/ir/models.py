"""From a neuron model to what executors run: its step program, parameters and initial state.

A new kind of neuron is one dataclass in ``neuron_kinds.py``, one step function in ``neuron_steps/``, and one row in
``FORMS`` here; the passes find the rest in that row. Only the LIF family has registers of its own
(``compiler/passes/fit_lif.py``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.neuron_steps.adaptive import adaptive_lif, feedback_lif
from ranvier.compiler.ir.neuron_steps.compartments import two_compartment
from ranvier.compiler.ir.neuron_steps.graded import graded_lif
from ranvier.compiler.ir.neuron_steps.quantizer import quantizer
from ranvier.compiler.ir.neuron_steps.resonators import resonate
from ranvier.compiler.ir.neuron_steps.sigma_delta import sigma_delta
from ranvier.compiler.ir.neurons import (
    PARAMETERS,
    AdaptiveLif,
    FeedbackLif,
    GradedLif,
    Lif,
    NeuronModel,
    Numeric,
    Quantizer,
    RegisterLif,
    Resonator,
    SigmaDelta,
    TwoCompartment,
    array_fields,
)
from ranvier.compiler.ir.programs import Features, chip_lif, features, float_lif
from ranvier.compiler.ir.steps import Domain, StepProgram

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Realised:
    """A program with the values of its parameters and initial states, shapes ``()`` or ``(neurons,)``."""

    program: StepProgram
    params: Mapping[str, Values]
    initial: Mapping[str, Values]


def _nothing(_model: Any) -> Mapping[str, FloatArray]:
    return {}


def _drive(_model: Any) -> str:
    return "drive"


@dataclass(frozen=True)
class Form:
    """What the passes need to know of a model whose program stands in one text for floats and integers.

    ``program(model, domain, scale)``: the step program; ``scale`` is the population's, in integers.
    ``entry(model)``: the parameter that a constant in front of the neuron, times the gain, adds to.
    ``start``: initial states that are parameters of the model. ``derived(model)``: bounds of states in membrane units
    that follow from parameters alone. ``message(model)``: (integers per unit, bits) of the numbers it sends, (0, 0)
    if it sends spikes; ``whole``: they are multiples of their step in floats too, and the wire rounds nothing.
    ``most(model)``: how many spikes it sends in a step at most, 0 without limit.
    """

    program: Callable[[Any, Domain, float], StepProgram]
    entry: Callable[[Any], str] = _drive
    start: Mapping[str, str] = field(default_factory=dict)
    derived: Callable[[Any], Mapping[str, FloatArray]] = _nothing
    message: Callable[[Any], tuple[float, int]] = lambda _model: (0.0, 0)
    most: Callable[[Any], int] = lambda _model: 1
    whole: bool = False


def multipliers(model: Any) -> tuple[str, ...]:
    """The parameters of ``model`` that multiply a state, and so have no unit."""
    arrays = array_fields(model)
    return tuple(f.name for f in fields(model) if f.name in arrays and f.metadata)


def levels(model: Any) -> tuple[str, ...]:
    """The parameters of ``model`` in membrane units."""
    apart = multipliers(model)
    return tuple(name for name in array_fields(model) if name not in apart)


def realised(model: NeuronModel) -> Realised:
    """The program of ``model`` in the arithmetic of its source: float64, or integers for registers."""
    return REALISED[type(model)](model)


def _lif(model: Any) -> Realised:
    program = float_lif(features(model))
    values: dict[str, Values] = {name: getattr(model, name) for name in PARAMETERS}
    values["refractory"] = np.asarray(float(model.refractory))
    values["floor"] = np.asarray(0.0 if model.floor is None else model.floor)
    starts = {"v": model.initial}
    zero = np.zeros(())
    return Realised(
        program,
        {name: values[name] for name in program.params},
        {state.name: starts.get(state.name, zero) for state in program.states},
    )


def _registers(model: Any) -> Realised:
    program = chip_lif(Features())
    params = {name: getattr(model, name) for name in program.params}
    return Realised(program, params, {state.name: np.zeros((), np.int64) for state in program.states})


def _formed(model: Any) -> Realised:
    form = FORMS[type(model)]
    program, zero = form.program(model, "float", 1.0), np.zeros(())
    starts = {state.name: form.start.get(state.name) for state in program.states}
    return Realised(
        program,
        {name: np.asarray(getattr(model, name)) for name in program.params},
        {state: zero if name is None else getattr(model, name) for state, name in starts.items()},
    )


def _adaptive(model: AdaptiveLif, domain: Domain, _scale: float) -> StepProgram:
    parts = model.has_current, model.has_refractory
    return adaptive_lif(domain, model.compare, model.reset, *parts, model.max_spikes, model.floored)


def _largest_adaptation(model: AdaptiveLif) -> Mapping[str, FloatArray]:
    """Where z and r settle if the neuron fires in every step, as often as it may (once, where that has no limit).

    r: if z stays at its largest.
    """
    z = np.abs(model.adaptation) * max(model.max_spikes, 1) / np.maximum(1.0 - model.keep_adaptation, 1e-3)
    r = np.abs(model.refractory) * (np.abs(model.threshold) + z)
    return {"z": z, "r": r / np.maximum(1.0 - model.keep_refractory, 1e-3)}


def _feedback(model: FeedbackLif, domain: Domain, _scale: float) -> StepProgram:
    return feedback_lif(domain, model.compare, model.rectify)


def _compartments(model: TwoCompartment, domain: Domain, _scale: float) -> StepProgram:
    return two_compartment(domain, model.compare, model.reset)


def _resonator(model: Resonator, domain: Domain, _scale: float) -> StepProgram:
    return resonate(domain, model.compare, model.fires, model.reset)


def _sigma_delta(model: SigmaDelta, domain: Domain, scale: float) -> StepProgram:
    if domain == "float":
        return sigma_delta(domain, model.compare, model.activation, model.integrate)
    shift = _message_shift(model, scale)
    return sigma_delta(domain, model.compare, model.activation, model.integrate, shift, model.message_bits)


def _graded(model: GradedLif, domain: Domain, scale: float) -> StepProgram:
    if domain == "float":
        return graded_lif(domain, model.compare)
    gained = bool(np.any(model.gain != 1.0))
    return graded_lif(domain, model.compare, _message_shift(model, scale), model.message_bits, gained)


def _quantizer(model: Quantizer, domain: Domain, scale: float) -> StepProgram:
    return quantizer(domain, model.message_bits, 0 if domain == "float" else _message_shift(model, scale))


def _message_shift(model: Numeric, scale: float) -> int:
    """By how many bits the membrane is finer than the messages."""
    return max(round(float(np.log2(scale / model.message_scale))), 0)


def _message(model: Numeric) -> tuple[float, int]:
    return model.message_scale, model.message_bits


FORMS: Mapping[type, Form] = {
    AdaptiveLif: Form(
        _adaptive,
        lambda m: "current_drive" if m.has_current else "drive",
        {"v": "initial"},
        _largest_adaptation,
        most=lambda m: m.max_spikes,
    ),
    FeedbackLif: Form(_feedback, lambda _model: "current_drive"),
    TwoCompartment: Form(_compartments, start={"v": "initial"}),
    Resonator: Form(_resonator),
    SigmaDelta: Form(_sigma_delta, message=_message),
    GradedLif: Form(_graded, message=_message),
    Quantizer: Form(_quantizer, message=_message, whole=True),
}

REALISED: Mapping[type, Callable[[Any], Realised]] = {
    Lif: _lif,
    RegisterLif: _registers,
    **dict.fromkeys(FORMS, _formed),
}
