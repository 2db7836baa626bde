"""Functions for the host in torch modules: every function in every spelling against torch, step by step; refusals."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import neuron
from torch import nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention as attention

import ranvier
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.ir.hosted_verify import check_hosted
from ranvier.compiler.ir.network import Network
from ranvier.frontends.torch import products
from ranvier.frontends.torch.load import load_torch
from support.hosted_networks import interpreted

STEPS, TOKENS, DIM = 6, 4, 6
Frame = torch.Tensor
Between = Callable[["Spiking", Frame, Frame], Frame]


class Spiking(nn.Module):
    """Neurons, something in between of their 4 x 6 spikes and of real numbers, a layer, neurons."""

    def __init__(self, between: Between, width: int = TOKENS * DIM) -> None:
        super().__init__()
        self.between = between
        self.a, self.real, self.c = nn.Linear(5, TOKENS * DIM), nn.Linear(TOKENS * DIM, DIM), nn.Linear(width, 3)
        self.lif_a, self.lif_c = (snn.Leaky(beta=0.7, threshold=0.3) for _ in range(2))
        self.rms, self.layer = nn.RMSNorm(DIM), nn.LayerNorm((TOKENS, DIM))
        self.parts: nn.ModuleList = nn.ModuleList(MODULES)
        self.register_buffer("causal", torch.tril(torch.ones(TOKENS, TOKENS)))
        with torch.no_grad():
            self.c.weight.mul_(3), self.c.bias.fill_(0.2)
            for norm in (self.rms.weight, self.layer.weight, self.layer.bias):
                norm.copy_(torch.rand(norm.shape) + 0.5)

    def forward(self, x: Frame) -> Frame:
        mem_a, mem_c, shown = self.lif_a.init_leaky(), self.lif_c.init_leaky(), []
        for t in range(x.shape[0]):
            spikes, mem_a = self.lif_a(self.a(x[t]), mem_a)
            real = self.a(x[t]).reshape(-1, TOKENS, DIM)
            mixed = self.between(self, spikes.reshape(-1, TOKENS, DIM), real)
            spikes, mem_c = self.lif_c(self.c(mixed.flatten(1)), mem_c)
            shown.append(spikes)
        return torch.stack(shown)


MODULES = (nn.Softmax(-1), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Sigmoid(), nn.Tanh(), nn.ReLU(inplace=True))
X = torch.rand(STEPS, 3, 5, generator=torch.Generator().manual_seed(5))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


def imported(module: nn.Module, x: Frame = X, **options: Any) -> HostedNetwork:
    network = load_torch(module, sample=x, host=True, **options)
    assert isinstance(network, HostedNetwork)
    return check_hosted(network)


def assert_same(module: nn.Module, x: Frame = X) -> HostedNetwork:
    """Every step of the readout is torch's."""
    network = imported(module, x[:, :1])
    with torch.no_grad():
        expected = module(x).flatten(2).numpy().swapaxes(0, 1)
    gave = interpreted(network, x.numpy().swapaxes(0, 1))
    np.testing.assert_allclose(gave[network.readout.node], expected, atol=1e-5)
    assert expected.any()
    return network


def kinds(network: HostedNetwork) -> list[str]:
    return [f.kind for f in network.functions]


def attended(q: Frame, k: Frame, v: Frame, mask: Callable[[Frame], Frame]) -> Frame:
    return torch.softmax(mask(q @ k.transpose(-2, -1) / math.sqrt(DIM)), dim=-1) @ v


