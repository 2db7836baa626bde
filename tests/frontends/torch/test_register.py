"""Neuron classes of the user's own: registered, read exactly, and refused when they are not what was said."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ranvier
from ranvier.frontends.torch.register import REGISTERED, RESETS
from ranvier.runtimes.reference import run

STEPS, BATCH = 50, 4


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    held = dict(REGISTERED), dict(RESETS)
    yield
    for table, before in zip((REGISTERED, RESETS), held, strict=True):
        table.clear()
        table.update(before)


class Hidden(nn.Module):
    """A neuron that keeps its membrane to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.v: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.v = x if self.v is None else 0.8 * self.v + x
        spikes = (self.v > 1).to(x.dtype)
        self.v = self.v - spikes
        return spikes


def forget(neuron: Hidden) -> None:
    neuron.v = None


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.neuron = nn.Linear(6, 5), Hidden()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        forget(self.neuron)
        return torch.stack([self.neuron(self.fc(frame)) for frame in x])


def soft(_neuron: Any) -> ranvier.Lif:
    return ranvier.Lif(keep_membrane=np.array(0.8), reset="subtract")


def loaded() -> Any:
    return ranvier.load(Net(), sample=torch.rand(8, 1, 6))


def test_hidden_states() -> None:
    ranvier.register_neuron(Hidden, soft, reset=forget)
    x = torch.randn(STEPS, BATCH, 6) * 3
    with torch.no_grad():
        expected = Net()(x).numpy().swapaxes(0, 1)
    assert np.array_equal(run(loaded(), x.numpy().swapaxes(0, 1)).outputs, expected)
    assert expected.any()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (ranvier.Lif(keep_membrane=np.array(0.8)), "left is 0.4, expected 0"),
        (ranvier.Lif(keep_membrane=np.array(0.7), reset="subtract"), "response is 0.8, expected 0.7"),
        (ranvier.Lif(keep_membrane=np.array(0.8), threshold=np.array(1.2), reset="subtract"), "first is 1, exp"),
        (ranvier.Lif(keep_membrane=np.array(0.8), reset="subtract", max_spikes=0), "most is 1, expected 3"),
        (ranvier.Lif(keep_membrane=np.array(0.8), reset="subtract", refractory=2), "silent is 0, expected 2"),
        (ranvier.Lif(keep_membrane=np.array(0.8), reset="subtract", floor=-1.0), "floor is"),
        (ranvier.Lif(keep_membrane=np.array(0.8), reset="subtract", compare=">="), "at is 0, expected 1"),
    ],
)
def test_a_wrong_model_is_refused_by_what_the_spikes_tell(wrong: ranvier.Lif, words: str) -> None:
    ranvier.register_neuron(Hidden, lambda _: wrong, reset=forget)
    with pytest.raises(ranvier.RanvierError) as caught:
        loaded()
    (found,) = caught.value.diagnostics
    assert found.code in {"RV194", "RV265"}
    assert found.place == "neuron"
    assert words in found.message


def test_a_subclass_has_to_be_registered_itself() -> None:
    class Derived(Hidden):
        pass

    ranvier.register_neuron(Hidden, soft, reset=forget)
    module = Net()
    module.neuron = Derived()
    network = ranvier.load(module, sample=torch.rand(8, 1, 6))
    assert [p.name for p in network.populations] == ["neuron"], "found by its threshold instead"


@pytest.mark.parametrize(
    ("cls", "states", "returns", "words"),
    [
        (int, (), ("spikes",), "torch.nn.Module"),
        (Hidden, (), (), "spikes have to come first"),
        (Hidden, (), ("membrane", "spikes"), "spikes have to come first"),
        (Hidden, ("membrane",), ("spikes",), "does not return it"),
    ],
)
def test_names_that_make_no_sense(cls: type, states: Sequence[str], returns: Sequence[str], words: str) -> None:
    with pytest.raises(ranvier.RanvierError, match=words) as caught:
        ranvier.register_neuron(cls, soft, states=states, returns=returns)
    assert caught.value.diagnostics[0].code == "RV268"


def test_a_model_that_is_none() -> None:
    ranvier.register_neuron(Hidden, lambda _: 3, reset=forget)
    with pytest.raises(ranvier.RanvierError, match="gave a int"):
        loaded()
