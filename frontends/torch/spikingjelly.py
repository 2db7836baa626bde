"""SpikingJelly's neurons and layers, from the live attributes of the module.

All of its neurons compare with ``>=``. ``IFNode``: ``h = v + x``. ``LIFNode`` and ``ParametricLIFNode`` leak toward
``r`` (``v_reset``, or 0 where the reset subtracts), ``h = v + (x - (v - r)) / tau`` with ``decay_input``, else
``h = v - (v - r) / tau + x``. ``CUBALIFNode``: ``i = c_decay i + x``, ``h = v_decay v + i``. ``ILIFNode`` counts
``round(h / th)`` up to a maximum and subtracts: a membrane moved up by half a threshold counts by ``floor``.
``v`` starts at ``v_reset``, or 0. ``step_mode`` decides whether a call is one step or a sequence (time, batch, ...).
Source: SpikingJelly 2.0.0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import Shape, floats, size
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.torch.adapters import Adapter, Described

NODES = "spikingjelly.activation_based.neuron"
STATELESS = "spikingjelly.activation_based.layer.stateless_wrapper"
PROBE = (-3.0, -1.0, -1e-3, 0.0, 1e-3, 0.5, 1.0, 3.0)


def single(number: float) -> float:
    """A Python number as torch uses it beside float32 tensors."""
    return float(np.float32(number))


def sequence(module: nn.Module) -> str:
    """What a call takes, by ``step_mode``."""
    return "TB" if getattr(module, "step_mode", "s") == "m" else ""


def _if(module: nn.Module, name: str, shape: Shape) -> Described:
    return _described(module, name, shape, {})


def _lif(module: nn.Module, name: str, shape: Shape) -> Described:
    m: Any = module
    rate = 1.0 / single(m.tau)
    return _described(module, name, shape, _leak(module, 1.0 - rate, rate))


def _parametric(module: nn.Module, name: str, shape: Shape) -> Described:
    m: Any = module
    rate = float(m.w.detach().sigmoid())
    return _described(module, name, shape, _leak(module, 1.0 - rate, rate))


def _leak(module: Any, keep: float, rate: float) -> dict[str, float]:
    rest = single(module.v_reset or 0.0)
    return {"keep_membrane": keep, "gain": rate if module.decay_input else 1.0, "drive": rate * rest}


def _current_based(module: nn.Module, name: str, shape: Shape) -> Described:
    m: Any = module
    return _described(module, name, shape, {"keep_current": single(m.c_decay), "keep_membrane": single(m.v_decay)})


def _integer(module: nn.Module, name: str, shape: Shape) -> Described:
    """``round(h / th) = floor((h + th / 2) / th)``: the same counts from a membrane that is ``th / 2`` higher."""
    m: Any = module
    keep, half = 1.0 - 1.0 / single(m.tau), 0.5 * single(m.v_threshold)
    most = int(m.surrogate_function.max_spike_count)
    form: dict[str, Any] = {"keep_membrane": keep, "drive": (1.0 - keep) * half, "compare": ">", "max_spikes": most}
    return _described(module, name, shape, form, raised=half, counts=True)


TABLE: Mapping[str, Adapter] = {
    f"{NODES}.integrate_and_fire.IFNode": Adapter((), ("spk",), _if, sequence),
    f"{NODES}.lif.LIFNode": Adapter((), ("spk",), _lif, sequence),
    f"{NODES}.plif.ParametricLIFNode": Adapter((), ("spk",), _parametric, sequence),
    f"{NODES}.lif_variants.CUBALIFNode": Adapter((), ("spk",), _current_based, sequence),
    f"{NODES}.ilif.ILIFNode": Adapter((), ("spk",), _integer, sequence),
}
"""The neurons."""

LAYERS: Mapping[str, str] = {
    f"{STATELESS}.Linear": "torch.nn.modules.linear.Linear",
    f"{STATELESS}.Conv1d": "torch.nn.modules.conv.Conv1d",
    f"{STATELESS}.Conv2d": "torch.nn.modules.conv.Conv2d",
    f"{STATELESS}.ConvTranspose1d": "torch.nn.modules.conv.ConvTranspose1d",
    f"{STATELESS}.ConvTranspose2d": "torch.nn.modules.conv.ConvTranspose2d",
    f"{STATELESS}.AvgPool1d": "torch.nn.modules.pooling.AvgPool1d",
    f"{STATELESS}.AvgPool2d": "torch.nn.modules.pooling.AvgPool2d",
    f"{STATELESS}.MaxPool1d": "torch.nn.modules.pooling.MaxPool1d",
    f"{STATELESS}.MaxPool2d": "torch.nn.modules.pooling.MaxPool2d",
    f"{STATELESS}.AdaptiveAvgPool1d": "torch.nn.modules.pooling.AdaptiveAvgPool1d",
    f"{STATELESS}.AdaptiveAvgPool2d": "torch.nn.modules.pooling.AdaptiveAvgPool2d",
    f"{STATELESS}.Flatten": "torch.nn.modules.flatten.Flatten",
    "spikingjelly.activation_based.layer.bn.BatchNorm1d": "torch.nn.modules.batchnorm.BatchNorm1d",
    "spikingjelly.activation_based.layer.bn.BatchNorm2d": "torch.nn.modules.batchnorm.BatchNorm2d",
    "spikingjelly.activation_based.layer.dropout.Dropout": "torch.nn.modules.dropout.Dropout",
    "spikingjelly.activation_based.layer.dropout.Dropout2d": "torch.nn.modules.dropout.Dropout2d",
}
"""Layers, and the torch.nn layer that each of them is, in one step or in all steps of a sequence."""

TRANSPARENT = ("spikingjelly.activation_based.layer.container.", "spikingjelly.activation_based.model.")
"""Modules that only call others: looked into."""


def _described(
    module: nn.Module, name: str, shape: Shape, form: dict[str, Any], raised: float = 0.0, counts: bool = False
) -> Described:
    m: Any = module
    _check(m, name, counts)
    start = m._memories_rv["v"]
    initial = start.detach().double().numpy() if isinstance(start, torch.Tensor) else np.array(single(start))
    if initial.ndim:
        initial = np.broadcast_to(initial, shape).reshape(size(shape))
    threshold = single(m.v_threshold)
    model = Lif(
        **{"compare": ">=", **form},
        threshold=floats(threshold),
        reset="subtract" if m.v_reset is None else "value",
        reset_value=floats(single(m.v_reset or 0.0)),
        reset_amount=floats(threshold if m.v_reset is None else 1.0),
        initial=floats(initial + raised),
    )
    return Described(model, None, None, np.array(1.0), shows_reset=True)


def _check(m: Any, name: str, counts: bool) -> None:
    found = [Diagnostic("RV230", name, text, fix) for text, fix in _problems(m, counts)]
    if found:
        raise RanvierError(found)


def _problems(m: Any, counts: bool) -> list[tuple[str, str]]:
    found = []
    probe = torch.tensor(PROBE)
    expected = probe.clamp(0, m.surrogate_function.max_spike_count).round() if counts else (probe >= 0).float()
    try:
        plain = torch.equal(m.surrogate_function(probe).detach().float(), expected)
    except (RuntimeError, TypeError, ValueError):
        plain = False
    if not plain:
        text = (
            "surrogate_function does not give the plain threshold in the forward pass (spiking=False gives its smooth "
            "form)."
        )
        found.append((text, "Use a surrogate of spikingjelly.activation_based.surrogate with spiking=True."))
    if getattr(m, "_neuron_precision", None) is not None:
        text = "a reduced neuron precision is set, which rounds the states in each step."
        found.append((text, "Run the neurons in float32: the compiler quantizes the states for the target."))
    if not float(m.v_threshold) > 0.0:
        found.append((f"the threshold {m.v_threshold:g} is not positive.", "Use a threshold above zero."))
    if not 0.0 <= float(getattr(m, "c_decay", 0.0)) <= 1.0 or not 0.0 <= float(getattr(m, "v_decay", 0.0)) <= 1.0:
        found.append(("a decay is outside 0 to 1.", "Use c_decay and v_decay from 0 to 1."))
    if float(getattr(m, "tau", 2.0)) < 1.0:
        text = f"tau is {m.tau:g}: below 1 the membrane changes its sign in each step."
        found.append((text, "Use tau of at least 1."))
    return found


def refusal(path: str, name: str) -> RanvierError:
    """No adapter for a class of SpikingJelly."""
    kind = path.rpartition(".")[2]
    return error(
        "RV231",
        name,
        f"{kind} of SpikingJelly has no counterpart in a network of spiking neurons, weighted sums and delays.",
        "Neurons with an adapter are IFNode, LIFNode, ParametricLIFNode, CUBALIFNode and ILIFNode; layers are Linear, "
        "Conv, AvgPool, MaxPool of spikes, BatchNorm, Flatten, Dropout and the containers of activation_based.layer.",
    )
