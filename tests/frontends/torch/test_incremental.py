"""Products of two spike trains over time: the identity in the module and on the chip; the published form."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

import ranvier
from ranvier.compiler.analysis.overflow import overflows
from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.frontends.torch import products
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes import oracle, reference, simulator
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_target
from support.lava_networks import assert_lava_agrees

Train = NDArray[np.int64]
Form = Literal["code", "one fewer", "published"]
SAMPLES = 2


def trains(seed: int, shape: tuple[int, ...], signed: bool) -> Train:
    """Random spikes (steps, samples, elements, features); signed ones are -1, 0 or 1."""
    rng = np.random.default_rng(seed)
    spikes = (rng.random(shape) < rng.uniform(0.1, 0.9)).astype(np.int64)
    return spikes * rng.choice([-1, 1], shape) if signed else spikes


def accumulated(q: Train, k: Train, form: Form) -> list[Train]:
    """A after every step, as the forms say it."""
    product = np.zeros((*q.shape[1:-1], k.shape[-2]), q.dtype)
    q_sum, k_sum, shown = np.zeros_like(q[0]), np.zeros_like(k[0]), []
    for q_now, k_now in zip(q, k, strict=True):
        before, q_sum, k_sum = q_sum, q_sum + q_now, k_sum + k_now
        if form == "code":
            product = product + q_sum @ k_now.mT + q_now @ k_sum.mT - q_now @ k_now.mT
        elif form == "one fewer":
            product = product + before @ k_now.mT + q_now @ k_sum.mT
        else:
            product = product + q_now @ k_now.mT
        shown.append(product)
    return shown


def telescopes(q: Train, k: Train, shown: list[Train]) -> bool:
    """Whether A is the product of the sums after every step, in integers."""
    wanted = np.cumsum(q, 0) @ np.cumsum(k, 0).mT
    return len(shown) == len(wanted) and all(np.array_equal(a, w) for a, w in zip(shown, wanted, strict=True))


sizes = st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
"""Steps, rows of Q, rows of K, features."""


@given(sizes, st.booleans(), st.integers(0, 2**32 - 1))
def test_the_module_telescopes_in_every_step(size: tuple[int, int, int, int], signed: bool, seed: int) -> None:
    steps, n, m, d = size
    q, k = trains(seed, (steps, SAMPLES, n, d), signed), trains(seed + 1, (steps, SAMPLES, m, d), signed)
    assert telescopes(q, k, accumulated(q, k, "code"))
    assert telescopes(q, k, accumulated(q, k, "one fewer"))
    product, increment = ranvier.IncrementalMatMul(steps), ranvier.IncrementalMatMul(steps, returns="increment")
    pairs = [(torch.from_numpy(a).float(), torch.from_numpy(b).float()) for a, b in zip(q, k, strict=True)]
    for _ in range(2):
        assert telescopes(q, k, [product(*pair).long().numpy() for pair in pairs])
        product.reset()
    assert telescopes(q, k, list(np.cumsum([increment(*pair).long().numpy() for pair in pairs], axis=0)))


@pytest.mark.parametrize("signed", [False, True])
def test_the_published_form_fails_the_same_check(signed: bool) -> None:
    q, k = trains(1, (8, SAMPLES, 3, 4), signed), trains(2, (8, SAMPLES, 5, 4), signed)
    assert not telescopes(q, k, accumulated(q, k, "published"))
    assert telescopes(q[:1], k[:1], accumulated(q[:1], k[:1], "published"))


def fired(x: NDArray[np.float64], steps: int) -> tuple[NDArray[np.float64], float]:
    """(steps, *shape) the signed spikes of x at thresholds 1/2 + t, and what one is worth."""
    unit = float(np.abs(x).max()) / steps
    thresholds = 0.5 + np.arange(steps).reshape(-1, *[1] * x.ndim)
    return np.sign(x) * (np.abs(x) / unit >= thresholds), unit


def test_on_real_numbers_the_code_errs_by_its_rounding_and_the_published_form_by_everything() -> None:
    """On 100 draws, by the mean magnitude of what is wanted."""
    forms: tuple[Form, ...] = ("code", "published")
    steps = 127
    error: dict[Form, list[float]] = {form: [] for form in forms}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        q, k = rng.normal(size=(6, 16)), rng.normal(size=(7, 16))
        (fired_q, one_q), (fired_k, one_k) = fired(q, steps), fired(k, steps)
        wanted = q @ k.T
        for form in forms:
            found = accumulated(fired_q, fired_k, form)[-1] * one_q * one_k
            error[form].append(float(np.abs(found - wanted).mean() / np.abs(wanted).mean()))
    assert np.mean(error["code"]) == pytest.approx(0.0088, abs=5e-5)
    assert np.mean(error["published"]) == pytest.approx(0.988, abs=5e-4)
    assert max(error["code"]) < 0.0151
    assert min(error["published"]) > 0.985


def test_gradients_are_those_of_the_product_of_the_sums() -> None:
    trains_ = [torch.rand(4, 2, 3, 5, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    module, shown = ranvier.IncrementalMatMul(4), torch.zeros(())
    for q, k in zip(*trains_, strict=True):
        shown = module(q, k)
    weights = torch.rand_like(shown)
    found = torch.autograd.grad((shown * weights).sum(), trains_)
    direct = trains_[0].sum(0) @ trains_[1].sum(0).mT
    for mine, wanted in zip(found, torch.autograd.grad((direct * weights).sum(), trains_), strict=True):
        torch.testing.assert_close(mine, wanted)


class Attending(nn.Module):
    """The input's bits as Q and K, signed ones as differences, their product over time, a neuron for each element."""

    def __init__(self, size: tuple[int, int, int, int], signed: bool, returns: Literal["product", "increment"]) -> None:
        super().__init__()
        steps, self.n, self.m, self.d = size
        self.signed, self.mm = signed, ranvier.IncrementalMatMul(steps, returns)
        self.fc, self.out = nn.Linear(self.n * self.m, 2), Counter()
        with torch.no_grad():
            self.fc.weight.copy_(torch.randint(-3, 4, self.fc.weight.shape) / 4)
            self.fc.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(steps, samples, features) to the spikes behind."""
        self.mm.reset()
        self.out.mem = torch.zeros(())
        self.shown, spikes = [], []
        for frame in x:
            rows = frame.reshape(frame.shape[0], -1, self.d)
            q, k = rows[:, : self.n], rows[:, self.n : self.n + self.m]
            if self.signed:
                q, k = q - rows[:, -self.n - self.m : -self.m], 0.5 * (k - rows[:, -self.m :])
            self.shown.append(self.mm(q, k))
            spikes.append(self.out(self.fc(self.shown[-1].flatten(1))))
        return torch.stack(spikes)


class Counter(nn.Module):
    """Integrate and fire with soft reset."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One step."""
        self.mem = self.mem + x
        spikes = (self.mem > 1.0).to(x)
        self.mem = self.mem - spikes
        return spikes

    mem: torch.Tensor = torch.zeros(())


