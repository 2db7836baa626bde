"""Topologies as users write them in torch: decoders, shared layers, feedback over layers, delays, readouts."""

from collections import deque

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network, ReadoutKind
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.pipeline import prepare
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes.reference import run

STEPS = 10


def assert_same(module: nn.Module, x: torch.Tensor) -> Network:
    """The imported and the prepared network fire as the module does; ``x`` (steps, samples, ...)."""
    with torch.no_grad():
        expected = module(x).numpy().swapaxes(0, 1)
    network = check_network(load_torch(module, sample=x[:, :1]), "imported")
    inputs = x.numpy().swapaxes(0, 1)
    for form in (network, prepare(network)):
        np.testing.assert_array_equal(run(form, inputs).outputs, expected)
    assert expected.any()
    return network


class Decoder(nn.Module):
    """Down by a strided depthwise convolution, up by a transposed one, with a skip connection."""

    def __init__(self, functionally: bool) -> None:
        super().__init__()
        self.functionally = functionally
        self.down = nn.Conv2d(2, 4, (3, 1), stride=2, padding=(1, 0), groups=2)
        self.up = nn.ConvTranspose2d(4, 2, (2, 3), stride=2, padding=(0, 1), output_padding=(0, 1), groups=2)
        self.line = nn.ConvTranspose1d(12, 3, 4, stride=2, dilation=2)
        self.lif1, self.lif2 = snn.Leaky(beta=0.7, threshold=0.3), snn.Leaky(beta=0.6, threshold=0.3)
        self.lif3 = snn.Leaky(beta=0.5, threshold=0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, mem3, spikes = (*[lif.init_leaky() for lif in (self.lif1, self.lif2, self.lif3)], [])
        up = self.up
        for frame in x:
            spk1, mem1 = self.lif1(self.down(frame), mem1)
            grown = functional.conv_transpose2d(
                spk1, up.weight, up.bias, up.stride, up.padding, output_padding=(0, 1), groups=2
            ) if self.functionally else up(spk1)  # fmt: skip
            spk2, mem2 = self.lif2(grown + frame, mem2)
            spk3, mem3 = self.lif3(self.line(spk2.flatten(1, 2)), mem3)
            spikes.append(spk3)
        return torch.stack(spikes)


@pytest.mark.parametrize("functionally", [False, True])
def test_decoders_with_skip_connections(functionally: bool) -> None:
    torch.manual_seed(1)
    assert_same(Decoder(functionally).eval(), (torch.rand(STEPS, 3, 2, 6, 4) < 0.5).float())


class Looped(nn.Module):
    """What the last layer sent ``age`` steps before goes back into the first; one layer is used twice."""

    def __init__(self, age: int) -> None:
        super().__init__()
        self.age = age
        self.inner, self.back = nn.Linear(6, 6), nn.Linear(4, 6, bias=False)
        self.shared, self.out = nn.Linear(6, 6, bias=False), nn.Linear(6, 4)
        self.lif1, self.lif2, self.lif3 = (snn.Leaky(beta=0.8, threshold=0.3) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, mem3, spikes = (*[lif.init_leaky() for lif in (self.lif1, self.lif2, self.lif3)], [])
        sent = deque([torch.zeros(x.shape[1], 4)] * self.age, maxlen=self.age)
        for frame in x:
            spk1, mem1 = self.lif1(self.inner(frame) + self.back(sent[0]), mem1)
            spk2, mem2 = self.lif2(self.shared(spk1) + self.shared(frame), mem2)
            spk3, mem3 = self.lif3(self.out(spk2 + spk1), mem3)
            sent.append(spk3)
            spikes.append(spk3)
        return torch.stack(spikes)


def test_feedback_over_three_layers_and_shared_weights() -> None:
    torch.manual_seed(2)
    network = assert_same(Looped(3).eval(), (torch.rand(STEPS, 3, 6) < 0.5).float())
    assert {e.delay for e in network.edges} == {0, 3}
    assert [p.latency for p in prepare(network).populations] == [1, 2, 3]


def test_feedback_that_comes_back_sooner_than_a_chip_can_is_refused_when_compiled() -> None:
    torch.manual_seed(3)
    network = load_torch(Looped(1).eval(), sample=(torch.rand(STEPS, 1, 6) < 0.5).float())
    with pytest.raises(RanvierError, match="RV370"):
        prepare(network)


class Last(nn.Module):
    """One layer; all its spikes and membranes are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 5), snn.Leaky(beta=0.9, threshold=0.5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mem, spikes, membranes = self.lif.init_leaky(), [], []
        for frame in x:
            spk, mem = self.lif(self.fc(frame), mem)
            spikes.append(spk)
            membranes.append(mem)
        return torch.stack(spikes), torch.stack(membranes)


@pytest.mark.parametrize("kind", ["spike_count", "first_spike", "last_membrane", "max_membrane", "sum_membrane"])
def test_every_readout_gives_the_modules_answer(kind: ReadoutKind) -> None:
    torch.manual_seed(4)
    module, x = Last().eval(), (torch.rand(STEPS, 12, 6) < 0.3).float()
    with torch.no_grad():
        spikes, membranes = module(x)
    first = torch.where(spikes.bool(), torch.arange(STEPS)[:, None, None], STEPS).amin(dim=0)
    scores = {
        "spike_count": spikes.mean(dim=0), "first_spike": -first, "last_membrane": membranes[-1],
        "max_membrane": membranes.amax(dim=0), "sum_membrane": membranes.sum(dim=0),
    }  # fmt: skip
    network = load_torch(module, sample=x[:, :1], readout=kind)
    predicted = run(network, x.numpy().swapaxes(0, 1)).predictions
    np.testing.assert_array_equal(predicted, scores[kind].numpy().argmax(axis=1))
    assert len(set(predicted.tolist())) > 1
