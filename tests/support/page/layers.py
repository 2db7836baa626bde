"""One layer of each class that a frontend knows, and networks of each topology, for docs/support.md."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import nir
import numpy as np
import torch
from sinabs.layers import SumPool2d
from torch import nn

from ranvier.compiler.ir.arrays import Shape, floats
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif
from support import netx_files
from support.topologies import in_a_row, topologies

IMAGE: Shape = (2, 6, 6)
LINE: Shape = (2, 8)
FLAT: Shape = (6,)
TorchLayers = Mapping[str, tuple[Callable[[], nn.Module], Shape]]
"""A class's options in words: a module of it, and the shape of a frame that it takes."""


def _linear_torch() -> Any:
    """The attributes that Rockpool's LinearTorch shows; Rockpool itself lives in an environment of its own."""
    return SimpleNamespace(weight=torch.randn(6, 4), bias=torch.randn(4))


TORCH: TorchLayers = {
    "Linear: with bias": (lambda: nn.Linear(6, 4), FLAT),
    "Conv1d: with bias": (lambda: nn.Conv1d(2, 3, 3), LINE),
    "Conv2d: padding, stride": (lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1), IMAGE),
    "Conv2d: depthwise": (lambda: nn.Conv2d(2, 2, 3, groups=2), IMAGE),
    "Conv2d: grouped, kernel not square": (lambda: nn.Conv2d(2, 4, (1, 3), groups=2), IMAGE),
    "Conv2d: dilation": (lambda: nn.Conv2d(2, 3, 2, dilation=2), IMAGE),
    "ConvTranspose1d: stride 2": (lambda: nn.ConvTranspose1d(2, 3, 3, stride=2), LINE),
    "ConvTranspose2d: stride 2": (lambda: nn.ConvTranspose2d(2, 3, 2, stride=2), IMAGE),
    "ConvTranspose2d: stride 1": (lambda: nn.ConvTranspose2d(2, 3, 2), IMAGE),
    "AvgPool1d: window of 2": (lambda: nn.AvgPool1d(2), LINE),
    "AvgPool2d: window of 4": (lambda: nn.AvgPool2d(2), IMAGE),
    "AvgPool2d: overlapping, window of 9": (lambda: nn.AvgPool2d(3, 1, 1), IMAGE),
    "AdaptiveAvgPool1d: uneven windows": (lambda: nn.AdaptiveAvgPool1d(3), LINE),
    "AdaptiveAvgPool2d: even windows": (lambda: nn.AdaptiveAvgPool2d(4), IMAGE),
    "MaxPool1d: of binary spikes": (lambda: nn.MaxPool1d(2), LINE),
    "MaxPool2d: of binary spikes": (lambda: nn.MaxPool2d(3, 2, 1), IMAGE),
    "AdaptiveMaxPool1d: of binary spikes": (lambda: nn.AdaptiveMaxPool1d(3), LINE),
    "AdaptiveMaxPool2d: of binary spikes": (lambda: nn.AdaptiveMaxPool2d(2), IMAGE),
    "BatchNorm1d: folded": (lambda: _trained(nn.BatchNorm1d(6)), FLAT),
    "BatchNorm2d: folded": (lambda: _trained(nn.BatchNorm2d(2)), IMAGE),
    "SumPool2d: of Sinabs": (lambda: SumPool2d(2), IMAGE),
    "LinearTorch: of Rockpool": (_linear_torch, FLAT),
    "Flatten: a change of shape": (nn.Flatten, IMAGE),
    "Unflatten: a change of shape": (lambda: nn.Unflatten(1, (2, 3)), FLAT),
}
REFUSED: Mapping[str, Callable[[], nn.Module]] = {
    "Conv3d": lambda: nn.Conv3d(2, 3, 3),
    "MaxPool3d": lambda: nn.MaxPool3d(2),
    "BatchNorm3d": lambda: nn.BatchNorm3d(2),
    "LayerNorm": lambda: nn.LayerNorm(6),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "Upsample": lambda: nn.Upsample(scale_factor=2),
    "MultiheadAttention": lambda: nn.MultiheadAttention(6, 2),
    "LSTM": lambda: nn.LSTM(6, 6),
    "ReLU": nn.ReLU,
    "Softmax": lambda: nn.Softmax(1),
}
"""Layers of torch.nn that are refused by name."""


def _trained(norm: Any) -> nn.Module:
    norm.running_mean.uniform_(-0.5, 0.5)
    norm.running_var.uniform_(0.5, 2.0)
    module: nn.Module = norm.eval()
    return module


def _kernel(*shape: int) -> Any:
    return np.random.default_rng(1).normal(0.2, 1, shape)


def _convolution(axes: int) -> Any:
    made = {1: nir.Conv1d, 2: nir.Conv2d}[axes]
    spatial = {1: 8, 2: (6, 6)}[axes]
    plain = {1: (1, 0, 1), 2: ((1, 1), (0, 0), (1, 1))}[axes]
    stride, padding, dilation = plain
    return made(spatial, _kernel(3, 2, *(3,) * axes), stride, padding, dilation, 1, np.zeros(3))


