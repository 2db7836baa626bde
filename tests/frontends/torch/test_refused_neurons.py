"""Neurons with options that cannot be kept are refused by name."""

from typing import Any

import pytest
import snntorch as snn
import torch
from torch import nn

from ranvier.frontends.torch import leaves
from support.refused import SEQUENCE, Loop, one, plain, refused


def test_subclass_of_a_neuron() -> None:
    class Mine(snn.Leaky):  # type: ignore[misc]
        pass

    found = one(nn.Sequential(Mine(beta=0.9, init_hidden=True)), torch.rand(1, 4), steps=3)
    assert found.code == "RV191"
    assert "Mine is a subclass of snntorch.Leaky" in found.message


def _stochastic(x: torch.Tensor) -> torch.Tensor:
    return (x > -0.1).float()


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"inhibition": True}, "RV190", "inhibition"),
        ({"state_quant": torch.round}, "RV190", "state_quant"),
        ({"spike_grad": _stochastic}, "RV190", "spike_grad"),
        ({"threshold": -1.0}, "RV193", "negative"),
        ({"graded_spikes_factor": 0.0}, "RV193", "graded_spikes_factor"),
        ({"beta": torch.ones(2, 4) * 0.5}, "RV193", "beta has shape"),
    ],
)
def test_neuron_options(options: dict[str, Any], code: str, words: str) -> None:
    found = refused(Loop(plain, snn.Leaky(**({"beta": 0.9} | options))), SEQUENCE)
    assert found[0].code == code
    assert found[0].place == "lif"
    assert any(words in d.message for d in found)


def test_mixed_resets() -> None:
    neuron = snn.Leaky(beta=0.9, reset_delay=False)
    neuron.reset_mechanism = "zero"
    assert one(Loop(plain, neuron), SEQUENCE).code == "RV190"


def test_lapicque_with_negative_memory() -> None:
    found = one(Loop(plain, snn.Lapicque(R=1.0, C=0.5)), SEQUENCE)
    assert (found.code, found.place) == ("RV193", "lif")


def test_synaptic_that_forgets_before_its_reset() -> None:
    assert one(Loop(plain, snn.Synaptic(alpha=0.5, beta=0.0)), SEQUENCE).code == "RV193"


def test_even_recurrent_kernel() -> None:
    neuron = snn.RLeaky(beta=0.5, conv2d_channels=1, kernel_size=3)
    neuron.recurrent = nn.Conv2d(1, 1, 3, padding=0)
    assert refused(Loop(plain, neuron), torch.rand(5, 2, 1, 3, 3))[0].code in ("RV193", "RV211")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("spikingjelly.activation_based.neuron.other.Node", ("spikingjelly's ", "IFNode", "ILIFNode")),
        ("sinabs.layers.other.Neuron", ("sinabs's ", "ALIF", "ExpLeak")),
        ("snntorch._neurons.other.Neuron", ("snntorch's ", "Leaky", "Alpha")),
        ("mine.Neuron", ("snnTorch's ", "Leaky", "Alpha")),
    ],
)
def test_the_way_out_names_the_neurons_of_the_same_framework(path: str, wanted: tuple[str, ...]) -> None:
    found = leaves._known(path)
    assert found.startswith(wanted[0])
    assert all(name in found for name in wanted[1:])