def heads(x: Frame) -> Frame:
    return x.reshape(-1, TOKENS, 2, DIM // 2).permute(0, 2, 1, 3)


ATTENTION = ["matrix_product", "softmax", "matrix_product"]
NORM = ["product", "rsqrt", "product"]
INVERSE = ["product", "reciprocal", "product", "sqrt"]
SPELLED: dict[str, tuple[Between, list[str]]] = {
    "nn.Softmax": (lambda s, _a, r: s.parts[0](r), ["softmax"]),
    "nn.SiLU": (lambda s, _a, r: s.parts[1](r), ["silu"]),
    "nn.GELU": (lambda s, _a, r: s.parts[2](r), ["gelu"]),
    "nn.GELU by tanh": (lambda s, _a, r: s.parts[3](r), ["gelu"]),
    "nn.Sigmoid": (lambda s, _a, r: s.parts[4](r), ["sigmoid"]),
    "nn.Tanh": (lambda s, _a, r: s.parts[5](r), ["tanh"]),
    "nn.ReLU in place": (lambda s, _a, r: s.parts[6](r), ["relu"]),
    "nn.RMSNorm": (lambda s, a, r: s.rms(a + r), ["rms_norm"]),
    "nn.LayerNorm": (lambda s, a, r: s.layer(a + r), ["layer_norm"]),
    "torch.softmax": (lambda _s, _a, r: torch.softmax(r, 1), ["softmax"]),
    "x.softmax": (lambda _s, _a, r: (2 * r).softmax(dim=-2), ["softmax"]),
    "F.softmax with a type": (lambda _s, _a, r: functional.softmax(r, -1, dtype=torch.float32), ["softmax"]),
    "F.silu in place": (lambda _s, a, r: functional.silu(r, inplace=True) + a, ["silu"]),
    "F.gelu": (lambda _s, _a, r: functional.gelu(r), ["gelu"]),
    "F.gelu by tanh": (lambda _s, _a, r: functional.gelu(input=r, approximate="tanh"), ["gelu"]),
    "torch.sigmoid": (lambda _s, _a, r: torch.sigmoid(r), ["sigmoid"]),
    "x.sigmoid": (lambda _s, _a, r: r.sigmoid(), ["sigmoid"]),
    "torch.tanh": (lambda _s, _a, r: torch.tanh(r), ["tanh"]),
    "x.tanh_": (lambda _s, a, r: (r + a).tanh_(), ["tanh"]),
    "x.relu": (lambda _s, _a, r: r.relu(), ["relu"]),
    "torch.relu_": (lambda _s, _a, r: torch.relu_(r + 0.0), ["relu"]),
    "F.layer_norm": (lambda _s, _a, r: functional.layer_norm(r, (DIM,)), ["layer_norm"]),
    "F.rms_norm with eps": (lambda _s, _a, r: functional.rms_norm(r, [TOKENS, DIM], eps=0.1), ["rms_norm"]),
    "x * y": (lambda _s, a, r: r * (r + a), ["product"]),
    "x * a row": (lambda _s, _a, r: r * r[:, :1], ["product"]),
    "x * a spike": (lambda _s, a, r: torch.mul(a, r), ["product"]),
    "a norm by hand": (lambda _s, a, r: r * torch.rsqrt(r.pow(2).mean(-1, keepdim=True) + 0.1) + a, NORM),
    "a norm by hand, squared": (lambda _s, _a, r: r * (r.square().mean(2, True) + 0.1) ** -0.5, NORM),
    "a norm by hand, divided": (
        lambda _s, _a, r: r / ((r**2).mean(-1, keepdim=True) + 0.1).sqrt(), ["product", "sqrt", "quotient"]
    ),
    "softmax by hand": (lambda _s, _a, r: r.exp() / r.exp().sum(-1, keepdim=True), ["exp", "exp", "quotient"]),
    "attention over channels": (lambda _s, a, _r: a * torch.sigmoid(a.mean(-1, True) - 0.5), ["sigmoid", "product"]),
    "linear attention": (lambda _s, a, r: (a + 1.0) / (1.0 + torch.exp(r)), ["exp", "quotient"]),
    "x.reciprocal": (lambda _s, _a, r: (r * r + 1.0).reciprocal() + (r * r + 2.0) ** 0.5, INVERSE),
    "x @ y": (lambda _s, _a, r: (r @ r.mT) @ r, ["matrix_product"] * 2),
    "bmm of spikes and numbers": (lambda _s, a, r: torch.bmm(a, r.transpose(1, 2)) @ a, ["matrix_product"] * 2),
    "counts times counts": (lambda _s, a, _r: ((a @ a.mT) @ (a @ a.mT)) @ a, ["matrix_product"] * 2),
    "gate and up": (lambda _s, a, r: functional.silu(r) * (0.5 * r + a), ["silu", "product"]),
    "masked_fill": (
        lambda s, a, r: attended(r, a, r, lambda x: x.masked_fill(s.causal == 0, float("-inf"))), ATTENTION
    ),
    "a finite mask": (lambda s, a, r: attended(r, a, r, lambda x: x.masked_fill(s.causal == 0, -1e30)), ATTENTION),
    "an added mask": (lambda s, a, r: attended(r, r, a, lambda x: x + torch.log(s.causal)), ATTENTION),
    "where": (lambda s, _a, r: attended(r, r, r, lambda x: torch.where(s.causal > 0, x, -math.inf)), ATTENTION),
    "heads": (
        lambda s, a, r: attended(heads(r), heads(a + r), heads(r), lambda x: x.masked_fill(s.causal == 0, -math.inf))
        .transpose(1, 2),
        ATTENTION,
    ),
    "F.sdpa": (lambda _s, a, r: attention(r, r, a + r), ATTENTION),
    "F.sdpa, causal": (
        lambda _s, _a, r: attention(heads(r), heads(r), heads(r), is_causal=True, scale=2.0),
        ATTENTION,
    ),
    "F.sdpa, mask": (
        lambda s, _a, r: attention(r, r, r, attn_mask=s.causal > 0), ATTENTION
    ),
    "F.sdpa, bias": (lambda s, a, r: attention(r, a, r, s.causal), ATTENTION),
    "einsum": (
        lambda _s, _a, r: torch.einsum("bhqk,bkhd->bqhd", heads(r) @ heads(r).mT, r.reshape(-1, TOKENS, 2, DIM // 2)),
        ["matrix_product"] * 2,
    ),
    "einsum, elementwise": (lambda _s, _a, r: torch.einsum("bij,bi->bji", r, r[..., 0]), ["product"]),
    "twice at one place": (lambda _s, a, r: sum((functional.silu(x) for x in (r, r + a)), a), ["silu"] * 2),
}  # fmt: skip


@pytest.mark.parametrize("spelled", SPELLED)
def test_equals_torch_in_every_step(spelled: str) -> None:
    between, wanted = SPELLED[spelled]
    network = assert_same(Spiking(between))
    assert sorted(kinds(network)) == sorted(wanted)
    noted = {note.place: note.text for note in network.notes if note.code == "RV731"}
    assert list(noted) == [f.name for f in network.functions]
    assert all("test_islands.py:" in text for text in noted.values())


def test_spikes_times_spikes_stay_on_the_chip() -> None:
    """Without anything for the host the network is a plain one."""
    network = load_torch(Spiking(lambda _s, a, _r: (a @ a.mT) @ a), sample=X, host=True)
    assert isinstance(network, Network)
    assert any(node.name == "gate" for node in network.nodes)
    mixed = imported(Spiking(lambda _s, a, r: torch.softmax(a @ a.mT, -1) @ r))
    assert kinds(mixed) == ["softmax", "matrix_product"]
    assert any(node.name == "both" for node in mixed.nodes)


def test_products_too_large_for_a_chip_are_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "MOST", 95)
    network = assert_same(Spiking(lambda _s, a, _r: a @ a.mT, 16))
    assert kinds(network) == ["matrix_product"]


class Decoder(nn.Module):
    """A decoder block: hand-written neurons, norms, causal attention with softmax, a gated layer, a softmax answer."""

    def __init__(self, after: bool = False) -> None:
        super().__init__()
        self.after = after
        self.embed = nn.Linear(5, TOKENS * DIM)
        self.q, self.k, self.v, self.mixed = (nn.Linear(DIM, DIM) for _ in range(4))
        self.gate, self.up, self.down = nn.Linear(DIM, 9), nn.Linear(DIM, 9), nn.Linear(9, DIM)
        self.first, self.second = nn.RMSNorm(DIM), nn.RMSNorm(DIM)
        self.lif, self.head = snn.Leaky(beta=0.6, threshold=0.4), nn.Linear(TOKENS * DIM, 3)

    def attention(self, x: Frame) -> Frame:
        q, k, v = (heads(part(self.first(x))) for part in (self.q, self.k, self.v))
        mask = torch.triu(torch.full((TOKENS, TOKENS), -math.inf), 1)
        shares = functional.softmax(q @ k.transpose(-2, -1) / math.sqrt(DIM / 2) + mask, dim=-1)
        both: Frame = self.mixed((shares @ v).transpose(1, 2).reshape(-1, TOKENS, DIM))
        return both

    def forward(self, x: Frame) -> Frame:
        mem, inner, shown = self.lif.init_leaky(), torch.zeros(x.shape[1], TOKENS * DIM), []
        for t in range(x.shape[0]):
            inner = 0.8 * inner + self.embed(x[t])
            fired = (inner > 0.5).float()
            inner = inner * (1 - fired)
            stream = fired.reshape(-1, TOKENS, DIM)
            stream = stream + self.attention(stream)
            normed = self.second(stream)
            stream = stream + self.down(functional.silu(self.gate(normed)) * self.up(normed))
            spikes, mem = self.lif(stream.flatten(1), mem)
            shown.append(torch.softmax(self.head(spikes), -1) if self.after else self.head(spikes))
        return torch.stack(shown)


def test_a_decoder_block() -> None:
    module = Decoder(after=True)
    network = assert_same(module)
    assert sorted(kinds(network)) == sorted([*ATTENTION, "rms_norm", "rms_norm", "silu", "product", "softmax"])
    assert (network.readout.kind, kinds(network)[-1]) == ("spike_count", "softmax")
    assert network.by_name[network.readout.node] is network.functions[-1]
    assert {p.name for p in network.populations} == {"neurons", "lif"}


def test_a_layer_behind_the_host_is_read_out() -> None:
    network = imported(Decoder(), readout="sum_membrane")
    assert (network.readout.node, network.readout.kind) == ("head.membrane", "sum_membrane")


class Sequence(nn.Module):
    """All steps in one call, time first, batch and time merged where ``merged``."""

    def __init__(self, merged: bool) -> None:
        super().__init__()
        self.merged = merged
        self.a, self.c, self.norm = nn.Linear(5, DIM), nn.Linear(DIM, 3), nn.RMSNorm(DIM)
        self.c.bias.data.fill_(0.4)
        self.lif_a, self.lif_c = (neuron.LIFNode(v_threshold=0.3, step_mode="m") for _ in range(2))

    def forward(self, x: Frame) -> Frame:
        spikes = self.lif_a(self.a(x))
        h = torch.sigmoid(self.norm(spikes.flatten(0, 1) if self.merged else spikes))
        h = h.reshape(*x.shape[:2], DIM)
        shown: Frame = self.lif_c(self.c(h * self.a(x)))
        self.lif_a.reset(), self.lif_c.reset()
        return shown


@pytest.mark.parametrize("merged", [False, True])
def test_functions_of_whole_sequences(merged: bool) -> None:
    assert kinds(assert_same(Sequence(merged))) == ["rms_norm", "sigmoid", "product"]


class Static(nn.Module):
    """One frame in all steps; the function of it is computed once, or once in every step."""

    def __init__(self, once: bool) -> None:
        super().__init__()
        self.once = once
        self.a, self.lif = nn.Linear(5, 3), snn.Leaky(beta=0.8, threshold=0.6)

    def forward(self, x: Frame) -> Frame:
        mem, shown, held = self.lif.init_leaky(), [], self.a(x)
        held = torch.tanh(held) if self.once else held
        for _ in range(STEPS):
            spikes, mem = self.lif(held if self.once else torch.tanh(held), mem)
            shown.append(spikes)
        return torch.stack(shown)


@pytest.mark.parametrize("once", [True, False])
def test_functions_of_a_constant_input(once: bool) -> None:
    module = Static(once)
    network = imported(module, X[0])
    assert kinds(network) == ["tanh"]
    with torch.no_grad():
        expected = module(X[0]).numpy().swapaxes(0, 1)
    frames = X[0].numpy()[:, None].repeat(STEPS, axis=1)
    np.testing.assert_array_equal(interpreted(network, frames)["lif"], expected)


STAGES: dict[str, Callable[[Frame, Frame], Frame]] = {
    "softmax": lambda h, _a: torch.softmax(h, -1),
    "mask": lambda h, a: attended(h, h, a, lambda x: x.masked_fill(torch.ones(TOKENS, TOKENS).tril() == 0, -math.inf)),
    "silu": lambda h, a: functional.silu(h) + a,
    "norm": lambda h, _a: functional.layer_norm(3 * h, (DIM,)),
    "rms": lambda h, _a: functional.rms_norm(h, (TOKENS, DIM), eps=1e-3),
    "gate": lambda h, a: torch.sigmoid(h) * (h - a),
    "mixed": lambda h, a: torch.einsum("bij,bik->bjk", h, a).mT[:, :TOKENS],
    "rows": lambda h, _a: torch.cat([h[:, 2:], torch.relu(h[:, :2])], 1),
    "mean": lambda h, a: h * h.mean(-1, keepdim=True) - a,
}  # fmt: skip


@given(st.lists(st.sampled_from(sorted(STAGES)), min_size=1, max_size=4), st.integers(0, 2**31))
@settings(max_examples=12)
def test_random_chains_of_functions(stages: list[str], seed: int) -> None:
    torch.manual_seed(seed)

    def between(_s: Spiking, a: Frame, h: Frame) -> Frame:
        for stage in stages:
            h = STAGES[stage](h, a)
        return h

    module = Spiking(between)
    network = load_torch(module, sample=X, host=True)
    assert isinstance(network, HostedNetwork)
    with torch.no_grad():
        expected = module(X).numpy().swapaxes(0, 1)
    gave = interpreted(check_hosted(network), X.numpy().swapaxes(0, 1))
    np.testing.assert_array_equal(gave["lif_c"], expected)


def refused(module: nn.Module, x: Frame = X, **options: Any) -> Diagnostic:
    with pytest.raises(RanvierError) as caught:
        load_torch(module, sample=x, **options)
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize(
    ("between", "code"),
    [
        (lambda s, _a, r: s.parts[0](r), "RV181"),
        (lambda s, _a, r: s.parts[1](r), "RV181"),
        (lambda _s, _a, r: functional.silu(r), "RV181"),
        (lambda _s, _a, r: r.sigmoid(), "RV181"),
        (lambda s, _a, r: s.rms(r), "RV183"),
        (lambda s, _a, r: s.layer(r), "RV183"),
        (lambda _s, _a, r: torch.softmax(r, 1), "RV185"),
        (lambda _s, _a, r: functional.rms_norm(r, [DIM]), "RV185"),
        (lambda _s, _a, r: r / (1.0 + r.exp()), "RV185"),
        (lambda _s, _a, r: torch.rsqrt(r + 5.0), "RV185"),
        (lambda _s, _a, r: attention(r, r, r), "RV185"),
        (lambda s, a, _r: (s.real(a.flatten(1)) * a[:, 0]).repeat(1, 4), "RV185"),
        (lambda s, a, _r: s.real(a.flatten(1))[:, None] @ a.mT @ a, "RV248"),
    ],
)
def test_without_the_host_they_are_refused_and_the_host_named(between: Between, code: str) -> None:
    module = Spiking(between)
    module.c = nn.LazyLinear(3)
    module(X)
    found = refused(module, X)
    assert found.code == code
    assert "host=True" in found.fix
    assert "test_islands.py:" in found.place or "." in found.place or found.place in ("rms", "layer")
    assert isinstance(load_torch(module, sample=X, host=True), HostedNetwork)


@pytest.mark.parametrize(
    ("between", "code"),
    [
        (lambda _s, _a, r: functional.elu(r), "RV181"),
        (lambda _s, _a, r: torch.log(r), "RV185"),
        (lambda _s, _a, r: r**3, "RV185"),
        (lambda _s, a, r: r**a, "RV185"),
        (lambda _s, _a, r: 1.0 / (r + 9.0), "RV185"),
        (lambda _s, _a, r: attention(r, r, r, dropout_p=0.5), "RV185"),
        (lambda _s, _a, r: torch.softmax(r, 0), "RV206"),
        (lambda _s, _a, r: functional.layer_norm(r, (DIM,), weight=r[0, 0]), "RV206"),
    ],
)
def test_what_the_host_does_not_compute_either(between: Between, code: str) -> None:
    found = refused(Spiking(between), host=True)
    assert (found.code, "host=True" in found.fix) == (code, False)


class Squaring(nn.Module):
    """A neuron written by hand whose membrane is squared."""

    def forward(self, x: Frame) -> Frame:
        inner, shown = torch.zeros_like(x[0]), []
        for t in range(x.shape[0]):
            inner = 0.5 * inner + 0.1 * inner * inner + x[t]
            fired = (inner > 1.0).float()
            inner = inner - fired
            shown.append(fired)
        return torch.stack(shown)


def test_membranes_do_not_reach_the_host() -> None:
    assert "host=True" not in refused(Squaring()).fix
    found = refused(Squaring(), host=True)
    assert (found.code, "of a membrane" in found.message) == ("RV185", True)


class Unsteady(Spiking):
    """Something changes from step to step."""

    def __init__(self, change: Callable[["Unsteady", Frame, int], Frame]) -> None:
        super().__init__(lambda s, _a, r: s.changed(r))
        self.change, self.calls = change, 0

    def changed(self, real: Frame) -> Frame:
        self.calls += 1
        return self.change(self, real, self.calls)


def decayed(module: Unsteady, real: Frame, _step: int) -> Frame:
    module.rms.weight.data *= 0.5
    normed: Frame = module.rms(real)
    return normed


def in_place(_module: Unsteady, real: Frame, _step: int) -> Frame:
    view = real.view(-1)
    view.numpy()[:] += 0.5
    return torch.tanh(real)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda _m, r, step: functional.gelu(r, approximate="tanh" if step % 2 else "none"), "RV730"),
        (lambda _m, r, step: torch.tanh(r) if step > 2 else r, "RV730"),
        (lambda _m, r, step: torch.tanh(r * step), "RV200"),
        (
            lambda m, r, step: torch.softmax(r @ r.mT + torch.log((m.causal.roll(step, 1) + 1e-9).round()), 2) @ r,
            "RV730",
        ),
        (lambda _m, r, _step: torch.softmax(r.masked_fill(torch.ones(DIM) > 0, -math.inf), -1), "RV734"),
        (lambda _m, r, _step: r.masked_fill(torch.arange(DIM) > 3, -math.inf), "RV732"),
        (lambda _m, r, _step: torch.tanh(r.masked_fill(torch.arange(DIM) > 3, -math.inf)), "RV732"),
        (decayed, "RV735"),
        (in_place, "RV225"),
    ],
)
def test_changes_and_infinities_are_refused(change: Any, code: str) -> None:
    assert refused(Unsteady(change), host=True).code == code


