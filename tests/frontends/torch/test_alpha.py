"""snnTorch's Alpha: two currents and a membrane without memory, as a neuron whose current acts one step late."""

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes.reference import run

NEURONS, BATCH, STEPS = 5, 3, 80


class Looped(nn.Module):
    """An Alpha in a time loop, its three states handed on."""

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, out = [torch.zeros_like(x[0])] * 3, []
        for frame in x:
            spikes, *states = self.neuron(frame, *states)
            out.append(spikes)
        return torch.stack(out)


@settings(max_examples=15)
@given(st.integers(0, 2**31 - 1), st.sampled_from(["zero", "none"]), st.booleans())
def test_spikes(seed: int, reset: str, hidden: bool) -> None:
    random, _ = np.random.default_rng(seed), torch.manual_seed(seed)
    beta = random.uniform(0.0, 0.7, NEURONS)
    alpha = beta + (0.98 - beta) * random.uniform(0.1, 1.0, NEURONS)
    fast, slow = (torch.tensor(values, dtype=torch.float32) for values in (beta, alpha))
    neuron = snn.Alpha(
        alpha=slow, beta=fast, threshold=float(random.uniform(0.2, 1.2)), reset_mechanism=reset, init_hidden=hidden
    )
    x = torch.randn(STEPS, BATCH, NEURONS) * 1.5 + 0.3
    module: nn.Module = nn.Sequential(neuron) if hidden else Looped(neuron)
    sample = x[0] if hidden else x[:8]
    network = load_torch(module, sample=sample)
    with torch.no_grad():
        expected = (torch.stack([module(f) for f in x]) if hidden else module(x)).numpy().swapaxes(0, 1)
    assert np.array_equal(run(network, x.numpy().swapaxes(0, 1)).outputs, expected)


def test_a_reset_that_mixes_threshold_and_current_is_refused() -> None:
    with pytest.raises(RanvierError) as caught:
        load_torch(Looped(snn.Alpha(0.9, 0.8, reset_mechanism="subtract")), sample=torch.randn(8, BATCH, NEURONS))
    (found,) = caught.value.diagnostics
    assert (found.code, found.place) == ("RV190", "neuron")
    assert "'zero'" in found.fix
