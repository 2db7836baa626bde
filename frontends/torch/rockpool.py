"""Rockpool's LIFTorch and LinearTorch, from the live attributes of the module.

``i = beta (i + x + spikes w_rec)``, ``v = alpha v + i + bias``; ``floor(v / threshold)`` spikes where
``v >= threshold``, at most ``max_spikes_per_dt``, each of which subtracts the threshold. ``alpha`` and ``beta`` are
what the leak mode (time constants, decays or bit shifts) gives. Sequences are (batch, time, neurons); a linear layer
holds its weight as (inputs, outputs). Source: Rockpool 3.1.0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, floats, size
from ranvier.compiler.ir.linear import Dense, Linear
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.torch.adapters import Adapter, Described
from ranvier.frontends.torch.layers import dense, numbers

ROOT = "rockpool.nn.modules.torch"
PROBE = (-1.5, -0.1, 0.0, 0.5, 0.999, 1.0, 1.5, 2.0, 7.3)
TRANSPARENT = ("rockpool.nn.combinators.",)
"""Modules that only call others: looked into."""


def in_sequences(_module: nn.Module) -> str:
    """(batch, time, neurons) in one call."""
    return "BT"


def _lif(module: nn.Module, name: str, shape: Shape) -> Described:
    m: Any = module
    found = [Diagnostic("RV240", name, text, fix) for text, fix in _problems(m)]
    if found:
        raise RanvierError(found)
    alpha, beta = _spread(m.alpha, shape), _spread(m.beta, shape)
    threshold = _spread(m.threshold, shape)
    model = Lif(
        keep_current=beta,
        keep_membrane=alpha,
        gain=beta,
        drive=_spread(m.bias, shape),
        threshold=threshold,
        compare=">=",
        max_spikes=int(m.max_spikes_per_dt),
        reset="subtract",
        reset_amount=threshold,
    )
    weight = numbers(m.w_rec)
    recurrent = Dense(f"{name}.recurrent", np.ascontiguousarray(weight.T)) if np.any(weight) else None
    return Described(model, recurrent, None, np.array(1.0), shows_reset=True)


TABLE: Mapping[str, Adapter] = {f"{ROOT}.lif_torch.LIFTorch": Adapter((), ("spk",), _lif, in_sequences)}
"""The neurons."""


def linear(module: nn.Module, name: str, shape: Shape) -> tuple[Linear, ...]:
    """``x W + b``."""
    m: Any = module
    return dense(name, m.weight.T, m.bias, shape)


LAYERS = {f"{ROOT}.linear_torch.LinearTorch": linear}
"""Layers of its own, applied to the last axis."""


def _spread(tensor: torch.Tensor, shape: Shape) -> FloatArray:
    """A parameter as () or per neuron; synaptic ones are (neurons, 1)."""
    values = numbers(tensor).reshape(-1)
    return floats(values[0]) if values.size == 1 else floats(np.broadcast_to(values, (size(shape),)))


def _problems(m: Any) -> list[tuple[str, str]]:
    found = []
    if int(m.n_synapses) != 1:
        text = f"each neuron has {int(m.n_synapses)} synaptic currents of different decay."
        found.append((text, "Use one synapse per neuron: shape (neurons,) or (neurons, neurons)."))
    if float(m.noise_std) != 0.0:
        found.append((f"noise of {float(m.noise_std):g} is added to the membrane.", "Set noise_std to 0."))
    if not bool((m.threshold > 0).all()):
        found.append(("a threshold is not positive.", "Use thresholds above zero."))
    probe, most = torch.tensor(PROBE), torch.tensor(3.0)
    wanted = ((probe >= 1.0) * torch.floor(probe)).clamp(max=3.0)
    try:
        plain = torch.equal(m.spike_generation_fn(probe, torch.tensor(1.0), m.learning_window, most), wanted)
    except (RuntimeError, TypeError, ValueError):
        plain = False
    if not plain:
        text = "spike_generation_fn does not give floor(v / threshold) spikes at or above the threshold."
        found.append((text, "Use StepPWL or PeriodicExponential of Rockpool."))
    return found


def refusal(path: str, name: str) -> RanvierError:
    """No adapter for a class of Rockpool."""
    kind = path.rpartition(".")[2]
    return error(
        "RV241",
        name,
        f"{kind} of Rockpool has no counterpart in a network of spiking neurons, weighted sums and delays.",
        "Modules with an adapter are LIFTorch and LinearTorch, and the Sequential and Residual combinators.",
    )
