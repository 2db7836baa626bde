"""What a run of a module shows: readouts, ways to write frames, samples; and that the module stays as it was."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional

from ranvier.compiler.ir.linear import Dense
from ranvier.frontends.torch.load import STEPS, load_torch
from ranvier.runtimes.reference import run
from support.snntorch_networks import (
    RecurrentNet,
    ResidualNet,
    TutorialNet,
    conv_sequential,
    free_running,
    lively,
    spikes_of,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(11)


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
