"""Spikes that the user's own module gives: equal to those of the imported network, whatever way it takes its data."""

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")

import torch  # noqa: E402 - behind the checks
from torch import nn  # noqa: E402

from ranvier.compiler.diagnostics import RanvierError  # noqa: E402
from ranvier.frontends.torch.load import load_torch  # noqa: E402
from ranvier.frontends.torch.spikes import recorded_spikes  # noqa: E402
from ranvier.runtimes import reference  # noqa: E402

STEPS = 9


class Loop(nn.Module):
    """Takes (time, batch, features), or one static frame (batch, features)."""

    def __init__(self, static: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.static = static
        self.fc1, self.lif1 = nn.Linear(6, 8), snntorch.Leaky(beta=0.8)
        self.fc2, self.lif2 = nn.Linear(8, 3), snntorch.Leaky(beta=0.9, reset_mechanism="zero")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in range(STEPS if self.static else x.shape[0]):
            spikes, first = self.lif1(self.fc1(x if self.static else x[step]), first)
            spikes, second = self.lif2(self.fc2(spikes), second)
            out.append(spikes)
        return torch.stack(out)


def one_step() -> nn.Module:
    torch.manual_seed(2)
    hidden = snntorch.Leaky(beta=0.8, init_hidden=True)
    return nn.Sequential(nn.Linear(6, 8), hidden, nn.Linear(8, 3), snntorch.Leaky(beta=0.9, init_hidden=True))


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int | None]] = {
    "sequence": (lambda: Loop(static=False), (STEPS, 2, 6), None),
    "static": (lambda: Loop(static=True), (2, 6), None),
    "single step": (one_step, (2, 6), STEPS),
}


def data(static: bool) -> np.ndarray:
    rng = np.random.default_rng(3)
    frames = (rng.random((5, 1 if static else STEPS, 6)) * 3).astype(np.float32)
    return np.repeat(frames, STEPS, axis=1) if static else frames


@pytest.mark.parametrize("kind", CASES)
def test_every_way_gives_the_spikes_of_the_imported_network(kind: str) -> None:
    make, shape, steps = CASES[kind]
    module, inputs = make(), data(kind == "static")
    sample = np.random.default_rng(4).random(shape).astype(np.float32)
    network = load_torch(module, sample=sample, steps=steps, coding="current")
    wanted = reference.run(network, inputs, ("spikes",)).spikes
    found = recorded_spikes(module, inputs, sample=sample, steps=steps)
    assert set(found) == set(wanted)
    assert sum(spikes.sum() for spikes in found.values()) > 10
    for name, spikes in found.items():
        assert spikes.shape == wanted[name].shape
        assert np.mean(spikes == wanted[name]) > 0.995, name


def test_data_that_the_module_cannot_run_are_refused() -> None:
    sample = np.random.default_rng(4).random((2, 6)).astype(np.float32)
    with pytest.raises(RanvierError, match="RV297"):
        recorded_spikes(Loop(static=True), data(static=False), sample=sample)
    with pytest.raises(RanvierError, match="RV297"):
        recorded_spikes(Loop(static=True), data(static=True)[:, :, :4], sample=sample)
