"""Registers of the leaky integrate-and-fire family: stock neurons, and the step programs with more features."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, integers
from ranvier.compiler.ir.chip import Population
from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.compiler.ir.programs import CUBA_LIF, DECAY_UNITY, STATE_MAX, Features, chip_features, chip_lif
from ranvier.compiler.passes.demands import steady_drive
from ranvier.compiler.passes.fit_registers import Fitted, count_bits
from ranvier.targets.neurons import NeuronRegisters
from ranvier.targets.schema import Target

WHOLE = 1e-12


def fit_lif(fit: Fitted, node: Neurons, target: Target) -> Population:
    """The population of a ``Lif`` on ``target``; problems and roundings go into ``fit``."""
    model = node.model
    assert isinstance(model, Lif)
    wanted = _wired(chip_features(model), target)
    program = chip_lif(wanted)
    if not wanted.mantissa and not target.programmable:
        fit.refuse("RV390", f"{target.name} has no neuron with {_extras(wanted)}", _alternatives(wanted))
        return Population(node.name, node.shape, program, {}, {}, node.latency)
    registers = target.neuron(program.semantics)
    fit_decays(fit, model, registers)
    fit_bias(fit, node, model, registers)
    fit_threshold(fit, node, model, wanted, registers)
    fit_reset(fit, node, model, wanted)
    if wanted.wired:
        fit_rest(fit, model, registers, target)
    bits = _payload_bits(fit, model, wanted, target)
    params = {name: fit.params[name] for name in program.params if name in fit.params}
    initial = {s.name: fit.initial.get(s.name, integers(0)) for s in program.states}
    return Population(node.name, node.shape, program, params, initial, node.latency, bits, node.scale, node.gain)


def keep_registers(_fit: Fitted, node: Neurons, _target: Target) -> Population:
    """The population of a neuron that is given in registers: they pass unchanged."""
    model = node.model
    assert isinstance(model, RegisterLif)
    params = {"du": model.du, "dv": model.dv, "vth": model.vth, "bias": model.bias}
    initial = {"u": integers(0), "v": integers(0)}
    return Population(node.name, node.shape, chip_lif(Features()), params, initial, node.latency, 0, node.scale or 1.0)


def fit_decays(fit: Fitted, model: Lif, registers: NeuronRegisters) -> None:
    """Decay registers from the kept fractions; ``du`` carries the chip's hidden +1."""
    offset = registers.decay.v.u_offset
    for name, keep, low in (("du", model.keep_current, -offset), ("dv", model.keep_membrane, 0)):
        if bool(np.any((keep < 0) | (keep > 1))):
            text = f"it keeps {float(np.max(keep)):g} of its state each step; the chip keeps between 0 and 1"
            fit.refuse("RV393", text, "retrain with a decay between 0 and 1")
            continue
        decay = np.rint((1.0 - keep) * DECAY_UNITY)
        register = np.clip(decay + (min(0, low)), low, DECAY_UNITY - 1 if low < 0 else DECAY_UNITY)
        fit.put(name, register, keep, 1.0 - (register - (min(0, low))) / DECAY_UNITY)


def fit_bias(fit: Fitted, node: Neurons, model: Lif, registers: NeuronRegisters) -> None:
    """The drive as mantissa and exponent, the smallest exponent that holds it; and the current's start."""
    if model.has_current and bool(np.any((model.keep_current >= 1) & (model.current_drive != 0))):
        fit.refuse(
            "RV394",
            "a constant enters a synaptic current that never decays",
            "remove the bias, or let the current decay",
        )
        return
    if (model.reset_current or model.block_input) and bool(np.any(model.current_drive)):
        text = "a constant enters a synaptic current that spikes clear or rest blocks"
        fit.refuse("RV622", text, "remove the bias in front of the neurons")
        return
    wanted = steady_drive(model)
    bias = wanted * node.scale
    mantissa, top = registers.bias_mant.high, registers.bias_exp.high
    exponent = np.ceil(np.log2(np.maximum(np.abs(bias) / mantissa, 1.0)))
    register = np.rint(bias / 2.0**exponent) * 2.0**exponent
    if bool(np.any(exponent > top)):
        text = f"the bias {float(np.max(np.abs(bias))):.0f} exceeds {mantissa} * 2^{top}"
        fit.refuse("RV395", text, "normalise the layer's inputs, or lower its bias")
    fit.put("bias", register, wanted, register / node.scale)
    if model.has_current and bool(np.any(model.current_drive)):
        start = np.rint(-model.current_drive / (1.0 - model.keep_current) * node.scale)
        fit.initial["u"] = integers(start)
    fit.initial["v"] = integers(np.rint(model.initial * node.scale))


