"""Networks as users write them: the imported network runs free and gives the module's spikes."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from numpy.typing import NDArray
from snntorch import utils
from torch import nn
from torch.nn import functional

from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Network
from ranvier.compiler.ir.verify import check_network
from ranvier.frontends.torch.load import STEPS, load_torch
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


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(11)


def test_tutorial_network() -> None:
    module = lively(TutorialNet())
    x = (torch.rand(12, 7, 20) < 0.5).float()
    net = load_torch(module, sample=x)
    free_running(net, module, x.numpy().swapaxes(0, 1), (x,))
    assert (net.inputs[0].coding, net.inputs[0].shape) == ("spikes", (20,))
    assert (net.readout.node, net.readout.kind) == ("lif2", "spike_count")
    assert [n.name for n in net.nodes] == ["input", "fc1", "lif1", "fc2", "lif2"]


def test_static_input_is_one_frame_per_step() -> None:
    module = lively(TutorialNet(static=True))
    x = torch.rand(7, 20) * 2
    net = load_torch(module, sample=x)
    free_running(net, module, np.repeat(x.numpy()[:, None], 12, axis=1), (x,))
    assert net.inputs[0].coding == "current"
    assert "RV229" in [note.code for note in net.notes]


def test_conv_sequential_with_hidden_states() -> None:
    module = lively(conv_sequential())
    x = (torch.rand(10, 5, 2, 8, 8) < 0.4).float()
    net = load_torch(module, sample=x[0], steps=10)
    free_running(net, module, x.numpy().swapaxes(0, 1), tuple(x))
    kinds = [type(n).__name__ for n in net.nodes]
    assert kinds.count("Scale") == 1
    assert kinds.count("Pool") == 1
    assert (net.readout.node, net.readout.kind) == ("9", "spike_count")


def test_recurrent_network_batch_first() -> None:
    module = lively(RecurrentNet())
    x = torch.randn(6, 15, 8) * 1.5
    net = load_torch(module, sample=x)
    free_running(net, module, x.numpy(), (x,))
    assert Edge("rlif", "rlif.recurrent", 1) in net.edges
    assert Edge("rlif.recurrent", "rlif", 0) in net.edges


def test_residual_network_time_last() -> None:
    module = lively(ResidualNet())
    x = torch.randn(4, 3, 10, 14)
    net = load_torch(module, sample=x)
    free_running(net, module, np.moveaxis(x.numpy(), -1, 1), (x,))
    assert net.readout.kind == "spike_count"


def test_two_branches_and_feedback() -> None:
    module = lively(TwoBranchNet())
    x = torch.randn(13, 4, 1, 8, 8) * 1.5
    net = load_torch(module, sample=x)
    free_running(net, module, x.numpy().swapaxes(0, 1), (x,))
    assert Edge("lif", "back", 1) in net.edges


class Loop(nn.Module):
    """One layer of neurons after ``before``, results through ``after``."""

    def __init__(self, before: Callable[..., torch.Tensor], after: Callable[..., Any], reset: str = "subtract") -> None:
        super().__init__()
        self.lif = snn.Leaky(beta=0.9, reset_mechanism=reset, init_hidden=False)
        self.before, self.after = before, after

    def forward(self, x: torch.Tensor) -> Any:
        mem = self.lif.reset_mem()
        spikes, membranes = [], []
        for t in range(x.shape[0]):
            spk, mem = self.lif(self.before(x, t), mem)
            spikes.append(spk)
            membranes.append(mem)
        return self.after(spikes, membranes)


@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (lambda s, _m: torch.stack(s), "spike_count"),
        (lambda s, _m: s, "spike_count"),
        (lambda s, m: (s, m), "spike_count"),
        (lambda s, m: {"membrane": torch.stack(m), "spikes": torch.stack(s)}, "spike_count"),
        (lambda s, _m: torch.stack(s, dim=1).sum(1), "spike_count"),
        (lambda s, _m: torch.stack(s, dim=-1).mean(dim=-1), "spike_count"),
        (lambda s, _m: sum(s) / len(s), "spike_count"),
        (lambda s, _m: torch.cat([x.unsqueeze(0) for x in s]), "spike_count"),
        (lambda _s, m: m[-1], "last_membrane"),
        (lambda _s, m: torch.stack(m)[-1], "last_membrane"),
        (lambda _s, m: torch.stack(m).max(0)[0], "max_membrane"),
        (lambda _s, m: torch.stack(m).amax(dim=0), "max_membrane"),
        (lambda _s, m: torch.stack(m).mean(0), "sum_membrane"),
        (lambda _s, m: torch.stack(m).sum(0).view(m[0].size(0), -1), "sum_membrane"),
    ],
)
def test_readouts(after: Callable[..., Any], kind: str) -> None:
    net = load_torch(Loop(lambda x, t: x[t], after), sample=torch.rand(6, 2, 4))
    assert (net.readout.node, net.readout.kind) == ("lif", kind)


def test_asked_readout_decides() -> None:
    module = Loop(lambda x, t: x[t], lambda s, m: (torch.stack(s), torch.stack(m)))
    assert load_torch(module, sample=torch.rand(6, 2, 4), readout="max_membrane").readout.kind == "max_membrane"


@pytest.mark.parametrize(
    "before",
    [
        lambda x, t: x.permute(1, 0, 2)[:, t],
        lambda x, t: x.transpose(0, 1).select(1, t),
        lambda x, t: x.flatten(0, 1).unflatten(0, (x.shape[0], x.shape[1]))[t],
        lambda x, t: (2 * x - x / 2 + (1 - x) * 0.5)[t, ...],
        lambda x, t: torch.stack(list(x))[t].clone().detach(),
        lambda x, t: x[t] @ torch.eye(4) + functional.linear(x[t], torch.ones(4, 4), torch.arange(4.0)),
        lambda x, t: x[t].reshape(-1, 2, 2).unsqueeze(1).squeeze(1).flatten(start_dim=1),
        lambda x, t: x[t] + x[t],
        lambda x, t: functional.dropout(-x[t], 0.5, training=False) + torch.tensor([1.0, 2.0, 0.5, 0.0]),
        lambda x, t: x[t].contiguous().float().to(torch.float32),
    ],
)
def test_ways_to_write_a_frame(before: Callable[..., torch.Tensor]) -> None:
    module = Loop(before, lambda s, _m: torch.stack(s))
    x = torch.randn(9, 4, 4)
    net = load_torch(module, sample=x)
    recording = run(net, x.double().numpy().swapaxes(0, 1), record=("spikes",))
    assert np.array_equal(recording.spikes["lif"], spikes_of(module, (x,))["lif"])


def test_repeated_static_frames() -> None:
    module = Loop(lambda x, t: x[t], lambda s, _m: torch.stack(s))

    class Repeating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: torch.Tensor) -> Any:
            return self.inner(x.unsqueeze(0).repeat(8, 1, 1))

    x = torch.rand(3, 4)
    net = load_torch(Repeating(), sample=x)
    assert net.inputs[0].shape == (4,)
    recording = run(net, np.repeat(x.double().numpy()[:, None], 8, axis=1), record=("spikes",))
    assert np.array_equal(recording.spikes["inner.lif"], spikes_of(module, (x.repeat(8, 1, 1),))["lif"])


def test_layers_may_see_the_whole_sequence_at_once() -> None:
    class Hoisted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool, self.lif = nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), snn.Leaky(beta=0.8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            steps, batch = x.shape[:2]
            y = self.pool(self.conv(x.flatten(0, 1))).view(steps, batch, -1)
            mem, spikes = self.lif.reset_mem(), []
            for t in range(steps):
                spk, mem = self.lif(y[t], mem)
                spikes.append(spk)
            return torch.stack(spikes)

    module, x = lively(Hoisted()), torch.randn(7, 3, 1, 6, 6) * 2
    net = load_torch(module, sample=x)
    free_running(net, module, x.numpy().swapaxes(0, 1), (x,))


def test_the_users_module_and_generators_stay_as_they_were() -> None:
    module = conv_sequential().train()
    x = torch.rand(3, 2, 8, 8)
    module(x)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    neuron: Any = module[2]
    hidden = neuron.mem.detach().clone()
    generator = torch.get_rng_state()
    instances = list(snn.SpikingNeuron.instances)
    load_torch(module, sample=x, steps=5)
    assert module.training
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert torch.equal(hidden, neuron.mem)
    assert torch.equal(generator, torch.get_rng_state())
    assert snn.SpikingNeuron.instances == instances
    assert not module[0]._forward_hooks


def test_random_numbers_drawn_in_forward_are_given_back() -> None:
    def drawing(x: torch.Tensor, t: int) -> torch.Tensor:
        torch.rand(1)
        random.random()
        np.random.rand()  # noqa: NPY002 the global generator is meant
        return x[t]

    module, x = Loop(drawing, lambda s, _m: torch.stack(s)), torch.rand(5, 2, 4)
    states = (torch.get_rng_state(), random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    load_torch(module, sample=x)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (random.getstate(), str(np.random.get_state()))  # noqa: NPY002


def test_reset_inside_forward_leaves_the_users_states_alone() -> None:
    module = ResidualNet()
    x = torch.randn(4, 3, 10, 5)
    module(x)
    held = module.lif.mem.clone()
    load_torch(module, sample=x)
    assert torch.equal(held, module.lif.mem)


def test_parametrized_weights_are_taken_as_they_are() -> None:
    module = lively(RecurrentNet())
    nn.utils.parametrizations.weight_norm(module.get_submodule("fc1"))
    x = torch.randn(6, 15, 8) * 1.5
    net = load_torch(module, sample=x)
    assert isinstance(net.by_name["fc1"], Dense)
    free_running(net, module, x.numpy(), (x,))


@pytest.mark.parametrize("fixed", [True, False])
def test_long_samples_are_run_in_part_unless_the_module_insists(fixed: bool) -> None:
    lengths = []

    class Long(TutorialNet):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            self.steps = 50 if fixed else len(x)
            lengths.append(len(x))
            return super().forward(x)

    net = load_torch(lively(Long()), sample=torch.rand(50, 1, 20))
    assert net.inputs[0].shape == (20,)
    assert lengths[-1] == (50 if fixed else STEPS)


def test_batch_size_written_into_the_module() -> None:
    module = Loop(lambda x, t: x[t].view(2, 4), lambda s, _m: torch.stack(s))
    assert load_torch(module, sample=torch.rand(6, 2, 4)).inputs[0].shape == (4,)


def test_arrays_and_bool_samples_are_taken() -> None:
    spikes = np.random.default_rng(0).random((12, 2, 20)) < 0.5
    assert load_torch(TutorialNet(), sample=spikes.astype(np.float32)).inputs[0].coding == "spikes"


def test_populations_beside_the_readout_are_left_out_with_a_note() -> None:
    class Aside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif, self.aside = snn.Leaky(beta=0.9), snn.Leaky(beta=0.5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, mem2 = self.lif.reset_mem(), self.aside.reset_mem()
            out = []
            for frame in x:
                spk, mem = self.lif(frame, mem)
                _, mem2 = self.aside(spk, mem2)
                out.append(spk)
            return torch.stack(out)

    net = load_torch(Aside(), sample=torch.rand(5, 2, 3))
    assert [p.name for p in net.populations] == ["lif"]
    assert [n.place for n in net.notes if n.code == "RV228"] == ["aside"]
