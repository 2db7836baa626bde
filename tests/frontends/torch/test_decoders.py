"""A layer without neurons at the end of a module: what it returns is the membrane of a population that never fires."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sinabs.layers as sl
import snntorch as snn
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import layer, neuron
from torch import nn

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes import reference

STEPS, SAMPLES, INPUTS, CLASSES = 9, 3, 12, 4
READ: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sum": ("sum_membrane", lambda y: y.sum(0), lambda m: m.sum(1)),
    "mean": ("sum_membrane", lambda y: y.mean(0), lambda m: m.mean(1)),
    "scaled": ("sum_membrane", lambda y: 0.5 * y.mean(dim=0), lambda m: 0.5 * m.mean(1)),
    "max": ("max_membrane", lambda y: y.max(0)[0], lambda m: m.max(1)),
    "amax": ("max_membrane", lambda y: y.amax(0), lambda m: m.max(1)),
    "last": ("last_membrane", lambda y: y[-1], lambda m: m[:, -1]),
    "accumulated": ("sum_membrane", lambda y: sum(y, torch.zeros(y.shape[1:])), lambda m: m.sum(1)),
    "batch first": ("sum_membrane", lambda y: y.transpose(0, 1).mean(1), lambda m: m.mean(1)),
}
"""The readout; how the values (steps, samples, classes) are returned; the same of membranes (samples, steps, ...)."""


class Decoded(nn.Module):
    """snnTorch's loop; the last layer has no neurons."""

    def __init__(self, read: Callable[[Any], Any], last: nn.Module | None = None) -> None:
        super().__init__()
        self.fc1, self.lif, self.fc2 = nn.Linear(INPUTS, 10), snn.Leaky(beta=0.9), last or nn.Linear(10, CLASSES)
        self.read = read

    def forward(self, x: torch.Tensor) -> Any:
        mem, values = self.lif.init_leaky(), []
        for frame in x:
            spikes, mem = self.lif(self.fc1(frame), mem)
            values.append(self.fc2(spikes))
        return self.read(torch.stack(values))


def frames(*shape: int, seed: int = 3) -> torch.Tensor:
    return (torch.rand(STEPS, SAMPLES, *shape, generator=torch.Generator().manual_seed(seed)) < 0.5).float()


def lively(module: nn.Module, seed: int = 5) -> nn.Module:
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in module.parameters():
            if weights.ndim > 1:
                reach = 3.0 / float(weights[0].numel()) ** 0.5
                weights.uniform_(-0.4 * reach, reach, generator=dice)
            elif weights.ndim == 1:
                weights.uniform_(-0.3, 0.3, generator=dice)
    return module.eval()


def membranes(network: Network, x: torch.Tensor) -> Any:
    """(samples, steps, ...) of the readout, free running."""
    recorded = reference.run(network, x.double().numpy().swapaxes(0, 1), ("membrane", "spikes"))
    assert all(s.any() for name, s in recorded.spikes.items() if name != network.readout.node)
    return recorded.membrane[network.readout.node]


@pytest.mark.parametrize("how", READ)
def test_values_over_time_are_read_as_a_membrane(how: str) -> None:
    kind, read, again = READ[how]
    module, x = lively(Decoded(read)), frames(INPUTS)
    network = load_torch(module, sample=x)
    assert (network.readout.node, network.readout.kind) == ("fc2.membrane", kind)
    model = network.populations[-1].model
    assert isinstance(model, Lif)
    assert (float(model.keep_membrane), float(model.threshold), model.reset) == (0.0, np.inf, "none")
    assert not [note for note in network.notes if note.code == "RV228"]
    with torch.no_grad():
        np.testing.assert_allclose(again(membranes(network, x)), module(x), atol=1e-5)


@given(st.integers(0, 10_000), st.sampled_from(sorted(READ)), st.floats(0.0, 1.0))
def test_any_weights(seed: int, how: str, beta: float) -> None:
    _, read, again = READ[how]
    module, x = lively(Decoded(read), seed), frames(INPUTS, seed=seed)
    module.lif.beta = torch.tensor(beta)
    network = load_torch(module, sample=x, coding="spikes")
    with torch.no_grad():
        recorded = reference.run(network, x.double().numpy().swapaxes(0, 1), ("membrane",))
        np.testing.assert_allclose(again(recorded.membrane["fc2.membrane"]), module(x), atol=1e-4)


def jelly() -> nn.Module:
    return nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, step_mode="m"), neuron.LIFNode(tau=2.0, step_mode="m"),
        layer.Conv2d(4, 3, 3, step_mode="m"), layer.BatchNorm2d(3, step_mode="m"),
        layer.AdaptiveAvgPool2d(1, step_mode="m"), layer.Flatten(step_mode="m"),
    )  # fmt: skip


