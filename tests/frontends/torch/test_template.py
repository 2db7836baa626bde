"""Neurons written by hand in forward: recognised exactly, or refused with the call site."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes.reference import run

Frame = torch.Tensor
Step = Callable[[Frame, Frame, Frame], tuple[Frame, Frame, Frame]]
STEPS, BATCH = 40, 4


class Fire(torch.autograd.Function):
    """The threshold with a surrogate gradient, as tutorials write it."""

    @staticmethod
    def forward(ctx: Any, x: Frame) -> Frame:
        ctx.save_for_backward(x)
        out = torch.zeros_like(x)
        out[x > 0] = 1.0
        return out


def fire(x: Frame) -> Frame:
    spikes: Frame = Fire.apply(x)
    return spikes


def soft(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = 0.9 * v + x
    s = (v > 1.0).float()
    return s, v - s, i


def soft_from_the_threshold_on(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = v * 0.8
    v = v + x
    s = torch.ge(v, 0.7).to(v.dtype)
    return s, v - 0.7 * s.detach(), i


def hard(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = 0.9 * v + x
    s = fire(v - 1.0)
    return s, v * (1 - s), i


def to_a_value(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = v + (x - v) / 2.0
    s = torch.heaviside(v - 0.5, torch.zeros(1))
    return s, torch.where(s > 0, -0.1, v), i


def masked(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = 0.9 * v + x
    s = v > 1.0
    return s.float(), v.masked_fill(s, 0.0), i


def in_place(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = v.clone()
    v *= 0.8
    v += x
    s = torch.lt(torch.tensor(1.0), v).float()
    v[s.bool()] = 0.2
    return s, v, i


def inverted(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = 0.7 * v + x
    s = v > 1.0
    return torch.where(s, 1.0, 0.0), torch.where(~s, v, torch.zeros_like(v)), i


def next_step(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    reset = (v > 1.0).float()
    v = 0.9 * v + x - reset
    return (v > 1.0).float(), v, i


def next_step_with_the_input(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    reset = (v > 1.0).float()
    v = (1 - reset) * (0.9 * v + x)
    return (v > 1.0).float(), v, i


def current(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    i = 0.7 * i + x
    v = 0.9 * v + i
    s = (v > 1.0).float()
    return s, v - s, i


def scaled_current_and_bias(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    i = 0.7 * i + x
    v = 0.9 * v + 0.5 * i + 0.05
    s = fire(v - 1.0)
    return s, (1 - s) * v, i


class Net(nn.Module):
    """Two hand-written layers from one function, the first with recurrent weights if asked."""

    def __init__(self, step: Step, recurrent: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.fc2, self.back = nn.Linear(6, 5), nn.Linear(5, 3), nn.Linear(5, 5)
        self.step, self.recurrent = step, recurrent

    def forward(self, x: Frame) -> Frame:
        s1, v1, i1 = (torch.zeros(x.shape[1], 5) for _ in range(3))
        v2, i2 = torch.zeros(x.shape[1], 3), torch.zeros(x.shape[1], 3)
        out = []
        for frame in x:
            arriving = self.fc1(frame)
            if self.recurrent:
                arriving = arriving + self.back(s1)
            s1, v1, i1 = self.step(v1, i1, arriving)
            s2, v2, i2 = self.step(v2, i2, self.fc2(s1))
            out.append(s2)
        return torch.stack(out)


def agrees(module: nn.Module, x: Frame) -> Network:
    network = load_torch(module, sample=x[:8])
    with torch.no_grad():
        expected = module(x).numpy().swapaxes(0, 1)
    assert np.array_equal(run(network, x.numpy().swapaxes(0, 1)).outputs, expected)
    assert expected.any()
    return network


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (soft, {"reset": "subtract", "compare": ">", "threshold": 1.0, "keep_membrane": 0.9}),
        (soft_from_the_threshold_on, {"reset": "subtract", "compare": ">=", "threshold": 0.7, "reset_amount": 0.7}),
        (hard, {"reset": "value", "compare": ">", "threshold": 1.0, "reset_value": 0.0, "initial": 0.0}),
        (to_a_value, {"reset": "value", "reset_value": -0.1, "threshold": 0.5, "keep_membrane": 0.5}),
        (masked, {"reset": "value", "reset_value": 0.0}),
        (in_place, {"reset": "value", "reset_value": 0.2, "keep_membrane": 0.8}),
        (inverted, {"reset": "value", "reset_value": 0.0, "keep_membrane": 0.7}),
        (next_step, {"reset": "subtract", "reset_amount": 1 / 0.9}),
        (next_step_with_the_input, {"reset": "value", "refractory": 1}),
        (current, {"reset": "subtract", "keep_current": 0.7, "gain": 1.0}),
        (scaled_current_and_bias, {"reset": "value", "keep_current": 0.7, "gain": 0.5, "drive": 0.05}),
    ],
)
def test_recognised(step: Step, recurrent: bool, expected: dict[str, Any]) -> None:
    network = agrees(Net(step, recurrent), torch.randn(STEPS, BATCH, 6) * 2.5)
    assert [p.name for p in network.populations] == ["neurons", "neurons_2"]
    for population in network.populations:
        assert isinstance(population.model, Lif)
        for name, value in expected.items():
            found = getattr(population.model, name)
            assert found == value if isinstance(value, str) else np.allclose(found, value, atol=1e-6), name


def test_a_class_of_its_own_with_a_hidden_state_and_a_decay_per_neuron() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.keep = nn.Parameter(torch.linspace(0.5, 0.9, 5))
            self.v: Frame | None = None

        def forward(self, x: Frame) -> Frame:
            self.v = x if self.v is None else self.keep * self.v + x
            s = (self.v > 1.0).float()
            self.v = self.v - s
            return s

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.own = nn.Linear(6, 5), Own()

        def forward(self, x: Frame) -> Frame:
            self.own.v = None
            return torch.stack([self.own(self.fc(frame)) for frame in x])

    network = agrees(Whole(), torch.randn(STEPS, BATCH, 6) * 3)
    (population,) = network.populations
    assert population.name == "own"
    assert isinstance(population.model, Lif)
    assert np.allclose(population.model.keep_membrane, np.linspace(0.5, 0.9, 5))


def partial(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = 0.9 * v + x
    s = (v > 1.0).float()
    return s, v * (1 - 0.5 * s), i


def quadratic(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = 0.9 * v + x - 0.01 * v * v
    s = (v > 1.0).float()
    return s, v - s, i


def adaptive(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    v = 0.9 * v + x
    s = (v > 1.0 + i).float()
    return s, v - s, 0.9 * i + s


def memoryless(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    return (x > 0.5).float(), v, i


def two_thresholds(v: Frame, i: Frame, x: Frame) -> tuple[Frame, Frame, Frame]:
    reset = (v > 0.8).float()
    v = 0.9 * v + x - reset
    return (v > 1.0).float(), v, i


@pytest.mark.parametrize(
    ("step", "codes", "words"),
    [
        (partial, {"RV260"}, "neither lowered by a constant nor set to one"),
        (quadratic, {"RV185"}, "product of two signals"),
        (adaptive, {"RV185"}, "comparison of two signals"),
        (memoryless, {"RV260"}, "carries no membrane"),
        (two_thresholds, {"RV185"}, "second comparison"),
    ],
)
def test_refused_with_the_call_site(step: Step, codes: set[str], words: str) -> None:
    with pytest.raises(RanvierError) as caught:
        load_torch(Net(step, recurrent=False), sample=torch.randn(8, BATCH, 6))
    (found,) = caught.value.diagnostics
    assert found.code in codes
    assert words in found.message
    assert "test_template.py:" in found.place


def test_a_reset_that_changes_in_time_is_refused() -> None:
    class Fading(nn.Module):
        def forward(self, x: Frame) -> Frame:
            v, out = torch.zeros_like(x[0]), []
            for t, frame in enumerate(x):
                v = 0.9 * v + frame
                s = (v > 1.0).float()
                v = v - s / (t + 1)
                out.append(s)
            return torch.stack(out)

    with pytest.raises(RanvierError) as caught:
        load_torch(Fading(), sample=torch.randn(8, BATCH, 6))
    assert caught.value.diagnostics[0].code == "RV260"
    assert "changes from step to step" in caught.value.diagnostics[0].message


def test_thresholds_that_lead_nowhere_are_left_alone() -> None:
    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.loud = nn.Linear(6, 5), 0.0

        def forward(self, x: Frame) -> Frame:
            v, out = torch.zeros(x.shape[1], 5), []
            for frame in x:
                self.loud = (self.fc(frame) > 2.0).float().mean()
                s, v, _ = soft(v, v, self.fc(frame))
                out.append(s)
            return torch.stack(out)

    network = agrees(Watched(), torch.randn(STEPS, BATCH, 6) * 2.5)
    assert len(network.populations) == 1
