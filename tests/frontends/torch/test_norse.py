"""Every Norse neuron: the imported network fires exactly as the live module does."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes.reference import run

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Norse compiles with torch.jit when it is imported
    import norse.torch as norse
    from norse.torch.functional.iaf import IAFParameters
    from norse.torch.functional.leaky_integrator import LIParameters
    from norse.torch.functional.leaky_integrator_box import LIBoxParameters
    from norse.torch.functional.lif import LIFParameters
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters
    from norse.torch.functional.lif_refrac import LIFRefracParameters
    from norse.torch.functional.reset import reset_subtract, reset_value

INPUTS, NEURONS, BATCH, STEPS = 6, 5, 3, 40
seeds = st.integers(0, 2**31 - 1)


class Stepwise(nn.Module):
    """A cell in a loop, its state handed on."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.fc, self.cell = nn.Linear(INPUTS, NEURONS), cell

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, out = None, []
        for frame in x:
            shown, state = self.cell(self.fc(frame), state)
            out.append(shown)
        return torch.stack(out)


class Whole(nn.Module):
    """A class that takes the whole sequence."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.fc, self.layer = nn.Linear(INPUTS, NEURONS), layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(self.fc(x))[0]
        return out


def value(random: np.random.Generator, low: float, high: float) -> torch.Tensor:
    return torch.tensor(random.uniform(low, high), dtype=torch.float32)


def lif(random: np.random.Generator) -> LIFParameters:
    return LIFParameters(
        tau_syn_inv=value(random, 50, 900),
        tau_mem_inv=value(random, 50, 600),
        v_leak=value(random, -0.2, 0.2),
        v_th=value(random, 0.3, 1.0),
        v_reset=value(random, -0.3, 0.2),
    )


def refractory(random: np.random.Generator) -> LIFRefracParameters:
    return LIFRefracParameters(lif(random), torch.tensor(float(random.choice([0.0, 1.0, 2.5, 4.0]))))


def box(random: np.random.Generator) -> LIFBoxParameters:
    return LIFBoxParameters(
        tau_mem_inv=value(random, 50, 600),
        v_leak=value(random, -0.2, 0.2),
        v_th=value(random, 0.3, 1.0),
        v_reset=value(random, -0.3, 0.2),
        reset_method=(reset_value, reset_subtract)[random.integers(2)],
    )


MAKERS: dict[str, Callable[[np.random.Generator], nn.Module]] = {
    "LIFCell": lambda r: Stepwise(norse.LIFCell(lif(r))),
    "LIF": lambda r: Whole(norse.LIF(lif(r))),
    "LIFRecurrentCell": lambda r: Stepwise(norse.LIFRecurrentCell(NEURONS, 4, lif(r))),
    "LIFRecurrent": lambda r: Whole(norse.LIFRecurrent(NEURONS, 4, lif(r), autapses=True)),
    "LIFRefracCell": lambda r: Stepwise(norse.LIFRefracCell(refractory(r))),
    "LIFRefracRecurrentCell": lambda r: Stepwise(norse.LIFRefracRecurrentCell(NEURONS, 4, refractory(r))),
    "LIFRefracRecurrent": lambda r: Whole(norse.LIFRefracRecurrent(NEURONS, 4, refractory(r))),
    "LIFBoxCell": lambda r: Stepwise(norse.LIFBoxCell(box(r))),
    "IAFCell": lambda r: Stepwise(norse.IAFCell(IAFParameters(value(r, 0.3, 2.0), value(r, -0.3, 0.2)))),
    "IAF": lambda r: Whole(norse.IAF(IAFParameters(value(r, 0.3, 2.0), value(r, -0.3, 0.2)))),
}
INTEGRATORS: dict[str, Callable[[np.random.Generator], nn.Module]] = {
    "LICell": lambda r: Stepwise(norse.LICell(LIParameters(value(r, 50, 900), value(r, 50, 600), value(r, -1, 1)))),
    "LI": lambda r: Whole(norse.LI(LIParameters(value(r, 50, 900), value(r, 50, 600), value(r, -1, 1)))),
    "LIBoxCell": lambda r: Stepwise(norse.LIBoxCell(LIBoxParameters(value(r, 50, 600), value(r, -1, 1)))),
}


def played(module: nn.Module, x: torch.Tensor) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        out = module(x)
    shown: np.ndarray[Any, Any] = (out[0] if isinstance(out, tuple) else out).numpy()
    return shown.swapaxes(0, 1)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=6)
@given(seed=seeds)
def test_spikes(name: str, seed: int) -> None:
    random, _ = np.random.default_rng(seed), torch.manual_seed(seed)
    module = MAKERS[name](random)
    x = torch.randn(STEPS, BATCH, INPUTS) * 4
    network = load_torch(module, sample=x[:6])
    mine = run(network, x.numpy().swapaxes(0, 1)).outputs
    assert np.array_equal(mine, played(module, x))


@pytest.mark.parametrize("name", INTEGRATORS)
@settings(max_examples=6)
@given(seed=seeds)
def test_membranes(name: str, seed: int) -> None:
    random, _ = np.random.default_rng(seed), torch.manual_seed(seed)
    module = INTEGRATORS[name](random)
    x = torch.randn(STEPS, BATCH, INPUTS) * 4
    network = load_torch(module, sample=x[:6], readout="last_membrane")
    mine = run(network, x.numpy().swapaxes(0, 1), record=("membrane",)).membrane[network.readout.node]
    assert np.allclose(mine, played(module, x), atol=1e-4)


def test_sequential_state_and_lift() -> None:
    torch.manual_seed(1)
    p = lif(np.random.default_rng(1))
    module = norse.SequentialState(
        norse.Lift(nn.Conv2d(1, 2, 3)),
        norse.LIF(p),
        nn.Flatten(2),
        norse.Lift(nn.Linear(32, NEURONS)),
        norse.LIFRecurrent(NEURONS, 4, p),
    )
    x = torch.randn(STEPS, BATCH, 1, 6, 6) * 3
    network = load_torch(module, sample=x[:6])
    mine = run(network, x.numpy().swapaxes(0, 1)).outputs
    assert [p.name for p in network.populations] == ["1", "4"]
    assert np.array_equal(mine, played(module, x))
    assert mine.any()


class Outer(nn.Module):
    """A single-step SequentialState in a time loop."""

    def __init__(self) -> None:
        super().__init__()
        p = lif(np.random.default_rng(2))
        self.body = norse.SequentialState(
            nn.Conv2d(1, 2, 3),
            norse.LIFCell(p),
            nn.Flatten(),
            nn.Linear(32, NEURONS),
            norse.LIFRecurrentCell(NEURONS, 4, p),
            norse.LIFBoxCell(LIFBoxParameters(v_th=torch.tensor(0.05))),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, out = None, []
        for frame in x:
            shown, state = self.body(frame, state)
            out.append(shown)
        return torch.stack(out)


def test_states_in_a_list_through_a_time_loop() -> None:
    torch.manual_seed(2)
    module, x = Outer(), torch.randn(STEPS, BATCH, 1, 6, 6) * 3
    mine = run(load_torch(module, sample=x[:6]), x.numpy().swapaxes(0, 1)).outputs
    assert np.array_equal(mine, played(module, x))
    assert mine.any()


def refused(module: nn.Module, **options: Any) -> Any:
    with pytest.raises(RanvierError) as caught:
        load_torch(module, sample=torch.randn(6, BATCH, INPUTS), **options)
    return caught.value.diagnostics[0]


def test_a_replaced_reset_is_refused() -> None:
    def mine(z: torch.Tensor, v: torch.Tensor, _reset: torch.Tensor, _th: torch.Tensor) -> torch.Tensor:
        return v - 0.1 * z

    found = refused(Stepwise(norse.LIFBoxCell(LIFBoxParameters(reset_method=mine))))
    assert (found.code, found.place) == ("RV270", "cell")


def test_a_replaced_step_is_refused() -> None:
    cell = norse.LIFCell()
    cell.activation = lambda x, state, p, dt: (x, state)  # noqa: ARG005 Norse's signature
    assert refused(Stepwise(cell)).code == "RV270"


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        (norse.LIFCell(LIFParameters(tau_mem_inv=torch.tensor(2000.0))), "RV272"),
        (norse.LIFRefracCell(LIFRefracParameters(rho_reset=torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))), "RV272"),
        (norse.IAFCell(IAFParameters(v_th=torch.ones(1, 1, NEURONS))), "RV271"),
        (norse.LIFExCell(), "RV273"),
    ],
)
def test_what_cannot_be_read(cell: nn.Module, code: str) -> None:
    assert refused(Stepwise(cell)).code == code


def test_one_parameter_per_neuron() -> None:
    module = Stepwise(norse.IAFCell(IAFParameters(v_th=torch.linspace(0.5, 2.0, NEURONS))))
    x = torch.randn(STEPS, BATCH, INPUTS)
    mine = run(load_torch(module, sample=x[:6]), x.numpy().swapaxes(0, 1)).outputs
    assert np.array_equal(mine, played(module, x))


class Elsewhere(nn.Module):
    """A cell that starts from a membrane of its user's."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.fc, self.cell, self.start = nn.Linear(INPUTS, NEURONS), norse.LIFBoxCell(), start

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = LIFBoxFeedForwardState(v=torch.full((x.shape[1], NEURONS), self.start))
        out = []
        for frame in x:
            shown, state = self.cell(self.fc(frame), state)
            out.append(shown)
        return torch.stack(out)


def test_a_start_of_its_own_is_refused_and_the_neurons_start_is_taken() -> None:
    assert refused(Elsewhere(0.3)).code == "RV203"
    assert load_torch(Elsewhere(0.0), sample=torch.randn(6, BATCH, INPUTS)).populations


def test_the_users_module_keeps_its_parameters() -> None:
    module = Stepwise(norse.LIFRecurrentCell(NEURONS, 4))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    load_torch(module, sample=torch.randn(6, BATCH, INPUTS))
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
