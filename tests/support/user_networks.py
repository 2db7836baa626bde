"""Networks as users of each framework write them, with spikes for them and what the live module answers."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import sinabs.layers as sl
import snntorch as snn
import torch
from numpy.typing import NDArray
from sinabs.activation import MembraneReset, SingleSpike
from sinabs.from_torch import from_model
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from ranvier.compiler.ir.network import Network
from ranvier.frontends.torch.load import load_torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Norse compiles with torch.jit when it is imported
    import norse.torch as norse
    from norse.torch.functional.lif import LIFParameters
    from norse.torch.functional.lif_refrac import LIFRefracParameters

STEPS, SAMPLES = 16, 4
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Case:
    """A live network: ``frames`` (steps, samples, *shape) to what it answers, (steps, samples, ...).

    ``sample`` is the argument of its ``forward``; ``steps`` is given where it is called once per step.
    """

    module: nn.Module
    frames: torch.Tensor
    sample: torch.Tensor
    answer: torch.Tensor
    steps: int | None = None

    @property
    def data(self) -> Array:
        """The frames as (samples, steps, *shape)."""
        return np.ascontiguousarray(self.frames.double().numpy().swapaxes(0, 1))

    @property
    def answers(self) -> Array:
        """The answers as (samples, steps, ...)."""
        return np.ascontiguousarray(self.answer.double().numpy().swapaxes(0, 1))

    def network(self) -> Network:
        """The module imported."""
        return load_torch(self.module, sample=self.sample, steps=self.steps)


def spikes(*shape: int, rate: float = 0.4) -> torch.Tensor:
    """Frames (steps, samples, *shape)."""
    return (torch.rand(STEPS, SAMPLES, *shape) < rate).float()


def strong(module: nn.Module, factor: float) -> nn.Module:
    """``module`` with weights at which all its neurons fire, and batch norms with statistics of their own."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Conv2d):
                part.weight.copy_(factor * (part.weight + 0.2 * part.weight.abs().max()))
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.uniform_(-0.3, 0.1)
                part.running_var.uniform_(0.3, 1.5)
                part.weight.uniform_(0.8, 1.6)
    return module.eval()


def answered(module: nn.Module, frames: torch.Tensor, **options: Any) -> Case:
    """A case whose ``forward`` takes and gives (steps, samples, ...)."""
    with torch.no_grad():
        out = module(frames)
    return Case(module, frames, frames, out[0] if isinstance(out, tuple) else out, **options)


class Tutorial(nn.Module):
    """snnTorch's tutorial: two layers, the time loop in ``forward``, spikes and membranes out."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(20, 30), snn.Leaky(beta=0.9, **options)
        self.fc2, self.lif2 = nn.Linear(30, 5), snn.Leaky(beta=0.8, **options)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        fired, membranes = [], []
        for frame in x:
            spk1, mem1 = self.lif1(self.fc1(frame), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            fired.append(spk2)
            membranes.append(mem2)
        return torch.stack(fired), torch.stack(membranes)


class Recurrent(nn.Module):
    """snnTorch: all to all recurrence, then one to one."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 12), nn.Linear(12, 5)
        self.rlif = snn.RLeaky(beta=0.8, linear_features=12, **options)
        self.rsyn = snn.RSynaptic(alpha=0.5, beta=0.7, all_to_all=False, V=0.4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spk1, mem1 = self.rlif.reset_mem()
        spk2, syn2, mem2 = self.rsyn.reset_mem()
        fired = []
        for frame in x:
            spk1, mem1 = self.rlif(self.fc1(frame), spk1, mem1)
            spk2, syn2, mem2 = self.rsyn(self.fc2(spk1), spk2, syn2, mem2)
            fired.append(spk2)
        return torch.stack(fired)


def _convolutions() -> Case:
    """SpikingJelly: convolutions with batch norms, average and maximum pools, all steps at once."""
    module = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=False), layer.BatchNorm2d(4), neuron.IFNode(),
        layer.MaxPool2d(2), layer.Conv2d(4, 6, 3, padding=1, bias=False), layer.BatchNorm2d(6), neuron.LIFNode(tau=3.0),
        layer.AvgPool2d(2), layer.Flatten(), layer.Linear(24, 5), neuron.LIFNode(tau=2.0),
    )  # fmt: skip
    functional.set_step_mode(module, "m")
    return answered(strong(module, 2.0), spikes(2, 8, 8))


