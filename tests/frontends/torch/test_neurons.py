"""Every snnTorch neuron and option: the imported network fires exactly as the live module does."""

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes.reference import run

NEURONS, BATCH, STEPS = 6, 4, 60
ROUNDING = 2e-5

seeds = st.integers(0, 2**31 - 1)
resets = st.sampled_from(["subtract", "zero", "none"])
scales = st.sampled_from([0.3, 1.0, 3.0])


class Looped(nn.Module):
    """One population in a time loop, states handed on by the caller."""

    def __init__(self, neuron: nn.Module, states: int) -> None:
        super().__init__()
        self.neuron, self.states = neuron, states

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        state = [torch.zeros_like(x[0]) for _ in range(self.states)]
        spikes, membranes = [], []
        for t in range(len(x)):
            result = self.neuron(x[t], *state)
            state = list(result[-self.states :])
            spikes.append(result[0])
            membranes.append(result[-1])
        return torch.stack(spikes), torch.stack(membranes)


def per_neuron(random: np.random.Generator, low: float, high: float) -> torch.Tensor | float:
    if random.random() < 0.5:
        return float(random.uniform(low, high))
    return torch.tensor(random.uniform(low, high, NEURONS), dtype=torch.float32)


def stimulus(random: np.random.Generator, scale: float) -> torch.Tensor:
    """Noise of either sign, then strong drive, an impulse in silence, and inhibition."""
    x = random.normal(0.2, 0.7, (STEPS, BATCH, NEURONS)) * scale
    x[20:25] += 2.5
    x[30:40] = 0.0
    x[32] = 3.0
    x[45:48] -= 2.0
    return torch.tensor(x, dtype=torch.float32)


def differences(net: Network, x: torch.Tensor, module: nn.Module) -> tuple[int, int, NDArray[np.float64]]:
    """Spikes that differ without, and with, the excuse of rounding; and the membranes of the network.

    A neuron is followed up to its first difference, which may only be where the membrane is within rounding
    of the firing level.
    """
    with torch.no_grad():
        spikes = (module(x)[0] != 0).double().numpy().swapaxes(0, 1)
    recording = run(net, x.numpy().swapaxes(0, 1), record=("spikes", "membrane"))
    (population,) = net.populations
    mine, membrane = recording.spikes[population.name], recording.membrane[population.name]
    first = np.cumsum(mine != spikes, axis=1) == 1
    first &= mine != spikes
    assert isinstance(population.model, Lif)
    threshold = population.model.threshold
    margin = np.minimum(np.abs(membrane - threshold), np.abs(membrane - 2 * threshold))
    excused = margin < ROUNDING * np.maximum(1.0, np.abs(membrane))
    return int(np.sum(first & ~excused)), int(np.sum(first & excused)), membrane


def check(neuron: nn.Module, states: int, seed: int, scale: float) -> None:
    module = Looped(neuron, states)
    x = stimulus(np.random.default_rng(seed), scale)
    wrong, excused, membrane = differences(load_torch(module, sample=x[:8]), x, module)
    assert wrong == 0
    assert excused <= 2
    assert np.isfinite(membrane).all()


@given(seeds, resets, st.booleans(), scales)
def test_leaky(seed: int, reset: str, delay: bool, scale: float) -> None:
    random = np.random.default_rng(seed)
    neuron = snn.Leaky(
        beta=per_neuron(random, 0.1, 1.2),
        threshold=per_neuron(random, 0.4, 1.5),
        reset_mechanism=reset,
        reset_delay=delay,
        graded_spikes_factor=float(random.choice([1.0, 0.5])),
    )
    check(neuron, 1, seed, scale)


@given(seeds, resets, st.booleans(), scales)
def test_synaptic(seed: int, reset: str, delay: bool, scale: float) -> None:
    random = np.random.default_rng(seed)
    neuron = snn.Synaptic(
        alpha=per_neuron(random, 0.0, 1.1),
        beta=per_neuron(random, 0.1, 0.99),
        threshold=per_neuron(random, 0.4, 1.5),
        reset_mechanism=reset,
        reset_delay=delay,
    )
    check(neuron, 2, seed, scale / 3)