class Answer(nn.Module):
    """What is returned of a softmax behind the last layer."""

    def __init__(self, returned: Callable[[Frame], Frame]) -> None:
        super().__init__()
        self.returned = returned
        self.a, self.c, self.lif = nn.Linear(5, 4), nn.Linear(4, 3), snn.Leaky(beta=0.7, threshold=0.3)

    def forward(self, x: Frame) -> Frame:
        mem, shown = self.lif.init_leaky(), []
        for t in range(x.shape[0]):
            spikes, mem = self.lif(self.a(x[t]), mem)
            shown.append(torch.softmax(self.c(spikes), -1))
        return self.returned(torch.stack(shown))


@pytest.mark.parametrize("returned", [lambda y: y, lambda y: y.sum(0), lambda y: y.mean(0), lambda y: sum(y.unbind(0))])
def test_a_softmax_is_read_by_its_sum(returned: Any) -> None:
    network = imported(Answer(returned))
    assert (network.readout.node, network.readout.kind) == ("softmax", "spike_count")


class Both(Answer):
    """Spikes, and beside them a softmax of the last step alone."""

    def forward(self, x: Frame) -> Any:
        mem, shown = self.lif.init_leaky(), []
        for t in range(x.shape[0]):
            spikes, mem = self.lif(self.a(x[t]), mem)
            shown.append(spikes)
        return self.returned(torch.stack(shown)), torch.softmax(self.c(spikes), -1)


