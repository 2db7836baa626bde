"""Products of spike trains as relays and gates, and features permuted, picked, repeated and summed: torch's values."""

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import GradedLif
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.frontends.torch import products
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes import oracle, simulator
from ranvier.runtimes.observe import observe
from ranvier.runtimes.reference import run
from ranvier.targets.load import load_target

STEPS = 5
Frame = torch.Tensor
Mixed = Callable[[Frame, Frame], Frame]


class Two(nn.Module):
    """Two layers of spikes of 4 x 6, mixed, weighted, and neurons behind."""

    def __init__(self, mixed: Mixed, width: int, shape: tuple[int, ...] = (4, 6)) -> None:
        super().__init__()
        size = int(np.prod(shape))
        self.mixed, self.shape = mixed, shape
        self.a, self.b, self.c = nn.Linear(5, size), nn.Linear(5, size), nn.Linear(width, 3)
        self.lif_a, self.lif_b, self.lif_c = (snn.Leaky(beta=0.7, threshold=0.3) for _ in range(3))

    def forward(self, x: Frame) -> Frame:
        m = [lif.init_leaky() for lif in (self.lif_a, self.lif_b, self.lif_c)]
        shown = []
        for t in range(x.shape[0]):
            first, m[0] = self.lif_a(self.a(x[t]), m[0])
            second, m[1] = self.lif_b(self.b(x[t]), m[1])
            sides = (spikes.reshape(-1, *self.shape) for spikes in (first, second))
            spikes, m[2] = self.lif_c(self.c(self.mixed(*sides).flatten(1)), m[2])
            shown.append(spikes)
        return torch.stack(shown)


def frames(samples: int = 3) -> Frame:
    return torch.rand(STEPS, samples, 5)


def imported(module: nn.Module, x: Frame) -> Network:
    return check_network(load_torch(module, sample=x[:, :1]), "imported")


def assert_same(module: nn.Module) -> Network:
    """The imported network gives the module's spikes, and its integers are the same in both executors."""
    x = frames()
    with torch.no_grad():
        expected = module(x).numpy().swapaxes(0, 1)
    network, data = imported(module, x), x.numpy().swapaxes(0, 1)
    np.testing.assert_array_equal(run(network, data).outputs, expected)
    prepared = prepare(network)
    chip = lower(prepared, load_target("loihi2"), observe(prepared, data), Options())
    wanted, got = oracle.run(chip, data, ("spikes",)), simulator.run(chip, data, ("spikes",))
    assert not wanted.overflows
    for name, spikes in wanted.spikes.items():
        np.testing.assert_array_equal(got.spikes[name], spikes)
    return network