NIR: Mapping[str, tuple[Callable[[], Any], Shape]] = {
    "Affine": (lambda: nir.Affine(_kernel(4, 6), _kernel(4)), FLAT),
    "Linear": (lambda: nir.Linear(_kernel(4, 6)), FLAT),
    "Scale": (lambda: nir.Scale(_kernel(6)), FLAT),
    "Conv1d": (lambda: _convolution(1), LINE),
    "Conv2d": (lambda: _convolution(2), IMAGE),
    "SumPool2d": (lambda: nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), IMAGE),
    "AvgPool2d": (lambda: nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), IMAGE),
    "Flatten": (lambda: nir.Flatten({"input": np.array(IMAGE)}, 0), IMAGE),
    "Delay": (lambda: nir.Delay(np.full(6, 3e-4)), FLAT),
}


def _integers(*shape: int) -> Any:
    return np.random.default_rng(2).integers(-60, 60, shape) * 2


NETX: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
    "input": lambda: [{"type": "input", "shape": np.array([6]), "neuron": netx_files.CUBA, "weight": 32.0}],
    "flatten": lambda: [
        {"type": "input", "shape": np.array([2, 3, 1])},
        {"type": "flatten"},
        netx_files.dense(_integers(4, 6)),
    ],
    "dense": lambda: [netx_files.dense(_integers(4, 6))],
    "dense_rec": lambda: [netx_files.dense(_integers(6, 6), type="dense_rec", weight_rec=_integers(6, 6))],
    "conv": lambda: [{"type": "input", "shape": np.array(IMAGE)}, netx_files.conv(_integers(3, 2, 3, 3))],
    "average": lambda: [netx_files.dense(_integers(4, 6)), {"type": "average", "shape": np.array([2])}],
}
"""The layers of a file in which each kind stands."""


def _two(first: Node, second: Node, back: tuple[Edge, ...], *more: Node) -> Network:
    """Two populations behind each other, and what leads ``back``."""
    nodes = (Input("input", (6,), "spikes"), Dense("a", _halves(6, 6)), first, Dense("b", _halves(6, 6)), second)
    network = in_a_row(nodes, back)
    return Network("topology", (*nodes, *more), network.edges, network.readout)


def _halves(*shape: int) -> Any:
    return np.random.default_rng(3).integers(-4, 7, shape) / 2


def _neurons(name: str) -> Neurons:
    return Neurons(name, (6,), Lif(threshold=floats(2.0)))


def _loop(delay: int) -> Network:
    back = (Edge("n1", "back", delay), Edge("back", "n0"))
    return _two(_neurons("n0"), _neurons("n1"), back, Dense("back", _halves(6, 6)))


def _within() -> Network:
    back = (Edge("n1", "back", 1), Edge("back", "n1"))
    return _two(_neurons("n0"), _neurons("n1"), back, Dense("back", _halves(6, 6)))


def _late(steps: int) -> Network:
    nodes = (Input("input", (6,), "spikes"), Dense("a", _halves(6, 6)), _neurons("n0"))
    return Network("late", nodes, (Edge("input", "a", steps), Edge("a", "n0")), Readout("n0"))


def _real() -> Network:
    nodes = (Input("input", (6,), "current"), Dense("a", _halves(6, 6)), _neurons("n0"))
    return in_a_row(nodes)


TOPOLOGIES: Mapping[str, Callable[[], Network]] = {
    "residual sum, concatenation, one layer shared by two sources, unequal depth": lambda: topologies()["branches"],
    "recurrence within a population": _within,
    "loop over two populations that comes back after two steps": lambda: _loop(2),
    "loop over two populations that comes back after one step": lambda: _loop(1),
    "a delay of its own for each axon": lambda: topologies()["axons"],
    "a delay of its own for each synapse": lambda: topologies()["synapses"],
    "a delay of 20 steps": lambda: _late(20),
    "a delay of 100 steps": lambda: _late(100),
    "maximum over windows of binary spikes": lambda: topologies()["relays"],
    "real numbers as input": _real,
}


class HandWritten(nn.Module):
    """A neuron written out in ``forward``; ``reset`` and ``compare`` as the name of the example says."""

    def __init__(self, reset: str, strict: bool = True, current: bool = False) -> None:
        super().__init__()
        self.fc, self.reset, self.strict, self.current = nn.Linear(6, 3), reset, strict, current

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(steps, batch, 6) to spikes."""
        v = i = torch.zeros(x.shape[1], 3)
        spikes = []
        for frame in x:
            i = 0.7 * i + self.fc(frame) if self.current else self.fc(frame)
            v = 0.9 * v + i
            s = (v > 1.0).float() if self.strict else (v >= 1.0).float()
            v = {"subtract": v - s, "zero": v * (1 - s), "none": v}[self.reset]
            spikes.append(s)
        return torch.stack(spikes)


HAND: Mapping[str, Callable[[], nn.Module]] = {
    "v = 0.9 v + x, v > 1, subtract": lambda: HandWritten("subtract"),
    "v = 0.9 v + x, v > 1, zero": lambda: HandWritten("zero"),
    "v = 0.9 v + x, v >= 1, zero": lambda: HandWritten("zero", strict=False),
    "with i = 0.7 i + x, zero": lambda: HandWritten("zero", current=True),
    "v = 0.9 v + x, v > 1, no reset": lambda: HandWritten("none"),
}
