"""What cannot be imported is refused with its code, its place, and a way out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional

from ranvier.compiler.ir.network import Edge
from ranvier.frontends.torch.load import load_torch
from ranvier.frontends.torch.snntorch import TABLE
from support.refused import SEQUENCE, Frame, Loop, one, plain, refused


def test_relu_network_without_conversion() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2), nn.ReLU())
    found = one(module, torch.rand(1, 4))
    assert found.code == "RV180"
    assert "1, 3" in found.message
    assert found.figures["activations"] == 2
    assert "convert" in found.fix


def test_functional_relu_network() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.relu(self.fc(x))

    found = one(Plain(), torch.rand(1, 4))
    assert found.code == "RV180"
    assert "test_refusals.py:" in found.message


def test_module_with_nothing_recognisable() -> None:
    class HandWritten(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.v = torch.zeros(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.v = 0.9 * self.v + x
            return self.v

    found = one(HandWritten(), torch.rand(1, 4), steps=5)
    assert (found.code, found.place) == ("RV180", "HandWritten")


def test_everything_that_was_called_is_refused_at_once() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.ReLU(),
        snn.Leaky(beta=0.9, init_hidden=True),
        nn.MaxPool2d(2),
        nn.LayerNorm(3),
        type("Mine", (snn.Alpha,), {})(alpha=0.9, beta=0.8, init_hidden=True),
    )
    found = refused(module, torch.rand(1, 1, 8, 8), steps=4)
    assert [(d.code, d.place) for d in found] == [("RV181", "1"), ("RV183", "4"), ("RV191", "5")]


def test_foreign_framework() -> None:
    foreign = type("LIFNodes", (nn.Identity,), {"__module__": "bindsnet.network.nodes"})
    found = one(nn.Sequential(nn.Linear(4, 3), foreign(), snn.Leaky(beta=0.5, init_hidden=True)), torch.rand(1, 4))
    assert (found.code, found.place) == ("RV187", "1")
    assert "NIR" in found.fix


@pytest.mark.parametrize(
    ("before", "code"),
    [
        (lambda x, t: torch.exp(x[t]), "RV185"),
        (lambda x, t: functional.relu(x[t]), "RV181"),
        (lambda x, t: functional.max_pool1d(x[t], 2).repeat(1, 2), "RV184"),
        (lambda x, t: functional.dropout(x[t], 0.5), "RV185"),
        (lambda x, t: x[t] * (t + 1), "RV200"),
        (lambda x, t: x[len(x) - 1 - t], "RV200"),
        (lambda x, t: x[min(t + 1, len(x) - 1)], "RV200"),
        (lambda x, _t: x[0], "RV200"),
        (lambda x, t: x[t].flip(0), "RV185"),
    ],
)
def test_forward_that_is_no_steady_weighted_sum(before: Frame, code: str) -> None:
    found = one(Loop(before), SEQUENCE)
    assert found.code == code
    assert found.place.partition(":")[0] in ("test_refusals.py", "refused.py")


def test_custom_autograd_function() -> None:
    class Fire(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ARG004 torch's signature
            return (x > 0.5).float()

    fire: Any = Fire.apply
    found = one(Loop(lambda x, t: fire(x[t])), SEQUENCE)
    assert found.code == "RV260"
    assert "carries no membrane" in found.message


@pytest.mark.parametrize("bias", [True, False])
def test_connection_left_out_in_the_first_step(bias: bool) -> None:
    """A layer without bias gives nothing there anyway; one with bias would."""

    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.back, self.lif = nn.Linear(4, 4, bias=bias), snn.Leaky(beta=0.9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem = self.lif.reset_mem()
            out: list[torch.Tensor] = []
            for t, frame in enumerate(x):
                spk, mem = self.lif(frame + self.back(out[-1]) if t else frame, mem)
                out.append(spk)
            return torch.stack(out)

    if bias:
        assert one(Late(), SEQUENCE).code == "RV200"
    else:
        assert Edge("lif", "back", 1) in load_torch(Late(), sample=SEQUENCE).edges


@pytest.mark.parametrize("steps", [6, 1500])
def test_hand_written_filter(steps: int) -> None:
    class Filter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = snn.Leaky(beta=0.9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, current, out = self.lif.reset_mem(), torch.zeros_like(x[0]), []
            for frame in x:
                current = 0.9 * current + frame
                spk, mem = self.lif(current, mem)
                out.append(spk)
            return torch.stack(out)

    assert one(Filter(), torch.rand(steps, 1, 3)).code == "RV200"


def test_single_step_of_a_loop() -> None:
    assert one(Loop(plain), SEQUENCE[:1]).code == "RV212"


def test_data_that_take_a_way_around_torch() -> None:
    found = one(Loop(lambda x, t: torch.from_numpy(np.round(x[t].numpy()))), SEQUENCE)
    assert found.code == "RV186"


def test_membrane_as_input_of_a_layer() -> None:
    class Analog(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif1, self.fc, self.lif2 = snn.Leaky(beta=0.9), nn.Linear(4, 4), snn.Leaky(beta=0.9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem1, mem2, out = self.lif1.reset_mem(), self.lif2.reset_mem(), []
            for frame in x:
                _, mem1 = self.lif1(frame, mem1)
                spk, mem2 = self.lif2(self.fc(mem1), mem2)
                out.append(spk)
            return torch.stack(out)

    found = one(Analog(), SEQUENCE)
    assert found.code == "RV185"
    assert "membrane of lif1" in found.message


class States(nn.Module):
    """A time loop that treats the membrane by ``rule(t, membrane)`` before each call."""

    def __init__(self, rule: Callable[[int, torch.Tensor], torch.Tensor], calls: int = 1) -> None:
        super().__init__()
        self.lif, self.other = snn.Leaky(beta=0.9), snn.Leaky(beta=0.9)
        self.rule, self.calls = rule, calls

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem, mem2, out = torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
        for t, frame in enumerate(x):
            spk, mem = self.lif(frame, self.rule(t, mem))
            for _ in range(self.calls):
                spk, mem2 = self.other(spk, mem2)
            out.append(spk)
        return torch.stack(out)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (lambda _t, m: m * 0.5, "RV202"),
        (lambda _t, m: torch.zeros_like(m), "RV202"),
        (lambda t, m: m + 0.1 if t == 0 else m, "RV203"),
    ],
)
def test_states_that_are_not_handed_on(rule: Callable[[int, torch.Tensor], torch.Tensor], code: str) -> None:
    found = one(States(rule), SEQUENCE)
    assert found.code == code
    assert found.place.partition(":")[0] in ("test_refusals.py", "refused.py")


def test_neuron_called_twice_per_step() -> None:
    found = one(States(lambda _t, m: m, calls=2), SEQUENCE)
    assert found.code == "RV201"
    assert "other 12 times" in found.message


def test_state_cleared_behind_the_back() -> None:
    class Cleared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = snn.Leaky(beta=0.9, init_hidden=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = []
            for frame in x:
                self.lif.reset_mem()
                out.append(self.lif(frame))
            return torch.stack(out)

    assert one(Cleared(), torch.full((6, 2, 4), 0.6)).code == "RV194"


def test_neuron_given_the_whole_sequence() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif1, self.lif2 = snn.Leaky(beta=0.9, init_hidden=True), snn.Leaky(beta=0.9, init_hidden=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([self.lif2(frame) for frame in self.lif1(x)])

    assert refused(Whole(), SEQUENCE)[0].code in ("RV201", "RV205", "RV206")


def test_module_changed_after_its_adapter_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def clipped(self: snn.Leaky, input_: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.beta.clamp(0, 1) * self.mem.clamp(min=0) + input_
        return mixed

    monkeypatch.setattr(snn.Leaky, "_base_state_function", clipped)
    found = one(Loop(plain), SEQUENCE)
    assert (found.code, found.place) == ("RV194", "lif")


def test_change_through_a_view_is_noticed() -> None:
    def sneaky(x: torch.Tensor, t: int) -> torch.Tensor:
        frame = x[t] * 1.0
        frame[:, 0].mul_(3.0)
        return frame

    assert one(Loop(sneaky), SEQUENCE).code == "RV225"


def test_values_read_in_python_are_noted() -> None:
    def looking(x: torch.Tensor, t: int) -> torch.Tensor:
        assert x[t].min().item() >= 0
        return x[t]

    notes = load_torch(Loop(looking), sample=SEQUENCE).notes
    assert [n.code for n in notes if n.code == "RV227"] == ["RV227"]
    assert "test_refusals.py:" in next(n.place for n in notes if n.code == "RV227")


@pytest.mark.parametrize(
    ("after", "code"),
    [
        (lambda _s, m: torch.stack(m), "RV221"),
        (lambda s, _m: s[-1], "RV220"),
        (lambda s, _m: torch.stack(s[:-1]), "RV220"),
        (lambda _s, _m: None, "RV220"),
        (lambda s, _m: torch.exp(s[-1]), "RV185"),
    ],
)
def test_readouts(after: Callable[..., Any], code: str) -> None:
    assert one(Loop(plain, after=after), SEQUENCE).code == code


def test_membrane_readout_after_the_reset() -> None:
    module = Loop(plain, snn.Leaky(beta=0.9, reset_delay=False), lambda _s, m: m[-1])
    assert one(module, SEQUENCE).code == "RV220"


@pytest.mark.parametrize("sample", [torch.rand(4), torch.zeros(0, 4), torch.ones(2, 4, dtype=torch.int64)])
def test_samples(sample: torch.Tensor) -> None:
    assert one(Loop(plain), sample).code == "RV210"


def test_module_that_fails_on_its_sample() -> None:
    module = nn.Sequential(nn.Linear(5, 3), snn.Leaky(beta=0.9, init_hidden=True))
    found = one(module, torch.rand(1, 4), steps=3)
    assert found.code == "RV211"
    assert "[1, 4]" in found.message


def test_steps_that_contradict_the_loop() -> None:
    assert one(Loop(plain), SEQUENCE, steps=9).code == "RV212"


def test_coding_that_contradicts_the_sample() -> None:
    assert one(Loop(plain), SEQUENCE, coding="spikes").code == "RV213"


def test_the_table_names_classes_that_exist() -> None:
    found = {f"{cls.__module__}.{cls.__qualname__}" for cls in vars(snn).values() if isinstance(cls, type)}
    assert set(TABLE) <= found