ranvier.register_neuron(
    Counter,
    lambda _module: ranvier.Lif(reset="subtract"),
    reset=lambda module: setattr(module, "mem", torch.zeros(())),
)


class Case:
    """A module, its import, the integer network and bits that it is shown."""

    def __init__(
        self,
        size: tuple[int, int, int, int],
        signed: bool,
        returns: Literal["product", "increment"] = "product",
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        steps, n, m, d = size
        self.size, self.module = size, Attending(size, signed, returns)
        bits = trains(seed, (steps, SAMPLES, (1 + signed) * (n + m) * d), signed=False)
        self.x = torch.from_numpy(bits).float()
        with torch.no_grad():
            self.wanted = self.module(self.x).numpy().swapaxes(0, 1)
        self.data = bits.swapaxes(0, 1)
        self.network: Network = load_torch(self.module, sample=self.x[:, :1], coding="spikes")
        prepared = prepare(self.network)
        self.chip: ChipNetwork = lower(prepared, load_target("loihi2"), observe(prepared, self.data), Options())
        rows: Train = bits.reshape(steps, SAMPLES, -1, d)
        q, k = rows[:, :, :n], rows[:, :, n : n + m]
        self.q: Train = q - rows[:, :, -n - m : -m] if signed else q
        self.k: Train = k - rows[:, :, -m:] if signed else k

    def telescopes(self, sent: NDArray[np.generic]) -> bool:
        """Whether ``sent`` by the product's population are whole numbers that telescope."""
        shown = np.asarray(sent).reshape(SAMPLES, self.size[0], self.size[1], self.size[2]).swapaxes(0, 1)
        return telescopes(self.q, self.k, list(shown))


@given(sizes.filter(lambda size: size[0] > 2), st.booleans(), st.integers(0, 2**31))
def test_the_program_telescopes_in_every_step_and_runtime(
    size: tuple[int, int, int, int], signed: bool, seed: int
) -> None:
    case = Case(size, signed, seed=seed)
    real = reference.run(case.network, case.data, ("spikes",))
    np.testing.assert_array_equal(real.outputs, case.wanted)
    wanted, got = (run(case.chip, case.data, ("spikes",)) for run in (oracle.run, simulator.run))
    assert not wanted.overflows
    for ran in (real, wanted, got):
        assert case.telescopes(ran.spikes["mm"])
    for name, sent in wanted.spikes.items():
        np.testing.assert_array_equal(got.spikes[name], sent)
        np.testing.assert_array_equal(real.spikes[name], sent, name)


@pytest.mark.parametrize("signed", [False, True])
def test_what_the_product_grew_by_needs_no_population_for_the_product(signed: bool) -> None:
    case = Case((5, 2, 3, 2), signed, "increment")
    np.testing.assert_array_equal(reference.run(case.network, case.data).outputs, case.wanted)
    np.testing.assert_array_equal(simulator.run(case.chip, case.data).outputs, case.wanted)
    shapes = {p.name: p.shape for p in case.chip.populations if p.name.startswith("mm")}
    gates = {name: shape for name, shape in shapes.items() if name.endswith("gate")}
    assert len(gates) == (4 if signed else 2)
    assert set(gates.values()) == {(2, 3, 2)}
    assert {name: shapes[name] for name in set(shapes) - set(gates)} == {"mm.q.count": (2, 2), "mm.k.count": (3, 2)}


@pytest.mark.usefixtures("lava")
@pytest.mark.parametrize("signed", [False, True])
def test_the_program_telescopes_in_lava(signed: bool) -> None:
    case = Case((4, 2, 2, 2), signed, seed=3)
    assert case.telescopes(oracle.run(case.chip, case.data, ("spikes",)).spikes["mm"])
    assert_lava_agrees(case.chip, case.data.astype(np.int32))


def test_only_messages_can_overflow_and_only_in_runs_that_are_longer_than_promised() -> None:
    case = Case((7, 2, 2, 2), signed=True)
    sums = [bound for bound in overflows(case.chip).open if bound.population.startswith("mm")]
    clips = {p.name: [op.result for op in p.program.ops if op.kind == "clip"] for p in case.chip.populations}
    assert all(bound.where == clips[bound.population][-1] for bound in sums)
    longer = np.ones((1, 3 * 7, 16))
    longer[:, :, -8:] = 0
    ran = oracle.run(case.chip, longer, ("spikes",))
    assert {event.population for event in ran.overflows} >= {"mm.q.count", "mm.k.count"}
    assert not oracle.run(case.chip, longer[:, :7], ("spikes",)).overflows
    (note,) = (note for note in case.network.notes if note.code == "RV755")
    assert "7 steps" in note.text


Mixed = Callable[["Mixing", torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Mixing(nn.Module):
    """Spikes of two layers (3 x 2) and the input, ``mixed`` to 3 x 3, and neurons behind; ``steps`` bound a product."""

    kept: Any = None

    def __init__(self, mixed: Mixed, steps: int = 6) -> None:
        super().__init__()
        self.mixed, self.mm, self.graded = mixed, ranvier.IncrementalMatMul(steps), ranvier.EventQuantizer(0.25)
        self.a, self.b, self.fc = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(9, 2)
        self.lif_a, self.lif_b, self.out = (Counter() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(steps, samples, 5) to spikes."""
        self.mm.reset()
        self.kept = None
        for neurons in (self.lif_a, self.lif_b, self.out):
            neurons.mem = torch.zeros(())
        spikes = []
        for frame in x:
            q, k = (n(f(frame)).reshape(-1, 3, 2) for n, f in ((self.lif_a, self.a), (self.lif_b, self.b)))
            spikes.append(self.out(self.fc(self.mixed(self, q, k, frame).flatten(1))))
        return torch.stack(spikes)


def refused(module: nn.Module, steps: int = 6) -> Diagnostic:
    with pytest.raises(RanvierError) as caught:
        load_torch(module, sample=torch.rand(steps, 1, 5))
    (found,) = caught.value.diagnostics
    return found


@pytest.mark.parametrize(
    ("mixed", "code", "words"),
    [
        (lambda m, q, k, _x: m.mm(q + k, k), "RV752", "a sum of spikes"),
        (lambda m, q, k, _x: m.mm(q - 0.5 * k, k), "RV752", "different heights"),
        (lambda m, q, _k, x: m.mm(q, m.graded(m.b(x)).reshape(-1, 3, 2)), "RV752", "the spikes of graded"),
        (lambda m, q, _k, x: m.mm(q, m.b(x).reshape(-1, 3, 2)), "RV752", "what b gives"),
        (lambda m, q, _k, x: m.mm(q, torch.ones(len(x), 3, 2)), "RV752", "a constant"),
        (lambda m, q, k, _x: m.mm(q, k) @ (q @ k.mT), "RV248", "a count of up to"),
        (lambda m, q, _k, x: m.mm(q, x[:, None, :2].expand(-1, 3, 2)), "RV364", "the input is real numbers"),
    ],
)
def test_what_no_gate_computes_is_refused_with_its_place(mixed: Mixed, code: str, words: str) -> None:
    found = refused(Mixing(mixed))
    assert found.code == code
    assert words in found.message
    assert found.place.startswith("test_incremental.py:") or code == "RV364"


def test_products_of_the_product_with_spikes_go_on() -> None:
    torch.manual_seed(5)
    module, x = Mixing(lambda m, q, k, _x: (m.mm(q, k) @ q) @ k.mT / 16), 4 * torch.rand(6, 3, 5)
    with torch.no_grad():
        module.fc.weight.abs_()
        wanted = module(x).numpy().swapaxes(0, 1)
    network = load_torch(module, sample=x[:, :1])
    np.testing.assert_array_equal(reference.run(network, x.numpy().swapaxes(0, 1)).outputs, wanted)
    assert 0 < wanted.mean() < 1


def test_limits_are_refused_with_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    product: Mixed = lambda m, q, k, _x: m.mm(q, k)  # noqa: E731
    found = refused(Mixing(product, steps=4))
    assert (found.code, found.figures["steps"]) == ("RV753", 4)
    network = load_torch(Mixing(product, steps=200), sample=torch.rand(6, 1, 5))
    with pytest.raises(RanvierError, match="its messages have 18 bits, generic has 16") as caught:
        lower(prepare(network), load_target("generic"), None, Options())
    assert {d.place for d in caught.value.diagnostics if d.code == "RV751"} == {"mm"}
    monkeypatch.setattr(products, "MOST", 35)
    found = refused(Mixing(product))
    assert (found.code, found.figures["neurons"]) == ("RV247", 36)
    wrong: list[Any] = [(0, "product"), (3, "sum")]
    for options in wrong:
        with pytest.raises(RanvierError, match="RV754"):
            ranvier.IncrementalMatMul(*options)


@pytest.mark.parametrize(("form", "code"), [("code", "RV248"), ("published", "RV200")])
def test_a_recurrence_written_by_hand_is_refused_with_the_class_that_does_it(form: str, code: str) -> None:
    def mixed(m: Mixing, q: torch.Tensor, k: torch.Tensor, _x: torch.Tensor) -> torch.Tensor:
        product, q_sum, k_sum = m.kept if m.kept is not None else (torch.zeros(()), 0 * q, 0 * k)
        grown = q @ k.mT if form == "published" else q_sum @ k.mT + q @ (k_sum + k).mT
        product = product + grown
        m.kept = product, q_sum + q, k_sum + k
        return product

    found = refused(Mixing(mixed))
    assert found.code == code
    assert "ranvier.IncrementalMatMul" in found.fix