def test_a_chain_of_layers_and_pools_of_spikingjelly() -> None:
    class Averaged(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = jelly()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.net(x).mean(0)
            return out

    module, x = lively(Averaged()), frames(2, 6, 6)
    network = load_torch(module, sample=x)
    assert network.readout.kind == "sum_membrane"
    with torch.no_grad():
        np.testing.assert_allclose(membranes(network, x).mean(1).reshape(SAMPLES, -1), module(x), atol=1e-5)


def test_batch_first_layers_of_sinabs() -> None:
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(INPUTS, 10), sl.LIF(tau_mem=8.0), nn.Linear(10, CLASSES))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.net(x).sum(1)
            return out

    module, x = lively(Summed()), frames(INPUTS)
    network = load_torch(module, sample=x.transpose(0, 1))
    assert network.readout.node == "net.2.membrane"
    with torch.no_grad():
        answer = module(x.transpose(0, 1))
    np.testing.assert_allclose(membranes(network, x).sum(1), answer, atol=1e-5)


def test_one_step_per_call() -> None:
    """Its user decides how the steps are read."""
    module = nn.Sequential(nn.Linear(INPUTS, 10), snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(10, CLASSES))
    x = frames(INPUTS)
    with pytest.raises(RanvierError, match="readout='last_membrane'") as found:
        load_torch(lively(module), sample=x[0], steps=STEPS)
    assert found.value.diagnostics[0].code == "RV221"
    network = load_torch(module, sample=x[0], steps=STEPS, readout="last_membrane", coding="spikes")
    assert (network.readout.node, network.readout.kind) == ("2.membrane", "last_membrane")
    with torch.no_grad():
        module[1].reset_hidden()
        answers = [module(frame) for frame in x]
    np.testing.assert_allclose(membranes(network, x)[:, -1], answers[-1], atol=1e-5)


def test_on_the_chip() -> None:
    """The membrane is read from the chip: whatever the executor, the same; the answers are the module's."""
    module, x = lively(Decoded(READ["mean"][1])), frames(INPUTS)
    data = x.double().numpy().swapaxes(0, 1)
    app = ranvier.compile(load_torch(module, sample=x), "loihi2", data)
    ours, theirs = app.run(data), app.run(data, runtime="oracle")
    np.testing.assert_array_equal(ours.outputs, theirs.outputs)
    with torch.no_grad():
        np.testing.assert_array_equal(ours.predictions, module(x).argmax(1))


def weighted(y: torch.Tensor) -> torch.Tensor:
    return (y * torch.linspace(1, 2, STEPS).reshape(-1, 1, 1)).sum(0)


def least(y: torch.Tensor) -> torch.Tensor:
    return -y.sum(0)


def early(y: torch.Tensor) -> torch.Tensor:
    return y[:-1].sum(0)


def single(y: torch.Tensor) -> torch.Tensor:
    return y[2]


@pytest.mark.parametrize("read", [weighted, least, early, single])
def test_what_no_readout_gives_is_refused(read: Callable[[Any], Any]) -> None:
    with pytest.raises(RanvierError) as found:
        load_torch(lively(Decoded(read)), sample=frames(INPUTS))
    assert [d.code for d in found.value.diagnostics] <= ["RV220"] or found.value.diagnostics[0].code == "RV185"


def test_a_layer_that_changes_is_refused() -> None:
    class Changing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.lif = nn.Linear(INPUTS, 10), snn.Leaky(beta=0.9)
            self.last = nn.ModuleList(nn.Linear(10, CLASSES) for _ in range(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, total = self.lif.init_leaky(), torch.zeros(x.shape[1], CLASSES)
            for step, frame in enumerate(x):
                spikes, mem = self.lif(self.fc1(frame), mem)
                total = total + self.last[step % 2](spikes)
            return total

    with pytest.raises(RanvierError) as found:
        load_torch(Changing(), sample=frames(INPUTS))
    assert [d.code for d in found.value.diagnostics] == ["RV220"]


def test_spikes_come_before_a_layer_and_the_choice_is_noted() -> None:
    class Both(Decoded):
        def forward(self, x: torch.Tensor) -> Any:
            mem, values, fired = self.lif.init_leaky(), [], []
            for frame in x:
                spikes, mem = self.lif(self.fc1(frame), mem)
                fired.append(spikes)
                values.append(self.fc2(spikes))
            return torch.stack(values).sum(0), torch.stack(fired)

    network = load_torch(lively(Both(lambda y: y)), sample=frames(INPUTS))
    assert network.readout.node == "lif"
    assert [n.text for n in network.notes if n.code == "RV221"] == [
        "the module also returns fc2.membrane; the readout is lif"
    ]
