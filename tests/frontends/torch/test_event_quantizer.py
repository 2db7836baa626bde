"""Quantized events: the published loop, fake quantization to int8 and the neuron are one."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from torch import nn

import ranvier
from ranvier.compiler.analysis.overflow import overflows
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.neuron_steps.quantizer import quantizer
from ranvier.compiler.ir.neurons import Quantizer
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes import oracle, reference, simulator
from ranvier.runtimes.observe import observe
from ranvier.standing import alone
from ranvier.targets.load import load_target
from support.lava_networks import assert_lava_agrees

Floats = NDArray[np.float32]
TOP = 127
BELOW_HALF = np.nextafter(np.float32(0.5), np.float32(0.0))
TIES = np.array([0.0, -0.0, 0.5, -0.5, 1.5, -1.5, BELOW_HALF, -BELOW_HALF, 126.5, 127.0, -127.5, 1e6], np.float32)
"""In units of the scale: zeros, halves, the largest number below a half, both ends."""


def counts_of_the_loop(x: Floats, scale: float) -> NDArray[np.int64]:
    """The EI_IF neuron: a membrane that is reset to its input in every step, thresholds 1/2 + t, signed spikes."""
    found = np.zeros(x.shape, np.int64)
    for t in range(TOP):
        membrane = np.abs(x) / np.float32(scale)
        found += np.where(membrane >= np.float32(0.5 + t), np.sign(x), 0).astype(np.int64)
    return found


numbers = arrays.arrays(np.float32, st.integers(1, 30), elements=st.floats(-200, 200, width=32))
lattices = st.lists(st.integers(-300, 300), min_size=1, max_size=30).map(lambda n: np.array(n, np.float32) / 2)


@given(st.one_of(numbers, lattices), st.sampled_from([1.0, 0.25, 0.1, 0.037, 3.0]))
@example(TIES, 1.0)
def test_the_loop_is_fake_quantization_bit_for_bit(x: Floats, scale: float) -> None:
    wanted = counts_of_the_loop(x, scale)
    module = ranvier.EventQuantizer(scale)
    levels = module.levels(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(levels, wanted)
    np.testing.assert_array_equal(module(torch.from_numpy(x)).numpy(), wanted.astype(np.float32) * np.float32(scale))
    exact = [Fraction(float(v)) for v in np.abs(x) / np.float32(scale)]
    rounded = [min(floor(v + Fraction(1, 2)), TOP) for v in exact]
    np.testing.assert_array_equal(np.abs(wanted), rounded)


def test_the_sum_with_a_half_in_floats_is_wrong_for_the_largest_number_below_a_half() -> None:
    naive = np.minimum(np.floor(np.abs(TIES) + np.float32(0.5)), TOP)
    assert TIES[naive != np.abs(counts_of_the_loop(TIES, 1.0))].tolist() == [BELOW_HALF, -BELOW_HALF]


@given(st.one_of(lattices, numbers), st.sampled_from([1.0, 0.25, 0.0625]), st.sampled_from([3, 8]))
@example(TIES, 1.0, 8)
def test_the_neuron_sends_what_torch_gives(x: Floats, scale: float, bits: int) -> None:
    made = realised(Quantizer(step=scale, message_bits=bits))
    result = step(made.program, {}, made.params, x.astype(np.float64))
    wanted = ranvier.EventQuantizer(scale, bits)(torch.from_numpy(x).double()).numpy()
    np.testing.assert_array_equal(result.spikes, wanted)
    np.testing.assert_array_equal(result.membrane, x)


@given(st.integers(0, 8), st.sampled_from([4, 8]), st.lists(st.integers(-(2**15), 2**15), min_size=1, max_size=20))
def test_an_integer_level_is_the_nearest_halves_away_from_zero(shift: int, bits: int, arriving: list[int]) -> None:
    sent = step(quantizer("int", bits, shift), {}, {"drive": np.array(3)}, np.array(arriving))
    exact = [Fraction(64 * a + 3, 2**shift) for a in arriving]
    wanted = [min(floor(abs(v) + Fraction(1, 2)), 2 ** (bits - 1) - 1) * (1 if v >= 0 else -1) for v in exact]
    assert sent.spikes.tolist() == wanted
    assert not sent.overflows


def test_gradients_pass_the_rounding_and_not_the_ends() -> None:
    x = torch.tensor([0.3, -2.6, 0.0, 127.0, 127.4, -500.0], requires_grad=True)
    ranvier.EventQuantizer(1.0)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1, 1, 1, 0, 0]


def test_a_scale_for_data_is_that_of_the_published_neuron() -> None:
    x = torch.randn(4096, generator=torch.Generator().manual_seed(1))
    module = ranvier.EventQuantizer.for_data(x)
    assert module.scale == pytest.approx(float(x.abs().max()) / TOP)
    np.testing.assert_array_equal(module.levels(x), counts_of_the_loop(x.numpy(), module.scale))
    assert ranvier.EventQuantizer.for_data(torch.zeros(3)).scale == 1.0


class Events(nn.Module):
    """Two layers of events, and a third that is read, with weights and scales on which ties fall exactly."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 5), nn.Linear(5, 3, bias=False)
        self.first, self.second, self.last = (ranvier.EventQuantizer(s, b) for s, b in ((0.25, 3), (0.5, 8), (1.0, 8)))
        with torch.no_grad():
            for layer in (self.a, self.b, self.c):
                layer.weight.copy_(torch.randint(-8, 9, layer.weight.shape) / 8)
            self.a.bias.copy_(torch.randint(-2, 3, (8,)) / 8)
            self.b.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(steps, samples, 6) to the last events."""
        return torch.stack([self.last(self.c(self.second(self.b(self.first(self.a(frame)))))) for frame in x])


class Case:
    """A module, its answers on spikes, its import and its integers."""

    def __init__(self, seed: int = 0, target: str = "loihi2") -> None:
        self.module = Events(seed)
        x = (torch.rand(6, 3, 6) < 0.5).float()
        with torch.no_grad():
            self.wanted = self.module(x).numpy().swapaxes(0, 1)
        self.data = x.numpy().swapaxes(0, 1)
        self.network = load_torch(self.module, sample=x[:, :1], coding="spikes")
        prepared = prepare(self.network)
        self.chip: ChipNetwork = lower(prepared, load_target(target), observe(prepared, self.data), Options())


@given(st.integers(0, 2**31), st.sampled_from(["loihi2", "generic"]))
def test_imported_deployed_and_run_with_torchs_levels(seed: int, target: str) -> None:
    case = Case(seed, target)
    real = reference.run(case.network, case.data, ("spikes",))
    np.testing.assert_array_equal(real.outputs, case.wanted)
    wanted, got = (run(case.chip, case.data, ("spikes",)) for run in (oracle.run, simulator.run))
    assert not wanted.overflows
    assert overflows(case.chip).proved
    for population in case.network.populations:
        name, scale = population.name, getattr(case.module, population.name).scale
        np.testing.assert_array_equal(wanted.spikes[name] * scale, real.spikes[name], name)
        np.testing.assert_array_equal(got.spikes[name], wanted.spikes[name])


@pytest.mark.usefixtures("lava")
def test_lava_sends_the_same_levels() -> None:
    case = Case(4)
    assert_lava_agrees(case.chip, case.data.astype(np.int32))


def test_the_first_layer_meets_ties_zeros_and_its_ends() -> None:
    """So that the comparisons above mean something."""
    case = Case(4)
    with torch.no_grad():
        x = case.module.a(torch.from_numpy(case.data)).numpy()
    assert np.any(np.abs(x) % 0.25 == 0.125)
    assert np.any(x == 0)
    assert np.any(np.abs(x) > 3.5 * 0.25)


def test_what_the_import_says_and_what_has_no_meaning() -> None:
    case = Case()
    (first, *_) = case.network.populations
    assert isinstance(first, Neurons)
    assert isinstance(first.model, Quantizer)
    assert (float(first.model.step), first.model.message_bits) == (0.25, 3)
    assert "RV750" in {note.code for note in case.chip.notes}
    with pytest.raises(RanvierError, match="RV620"):
        lower(prepare(case.network), load_target("loihi1"), None, Options())
    for scale, bits in ((0.0, 8), (float("nan"), 8), (1.0, 1), (1.0, 17)):
        with pytest.raises(RanvierError, match="RV754"):
            ranvier.EventQuantizer(scale, bits)


@pytest.mark.parametrize("model", [Quantizer(step=0.0), Quantizer(step=np.arange(1.0, 3)), Quantizer(message_bits=1)])
def test_a_neuron_without_one_positive_step_is_refused(model: Quantizer) -> None:
    with pytest.raises(RanvierError, match="one step above zero") as refused:
        prepare(alone(model))
    assert refused.value.diagnostics[0].place == "neurons"
