"""Registers of the leaky integrate-and-fire family: stock neurons, and the step programs with more features."""

from collections.abc import Mapping

import numpy as np

from ranvier.compiler.ir.arrays import integers
from ranvier.compiler.ir.chip import Population
from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.neurons import UNLIMITED, Lif, RegisterLif
from ranvier.compiler.ir.programs import DECAY_UNITY, STATE_MAX, Features, chip_features, chip_lif
from ranvier.compiler.passes.demands import steady_drive
from ranvier.compiler.passes.fit_registers import Fitted
from ranvier.targets.neurons import NeuronRegisters
from ranvier.targets.schema import Target


def fit_lif(fit: Fitted, node: Neurons, target: Target) -> Population:
    """The population of a ``Lif`` on ``target``; problems and roundings go into ``fit``."""
    model = node.model
    assert isinstance(model, Lif)
    wanted = chip_features(model)
    program = chip_lif(wanted)
    if not wanted.stock and not target.programmable:
        fit.refuse("RV390", f"{target.name} has no neuron with {_extras(wanted)}", _alternatives(wanted))
        return Population(node.name, node.shape, program, {}, {}, node.latency)
    registers = target.neuron(program.semantics)
    fit_decays(fit, model, registers)
    fit_bias(fit, node, model, registers)
    fit_threshold(fit, node, model, wanted, registers)
    fit_reset(fit, node, model, wanted)
    bits = _payload_bits(fit, model, wanted, target)
    params = {name: fit.params[name] for name in program.params if name in fit.params}
    initial = {s.name: fit.initial.get(s.name, integers(0)) for s in program.states}
    return Population(node.name, node.shape, program, params, initial, node.latency, bits, node.scale)


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
    level = np.minimum(model.threshold * node.scale, float(STATE_MAX))
    if bool(np.any(level <= 0)):
        fit.refuse("RV396", "the threshold is not positive", "train with a positive threshold")
        return
    if wanted.max_spikes != 1:
        register = np.maximum(np.ceil(level) if model.compare == ">=" else np.floor(level), 1.0)
        fit.put("threshold", register, np.minimum(model.threshold, STATE_MAX / node.scale), register / node.scale)
        return
    if not wanted.stock:
        register = np.ceil(level) - 1 if model.compare == ">=" else np.floor(level)
        fit.params["threshold"] = integers(register)
        return
    unit = 2.0**registers.vth_exp
    mantissa = np.rint(level / unit)
    if _on_lattice(model):
        mantissa = np.ceil(level / unit) - 1 if model.compare == ">=" else np.floor(level / unit)
    mantissa = np.clip(mantissa, 0, registers.vth_mant_max)
    fit.put("vth", mantissa, np.minimum(model.threshold, STATE_MAX / node.scale), mantissa * unit / node.scale)


def fit_reset(fit: Fitted, node: Neurons, model: Lif, wanted: Features) -> None:
    """What the membrane becomes after a spike, the floor under it, and the steps of rest."""
    if wanted.stock:
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


def _on_lattice(model: Lif) -> bool:
    """Whether the chip's membrane only takes multiples of 64: integer sums of weights, nothing decays, no bias."""
    return not model.has_current and bool(np.all(model.keep_membrane == 1)) and not np.any(model.drive)


def _payload_bits(fit: Fitted, model: Lif, wanted: Features, target: Target) -> int:
    if wanted.max_spikes == 1:
        return 0
    most = STATE_MAX // int(np.min(fit.params["threshold"])) if "threshold" in fit.params else 1
    if model.max_spikes != UNLIMITED:
        most = min(most, model.max_spikes)
    bits = max(int(most), 1).bit_length() + 1
    if bits > target.graded_bits:
        has = target.graded_bits
        text = f"up to {most} spikes a step need {bits} bits in a message, {target.name} has {has}"
        fit.refuse(
            "RV391",
            text,
            "limit the spikes per step (max_spikes=...), or use a target with graded spikes",
        )
    return bits


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