MIXED: dict[str, tuple[Mixed, int]] = {
    "elementwise": (lambda a, b: a * b, 24),
    "a row for all": (lambda a, b: a * b[:, :1], 24),
    "a column for all": (lambda a, b: (0.5 * a) * b[:, :, 2:3].expand(-1, -1, 6), 24),
    "three": (lambda a, b: a * b * a.flatten(1).reshape(-1, 4, 6), 24),
    "matrix": (lambda a, b: 0.125 * (a @ b.transpose(-2, -1)), 16),
    "matrix of two": (lambda a, b: (a @ b.mT) @ b, 24),
    "attention": (lambda a, b: ((a @ b.transpose(1, 2)) * 0.25) @ a, 24),
    "other order": (lambda a, b: a @ (b.transpose(1, 2) @ a), 24),
    "heads": (lambda a, b: heads(a) @ heads(b).transpose(-2, -1), 32),
    "counts": (lambda a, b: (a + b) * a, 24),
    "sums of tokens": (lambda a, b: a * (a * b).sum(1, keepdim=True), 24),
    "causal": (lambda a, b: a * (a * b).cumsum(1), 24),
    "running sum of features": (lambda a, b: (a + b).cumsum(dim=-1), 24),
    "mean of features": (lambda a, b: (a + b).mean(-1), 4),
    "sum of features": (lambda a, b: (a - b).sum(dim=(1, 2), keepdim=True), 1),
    "permuted": (lambda a, b: a.permute(0, 2, 1) + b.reshape(-1, 6, 4), 24),
    "picked": (lambda a, b: a[:, 1] - b[:, 3], 6),
    "chunks": (lambda a, b: sum(a.chunk(3, dim=-1), start=b[..., ::3]), 8),
    "split": (lambda a, b: torch.cat([*a.split([1, 3], dim=1), b], 1), 48),
    "einsum": (lambda a, b: torch.einsum("bij,bkj->bki", a, b), 16),
    "einsum of any axes": (lambda a, b: torch.einsum("...ij,...kj->...ik", a, b), 16),
    "einsum, elementwise": (lambda a, b: torch.einsum("bij,bij->bji", a, b), 24),
    "einsum, outer": (lambda a, b: torch.einsum("bi,bj->bji", a[:, :, 0], b[:, 0]), 24),
    "einsum of heads": (lambda a, b: torch.einsum("bihd,bjhd->bhij", tokens(a), tokens(b)), 32),
    "einsum of two axes": (lambda a, b: torch.einsum("bihd,bjhd->bij", [tokens(a), tokens(b)]), 16),
    "einsum of one": (lambda a, b: torch.einsum("bij->bj", a) - torch.einsum("bij->bji", b)[..., 1], 6),
    "einsum, a layer": (lambda a, b: torch.einsum("bij,jk", a + b, ramp(6, 7)), 28),
    "einsum, a layer of heads": (lambda a, b: torch.einsum("hdk,bihd->bkih", ramp(2, 3, 5), tokens(a - b)), 40),
    "einsum, a layer of all": (lambda a, b: torch.einsum("bij,ijkl->bk", a - b, ramp(4, 6, 3, 2)), 3),
    "einsum, factors": (lambda a, b: torch.einsum("bij,i->bij", a + b, ramp(4)), 24),
    "repeated": (lambda a, b: a[:, :, None, :].expand(-1, -1, 2, -1).reshape(-1, 8, 6) - b.repeat(1, 2, 1), 48),
}


def ramp(*shape: int) -> Frame:
    return torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape)


def tokens(x: Frame) -> Frame:
    return x.reshape(-1, 4, 2, 3)


def heads(x: Frame) -> Frame:
    return x.reshape(-1, 4, 2, 3).permute(0, 2, 1, 3)


@pytest.mark.parametrize("mixed", MIXED)
def test_equals_torch_spike_for_spike(mixed: str) -> None:
    assert_same(Two(*MIXED[mixed]))


def test_numbers_of_relays_and_gates() -> None:
    network = imported(Two(*MIXED["attention"]), frames())
    shapes = {p.name: p.shape for p in network.populations}
    assert shapes["both"] == (4, 4, 6)
    assert shapes["gate"] == (4, 6, 4)
    (gate,) = (p.model for p in network.populations if p.name == "gate")
    assert isinstance(gate, GradedLif)
    assert (gate.message_bits, float(gate.threshold)) == (4, 8.0)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_a_product_of_any_shape(rows: int, shared: int, columns: int, deep: bool) -> None:
    """As a matrix of integers: what the network sends into its last layer is torch's product."""
    shape = (2, rows * shared * columns) if deep else (1, rows * shared * columns)

    def mixed(a: Frame, b: Frame) -> Frame:
        lead = (-1, shape[0]) if deep else (-1,)
        left = a.reshape(*lead, rows, shared * columns)[..., :shared]
        right = b.reshape(*lead, shared, rows * columns)[..., :columns]
        return left @ right

    x = frames(2)
    module = Two(mixed, shape[0] * rows * columns, shape)
    with torch.no_grad():
        expected = module(x).numpy().swapaxes(0, 1)
    np.testing.assert_array_equal(run(imported(module, x), x.numpy().swapaxes(0, 1)).outputs, expected)


