"""Networks as users write them in the torch frameworks, small enough to export: each loops over ``STEPS`` steps."""

# ruff: noqa: PLC0415 - the frameworks are slow to import, and may be absent

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

STEPS = 5


def snntorch() -> Any:
    return pytest.importorskip("snntorch")


def jelly(part: str) -> Any:
    return pytest.importorskip(f"spikingjelly.activation_based.{part}")


def norse() -> Any:
    return pytest.importorskip("norse.torch")


def sinabs() -> Any:
    return pytest.importorskip("sinabs.layers")


def lively(module: Any) -> Any:
    """In evaluation mode, with weights, biases and statistics that make every layer spike, the same in every call."""
    dice = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for layer in (m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)):
            reach = 2.0 / float(layer.weight[0].numel()) ** 0.5
            layer.weight.uniform_(-0.5 * reach, reach, generator=dice)
            if layer.bias is not None:
                layer.bias.uniform_(-0.1, 0.1, generator=dice)
        for name, weights in module.named_parameters():
            if name.endswith(("input_weights", "recurrent_weights")):
                weights.normal_(generator=dice)
        for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
            statistics: Any = norm
            statistics.running_mean.uniform_(-0.3, 0.3, generator=dice)
            statistics.running_var.uniform_(0.3, 0.6, generator=dice)
            norm.weight.uniform_(0.8, 1.2, generator=dice)
            norm.bias.uniform_(-0.1, 0.1, generator=dice)
    return module.eval()


class Tutorial(nn.Module):
    """snnTorch's tutorial: two layers, spikes and membranes of all steps."""

    def __init__(self, static: bool = False, **last: Any) -> None:
        super().__init__()
        snn = snntorch()
        self.fc1, self.lif1 = nn.Linear(12, 10), snn.Leaky(beta=0.95)
        self.fc2, self.lif2 = nn.Linear(10, 4), snn.Leaky(**{"beta": 0.9, **last})
        self.static = static

    def forward(self, x: Any) -> Any:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for t in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x if self.static else x[t]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


class TutorialStep(Tutorial):
    """One step, its states passed through."""

    def forward(self, x: Any, mem1: Any, mem2: Any) -> Any:  # type: ignore[override]
        spk1, mem1 = self.lif1(self.fc1(x), mem1)
        spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
        return spk2, mem1, mem2


class Largest(Tutorial):
    """The largest membrane of a last layer without reset."""

    def __init__(self) -> None:
        super().__init__(reset_mechanism="none")

    def forward(self, x: Any) -> Any:
        return super().forward(x)[1].max(0)[0]


