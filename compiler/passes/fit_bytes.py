"""What fits for Xylo and for DYNAP-CNN have in common: signed 8-bit weights, thresholds and biases of 16 bits."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, Figure
from ranvier.compiler.ir.arrays import FloatArray, integers
from ranvier.compiler.ir.chip import Rounding
from ranvier.compiler.ir.linear import Synapse
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import READABLE, Lif
from ranvier.compiler.passes.arrivals import incoming, source_of
from ranvier.compiler.passes.fit_registers import Fitted

WEIGHT_MAX = 127.0
HEADROOM = 0.5
"""The share of a state's range that calibration data may use."""
UNSEEN = 0.0625
"""The share that a threshold may use where there are no calibration data: states go far beyond it, mostly below."""


@dataclass
class Findings:
    """What stands in the way of a whole network, and what rounding cost."""

    problems: list[Diagnostic] = field(default_factory=list)
    roundings: list[Rounding] = field(default_factory=list)

    def refuse(self, code: str, place: str, message: str, fix: str, **figures: Figure) -> None:
        """Report that something cannot be on the chip."""
        self.problems.append(Diagnostic(code, place, message, fix, figures=figures))

    def take(self, fitted: Fitted) -> None:
        """What was found for one population."""
        self.problems += fitted.problems
        self.roundings += fitted.roundings


@dataclass(frozen=True)
class Wanted:
    """The neurons a chip has, as far as a ``Lif`` can tell them from others."""

    chip: str
    current: bool
    floor: bool
    resets: tuple[str, ...]


def unlike(model: object, wanted: Wanted) -> list[tuple[str, str]]:
    """(what the model has that the chip lacks, what to do), for every such thing."""
    if not isinstance(model, Lif):
        return [(READABLE[type(model)], "train with leaky integrate-and-fire neurons")]
    soft = model.reset == "subtract" and bool(np.all(model.reset_amount == model.threshold))
    zero = model.reset == "value" and not np.any(model.reset_value)
    found = {
        "a reset that neither subtracts the threshold nor sets to 0": not (soft or zero),
        "a reset to zero": zero and "zero" not in wanted.resets,
        "a synaptic current": model.has_current and not wanted.current,
        "a second firing level": model.late_guard,
        "a refractory time": model.refractory > 0,
        "a lower bound of the membrane": model.floor is not None and not wanted.floor,
        "a membrane that starts elsewhere than at 0": bool(np.any(model.initial)),
        "a membrane that sees the current of the step before": model.late_current,
        "a current that spikes clear": model.reset_current,
        "a constant that enters the synaptic current": model.has_current and bool(np.any(model.current_drive)),
    }
    helps = {"a reset to zero": "train with a reset that subtracts the threshold"}
    return [(what, helps.get(what, "train without it")) for what, has in found.items() if has]


def levels(values: FloatArray, unit: FloatArray | float) -> FloatArray:
    """The 8-bit integers nearest to ``values * unit``, doubled, as the mixed grid of chip networks holds them."""
    return np.asarray(2.0 * np.clip(np.rint(values * unit), -WEIGHT_MAX - 1, WEIGHT_MAX))


def weight_rounding(name: str, wanted: FloatArray, doubled: FloatArray, unit: float) -> Rounding:
    """The largest error of weights, in units of the membrane."""
    worst = float(np.abs(doubled / (2.0 * unit) - wanted).max(initial=0.0))
    return Rounding(name, "weight", worst, worst / max(float(np.abs(wanted).max(initial=0.0)), 1e-30))


def fit_threshold(fit: Fitted, model: Lif, scale: float, most: int) -> None:
    """``v >= T`` on integers, where the source compares with ``>``: ``v >= T + 1``."""
    if bool(np.any(model.threshold <= 0)):
        fit.refuse("RV396", "the threshold is not positive", "train with a positive threshold")
        return
    level = model.threshold * scale
    register = np.ceil(level) if model.compare == ">=" else np.floor(level) + 1
    if bool(np.any(register > most)):
        text = f"a threshold of {float(np.max(level)):.0f} beside weights of up to 127 exceeds {most}"
        fit.refuse("RV645", text, "let thresholds and weights of the layer be of one order of magnitude")
    fit.put("threshold", np.clip(register, 1, most), model.threshold, np.clip(register, 1, most) / scale)


def fit_bias(fit: Fitted, drive: FloatArray, scale: float, most: int) -> None:
    """What enters the membrane in every step."""
    register = np.rint(drive * scale)
    if bool(np.any(np.abs(register) > most)):
        text = f"a bias of {float(np.max(np.abs(register))):.0f} exceeds {most}"
        fit.refuse("RV395", text, "normalise the layer's inputs, or lower its bias")
    fit.put("bias", np.clip(register, -most, most), drive, register / scale)


def fit_floor(fit: Fitted, model: Lif, scale: float, most: int) -> None:
    """The lower bound of the membrane."""
    assert model.floor is not None
    fit.params["floor"] = integers(np.clip(np.rint(np.array(model.floor * scale)), -most - 1, most))


def room(network: Network, population: Neurons, most: int) -> float:
    """The largest scale at which the states that calibration data led to, and the threshold, fit with head-room."""
    model, seen = population.model, network.observed.get(population.name)
    assert isinstance(model, Lif)
    peaks = [float(np.max(np.abs(model.threshold))), float(np.max(np.abs(model.drive)))]
    if seen is not None:
        peaks += [seen.peak_membrane, seen.peak_current * float(np.max(np.abs(model.gain)))]
    return (UNSEEN if seen is None else HEADROOM) * most / max(*peaks, 1e-30)


def synapses(network: Network, population: Neurons) -> Sequence[tuple[Synapse, str]]:
    """What ends at a population: (synapse, its source)."""
    return [(s, source_of(network, s.name)) for s in incoming(network, population.name)]