def test_what_is_only_shown_needs_no_host() -> None:
    network = load_torch(Both(lambda y: y), sample=X, host=True)
    assert isinstance(network, Network)
    assert (network.readout.node, [note.code for note in network.notes]) == ("lif", ["RV226"])


@pytest.mark.parametrize("options", [{}, {"readout": "last_membrane"}])
def test_another_rule_of_a_softmax_is_refused(options: Any) -> None:
    returned: Callable[[Frame], Frame] = (lambda y: y) if options else (lambda y: y[-1])
    assert refused(Answer(returned), host=True, **options).code == "RV733"


def test_a_network_without_neurons_is_refused_as_before() -> None:
    module = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    assert refused(module, X, host=True).code == "RV180"


def test_single_steps_with_states_of_their_own() -> None:
    leaky = [snn.Leaky(beta=0.7, threshold=0.3, init_hidden=True) for _ in range(2)]
    module = nn.Sequential(
        nn.Linear(5, 6), leaky[0], nn.RMSNorm(6), nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3), leaky[1]
    )
    network = imported(module, X[0])
    assert [(f.name, f.kind) for f in network.functions] == [("2.rms_norm", "rms_norm"), ("4.gelu", "gelu")]


def test_load_takes_the_host_for_modules_alone() -> None:
    module = Spiking(lambda _s, _a, r: torch.tanh(r))
    assert isinstance(ranvier.load(module, sample=X, host=True), HostedNetwork)
    with pytest.raises(RanvierError) as caught:
        ranvier.load("network.nir", host=True)
    assert [d.code for d in caught.value.diagnostics] == ["RV602"]
    with pytest.raises(RanvierError, match="host=True"):
        ranvier.load(module, sample=X)