class Currents(nn.Module):
    """Synaptic neurons, and leaky ones with a decay and a threshold each."""

    def __init__(self) -> None:
        super().__init__()
        snn, dice = snntorch(), torch.Generator().manual_seed(2)
        beta, threshold = (torch.rand(4, generator=dice) * 0.5 + 0.4 for _ in range(2))
        self.fc1, self.lif1 = nn.Linear(12, 10), snn.Synaptic(alpha=0.9, beta=0.8)
        self.fc2, self.lif2 = nn.Linear(10, 4), snn.Leaky(beta=beta, threshold=threshold)

    def forward(self, x: Any) -> Any:
        (syn1, mem1), mem2, spikes = self.lif1.init_synaptic(), self.lif2.init_leaky(), []
        for t in range(STEPS):
            spk1, syn1, mem1 = self.lif1(self.fc1(x[t]), syn1, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


class AlphaShaped(Tutorial):
    """Neurons with an excitatory and an inhibitory current."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        options = {"alpha": 0.9, "beta": 0.8, "threshold": 0.4, **options}
        self.fc1, self.lif1 = nn.Linear(12, 10, bias=False), snntorch().Alpha(**options)

    def forward(self, x: Any) -> Any:
        (rising, falling, mem1), mem2, spikes = self.lif1.init_alpha(), self.lif2.init_leaky(), []
        for t in range(STEPS):
            spk1, rising, falling, mem1 = self.lif1(self.fc1(x[t]), rising, falling, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


class OneToOne(nn.Module):
    """Neurons fed by the spikes of others with no layer between."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.first = nn.Linear(12, 9), snntorch().Leaky(beta=0.9)
        self.second, self.third = snntorch().Leaky(beta=0.8, threshold=1.5), snntorch().Leaky(beta=0.7, threshold=0.6)

    def forward(self, x: Any) -> Any:
        states, shown = [n.init_leaky() for n in (self.first, self.second, self.third)], []
        for t in range(STEPS):
            spikes, states[0] = self.first(self.fc(x[t]), states[0])
            spikes, states[1] = self.second(spikes, states[1])
            spikes, states[2] = self.third(spikes, states[2])
            shown.append(spikes)
        return torch.stack(shown)


class Decoded(nn.Module):
    """A layer without neurons at the end, its values over time averaged, added up, or the largest or last of them."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.fc1, self.lif1, self.fc2, self.how = nn.Linear(12, 10), snntorch().Leaky(beta=0.9), nn.Linear(10, 4), how

    def forward(self, x: Any) -> Any:
        mem, shown = self.lif1.init_leaky(), []
        for t in range(STEPS):
            spikes, mem = self.lif1(self.fc1(x[t]), mem)
            shown.append(self.fc2(spikes))
        whole = torch.stack(shown)
        return {"mean": whole.mean, "sum": whole.sum, "max": lambda d: whole.max(d)[0], "last": lambda _: whole[-1]}[
            self.how
        ](0)


class Recurrent(nn.Module):
    """Recurrent layers with all-to-all weights."""

    def __init__(self) -> None:
        super().__init__()
        snn = snntorch()
        self.fc1, self.lif1 = nn.Linear(12, 10), snn.RLeaky(beta=0.9, linear_features=10)
        self.fc2, self.lif2 = nn.Linear(10, 4), snn.RSynaptic(alpha=0.7, beta=0.8, linear_features=4)

    def forward(self, x: Any) -> Any:
        (spk1, mem1), (spk2, syn2, mem2), spikes = self.lif1.init_rleaky(), self.lif2.init_rsynaptic(), []
        for t in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x[t]), spk1, mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), spk2, syn2, mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


class Convolutional(nn.Module):
    """Convolutions with batch normalization and a maximum of spikes."""

    def __init__(self) -> None:
        super().__init__()
        snn = snntorch()
        self.conv1, self.bn1, self.lif1 = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), snn.Leaky(beta=0.9)
        self.pool, self.conv2 = nn.MaxPool2d(2), nn.Conv2d(4, 3, 3, bias=False)
        self.lif2 = snn.Leaky(beta=0.8, reset_mechanism="zero")
        self.flat, self.fc, self.lif3 = nn.Flatten(), nn.Linear(12, 4), snn.Leaky(beta=0.7)

    def forward(self, x: Any) -> Any:
        mem1, mem2, mem3 = (lif.init_leaky() for lif in (self.lif1, self.lif2, self.lif3))
        shown = []
        for t in range(STEPS):
            s, mem1 = self.lif1(self.bn1(self.conv1(x[t])), mem1)
            s, mem2 = self.lif2(self.conv2(self.pool(s)), mem2)
            s, mem3 = self.lif3(self.fc(self.flat(s)), mem3)
            shown.append(s)
        return torch.stack(shown)


class Residual(nn.Module):
    """SpikingJelly's SEW block: spikes are added to those of two layers later."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        layer, neuron = jelly("layer"), jelly("neuron")
        for i, channels in enumerate((2, 4, 4), 1):
            conv = layer.Conv2d(channels, 4, 3, padding=1, bias=False, step_mode="m")
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", layer.BatchNorm2d(4, step_mode="m"))
            self.add_module(f"sn{i}", getattr(neuron, kind)(step_mode="m", **options))
        self.pool, self.flat = layer.AvgPool2d(2, step_mode="m"), layer.Flatten(step_mode="m")
        self.fc, self.sn4 = layer.Linear(36, 5, step_mode="m"), neuron.LIFNode(tau=2.0, step_mode="m")

    def forward(self, x: Any) -> Any:
        first = self.sn1(self.bn1(self.conv1(x)))
        second = self.sn3(self.bn3(self.conv3(self.sn2(self.bn2(self.conv2(first))))))
        return self.sn4(self.fc(self.flat(self.pool(first + second))))


class Sequential(nn.Module):
    """Norse's SequentialState, step by step; ``largest``: the largest output over time in place of all."""

    def __init__(self, first: str, second: str, largest: bool = False) -> None:
        super().__init__()
        cells = [getattr(norse(), f"{n}Cell")(*(9, 9) if "Recurrent" in n else ()) for n in (first, second)]
        self.net = norse().SequentialState(nn.Linear(12, 9), cells[0], nn.Linear(9, 5), cells[1])
        self.largest = largest

    def forward(self, x: Any) -> Any:
        state, shown = None, []
        for t in range(STEPS):
            out, state = self.net(x[t], state)
            shown.append(out)
        return torch.stack(shown).max(0)[0] if self.largest else torch.stack(shown)


class SequentialStep(Sequential):
    """One step of it, with an integrator at the end and its states passed through."""

    def __init__(self) -> None:
        super().__init__("LIF", "LI")

    def forward(self, x: Any, v0: Any, i0: Any, v1: Any, i1: Any) -> Any:  # type: ignore[override]
        from norse.torch.functional.leaky_integrator import LIState
        from norse.torch.functional.lif import LIFFeedForwardState

        out, state = self.net(x, [None, LIFFeedForwardState(v0, i0), None, LIState(v1, i1)])
        return out, state[1].v, state[1].i, state[3].v, state[3].i


class Leak(nn.Module):
    """Sinabs' ExpLeak behind spiking layers, added up over time."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.iaf = nn.Linear(12, 9), sinabs().IAF()
        self.fc2, self.leak = nn.Linear(9, 5), sinabs().ExpLeak(tau_mem=10.0)

    def forward(self, x: Any) -> Any:
        return self.leak(self.fc2(self.iaf(self.fc1(x)))).sum(1)


def from_model() -> Any:
    """A ReLU network turned into a spiking one by Sinabs."""
    convert: Callable[..., Any] = pytest.importorskip("sinabs.from_torch").from_model
    ann = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(36, 5, bias=False), nn.ReLU(),
    )  # fmt: skip
    made = convert(lively(ann), input_shape=(2, 6, 6), batch_size=1, num_timesteps=STEPS, add_spiking_output=False)
    return made.spiking_model


def sinabs_lif() -> Any:
    """Sinabs' LIF with and without a synaptic current."""
    first, second = sinabs().LIF(tau_mem=10.0), sinabs().LIF(tau_mem=8.0, tau_syn=5.0, norm_input=False)
    return nn.Sequential(nn.Linear(12, 9), first, nn.Linear(9, 5), second)
