"""A neuron class of your own, taught to Ranvier in ten lines, and a network that uses it."""

from typing import Any

import torch
from torch import nn

import ranvier


class Sluggish(nn.Module):
    """``v = keep v + gain x``; a spike from ``threshold`` on; the spike takes half the threshold away."""

    def __init__(self, neurons: int) -> None:
        super().__init__()
        self.keep = nn.Parameter(torch.linspace(0.5, 0.95, neurons))
        self.gain, self.threshold = 0.4, 1.0

    def forward(self, x: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step: spikes, and the membrane to hand on."""
        v = self.keep * v + self.gain * x
        spikes = (v >= self.threshold).float()
        return spikes, v - 0.5 * self.threshold * spikes


def as_lif(neuron: Any) -> ranvier.Lif:
    """The same neuron in Ranvier's terms."""
    return ranvier.Lif(
        keep_membrane=neuron.keep.detach().double().numpy(),
        gain=neuron.gain,
        threshold=neuron.threshold,
        compare=">=",
        reset="subtract",
        reset_amount=0.5 * neuron.threshold,
    )


ranvier.register_neuron(Sluggish, as_lif, states=("reset_membrane",), returns=("spikes", "reset_membrane"))


class Net(nn.Module):
    """Two layers in a time loop, as such networks are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.n1 = nn.Linear(12, 20), Sluggish(20)
        self.fc2, self.n2 = nn.Linear(20, 4), Sluggish(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(time, batch, 12) to (time, batch, 4)."""
        v1, v2 = torch.zeros(x.shape[1], 20), torch.zeros(x.shape[1], 4)
        out = []
        for frame in x:
            s1, v1 = self.n1(self.fc1(frame), v1)
            s2, v2 = self.n2(self.fc2(s1), v2)
            out.append(s2)
        return torch.stack(out)


def imported(model: nn.Module) -> Any:
    """``model`` as Ranvier's network."""
    return ranvier.load(model, sample=torch.rand(8, 1, 12))
