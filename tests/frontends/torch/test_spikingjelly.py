"""SpikingJelly's neurons, layers and blocks: the imported network sends exactly what the live module does."""

import copy
import random as python_random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes.reference import run
from support.imports import counts_of, deployed, differences, free_running, stimulus

STEPS, BATCH, NEURONS = 60, 4, 6

seeds = st.integers(0, 2**31 - 1)
scales = st.sampled_from([0.3, 1.0, 3.0])
resets = st.sampled_from([0.0, None, -0.5, 0.25])
modes = st.sampled_from(["s", "m"])
fewer = settings(max_examples=max(5, settings.default.max_examples // 2))


class Looped(nn.Module):
    """A single-step neuron in a time loop, or a multi-step one called once."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if getattr(self.part, "step_mode", "s") == "m":
            out: torch.Tensor = self.part(x)
            return out
        return torch.stack([self.part(frame) for frame in x])


def check(node: nn.Module, mode: str, seed: int, scale: float) -> None:
    functional.set_step_mode(node, mode)
    module = Looped(node)
    x = stimulus(np.random.default_rng(seed), STEPS, BATCH, (NEURONS,), scale)
    net = load_torch(module, sample=x)
    functional.reset_net(module)
    with torch.no_grad():
        shown = module(x)
    wrong, rounded = differences(net, x, shown)
    assert wrong == 0
    assert rounded <= 1


@fewer
@given(seed=seeds, reset=resets, mode=modes, scale=scales)
def test_integrate_and_fire(seed: int, reset: float | None, mode: str, scale: float) -> None:
    threshold = float(np.random.default_rng(seed).uniform(0.3, 2.0))
    check(neuron.IFNode(v_threshold=threshold, v_reset=reset), mode, seed, scale)


@fewer
@given(seed=seeds, reset=resets, decay_input=st.booleans(), mode=modes, scale=scales)
def test_leaky(seed: int, reset: float | None, decay_input: bool, mode: str, scale: float) -> None:
    random = np.random.default_rng(seed)
    tau, threshold = float(random.uniform(1.05, 12.0)), float(random.uniform(0.3, 2.0))
    node = neuron.LIFNode(tau=tau, decay_input=decay_input, v_threshold=threshold, v_reset=reset)
    check(node, mode, seed, scale)


@fewer
@given(seed=seeds, reset=resets, decay_input=st.booleans(), mode=modes, scale=scales)
def test_parametric(seed: int, reset: float | None, decay_input: bool, mode: str, scale: float) -> None:
    node = neuron.ParametricLIFNode(init_tau=2.0, decay_input=decay_input, v_reset=reset)
    with torch.no_grad():
        node.w.copy_(torch.tensor(np.random.default_rng(seed).uniform(-3.0, 3.0)))
    check(node, mode, seed, scale)


@fewer
@given(seed=seeds, reset=resets, mode=modes, scale=scales)
def test_current_based(seed: int, reset: float | None, mode: str, scale: float) -> None:
    random = np.random.default_rng(seed)
    decays = random.uniform(0.0, 1.0, 2)
    node = neuron.CUBALIFNode(float(decays[0]), float(decays[1]), v_threshold=0.7, v_reset=reset)
    check(node, mode, seed, scale)


@fewer
@given(seed=seeds, most=st.integers(1, 6), mode=modes, scale=scales)
def test_integer_valued(seed: int, most: int, mode: str, scale: float) -> None:
    random = np.random.default_rng(seed)
    node = neuron.ILIFNode(
        tau=float(random.uniform(1.05, 6.0)),
        v_threshold=float(random.uniform(0.5, 2.0)),
        surrogate_function=surrogate.MultiLevelSpikeCount(most),
    )
    check(node, mode, seed, scale)


@pytest.mark.parametrize("mode", ["s", "m"])
def test_tie_at_the_threshold_fires(mode: str) -> None:
    node = neuron.IFNode(v_threshold=1.0, v_reset=None, step_mode=mode)
    x = torch.full((8, 1, 3), 0.25)
    net = load_torch(Looped(node), sample=x)
    counts = run(net, x.numpy().swapaxes(0, 1).astype(np.float64), record=("spikes",)).spikes["part"]
    assert counts[0, :, 0].tolist() == [0, 0, 0, 1, 0, 0, 0, 1]


class ConvNet(nn.Module):
    """Multi-step throughout: layers of ``layer``, a SeqToANNContainer, pooling, dropout, two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(
            layer.SeqToANNContainer(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)),
            neuron.LIFNode(tau=2.0, step_mode="m"),
        )
        self.pool = layer.AvgPool2d(2, step_mode="m")
        self.conv = layer.Conv2d(4, 5, 3, step_mode="m")
        self.norm = layer.BatchNorm2d(5, step_mode="m")
        self.if2 = neuron.IFNode(v_reset=None, step_mode="m")
        self.flat = layer.Flatten(step_mode="m")
        self.drop = layer.Dropout(0.3, step_mode="m")
        self.fc = layer.Linear(20, 10, step_mode="m")
        self.out = neuron.ParametricLIFNode(init_tau=3.0, step_mode="m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.if2(self.norm(self.conv(self.pool(self.block(x)))))
        out: torch.Tensor = self.out(self.fc(self.drop(self.flat(x))))
        return out.mean(0)


class Tutorial(nn.Module):
    """The convolutional network of SpikingJelly's tutorial: one image in every step, MaxPool on spikes, rates out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_fc = nn.Sequential(
            layer.Conv2d(1, 4, kernel_size=3, padding=1, bias=False),
            layer.BatchNorm2d(4),
            neuron.IFNode(surrogate_function=surrogate.ATan()),
            layer.MaxPool2d(2, 2),
            layer.Conv2d(4, 4, kernel_size=3, padding=1, bias=False),
            layer.BatchNorm2d(4),
            neuron.IFNode(surrogate_function=surrogate.ATan()),
            layer.MaxPool2d(2, 2),
            layer.Flatten(),
            layer.Linear(16, 12, bias=False),
            neuron.IFNode(surrogate_function=surrogate.ATan()),
            layer.Linear(12, 10, bias=False),
            neuron.IFNode(surrogate_function=surrogate.ATan()),
        )
        functional.set_step_mode(self, "m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rates: torch.Tensor = self.conv_fc(x.unsqueeze(0).repeat(12, 1, 1, 1, 1)).mean(0)
        return rates


class SewBlock(nn.Module):
    """SEW-ResNet's basic block, joined by addition: the sum of two spike trains enters the next layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = layer.SeqToANNContainer(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.sn1 = neuron.IFNode(step_mode="m")
        self.conv2 = layer.SeqToANNContainer(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )
        self.sn2 = neuron.IFNode(step_mode="m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.sn2(self.conv2(self.sn1(self.conv1(x))))
        return out + x


class SewNet(nn.Module):
    """A stem, two blocks, average over space, a linear layer and a last neuron."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = layer.SeqToANNContainer(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.sn = neuron.IFNode(step_mode="m")
        self.blocks = nn.Sequential(SewBlock(4), SewBlock(4))
        self.fc = layer.Linear(4, 5, step_mode="m")
        self.out = neuron.LIFNode(step_mode="m")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.sn(self.stem(x)))
        x = torch.flatten(functional.seq_to_ann_forward(x, nn.AdaptiveAvgPool2d(1)), 2)
        out: torch.Tensor = self.out(self.fc(x))
        return out


def lively(module: nn.Module) -> nn.Module:
    """Weights strong enough that all neurons fire, and batch norms with statistics of their own."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, (nn.Linear, nn.Conv2d)):
                part.weight.mul_(2.5)
                if part.bias is not None:
                    part.bias.uniform_(0.0, 0.4)
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.uniform_(-0.3, 0.1)
                part.running_var.uniform_(0.3, 1.5)
                part.weight.uniform_(0.8, 1.6)
    return module.eval()


def nodes_of(module: nn.Module) -> list[str]:
    return [name for name, part in module.named_modules() if isinstance(part, neuron.BaseNode)]


def imported(module: nn.Module, x: torch.Tensor, **options: Any) -> tuple[Any, np.ndarray[Any, Any]]:
    """The network and its data, after every layer was compared with the module's."""
    net = load_torch(module, sample=x, **options)
    data = x.numpy().swapaxes(0, 1).astype(np.float64)
    functional.reset_net(module)
    free_running(net, data, counts_of(module, nodes_of(module), x, x.shape[1], x.shape[0]))
    return net, data


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(5)


@pytest.mark.parametrize("make", [ConvNet, SewNet])
def test_multi_step_networks(make: Any) -> None:
    module = lively(make())
    x = (torch.rand(12, 3, 2, 8, 8) < 0.4).float()
    net, data = imported(module, x)
    assert (net.readout.node, net.readout.kind) == ("out", "spike_count")
    deployed(net, data, least=0.85)


def test_tutorial_network() -> None:
    module = lively(Tutorial())
    x = torch.rand(3, 1, 8, 8) * 2
    net = load_torch(module, sample=x)
    assert (net.inputs[0].coding, net.inputs[0].shape) == ("current", (1, 8, 8))
    assert (net.readout.node, net.readout.kind) == ("conv_fc.12", "spike_count")
    functional.reset_net(module)
    data = np.repeat(x.numpy()[:, None].astype(np.float64), 12, axis=1)
    expected = counts_of(module, nodes_of(module), x, 3, 12)
    recording = run(net, data, record=("spikes",))
    for name, counts in expected.items():
        assert np.array_equal(recording.spikes[name], counts), name
        assert 0.01 < counts.mean() < 0.99, name
    deployed(net, data, least=0.85)


def test_sew_addition_is_two_connections() -> None:
    net = load_torch(lively(SewNet()), sample=(torch.rand(8, 2, 2, 8, 8) < 0.4).float())
    assert sorted(e.source for e in net.into["blocks.1.conv1.0"]) == ["blocks.0.sn2", "sn"]


def test_single_step_network_called_once_per_step() -> None:
    parts: list[nn.Module] = [layer.Linear(9, 7), neuron.LIFNode(), layer.Linear(7, 4), neuron.IFNode()]
    module = lively(nn.Sequential(*parts))
    x = (torch.rand(15, 3, 9) < 0.5).float()
    net = load_torch(module, sample=x[0], steps=15)
    functional.reset_net(module)
    found: dict[str, list[Any]] = {"1": [], "3": []}
    with torch.no_grad():
        for frame in x:
            hidden = parts[1](parts[0](frame))
            found["1"].append(hidden.double().numpy())
            found["3"].append(parts[3](parts[2](hidden)).double().numpy())
    expected = {name: np.stack(frames, axis=1) for name, frames in found.items()}
    free_running(net, x.numpy().swapaxes(0, 1).astype(np.float64), expected)


def test_containers_over_single_step_neurons() -> None:
    parts = (nn.Linear(9, 7), neuron.LIFNode(tau=3.0), nn.Linear(7, 4), neuron.IFNode(v_reset=None))
    module = lively(nn.Sequential(layer.MultiStepContainer(*parts)))
    net, _ = imported(module, (torch.rand(15, 3, 9) < 0.5).float())
    assert [n.name for n in net.populations] == ["0.1", "0.3"]


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("kind", ["linear", "elementwise"])
def test_recurrent_containers(kind: str, mode: str) -> None:
    node = neuron.IFNode(v_reset=None)
    inside = {
        "linear": lambda: layer.LinearRecurrentContainer(node, 6, 6, step_mode=mode),
        "elementwise": lambda: layer.ElementWiseRecurrentContainer(node, lambda x, y: x - 0.5 * y, step_mode=mode),
    }[kind]()
    first = layer.Linear(5, 6, step_mode=mode)
    module = lively(nn.Sequential(first, inside))
    x = (torch.rand(14, 3, 5) < 0.6).float()
    net = load_torch(module, sample=x) if mode == "m" else load_torch(module, sample=x[0], steps=14)
    first.step_mode = inside.step_mode = "m"
    functional.reset_net(module)
    data = x.numpy().swapaxes(0, 1).astype(np.float64)
    free_running(net, data, counts_of(module, ["1.sub_module"], x, 3, 14))
    deployed(net, data, least=0.85)


def test_the_users_module_and_generators_stay_as_they_were() -> None:
    module = lively(ConvNet()).train()
    x = (torch.rand(6, 2, 2, 8, 8) < 0.4).float()
    module(x)
    states = {name: part.v.detach().clone() for name, part in module.named_modules() if hasattr(part, "v_threshold")}
    weights = copy.deepcopy(module.state_dict())
    generators = torch.get_rng_state(), str(np.random.get_state()), python_random.getstate()  # noqa: NPY002
    load_torch(module, sample=x)
    assert module.training
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert str(np.random.get_state()) == generators[1]  # noqa: NPY002
    assert python_random.getstate() == generators[2]
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in weights.items())
    assert all(torch.equal(module.get_submodule(name).v, state) for name, state in states.items())
    assert len(states) == 3


def refused(module: nn.Module, x: torch.Tensor) -> set[str]:
    with pytest.raises(RanvierError) as caught:
        load_torch(module, sample=x)
    for found in caught.value.diagnostics:
        assert found.fix
        assert found.place
    return {found.code for found in caught.value.diagnostics}


class Own(neuron.LIFNode):  # type: ignore[misc]
    """A neuron that a user has derived."""


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (neuron.QIFNode(step_mode="m"), "RV231"),
        (neuron.EIFNode(step_mode="m"), "RV231"),
        (neuron.KLIFNode(step_mode="m"), "RV231"),
        (neuron.PSN(T=8), "RV231"),
        (Own(step_mode="m"), "RV191"),
        (neuron.LIFNode(step_mode="m", surrogate_function=surrogate.ATan(spiking=False)), "RV230"),
        (neuron.IFNode(step_mode="m", v_threshold=0.0), "RV230"),
    ],
)
def test_neurons_that_are_refused(node: nn.Module, code: str) -> None:
    module = nn.Sequential(layer.Linear(5, 6, step_mode="m"), neuron.IFNode(step_mode="m"), node)
    assert refused(module, torch.rand(8, 2, 5)) == {code}


def test_a_layer_without_counterpart_is_named() -> None:
    filtered = layer.SynapseFilter(2.0, step_mode="m")
    module = nn.Sequential(layer.Linear(5, 6, step_mode="m"), neuron.IFNode(step_mode="m"), filtered)
    assert refused(module, torch.rand(8, 2, 5)) == {"RV231"}


def test_one_step_of_a_sequence_is_not_enough() -> None:
    module = nn.Sequential(layer.Linear(5, 6, step_mode="m"), neuron.IFNode(step_mode="m"))
    assert refused(module, torch.rand(1, 2, 5)) == {"RV212"}


def test_batch_and_time_exchanged() -> None:
    """The multi-step module takes the first axis as time, whatever its user means by it."""
    module = nn.Sequential(layer.Linear(5, 6, step_mode="m"), neuron.IFNode(step_mode="m"))
    net = load_torch(module, sample=torch.rand(7, 2, 5))
    assert net.inputs[0].shape == (5,)
