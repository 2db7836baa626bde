"""Populations as NIR's neurons: the canonical neuron's parameters turned back into equations.

With ``enter = 1 - keep_membrane`` (Euler: ``tau = dt / enter``; exponential: ``tau = -dt / ln(keep_membrane)``)::

    no synaptic current, keep_membrane = 1     IF (I)            r = c gain / dt
    no synaptic current                        LIF (LI)          r = c gain / enter, v_leak = c drive / enter
    synaptic current                           CubaLIF (CubaLI)  the same, w_in = 1 / (1 - keep_current)

``c`` is the unit of the membrane, which is free: thresholds, resets and the leak target are multiplied by it.
It is 1, or what makes the step of a reader that does not read ``r`` right. Infinite thresholds are integrators.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.neurons import UNLIMITED, Lif
from ranvier.runtimes.exports.nir.readers import Method, Reader

ENDLESS = {"euler": 2.0**60, "exp": 2.0**40}
"""Steps of the time constant of a neuron without leak: 1 - 2**-60 is 1 in float64, exp(-2**-40) in float32."""
AT_ONCE = 2.0**-10
CLOSE = 1e-6
WRITTEN = frozenset(
    {
        *("keep_current", "keep_membrane", "gain", "drive", "current_drive", "threshold", "initial"),
        *("compare", "max_spikes", "reset", "reset_value", "reset_amount", "late_guard", "refractory", "floor"),
    }
)
"""The fields of the canonical neuron that this file knows."""


@dataclass(frozen=True)
class Written:
    """A NIR node, what its reader makes different of it, and what its user has to know, in words."""

    node: Any
    losses: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def neuron(population: Neurons, shape: Shape, reader: Reader, dt: float) -> Written:
    """``population`` as a node whose parameters have ``shape``. Raises ``RanvierError`` RV682, RV683."""
    import nir  # noqa: PLC0415 - spares the start what only this export needs

    model = population.model
    if not isinstance(model, Lif):
        text = f"NIR has no neuron of the kind {type(model).__name__}"
        raise error("RV682", population.name, text, "save the compiled program (.rnv) instead: it holds every neuron")
    _check(population.name, model, reader)
    kind, losses = _kind(model, reader, len(shape))
    values = _fields(model, kind, reader, dt)
    losses += tuple(_losses(model, kind, values, reader))
    dtype = np.float32 if reader.single else np.float64
    spread = {name: np.broadcast_to(_shaped(v, shape), shape).astype(dtype) for name, v in values.items()}
    node = getattr(nir, kind)(**spread)
    node.metadata = {
        "dt": dt,
        "method": reader.method,
        "reset": model.reset,
        "compare": model.compare,
        "max_spikes": model.max_spikes,
    }
    return Written(node, losses)


def _shaped(values: FloatArray, shape: Shape) -> FloatArray:
    return values.reshape(shape) if values.size > 1 and values.size == size(shape) else values.reshape(())


def _check(name: str, model: Lif, reader: Reader) -> None:
    for field in ("keep_membrane", "keep_current"):
        values: FloatArray = getattr(model, field)
        if bool((values < 0).any() or (values > 1).any()):
            text = f"its {field} ({values.min():.6g} to {values.max():.6g}) is no decay of an equation: not in 0 to 1"
            raise error("RV683", name, text, "save the compiled program (.rnv) instead")
    if reader.gain != "r" and bool((model.gain <= 0).any()):
        text = f"its gain of {model.gain.min():.6g} cannot be 1 in another unit of the membrane"
        raise error("RV683", name, text, "write for reader='spec', which reads gains")


def _kind(model: Lif, reader: Reader, axes: int) -> tuple[str, tuple[str, ...]]:
    """The NIR type: an integrator where nothing can fire, if the reader has it; else a neuron that it has."""
    integrates = bool(np.isposinf(model.threshold).all())
    if model.has_current:
        kind = "CubaLI" if integrates else "CubaLIF"
    elif bool((model.keep_membrane == 1).all()):
        kind = "I" if integrates else "IF"
    else:
        kind = "LI" if integrates else "LIF"
    if kind == "I" and kind not in reader.types:
        kind = "LI"
    losses: tuple[str, ...] = ()
    if integrates and kind not in reader.types:
        kind, losses = f"{kind}F", ("it has no integrator, and gets a neuron that never fires",)
    if kind == "IF" and ("IF" not in reader.types or (reader.floors_if and not _floored(model) and axes == 1)):
        kind = "LIF"
    if kind not in reader.types:
        losses += (f"it does not read {kind} nodes",)
    if kind == "LIF" and reader.flat_leak and axes > 1:
        losses += ("it reads LIF layers of one axis only",)
    return kind, losses


def _floored(model: Lif) -> bool:
    """Whether the membrane is held above minus the threshold."""
    return model.floor is not None and bool(np.allclose(-model.floor, model.threshold))


def _fields(model: Lif, kind: str, reader: Reader, dt: float) -> dict[str, FloatArray]:
    """The parameters of a node of type ``kind``, scalars or one value per neuron."""
    tau, enter = _time_constant(model.keep_membrane, reader.method, dt)
    unit = _unit(model, kind, enter, reader)
    gain = unit * model.gain
    values: dict[str, FloatArray] = {"r": gain / dt if kind in ("IF", "I") else gain / enter}
    if kind not in ("IF", "I"):
        values["v_leak"] = np.where(model.keep_membrane < 1, unit * model.drive / enter, 0.0)
    if kind.startswith("Cuba"):
        tau_syn, enter_syn = _time_constant(model.keep_current, reader.method, dt)
        values |= {"tau_mem": tau, "tau_syn": tau_syn, "w_in": 1.0 / enter_syn}
    elif kind not in ("IF", "I"):
        values["tau"] = tau
    if kind.endswith("F"):
        values["v_threshold"] = unit * model.threshold
        values["v_reset"] = unit * model.reset_value
    return values


def _time_constant(keep: FloatArray, method: Method, dt: float) -> tuple[FloatArray, FloatArray]:
    """The time constant that keeps ``keep`` over a step of ``dt``, and the part of the input that enters."""
    if method == "euler":
        enter = np.where(keep < 1, 1.0 - keep, 1.0 / ENDLESS["euler"])
        return dt / enter, enter
    inner = np.where((keep > 0) & (keep < 1), keep, 0.5)
    steps = np.where(keep >= 1, ENDLESS["exp"], np.where(keep <= 0, AT_ONCE, -1.0 / np.log(inner)))
    return dt * steps, 1.0 - np.exp(-1.0 / steps)


def _unit(model: Lif, kind: str, enter: FloatArray, reader: Reader) -> FloatArray:
    if reader.gain == "r":
        return np.ones(())
    reads_no_r = (reader.gain == "norse" and kind == "LIF") or kind == "LI"
    return (enter if reads_no_r else np.ones(())) / model.gain


def _losses(model: Lif, kind: str, values: dict[str, FloatArray], reader: Reader) -> Iterator[str]:
    """What the reader makes different: reported, or refused where the file has to be portable."""
    for name in sorted({f.name for f in fields(Lif)} - WRITTEN):
        if not np.array_equal(getattr(model, name), getattr(Lif(), name)):
            yield f"NIR does not know {name}"
    if bool((model.drive * (model.keep_membrane == 1)).any()):
        yield "a constant input to a neuron without leak has no place in NIR"
    if bool(model.current_drive.any()):
        yield "a constant input to the synaptic current has no place in NIR"
    if not bool(np.allclose(model.initial, _initial(model, values, reader), atol=1e-12)):
        start = "0" if reader.initial == "zero" else f"the {reader.initial}"
        yield f"it starts from {start}, not from {model.initial.flat[0]:.6g}"
    yield from _field_losses(model, kind, values, reader)
    if kind.endswith("F") and bool(np.isfinite(model.threshold).any()):
        yield from _spike_losses(model, kind, reader)


def _initial(model: Lif, values: dict[str, FloatArray], reader: Reader) -> FloatArray:
    """Where the reader starts the membrane, in the model's unit."""
    if reader.initial == "reset":
        return model.reset_value
    if reader.initial == "leak" and "v_leak" in values:
        enter = np.where(model.keep_membrane < 1, 1.0 - model.keep_membrane, 1.0)
        return model.drive / enter
    return np.zeros(())


