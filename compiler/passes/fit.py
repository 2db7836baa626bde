"""Fit: thresholds, decays, biases and resets into their registers; from float network to chip network."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import FloatArray, IntArray, integers
from ranvier.compiler.ir.chip import (
    ChipNetwork,
    ChipSynapse,
    Connection,
    ConvSynapse,
    DenseSynapse,
    Population,
    Port,
    Rounding,
    SparseSynapse,
)
from ranvier.compiler.ir.linear import Conv, Dense, Synapse
from ranvier.compiler.ir.network import Network, Neurons, Note
from ranvier.compiler.ir.neurons import UNLIMITED, Lif, RegisterLif
from ranvier.compiler.ir.programs import DECAY_UNITY, STATE_MAX, Features, chip_features, chip_lif
from ranvier.compiler.passes.quantize import incoming, source_of, steady_drive
from ranvier.targets.neurons import NeuronRegisters
from ranvier.targets.schema import Target

UNIT = 64


@dataclass
class _Fitted:
    """Registers of one population, with what rounding each of them cost."""

    place: str
    params: dict[str, IntArray] = field(default_factory=dict)
    initial: dict[str, IntArray] = field(default_factory=dict)
    roundings: list[Rounding] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)

    def put(self, name: str, register: IntArray | FloatArray, wanted: FloatArray, got: FloatArray) -> None:
        """Store ``register`` as parameter ``name``; ``wanted`` and ``got`` are its meaning in source units."""
        self.params[name] = integers(register)
        self.rounding(name, wanted, got)

    def rounding(self, name: str, wanted: FloatArray, got: FloatArray) -> None:
        error = np.abs(np.asarray(got) - np.asarray(wanted))
        if bool(np.any(error > 0)):
            scale = np.maximum(np.abs(wanted), 1e-30)
            self.roundings.append(Rounding(self.place, name, float(error.max()), float((error / scale).max())))

    def refuse(self, code: str, message: str, fix: str) -> None:
        self.problems.append(Diagnostic(code, self.place, message, fix))


@dataclass(frozen=True)
class Fit:
    """Lower a quantized network to the chip network of ``target``.

    Decays: ``keep = 1 - register / 4096``, rounded to the nearest register. Thresholds: on integers ``v >= T`` is
    ``v > T - 1``; a stock neuron compares with a multiple of 64, rounded to the nearest, or exactly where its
    membrane only takes multiples of 64 itself (no decay). A constant b entering a synaptic current that keeps a
    is ``b (1 - a**(t+1)) / (1 - a)`` in step t: it becomes the bias ``b / (1 - a)`` with the current starting at its
    negative. Neurons that the target has no hardware for become step programs if it is programmable, else a
    refusal. Every rounding is recorded.
    """

    target: Target

    def __call__(self, network: Network) -> ChipNetwork:
        """The chip network; raises ``RanvierError`` with everything that does not fit the registers."""
        fitted = [self._population(node) for node in network.populations]
        problems = [problem for _, fit in fitted for problem in fit.problems]
        problems += self._delay_problems(network)
        if problems:
            raise RanvierError(problems)
        notes = (*network.notes, *_delay_notes(network))
        return ChipNetwork(
            network.name,
            self.target.name,
            tuple(
                Port(n.name, n.shape, *((n.payload.bits, n.payload.scale) if n.payload else (0, 1.0)))
                for n in network.inputs
            ),
            tuple(population for population, _ in fitted),
            tuple(_connection(network, p, s) for p in network.populations for s in incoming(network, p.name)),
            network.readout,
            notes,
            (*_weight_roundings(network), *(r for _, fit in fitted for r in fit.roundings)),
            {name: seen.rate for name, seen in network.observed.items()},
        )

    def _population(self, node: Neurons) -> tuple[Population, _Fitted]:
        fit = _Fitted(node.name)
        if isinstance(node.model, RegisterLif):
            return self._registers(node, node.model), fit
        wanted = chip_features(node.model)
        program = chip_lif(wanted)
        if not wanted.stock and not self.target.programmable:
            fit.refuse("RV390", f"{self.target.name} has no neuron with {_extras(wanted)}", _alternatives(wanted))
            return Population(node.name, node.shape, program, {}, {}, node.latency), fit
        registers = self.target.neuron(program.semantics)
        fit_decays(fit, node.model, registers)
        fit_bias(fit, node, node.model, registers)
        fit_threshold(fit, node, node.model, wanted, registers)
        fit_reset(fit, node, node.model, wanted)
        bits = self._payload_bits(fit, node.model, wanted)
        params = {name: fit.params[name] for name in program.params if name in fit.params}
        initial = {s.name: fit.initial.get(s.name, integers(0)) for s in program.states}
        return Population(node.name, node.shape, program, params, initial, node.latency, bits, node.scale), fit

    def _registers(self, node: Neurons, model: RegisterLif) -> Population:
        params = {"du": model.du, "dv": model.dv, "vth": model.vth, "bias": model.bias}
        initial = {"u": integers(0), "v": integers(0)}
        return Population(
            node.name, node.shape, chip_lif(Features()), params, initial, node.latency, 0, node.scale or 1.0
        )

    def _payload_bits(self, fit: _Fitted, model: Lif, wanted: Features) -> int:
        if wanted.max_spikes == 1:
            return 0
        most = STATE_MAX // int(np.min(fit.params["threshold"])) if "threshold" in fit.params else 1
        if model.max_spikes != UNLIMITED:
            most = min(most, model.max_spikes)
        bits = max(int(most), 1).bit_length() + 1
        if bits > self.target.graded_bits:
            has = self.target.graded_bits
            text = f"up to {most} spikes a step need {bits} bits in a message, {self.target.name} has {has}"
            fit.refuse(
                "RV391",
                text,
                "limit the spikes per step (max_spikes=...), or use a target with graded spikes",
            )
        return bits

    def _delay_problems(self, network: Network) -> list[Diagnostic]:
        limit = self.target.synapse.max_delay
        return [
            Diagnostic("RV392", s.name, f"needs {delay} extra steps of delay, {self.target.name} has {limit}",
                       "make the branches more equal in depth", figures={"delay": delay, "limit": limit})
            for p in network.populations
            for s in incoming(network, p.name)
            if (delay := chip_delay(network, p, s)) > limit
        ]  # fmt: skip


def fit_decays(fit: _Fitted, model: Lif, registers: NeuronRegisters) -> None:
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


def fit_bias(fit: _Fitted, node: Neurons, model: Lif, registers: NeuronRegisters) -> None:
    """The drive as mantissa and exponent, the smallest exponent that holds it; and the current's start."""
    if model.has_current and bool(np.any((model.keep_current >= 1) & (model.current_drive != 0))):
        fit.refuse(
            "RV394",
            "a constant enters a synaptic current that never decays",
            "remove the bias, or let the current decay",
        )
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


