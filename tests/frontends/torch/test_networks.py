"""Networks as users write them: the imported network runs free and gives the module's spikes."""

import numpy as np
import pytest
import torch

from ranvier.compiler.ir.network import Edge
from ranvier.frontends.torch.load import load_torch
from support.snntorch_networks import (
    RecurrentNet,
    ResidualNet,
    TutorialNet,
    TwoBranchNet,
    conv_sequential,
    free_running,
    lively,
)


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
