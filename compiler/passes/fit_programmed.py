"""Registers of the neurons that run as step programs of their own: multipliers of 12 bits, levels of 24."""

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, integers
from ranvier.compiler.ir.chip import Population, Rounding
from ranvier.compiler.ir.models import FORMS, levels, multipliers
from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.neurons import READABLE
from ranvier.compiler.ir.programs import DECAY_UNITY, STATE_MAX
from ranvier.compiler.passes.fit_registers import Fitted, count_bits
from ranvier.targets.schema import Target

LARGEST_MULTIPLIER = 2.0


def fit_programmed(fit: Fitted, node: Neurons, target: Target) -> Population:
    """The population of a model with a row in ``FORMS``; problems and roundings go into ``fit``.

    A multiplier c becomes ``round(4096 c)``, a level b ``round(b S)`` with the population's scale S.
    """
    model, form = node.model, FORMS[type(node.model)]
    if not target.programmable:
        text = f"{target.name} has no neuron with {READABLE[type(model)]}"
        fit.refuse(
            "RV620", text, "train with leaky integrate-and-fire neurons, or compile for a programmable target (loihi2)"
        )
        return Population(node.name, node.shape, form.program(model, "float", 1.0), {}, {}, node.latency)
    program = form.program(model, "int", node.scale)
    for name in program.params:
        value = getattr(model, name)
        if name in multipliers(model):
            _fit_multiplier(fit, name, value)
        else:
            assert name in levels(model), name
            _fit_level(fit, name, value, node.scale)
    starts = {state: getattr(model, name) for state, name in form.start.items()}
    initial = {s.name: integers(np.rint(starts.get(s.name, np.zeros(())) * node.scale)) for s in program.states}
    message_scale, bits = form.message(model)
    if form.most(model) != 1:
        bits = count_bits(fit, form.most(model), target)
    elif bits > target.graded_bits:
        text = f"its messages have {bits} bits, {target.name} has {target.graded_bits}"
        fix = "take fewer levels, fewer steps or narrower products, or a target with wider graded spikes (loihi2)"
        fit.refuse("RV751", text, fix)
    elif bits and not form.whole:
        fit.roundings.append(Rounding(node.name, "message", 1.0 / message_scale, 1.0 / (2.0 ** (bits - 1) - 1.0)))
    return Population(node.name, node.shape, program, fit.params, initial, node.latency, bits, node.scale, node.gain)


def _fit_multiplier(fit: Fitted, name: str, value: FloatArray) -> None:
    largest = float(np.abs(value).max(initial=0.0))
    if largest > LARGEST_MULTIPLIER:
        text = f"{name} is {largest:g}; a step multiplies by at most {LARGEST_MULTIPLIER:g}"
        fit.refuse("RV621", text, "retrain with smaller coefficients: such a neuron would not be stable")
    register = np.rint(value * DECAY_UNITY)
    fit.put(name, np.clip(register, -2 * DECAY_UNITY, 2 * DECAY_UNITY), value, register / DECAY_UNITY)


def _fit_level(fit: Fitted, name: str, value: FloatArray, scale: float) -> None:
    wanted = np.clip(value, -STATE_MAX / scale, STATE_MAX / scale)
    register = np.rint(wanted * scale)
    fit.put(name, register, wanted, register / scale)