def fit_threshold(fit: Fitted, node: Neurons, model: Lif, wanted: Features, registers: NeuronRegisters) -> None:
    """The threshold register: 24 bits in a program of ours, a 17-bit multiple of 64 in the stock neuron."""
    level = _settled(np.minimum(model.threshold * node.scale, float(STATE_MAX)))
    if bool(np.any(level <= 0)):
        fit.refuse("RV396", "the threshold is not positive", "train with a positive threshold")
        return
    if wanted.max_spikes != 1:
        register = np.maximum(np.ceil(level) if model.compare == ">=" else np.floor(level), 1.0)
        fit.put("threshold", register, np.minimum(model.threshold, STATE_MAX / node.scale), register / node.scale)
        return
    if not wanted.mantissa:
        register = np.ceil(level) - 1 if model.compare == ">=" else np.floor(level)
        fit.params["threshold"] = integers(register)
        return
    unit, most = 2.0**registers.vth_exp, registers.vth_mant_max
    mantissa = np.rint(level / unit)
    if _on_lattice(model):
        mantissa = np.ceil(level / unit) - 1 if model.compare == ">=" else np.floor(level / unit)
        if bool(np.all(mantissa <= most)):
            fit.params["vth"] = integers(mantissa)
            return
    mantissa = np.clip(mantissa, 0, most)
    fit.put("vth", mantissa, np.minimum(model.threshold, STATE_MAX / node.scale), mantissa * unit / node.scale)


def fit_reset(fit: Fitted, node: Neurons, model: Lif, wanted: Features) -> None:
    """What the membrane becomes after a spike, the floor under it, and the steps of rest."""
    if wanted.mantissa:
        return
    for name in ("reset_value", "reset_amount"):
        value = getattr(model, name)
        register = np.clip(np.rint(value * node.scale), -STATE_MAX, STATE_MAX)
        used = wanted.reset == ("value" if name == "reset_value" else "subtract")
        if used:
            fit.put(name, register, value, register / node.scale)
    if model.floor is not None:
        floor = np.clip(np.rint(np.array(model.floor * node.scale)), -STATE_MAX, STATE_MAX)
        fit.put("floor", floor, np.array(model.floor), floor / node.scale)
    fit.params["refractory"] = integers(model.refractory)


def fit_rest(fit: Fitted, model: Lif, registers: NeuronRegisters, target: Target) -> None:
    """The steps of rest, which a refractory register of one more gives."""
    assert registers.refractory_steps is not None
    most = registers.refractory_steps.v.high - 1
    if model.refractory > most:
        text = f"it rests {model.refractory} steps after a spike; {target.name}'s register holds up to {most}"
        fit.refuse("RV399", text, "train with a shorter rest, or compile for a programmable target (loihi2)")
    fit.params["refractory"] = integers(model.refractory)


def _wired(wanted: Features, target: Target) -> Features:
    """The features, with a rest that is a register of a core which is not programmable."""
    if target.programmable or wanted != Features(refractory=True):
        return wanted
    return replace(wanted, wired=target.neuron(CUBA_LIF).refractory_steps is not None)


def _settled(level: FloatArray) -> FloatArray:
    """``level`` with values that are whole numbers but for float arithmetic made whole, as floor and ceil want."""
    whole = np.rint(level)
    return np.where(np.abs(level - whole) <= WHOLE * np.abs(whole), whole, level)


def _on_lattice(model: Lif) -> bool:
    """Whether the chip's membrane only takes multiples of 64: integer sums of weights, nothing decays, no bias."""
    return not model.has_current and bool(np.all(model.keep_membrane == 1)) and not np.any(model.drive)


def _payload_bits(fit: Fitted, model: Lif, wanted: Features, target: Target) -> int:
    return 0 if wanted.max_spikes == 1 else count_bits(fit, model.max_spikes, target)


def _extras(f: Features) -> str:
    parts: Mapping[str, bool] = {
        "soft reset (subtract)": f.reset == "subtract",
        "no reset": f.reset == "none",
        "a reset value or start other than 0": f.full_width,
        "several spikes per step": f.max_spikes != 1,
        "a second firing level": f.late_guard,
        "a refractory time": f.refractory,
        "a lower bound of the membrane": f.floor,
        "a membrane that sees the current of the step before": f.late_current,
        "a current that spikes clear": f.reset_current,
        "an input that is blocked while refractory": f.block_input,
    }
    return ", ".join(name for name, has in parts.items() if has)


def _alternatives(f: Features) -> str:
    if f.reset == "subtract":
        return "train with reset to zero, or compile for a programmable target (loihi2)"
    return "train without it, or compile for a programmable target (loihi2)"