SIZES = {"i": 4, "h": 2, "d": 3, "j": 4, "g": 2, "e": 3}


@given(st.tuples(*[st.booleans()] * 3), st.sets(st.sampled_from("ihd")), st.randoms(use_true_random=False))
def test_einsum_of_any_axes(shared: tuple[bool, ...], summed: set[str], random: Random) -> None:
    """Some axes in both operands, some of these summed, the result in any order: torch's numbers."""
    second = [a if both else b for a, b, both in zip("ihd", "jge", shared, strict=True)]
    kept = [n for n in dict.fromkeys(["i", "h", "d", *second]) if n not in summed or n not in second]
    first = ["i", "h", "d"]
    for axes in (first, second, kept):
        random.shuffle(axes)
    kept = kept or [first[0]]
    equation = f"b{''.join(first)},b{''.join(second)}->b{''.join(kept)}"

    def mixed(a: Frame, b: Frame) -> Frame:
        sides = (x.reshape(-1, *(SIZES[n] for n in own)) for x, own in ((a, first), (b, second)))
        return torch.einsum(equation, *sides)

    x = frames(2)
    module = Two(mixed, int(np.prod([SIZES[n] for n in kept])))
    with torch.no_grad():
        expected = module(x).numpy().swapaxes(0, 1)
    np.testing.assert_array_equal(run(imported(module, x), x.numpy().swapaxes(0, 1)).outputs, expected)


def refused(module: nn.Module, x: Frame) -> Diagnostic:
    with pytest.raises(RanvierError) as caught:
        load_torch(module, sample=x)
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize(
    ("mixed", "code", "words"),
    [
        (lambda a, b: torch.softmax(a @ b.mT, -1)[:, :, :4], "RV185", "softmax"),
        (lambda a, b: (a @ b.mT) @ (b @ a.mT), "RV248", "a count of up to 6"),
        (lambda a, b: (a - b) @ b.mT, "RV248", "what add gives"),
        (lambda a, b: torch.einsum("bij,bkj->bik", a - b, b), "RV248", "what add gives"),
        (lambda a, b: torch.einsum("bij,bkj,bkl->bil", a, b, a)[..., :4], "RV185", "einsum of more than two"),
        (lambda a, b: torch.einsum("bii->bi", a @ b.mT).repeat(1, 4), "RV185", "diagonal"),
        (lambda a, b: torch.einsum("bij,bij->b", a, b)[:, None].repeat(1, 16), "RV206", "mixes samples"),
        (lambda a, b: torch.einsum("bij,cij->bij", a, b)[..., :4], "RV206", "mixes samples"),
    ],
)
def test_what_no_relay_computes_is_refused_with_its_place(mixed: Mixed, code: str, words: str) -> None:
    found = refused(Two(mixed, 16), frames(1))
    assert found.code == code
    assert words in found.message
    assert found.place.startswith("test_products.py:")


def test_too_many_elements_are_refused_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "MOST", 95)
    found = refused(Two(*MIXED["matrix"]), frames(1))
    assert (found.code, found.figures["neurons"]) == ("RV247", 96)


class Squared(nn.Module):
    """The product of input values."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif = nn.Linear(5, 3), snn.Leaky(beta=0.7)

    def forward(self, x: Frame) -> Frame:
        mem, shown = self.lif.init_leaky(), []
        for t in range(x.shape[0]):
            spikes, mem = self.lif(self.fc(x[t] * x[t]), mem)
            shown.append(spikes)
        return torch.stack(shown)


def test_products_of_input_values_are_refused_but_of_binary_input_are_not() -> None:
    assert refused(Squared(), frames(1)).code == "RV364"
    binary = (frames() < 0.4).float()
    module = Squared()
    with torch.no_grad():
        expected = module(binary).numpy().swapaxes(0, 1)
    np.testing.assert_array_equal(run(imported(module, binary), binary.numpy().swapaxes(0, 1)).outputs, expected)
