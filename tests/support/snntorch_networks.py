"""Networks as users of snnTorch write them, and their spikes held against those of the imported network."""

from typing import Any

import numpy as np
import snntorch as snn
import torch
from numpy.typing import NDArray
from snntorch import utils
from torch import nn
from torch.nn import functional

from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.verify import check_network
from ranvier.runtimes.reference import run


class TutorialNet(nn.Module):
    """The network of snnTorch's tutorial: static or spiking input, loop over a fixed number of steps."""

    def __init__(self, steps: int = 12, static: bool = False) -> None:
        super().__init__()
        self.steps, self.static = steps, static
        self.fc1, self.lif1 = nn.Linear(20, 30), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(30, 5), snn.Leaky(beta=0.8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for step in range(self.steps):
            spk1, mem1 = self.lif1(self.fc1(x if self.static else x[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes, dim=0), torch.stack(membranes, dim=0)


def conv_sequential(hidden: bool = True) -> nn.Sequential:
    """A conv net with batch norm and pooling, one step per call."""
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding="same", bias=False),
        nn.BatchNorm2d(6),
        snn.Leaky(beta=0.7, init_hidden=hidden),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 8, 3, stride=2, padding=1, groups=2),
        snn.Leaky(beta=0.5, init_hidden=hidden, reset_mechanism="zero"),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(8 * 2 * 2, 4),
        snn.Leaky(beta=0.9, init_hidden=hidden, output=True),
    )
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.02, 0.1)
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.uniform_(0.0, 0.6)
    return net.eval()


class RecurrentNet(nn.Module):
    """RLeaky all to all, RSynaptic one to one; batch first; spikes written into a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 12), nn.Linear(12, 5)
        self.rlif = snn.RLeaky(beta=0.8, linear_features=12)
        self.rsyn = snn.RSynaptic(alpha=0.5, beta=0.7, all_to_all=False, V=0.4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spk1, mem1 = self.rlif.reset_mem()
        spk2, syn2, mem2 = self.rsyn.reset_mem()
        record = torch.zeros(x.size(0), x.size(1), 5)
        for t in range(x.size(1)):
            spk1, mem1 = self.rlif(self.fc1(x[:, t]), spk1, mem1)
            spk2, syn2, mem2 = self.rsyn(self.fc2(spk1), spk2, syn2, mem2)
            record[:, t] = spk2
        return record


class ResidualNet(nn.Module):
    """Additions of every kind, in a loop over blocks; the count is taken along the way."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.lif0 = nn.Conv1d(3, 4, 3, padding=1), snn.Leaky(beta=0.6)
        self.convs = nn.ModuleList(nn.Conv1d(4, 4, 3, padding=d, dilation=d) for d in (1, 2, 3))
        self.lifs = nn.ModuleList(snn.Leaky(beta=0.6 + 0.1 * i) for i in range(3))
        self.fc, self.lif = nn.Linear(4 * 10, 3), snn.Leaky(beta=0.9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        utils.reset(self)
        count = torch.zeros(1)
        for frame in x.unbind(-1):
            spk, _ = self.lif0(self.stem(frame))
            for i, (conv, lif) in enumerate(zip(self.convs, self.lifs, strict=True)):
                new, _ = lif(conv(spk))
                if i == 0:
                    new += spk
                    spk = new
                elif i == 1:
                    spk = torch.add(new, spk, alpha=0.5)
                else:
                    spk = new.add_(spk * 0.25)
            out, _ = self.lif(self.fc(spk.view(spk.size(0), -1)))
            count = count + out
        return count


class TwoBranchNet(nn.Module):
    """Two branches joined by cat, pooled and averaged, and an explicit recurrent layer with bias."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(1, 2, 5, padding=2)
        self.lif_left, self.lif_right = snn.Synaptic(alpha=0.4, beta=0.7), snn.Lapicque(beta=0.8, threshold=0.2)
        self.fc, self.back = nn.Linear(5, 6), nn.Linear(6, 6)
        self.lif = snn.Leaky(beta=0.9, reset_delay=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        syn, mem_l = self.lif_left.reset_mem()
        mem_r, mem = self.lif_right.reset_mem(), self.lif.reset_mem()
        spk = torch.zeros(x.shape[1], 6)
        rec = []
        for frame in x:
            spk_l, syn, mem_l = self.lif_left(self.left(frame), syn, mem_l)
            spk_r, mem_r = self.lif_right(self.right(frame), mem_r)
            both = functional.avg_pool2d(torch.cat((spk_l, spk_r), dim=1), 2)
            spk, mem = self.lif(self.fc(both.mean((2, 3))) * 3.0 + self.back(spk), mem)
            rec.append(spk)
        return torch.stack(rec).mean(0)


def lively(module: nn.Module) -> nn.Module:
    """The module with weights strong enough that all its neurons fire."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, (nn.Linear, nn.Conv1d, nn.Conv2d)):
                part.weight.mul_(2.5)
                if part.bias is not None:
                    part.bias.uniform_(0.0, 0.4)
    return module


def spikes_of(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> dict[str, NDArray[np.float64]]:
    """What the module's own neurons fire, (batch, steps, ...)."""
    found: dict[str, list[Any]] = {}
    hooks = []
    for name, part in module.named_modules():
        if hasattr(part, "spike_grad"):

            def note(_m: nn.Module, _a: Any, out: Any, name: str = name) -> None:
                first = out[0] if isinstance(out, tuple) else out
                found.setdefault(name, []).append((first != 0).double().numpy().copy())

            hooks.append(part.register_forward_hook(note))
    utils.reset(module)
    with torch.no_grad():
        for x in inputs:
            module(x)
    for hook in hooks:
        hook.remove()
    return {name: np.stack(frames, axis=1) for name, frames in found.items()}


def free_running(net: Network, module: nn.Module, data: NDArray[Any], inputs: tuple[torch.Tensor, ...]) -> None:
    check_network(net, "imported")
    recording = run(net, data.astype(np.float64), record=("spikes",))
    expected = spikes_of(module, inputs)
    assert set(recording.spikes) == set(expected)
    for name, spikes in expected.items():
        assert np.count_nonzero(recording.spikes[name] != spikes) == 0, name
        assert 0.02 < spikes.mean() < 0.98, name