def fit_threshold(fit: _Fitted, node: Neurons, model: Lif, wanted: Features, registers: NeuronRegisters) -> None:
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


def fit_reset(fit: _Fitted, node: Neurons, model: Lif, wanted: Features) -> None:
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


def chip_delay(network: Network, target: Neurons, synapse: Synapse) -> int:
    """The extra chip steps of a synapse: what retiming left over."""
    into = network.into[synapse.name][0]
    source = network.by_name[into.source]
    sent = source.latency if isinstance(source, Neurons) else 0
    return target.latency - sent - 1 + into.delay


def _delay_notes(network: Network) -> list[Note]:
    found = []
    for p in network.populations:
        for s in incoming(network, p.name):
            loop = network.into[s.name][0].delay
            extra = chip_delay(network, p, s)
            if extra > 0 and loop == 0:
                found.append(Note("RV398", s.name, f"delayed by {extra} steps to meet the deeper branch at {p.name}"))
    return found


def _connection(network: Network, target: Neurons, synapse: Synapse) -> Connection:
    grid = synapse.grid
    assert grid is not None
    source = source_of(network, synapse.name)
    delay = chip_delay(network, target, synapse)
    return Connection(synapse.name, source, target.name, _chip_synapse(synapse), grid.exponent, grid.sign, delay)


def _chip_synapse(synapse: Synapse) -> ChipSynapse:
    if isinstance(synapse, Dense):
        return DenseSynapse(synapse.weight.astype(np.int32))
    if isinstance(synapse, Conv):
        s = synapse
        return ConvSynapse(
            s.weight.astype(np.int32), s.in_shape, s.out_shape, s.stride, s.padding, s.dilation, s.groups
        )
    return SparseSynapse(synapse.data.astype(np.int32), synapse.indices, synapse.indptr, synapse.in_size)


def _weight_roundings(network: Network) -> list[Rounding]:
    """Half a step of the grid in source units: the largest error a weight that was not clipped can have."""
    found = []
    for p in network.populations:
        for s in incoming(network, p.name) if isinstance(p.model, Lif) else ():
            assert s.grid is not None
            values = s.weight if isinstance(s, Dense | Conv) else s.data
            unit = UNIT * 2.0**s.grid.exponent / s.grid.scale
            half = unit * (1.0 if s.grid.sign == "mixed" else 0.5)
            peak = float(np.abs(values).max(initial=1.0)) * unit
            found.append(Rounding(s.name, "weight", half, half / peak))
    return found


def _extras(f: Features) -> str:
    parts: Mapping[str, bool] = {
        "soft reset (subtract)": f.reset == "subtract",
        "no reset": f.reset == "none",
        "a reset value or start other than 0": f.full_width,
        "several spikes per step": f.max_spikes != 1,
        "a second firing level": f.late_guard,
        "a refractory time": f.refractory,
        "a lower bound of the membrane": f.floor,
    }
    return ", ".join(name for name, has in parts.items() if has)


def _alternatives(f: Features) -> str:
    if f.reset == "subtract":
        return "train with reset to zero, or compile for a programmable target (loihi2)"
    return "train without it, or compile for a programmable target (loihi2)"
