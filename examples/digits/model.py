"""The network: an ordinary snnTorch module, with its time loop in ``forward``."""

from pathlib import Path

import snntorch as snn
import torch
from safetensors.torch import load_file
from snntorch import surrogate
from torch import nn

STEPS = 20
BETA = 0.9
WEIGHTS = Path(__file__).with_name("weights.safetensors")


class DigitsNet(nn.Module):
    """Two convolutions and a linear layer, each followed by leaky neurons that reset to zero.

    ``forward`` takes images (batch, 1, 8, 8) with values from 0 to 1, shows them as a constant current
    for ``steps`` steps, and returns the output spikes (steps, batch, 10).
    """

    def __init__(self, steps: int = STEPS) -> None:
        super().__init__()
        self.steps = steps
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.lif1 = _leaky()
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.lif2 = _leaky()
        self.fc = nn.Linear(16 * 4 * 4, 10)
        self.lif3 = _leaky()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Spikes of the output neurons, one frame per step."""
        mem1, mem2, mem3 = self.lif1.reset_mem(), self.lif2.reset_mem(), self.lif3.reset_mem()
        spikes = []
        for _ in range(self.steps):
            spk1, mem1 = self.lif1(self.conv1(images), mem1)
            spk2, mem2 = self.lif2(self.conv2(spk1), mem2)
            spk3, mem3 = self.lif3(self.fc(spk2.flatten(1)), mem3)
            spikes.append(spk3)
        return torch.stack(spikes)


def trained() -> DigitsNet:
    """The network with the weights of this folder."""
    net = DigitsNet()
    net.load_state_dict(load_file(WEIGHTS))
    return net.eval()


def _leaky() -> snn.Leaky:
    return snn.Leaky(beta=BETA, reset_mechanism="zero", spike_grad=surrogate.fast_sigmoid(slope=25))