@given(seeds, resets, st.booleans(), st.booleans(), scales)
def test_recurrent_leaky(seed: int, reset: str, delay: bool, all_to_all: bool, scale: float) -> None:
    random, _ = np.random.default_rng(seed), torch.manual_seed(seed)
    neuron = snn.RLeaky(
        beta=per_neuron(random, 0.1, 0.99),
        threshold=per_neuron(random, 0.4, 1.5),
        all_to_all=all_to_all,
        linear_features=NEURONS if all_to_all else None,
        V=1.0 if all_to_all else per_neuron(random, -1.0, 1.0),
        reset_mechanism=reset,
        reset_delay=delay,
    )
    neuron.graded_spikes_factor.fill_(float(random.choice([1.0, 0.5])))
    check(neuron, 2, seed, scale)


@given(seeds, resets, st.booleans(), st.booleans(), scales)
def test_recurrent_synaptic(seed: int, reset: str, delay: bool, all_to_all: bool, scale: float) -> None:
    random, _ = np.random.default_rng(seed), torch.manual_seed(seed)
    neuron = snn.RSynaptic(
        alpha=per_neuron(random, 0.0, 0.9),
        beta=per_neuron(random, 0.1, 0.99),
        threshold=per_neuron(random, 0.4, 1.5),
        all_to_all=all_to_all,
        linear_features=NEURONS if all_to_all else None,
        V=1.0 if all_to_all else per_neuron(random, -1.0, 1.0),
        reset_mechanism=reset,
        reset_delay=delay,
    )
    check(neuron, 3, seed, scale / 3)


@given(seeds, resets, scales, st.booleans())
def test_lapicque(seed: int, reset: str, scale: float, by_beta: bool) -> None:
    random = np.random.default_rng(seed)
    options = {"beta": float(random.uniform(0.4, 0.99))} if by_beta else {"R": float(random.uniform(0.5, 3)), "C": 4.0}
    neuron = snn.Lapicque(**options, threshold=float(random.uniform(0.1, 0.5)), reset_mechanism=reset)
    check(neuron, 1, seed, scale * 3)


@pytest.mark.parametrize("beta", [0.0, 0.01, torch.tensor([0.0, 0.5, 0.9, 0.0, 0.01, 1.0])])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [True, False])
def test_leaky_without_memory(beta: float | torch.Tensor, reset: str, delay: bool) -> None:
    check(snn.Leaky(beta=beta, reset_mechanism=reset, reset_delay=delay), 1, 5, 1.0)


@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_tie_at_the_threshold_does_not_fire(reset: str) -> None:
    module = Looped(snn.Leaky(beta=0.5, threshold=1.0, reset_mechanism=reset), 1)
    x = torch.tensor(np.random.default_rng(0).integers(-4, 9, (STEPS, BATCH, NEURONS)) / 4, dtype=torch.float32)
    x[0] = 1.0
    wrong, excused, membrane = differences(load_torch(module, sample=x), x, module)
    assert (wrong, excused) == (0, 0)
    assert np.sum(membrane == 1.0) > 10


def test_the_bound_reset_counts_not_the_attribute() -> None:
    neuron = snn.Leaky(beta=0.9)
    neuron.reset_mechanism = "zero"
    net = load_torch(Looped(neuron, 1), sample=torch.rand(5, 1, NEURONS))
    model = net.populations[0].model
    assert isinstance(model, Lif)
    assert model.reset == "subtract"
    check(neuron, 1, 3, 1.0)


def test_convolutional_recurrence() -> None:
    torch.manual_seed(3)
    neuron = snn.RLeaky(beta=0.8, all_to_all=True, conv2d_channels=2, kernel_size=3)
    module = Looped(neuron, 2)
    x = torch.randn(12, 3, 2, 5, 4) + 0.4
    net = load_torch(module, sample=x)
    wrong, _, _ = differences(net, x, module)
    assert wrong == 0
    assert [type(op).__name__ for op in net.linears] == ["Conv"]
