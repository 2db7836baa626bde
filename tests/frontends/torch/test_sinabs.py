"""Sinabs' neurons, Squeeze classes and converted models: the network sends exactly what the live module does."""

from typing import Any

import numpy as np
import pytest
import sinabs.layers as sl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, MultiSpike, SingleSpike
from sinabs.from_torch import from_model
from sinabs.layers.alif import ALIFSqueeze
from torch import nn

from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends.torch.load import load_torch
from ranvier.runtimes.reference import run
from support.imports import counts_of, deployed, differences, free_running, stimulus

STEPS, BATCH, NEURONS = 60, 4, 6

seeds = st.integers(0, 2**31 - 1)
scales = st.sampled_from([0.3, 1.0, 3.0])
spike_rules = st.sampled_from([SingleSpike, MultiSpike, MaxSpike(2), MaxSpike(None)])
reset_rules = st.sampled_from([MembraneSubtract(), MembraneSubtract(0.6), MembraneReset()])
pairs = st.tuples(st.booleans(), st.booleans())
fewer = settings(max_examples=max(5, settings.default.max_examples // 2))
floors = st.sampled_from([None, -1.0, 0.0])


class Around(nn.Module):
    """One layer, (batch, time, ...) as the module takes it."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.part(x)
        return out


def reset(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, sl.StatefulLayer):
            part.reset_states()


def check(part: nn.Module, seed: int, scale: float, shape: tuple[int, ...] = (NEURONS,)) -> None:
    module = Around(part)
    frames = stimulus(np.random.default_rng(seed), STEPS, BATCH, shape, scale)
    x = frames.transpose(0, 1).contiguous()
    net = load_torch(module, sample=x)
    reset(module)
    with torch.no_grad():
        shown = module(x).transpose(0, 1)
    wrong, rounded = differences(net, frames, shown)
    assert wrong == 0
    assert rounded <= 1


def per_neuron(random: np.random.Generator, low: float, high: float) -> torch.Tensor | float:
    if random.random() < 0.5:
        return float(random.uniform(low, high))
    return torch.tensor(random.uniform(low, high, NEURONS), dtype=torch.float32)


@fewer
@given(seed=seeds, spikes=spike_rules, rule=reset_rules, floor=floors, synaptic=st.booleans(), scale=scales)
def test_integrate_and_fire(seed: int, spikes: Any, rule: Any, floor: Any, synaptic: bool, scale: float) -> None:
    random = np.random.default_rng(seed)
    tau = float(random.uniform(1.0, 8.0)) if synaptic else None
    threshold = torch.as_tensor(per_neuron(random, 0.4, 2.0))
    check(sl.IAF(threshold, spikes, rule, tau_syn=tau, min_v_mem=floor), seed, scale)


@fewer
@given(
    seed=seeds,
    spikes=spike_rules,
    rule=reset_rules,
    floor=floors,
    options=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    scale=scales,
)
def test_leaky(seed: int, spikes: Any, rule: Any, floor: Any, options: tuple[bool, bool, bool], scale: float) -> None:
    random = np.random.default_rng(seed)
    synaptic, norm, alphas = options
    part = sl.LIF(
        tau_mem=per_neuron(random, 1.5, 20.0),
        tau_syn=per_neuron(random, 1.0, 8.0) if synaptic else None,
        spike_fn=spikes,
        reset_fn=rule,
        min_v_mem=floor,
        norm_input=norm,
        train_alphas=alphas,
    )
    check(part, seed, scale * (5.0 if norm else 1.0))


@fewer
@given(seed=seeds, spikes=spike_rules, leaky=st.booleans(), scale=scales)
def test_recurrent(seed: int, spikes: Any, leaky: bool, scale: float) -> None:
    torch.manual_seed(seed)
    inner = nn.Linear(NEURONS, NEURONS, bias=bool(seed % 2))
    if leaky:
        part = sl.LIFRecurrent(tau_mem=5.0, rec_connect=inner, spike_fn=spikes, norm_input=False, min_v_mem=-2.0)
    else:
        part = sl.IAFRecurrent(rec_connect=inner, spike_fn=spikes, min_v_mem=-2.0)
    check(part, seed, scale)


@fewer
@given(
    seed=seeds,
    spikes=spike_rules,
    rule=st.sampled_from([MembraneSubtract(), MembraneReset()]),
    floor=floors,
    options=st.tuples(st.booleans(), st.booleans(), st.sampled_from([sl.ALIF, sl.ALIFRecurrent])),
    scale=scales,
)
def test_adaptive(seed: int, spikes: Any, rule: Any, floor: Any, options: tuple[Any, ...], scale: float) -> None:
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    synaptic, norm, kind = options
    inner = nn.Linear(NEURONS, NEURONS, bias=not synaptic)
    part = kind(
        **({"rec_connect": inner} if kind is sl.ALIFRecurrent else {}),
        tau_mem=float(random.uniform(1.5, 20.0)),
        tau_adapt=float(random.uniform(2.0, 20.0)),
        tau_syn=float(random.uniform(1.0, 8.0)) if synaptic else None,
        adapt_scale=float(random.uniform(0.5, 3.0)),
        spike_threshold=torch.tensor(float(random.uniform(0.5, 1.5))),
        spike_fn=spikes,
        reset_fn=rule,
        min_v_mem=floor,
        norm_input=norm,
    )
    check(part, seed, scale * (5.0 if norm else 1.0))


def test_recurrent_over_images() -> None:
    torch.manual_seed(3)
    inner = nn.Sequential(nn.Flatten(), nn.Linear(12, 12))
    check(sl.LIFRecurrent(tau_mem=5.0, rec_connect=inner, norm_input=False, min_v_mem=-2.0), 4, 1.0, (3, 2, 2))
    check(sl.IAFRecurrent(rec_connect=nn.Conv2d(3, 3, 3, padding=1), min_v_mem=-2.0), 4, 1.0, (3, 2, 2))


@fewer
@given(seed=seeds, kind=st.sampled_from(["IAF", "LIF", "ALIF"]), by_batch=st.booleans(), scale=scales)
def test_squeeze(seed: int, kind: str, by_batch: bool, scale: float) -> None:
    sizes = {"batch_size": BATCH} if by_batch else {"num_timesteps": STEPS}
    makers: dict[str, Any] = {
        "IAF": lambda: sl.IAFSqueeze(min_v_mem=-1.0, **sizes),
        "LIF": lambda: sl.LIFSqueeze(tau_mem=8.0, **sizes),
        "ALIF": lambda: ALIFSqueeze(tau_mem=8.0, tau_adapt=6.0, norm_input=False, spike_fn=MultiSpike, **sizes),
    }
    part = makers[kind]()
    frames = stimulus(np.random.default_rng(seed), STEPS, BATCH, (NEURONS,), scale)
    x = frames.transpose(0, 1).flatten(0, 1)
    net = load_torch(Around(part), sample=x)
    part.reset_states()
    with torch.no_grad():
        shown = part(x).unflatten(0, (BATCH, STEPS)).transpose(0, 1)
    wrong, rounded = differences(net, frames, shown)
    assert wrong == 0
    assert rounded <= 1


@fewer
@given(seed=seeds, squeezed=st.booleans(), norm=st.booleans(), floor=floors, alphas=st.booleans(), scale=scales)
def test_exponential_leak_is_a_membrane_readout(
    seed: int, squeezed: bool, norm: bool, floor: float | None, alphas: bool, scale: float
) -> None:
    random = np.random.default_rng(seed)
    options: dict[str, Any] = {"tau_mem": per_neuron(random, 1.5, 20.0), "norm_input": norm, "min_v_mem": floor}
    options["train_alphas"] = alphas
    leak = sl.ExpLeakSqueeze(batch_size=BATCH, **options) if squeezed else sl.ExpLeak(**options)
    frames = stimulus(random, 30, BATCH, (NEURONS,), scale)
    x = frames.transpose(0, 1).contiguous()
    given = x.flatten(0, 1) if squeezed else x
    net = load_torch(Around(leak), sample=given, readout="max_membrane")
    leak.reset_states()
    with torch.no_grad():
        shown = leak(given).reshape(BATCH, 30, NEURONS)
    membrane = run(net, x.double().numpy(), record=("membrane",)).membrane["part"]
    assert np.max(np.abs(membrane - shown.double().numpy())) < 1e-5 * max(1.0, float(shown.abs().max()))


def test_tie_at_the_threshold_fires_and_counts() -> None:
    x = torch.tensor([0.5, 0.5, 1.75, 0.25, 0.0, 3.0]).reshape(1, 6, 1)
    net = load_torch(Around(sl.IAF()), sample=x)
    assert run(net, x.double().numpy(), record=("spikes",)).spikes["part"].ravel().tolist() == [0, 1, 1, 1, 0, 3]


def relu_network() -> nn.Sequential:
    """Convolution, pooling and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        sl.SumPool2d(2),
        nn.Flatten(),
        nn.Linear(6, 10),
        nn.ReLU(),
    )


def converted(**sizes: int) -> nn.Module:
    torch.manual_seed(2)
    network: nn.Module = from_model(relu_network(), spike_threshold=torch.tensor(0.7), **sizes).spiking_model
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                part.weight.mul_(1.5)
    return network


@pytest.mark.parametrize(
    ("sizes", "batch"), [({"batch_size": 3}, 3), ({"num_timesteps": 12}, 3), ({"batch_size": 1}, 1)]
)
def test_converted_model(sizes: dict[str, int], batch: int) -> None:
    network = converted(**sizes)
    x = (torch.rand(batch * 12, 2, 8, 8) < 0.4).float()
    net = load_torch(network, sample=x)
    assert net.inputs[0].shape == (2, 8, 8)
    assert net.inputs[0].coding == "spikes"
    reset(network)
    data = x.double().numpy().reshape(batch, 12, 2, 8, 8)
    free_running(net, data, counts_of(network, ["1", "4", "8"], x, batch, 12))
    deployed(net, data)


def test_the_whole_object_that_the_conversion_gives() -> None:
    torch.manual_seed(2)
    whole = from_model(relu_network(), batch_size=2, input_shape=(2, 8, 8))
    net = load_torch(whole, sample=(torch.rand(2 * 10, 2, 8, 8) < 0.4).float())
    assert [n.name for n in net.populations] == ["spiking_model.1", "spiking_model.4", "spiking_model.8"]


class Batched(nn.Module):
    """(batch, time, ...) around a converted model, scores summed over time."""

    def __init__(self, **sizes: int) -> None:
        super().__init__()
        self.network = converted(**sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.network(x.flatten(0, 1))
        scores: torch.Tensor = out.unflatten(0, (x.shape[0], 12)).sum(1)
        return scores


@pytest.mark.parametrize("sizes", [{"num_timesteps": 12}, {"batch_size": 3}])
def test_sequences_flattened_by_the_user(sizes: dict[str, int]) -> None:
    x = (torch.rand(3, 12, 2, 8, 8) < 0.4).float()
    net = load_torch(Batched(**sizes), sample=x)
    assert (net.readout.node, net.readout.kind) == ("network.8", "spike_count")
    assert net.inputs[0].shape == (2, 8, 8)


def test_layers_repeated_over_time() -> None:
    torch.manual_seed(4)
    module = nn.Sequential(
        sl.Repeat(nn.Conv2d(2, 4, 3)), sl.LIF(tau_mem=6.0, norm_input=False), nn.Flatten(2), nn.Linear(64, 5), sl.IAF()
    )
    x = (torch.rand(3, 14, 2, 6, 6) < 0.5).float() * 2
    net = load_torch(module, sample=x)
    reset(module)
    free_running(net, x.double().numpy(), counts_of(module, ["1", "4"], x, 3, 14))
    deployed(net, x.double().numpy())


@pytest.mark.parametrize("kind", ["plain", "recurrent"])
def test_the_users_module_stays_as_it_was(kind: str) -> None:
    inner = nn.Linear(5, 5)
    part = sl.IAF() if kind == "plain" else sl.LIFRecurrent(tau_mem=4.0, rec_connect=inner)
    module = nn.Sequential(nn.Linear(5, 5), part).train()
    x = torch.rand(2, 6, 5)
    module(x)
    before = {name: value.detach().clone() for name, value in module.state_dict().items()}
    generator = torch.get_rng_state()
    load_torch(module, sample=torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())
    assert all(part.training for part in module.modules())
    assert not inner._forward_hooks
    assert not inner._forward_pre_hooks


def refused(module: nn.Module, x: torch.Tensor) -> dict[str, str]:
    with pytest.raises(RanvierError) as caught:
        load_torch(module, sample=x)
    return {found.code: found.message for found in caught.value.diagnostics}


class OwnReset:
    """A rule of the user's own."""

    def __call__(self, _spikes: Any, state: Any, _threshold: Any) -> Any:
        return state


class OwnSpike(SingleSpike):  # type: ignore[misc]
    """A rule of the user's own."""


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (sl.IAF(reset_fn=MembraneReset(reset_value=0.2)), "adds its reset_value"),
        (sl.IAF(spike_fn=OwnSpike), "spike_fn OwnSpike"),
        (sl.IAF(reset_fn=OwnReset()), "reset_fn"),
        (sl.IAF(spike_threshold=torch.tensor(0.0)), "not positive"),
        (sl.ALIF(tau_mem=5.0, tau_adapt=5.0, adapt_scale=-1.0, spike_fn=MultiSpike), "adapt_scale is negative"),
        (sl.ALIF(tau_mem=5.0, tau_adapt=5.0, reset_fn=MembraneSubtract(0.5)), "a value other than its threshold"),
        (sl.IAFRecurrent(rec_connect=nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 6))), "more than one"),
    ],
)
def test_options_that_are_refused(part: nn.Module, words: str) -> None:
    found = refused(nn.Sequential(nn.Linear(5, 6), part), torch.rand(2, 8, 5))
    assert words in found["RV235"]


def test_relu_of_an_analog_model_is_named() -> None:
    module = nn.Sequential(nn.Linear(5, 6), sl.IAF(), sl.NeuromorphicReLU())
    assert "NeuromorphicReLU" in refused(module, torch.rand(2, 8, 5))["RV236"]


def test_recurrence_that_is_lost_between_calls() -> None:
    """Sinabs starts the recurrent input at zero in each call: a loop over single steps loses it."""

    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = sl.IAFRecurrent(rec_connect=nn.Linear(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.part(x[:, t : t + 1]) for t in range(x.shape[1])], 1)

    torch.manual_seed(1)
    assert "RV194" in refused(Looped(), torch.rand(3, 10, 4) * 2)