def _averages() -> Case:
    """SpikingJelly: the layers that its NIR exchange knows; one value of each parameter per layer."""
    module = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1), neuron.IFNode(), layer.AvgPool2d(2), layer.Flatten(), layer.Linear(64, 5),
        neuron.LIFNode(tau=2.0),
    )  # fmt: skip
    functional.set_step_mode(module, "m")
    return answered(strong(module, 2.0), spikes(2, 8, 8))


class SewBlock(nn.Module):
    """SEW-ResNet's basic block: the spikes that enter are added to those that leave."""

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__()
        self.way = nn.Sequential(*(part for _ in range(2) for part in self._layer(channels, **options)))

    def _layer(self, channels: int, **options: Any) -> tuple[nn.Module, nn.Module]:
        parts = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        return layer.SeqToANNContainer(*parts), neuron.IFNode(step_mode="m", **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.way(x) + x
        return out


def _sew(**options: Any) -> Case:
    parts = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
    module = nn.Sequential(
        layer.SeqToANNContainer(*parts), neuron.IFNode(step_mode="m", **options), SewBlock(4, **options),
        SewBlock(4, **options), layer.AdaptiveAvgPool2d(1, step_mode="m"), layer.Flatten(step_mode="m"),
        layer.Linear(4, 5, step_mode="m"), neuron.LIFNode(step_mode="m", **options),
    )  # fmt: skip
    return answered(strong(module, 2.5), spikes(2, 6, 6))


def _parameters(**more: float) -> LIFParameters:
    values = {"tau_syn_inv": 300.0, "tau_mem_inv": 150.0, "v_th": 0.5, **more}
    return LIFParameters(**{name: torch.tensor(value) for name, value in values.items()})


def _sequential_state(**more: float) -> Case:
    """Norse: convolution, dense and recurrent layers in a SequentialState over whole sequences."""
    module = norse.SequentialState(
        norse.Lift(nn.Conv2d(1, 2, 3)), norse.LIF(_parameters(**more)), nn.Flatten(2),
        norse.Lift(nn.Linear(32, 12)), norse.LIFRecurrent(12, 8, _parameters(**more)),
        norse.Lift(nn.Linear(8, 4)), norse.LIF(_parameters(**more)),
    )  # fmt: skip
    return answered(strong(module, 4.0), spikes(1, 6, 6))


class Cells(nn.Module):
    """Norse: cells in a time loop, their states in one list."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.body = norse.SequentialState(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, fired = None, []
        for frame in x:
            out, state = self.body(frame, state)
            fired.append(out)
        return torch.stack(fired)


def _rest(silent: float) -> LIFRefracParameters:
    return LIFRefracParameters(_parameters(), torch.tensor(silent))


def _refractory() -> Case:
    module = Cells(
        nn.Linear(10, 12), norse.LIFRefracCell(_rest(2.0)), nn.Linear(12, 8),
        norse.LIFRefracRecurrentCell(8, 6, _rest(1.0)), nn.Linear(6, 4), norse.LIFCell(_parameters()),
    )  # fmt: skip
    return answered(strong(module, 4.0), spikes(10))


def _box_and_fire() -> Case:
    box = norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=torch.tensor(250.0), v_th=torch.tensor(0.6)))
    return answered(strong(Cells(nn.Linear(10, 12), box, nn.Linear(12, 4), norse.IAFCell()), 3.0), spikes(10))


class BatchFirst(nn.Module):
    """Sinabs' (batch, time, ...) around (time, batch, ...)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(x)
        return out


def _from_model(factor: float = 1.0, **options: Any) -> Case:
    """Sinabs: a ReLU network made spiking, batch and time in one axis."""
    analog = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(),
        sl.SumPool2d(2), nn.Flatten(), nn.Linear(6, 5), nn.ReLU(),
    )  # fmt: skip
    module = from_model(strong(analog, factor), batch_size=SAMPLES, **options).spiking_model
    frames = spikes(2, 8, 8)
    merged = frames.transpose(0, 1).flatten(0, 1)
    with torch.no_grad():
        out = module(merged).unflatten(0, (SAMPLES, STEPS)).transpose(0, 1).clone()
    for part in module.modules():
        if isinstance(part, sl.StatefulLayer):
            part.reset_states()
    return Case(module, frames, merged, out)