def _field_losses(model: Lif, kind: str, values: dict[str, FloatArray], reader: Reader) -> Iterator[str]:
    leak = values.get("v_leak", np.zeros(()))
    wanted = values.get("v_reset", np.zeros(())) if reader.leak == "reset" and kind == "LIF" else np.zeros(())
    if reader.leak != "any" and not bool(np.allclose(leak, wanted, rtol=CLOSE, atol=1e-12)):
        yield f"it takes a leak towards {'the reset value' if kind == 'LIF' and reader.leak == 'reset' else 0} only"
    for name in sorted(reader.uniform & set(values)):
        if np.unique(values[name]).size > 1:
            yield f"it takes one {name} for all neurons of a layer"
    if "tau" in reader.uniform and kind == "LIF" and bool((model.keep_membrane <= 0).any()):
        yield "it takes time constants above one step only"


def _spike_losses(model: Lif, kind: str, reader: Reader) -> Iterator[str]:
    if model.compare != reader.compare:
        yield f"it fires where the membrane is {reader.compare} the threshold, not {model.compare}"
    if model.max_spikes != reader.max_spikes:
        given, taken = (("any number of" if n == UNLIMITED else str(n)) for n in (model.max_spikes, reader.max_spikes))
        yield f"it fires {taken} spikes in a step, not {given}"
    yield from _reset_losses(model, reader)
    if model.late_guard:
        yield "it does not double the threshold of a membrane that starts above it"
    if model.refractory:
        yield f"it has no refractory steps, not {model.refractory}"
    if reader.floors_if and kind == "IF":
        if not _floored(model):
            yield "it holds the membranes of IF neurons above minus the threshold"
    elif model.floor is not None:
        yield f"it does not hold the membrane above {model.floor:.6g}"


def _reset_losses(model: Lif, reader: Reader) -> Iterator[str]:
    if model.reset != reader.reset:
        yield f"its reset is {reader.reset}, not {model.reset}"
    elif model.reset == "subtract" and not bool(np.all(model.reset_amount == model.threshold)):
        yield "it subtracts the threshold at a spike, not another amount"
    elif model.reset == "value" and bool(model.reset_value.any()) and not reader.reads_reset_value:
        yield "it resets to 0"
