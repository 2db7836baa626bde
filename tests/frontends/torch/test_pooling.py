"""Max pooling of spikes as relay neurons: exact for every geometry, refused for anything but binary spikes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes import oracle, simulator
from ranvier.runtimes.observe import observe
from ranvier.runtimes.reference import run
from ranvier.targets.load import load_target

STEPS = 6
Between = Callable[[torch.Tensor], torch.Tensor]


class Pooled(nn.Module):
    """Spikes of a convolution, pooled, convolved again."""

    def __init__(self, pool: Between | nn.Module, first: nn.Module | None = None, channels: int = 3) -> None:
        super().__init__()
        self.conv1, self.pool = nn.Conv2d(2, 3, 3, padding=1), pool
        self.lif1 = snn.Leaky(beta=0.8, threshold=0.4) if first is None else first
        self.conv2, self.lif2 = nn.Conv2d(channels, 2, 1), snn.Leaky(beta=0.6, threshold=0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, spikes = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for t in range(x.shape[0]):
            spk1, mem1 = self.lif1(self.conv1(x[t]), mem1)
            spk2, mem2 = self.lif2(self.conv2(self.pool(spk1)), mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


def frames(samples: int = 2, size: tuple[int, int] = (7, 6), steps: int = STEPS) -> torch.Tensor:
    return (torch.rand(steps, samples, 2, *size) < 0.4).float()


def imported(module: nn.Module, x: torch.Tensor) -> Network:
    return check_network(load_torch(module, sample=x[:, :1]), "imported")


def assert_same(module: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        expected = module(x).numpy().swapaxes(0, 1)
    got = run(imported(module, x), x.numpy().swapaxes(0, 1)).outputs
    np.testing.assert_array_equal(got, expected)
    assert expected.any()


@settings(max_examples=15)
@given(st.data(), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.booleans())
def test_every_geometry_gives_the_modules_spikes(
    data: Any, height: int, width: int, stride: int, dilation: int, ceil: bool
) -> None:
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    padding = data.draw(st.integers(0, min(height, width) // 2))
    pool = nn.MaxPool2d((height, width), stride, padding, dilation, ceil_mode=ceil)
    module, x = Pooled(pool).eval(), frames()
    with torch.no_grad():
        assume(bool(module(x).any()))
    assert_same(module, x)


@pytest.mark.parametrize(
    "pool",
    [
        nn.AdaptiveMaxPool2d(2),
        nn.AdaptiveMaxPool2d((3, None)),
        lambda s: functional.max_pool2d(s, 2),
        lambda s: functional.max_pool2d(s, kernel_size=3, stride=1, padding=1),
        lambda s: functional.adaptive_max_pool2d(s, (2, 4)),
        lambda s: functional.max_pool2d(functional.max_pool2d(s, 2, 1), 2),
        lambda s: functional.max_pool1d(s.flatten(2), 3).unflatten(2, (2, 7)),
        lambda s: functional.max_pool2d(torch.cat([s[:, :, :, :], s], dim=2), 2),
        lambda s: functional.max_pool2d(s, 2) + functional.avg_pool2d(s, 2),
    ],
)
def test_other_ways_to_write_it(pool: Between) -> None:
    torch.manual_seed(4)
    assert_same(Pooled(pool).eval(), frames())


def test_the_height_of_spikes_goes_behind_the_pool() -> None:
    torch.manual_seed(5)
    tall = snn.Leaky(beta=0.8, threshold=0.4, graded_spikes_factor=2.5)
    assert_same(Pooled(nn.MaxPool2d(2), tall).eval(), frames())


def test_the_chip_agrees_exactly_and_one_step_later() -> None:
    torch.manual_seed(6)
    module, x = Pooled(nn.MaxPool2d(3, 2, 1)).eval(), frames(3)
    prepared = prepare(imported(module, x))
    inputs = x.numpy().swapaxes(0, 1)
    chip = lower(prepared, load_target("loihi2"), observe(prepared, inputs), Options())
    assert [p.latency for p in prepared.populations] == [1, 2, 3]
    a, b = (executor.run(chip, inputs, ("spikes",)) for executor in (oracle, simulator))
    relay, sender = a.spikes["pool"].astype(np.float32), a.spikes["lif1"].astype(np.float32)
    pooled = functional.max_pool2d(torch.from_numpy(sender.reshape(-1, 3, 7, 6)), 3, 2, 1)
    np.testing.assert_array_equal(relay.reshape(pooled.shape), pooled.numpy())
    for name in a.spikes:
        np.testing.assert_array_equal(a.spikes[name], b.spikes[name])
    assert relay.any()


def one(module: nn.Module, x: torch.Tensor, **options: Any) -> Diagnostic:
    with pytest.raises(RanvierError) as caught:
        load_torch(module.eval(), sample=x, **options)
    return caught.value.diagnostics[0]


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        (lambda s: functional.max_pool2d(functional.avg_pool2d(s, 2), 2), "avg_pool"),
        (lambda s: functional.max_pool2d(s + s, 2), "sum"),
        (lambda s: functional.max_pool2d(-s, 2), "scale"),
        (lambda s: functional.max_pool2d(s + 0.5, 2), "add"),
    ],
)
def test_the_maximum_of_weighted_sums_is_refused_with_alternatives(pool: Between, words: str) -> None:
    found = one(Pooled(pool), frames())
    assert found.code == "RV182"
    assert words in found.message
    assert "max_pool(lif(conv(x)))" in found.fix


def test_pooling_before_the_neurons_is_refused() -> None:
    class Tutorial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lif, self.pool = nn.Conv2d(2, 3, 3), snn.Leaky(beta=0.9), nn.MaxPool2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, spikes = self.lif.init_leaky(), []
            for t in range(x.shape[0]):
                spk, mem = self.lif(self.pool(self.conv(x[t])), mem)
                spikes.append(spk)
            return torch.stack(spikes)

    found = one(Tutorial(), frames())
    assert (found.code, found.place) == ("RV182", "pool")
    assert "what conv gives" in found.message


class PooledInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lif = snn.Leaky(beta=0.9, threshold=0.4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem, spikes = self.lif.init_leaky(), []
        for t in range(x.shape[0]):
            spk, mem = self.lif(functional.max_pool2d(x[t], 2), mem)
            spikes.append(spk)
        return torch.stack(spikes)


def test_input_spikes_are_pooled_and_input_values_refused() -> None:
    assert_same(PooledInput().eval(), frames())
    found = one(PooledInput(), torch.rand(STEPS, 2, 2, 6, 6))
    assert found.code == "RV364"
    assert "coding='spikes'" in found.fix


def test_indices_are_refused() -> None:
    found = one(Pooled(lambda s: functional.max_pool2d(s, 2, return_indices=True)[0]), frames())
    assert found.code in ("RV184", "RV182", "RV185")