def _sinabs_recurrent() -> Case:
    """Sinabs: a recurrent layer, reset to zero."""
    options: dict[str, Any] = {"spike_fn": SingleSpike, "reset_fn": MembraneReset(), "norm_input": False}
    back = nn.Linear(12, 12, bias=False)
    module = nn.Sequential(
        nn.Linear(10, 12), sl.LIFRecurrent(tau_mem=8.0, rec_connect=back, **options), nn.Linear(12, 4),
        sl.LIF(tau_mem=5.0, **options),
    )  # fmt: skip
    frames = spikes(10)
    strong(module, 1.5)
    with torch.no_grad():
        back.weight.mul_(0.3)
        out = module(frames.transpose(0, 1)).transpose(0, 1)
    for part in module.modules():
        if isinstance(part, sl.StatefulLayer):
            part.reset_states()
    return Case(module, frames, frames.transpose(0, 1).contiguous(), out)


class HandWritten(nn.Module):
    """Two layers whose neurons are written out in ``forward``."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(10, 12), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v1, v2, fired = torch.zeros(x.shape[1], 12), torch.zeros(x.shape[1], 4), []
        for frame in x:
            v1 = 0.9 * v1 + self.fc1(frame)
            s1 = (v1 > 1.0).float()
            v1 = v1 * (1.0 - s1)
            v2 = 0.8 * v2 + self.fc2(s1)
            s2 = (v2 > 1.0).float()
            v2 = v2 * (1.0 - s2)
            fired.append(s2)
        return torch.stack(fired)


MAKERS: Mapping[str, Callable[[], Case]] = {
    "snnTorch tutorial": lambda: answered(strong(Tutorial(), 2.0), spikes(20)),
    "snnTorch tutorial, reset to zero": lambda: answered(
        strong(Tutorial(reset_mechanism="zero", reset_delay=False), 2.0), spikes(20)
    ),
    "snnTorch recurrent": lambda: answered(strong(Recurrent(), 2.0), spikes(8)),
    "SpikingJelly convolutions": _convolutions,
    "SpikingJelly convolutions, average pools": _averages,
    "SpikingJelly SEW blocks": _sew,
    "SpikingJelly SEW blocks, soft reset": partial(_sew, v_reset=None),
    "Norse SequentialState": _sequential_state,
    "Norse SequentialState, leak to 0.1": partial(_sequential_state, v_leak=0.1),
    "Norse refractory cells": _refractory,
    "Norse box and fire": _box_and_fire,
    "Sinabs from_model": _from_model,
    "Sinabs from_model, strong": partial(_from_model, 2.0),
    "Sinabs from_model, reset to zero": partial(
        _from_model, spike_fn=SingleSpike, reset_fn=MembraneReset(), min_v_mem=None
    ),
    "Sinabs recurrent": _sinabs_recurrent,
    "written by hand": lambda: answered(strong(HandWritten(), 1.5), spikes(10)),
}
ON_LOIHI1 = (
    "snnTorch tutorial, reset to zero",
    "SpikingJelly convolutions",
    "SpikingJelly convolutions, average pools",
    "SpikingJelly SEW blocks",
    "Norse SequentialState",
    "Norse refractory cells",
    "Norse box and fire",
    "Sinabs from_model, reset to zero",
    "Sinabs recurrent",
    "written by hand",
)
"""Those whose neurons Loihi 1 has."""


@cache
def case(name: str) -> Case:
    """The case ``name``, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return MAKERS[name]()
