"""SLAYER's CUBA blocks, live, against lava-dl itself: every integer of the imported network is the module's."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import SYNAPSES
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.frontends.netx import load_netx
from ranvier.frontends.torch.isolate import private_copy
from ranvier.frontends.torch.load import load_torch
from ranvier.frontends.torch.problems import CODES
from ranvier.frontends.torch.spikes import recorded_spikes
from ranvier.runtimes.reference import run
from support.data import test_data
from support.imports import deployed
from support.slayer_environment import slayer

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # torch on weight_norm
PARAMETERS = {"threshold": 1.1, "current_decay": 0.25, "voltage_decay": 0.06}
BATCH, STEPS = 3, 40
Array = NDArray[np.float64]


class Net(nn.Module):
    """Blocks one after the other, as in SLAYER's tutorials."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, spike: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            spike = block(spike)
        return spike


def cuba() -> Any:
    return slayer().block.cuba


def spikes(seed: int, *shape: int, rate: float = 0.3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand((BATCH, *shape, STEPS), generator=generator) < rate).float()


def frames(x: torch.Tensor) -> Array:
    """(batch, ..., time) as (batch, time, ...)."""
    return (
        x.detach().double().numpy().swapaxes(1, -1) if x.ndim == 3 else np.moveaxis(x.detach().double().numpy(), -1, 1)
    )


def neurons_of(net: nn.Module) -> dict[str, nn.Module]:
    """The neurons of all blocks, by the name of their population."""
    found = {n: m for n, m in net.named_modules() if type(m).__module__ == "lava.lib.dl.slayer.neuron.cuba"}
    return {name.removesuffix(".neuron"): module for name, module in found.items()}


def membranes(net: nn.Module, x: torch.Tensor) -> tuple[dict[str, Array], Array]:
    """The integer membranes of every layer before the reset (batch, time, ...), and what the fresh module returns."""
    twin, found = private_copy(net), dict[str, list[torch.Tensor]]()

    def note(name: str, module: Any, args: Any) -> None:
        found.setdefault(name, []).append(copy.deepcopy(module).dynamics(args[0])[1] * module.s_scale)

    for name, part in neurons_of(twin).items():
        part.register_forward_pre_hook(partial(note, name))
    with torch.no_grad():
        shown = frames(twin(x))
    return {name: frames(torch.cat(parts, dim=-1)) for name, parts in found.items()}, shown


def exact(net: nn.Module, x: torch.Tensor) -> Network:
    """Import, and hold every integer membrane and every spike against the module."""
    net.eval()
    network = load_torch(net, sample=x)
    states, out = membranes(net, x)
    record = run(network, frames(x), record=("spikes", "membrane"))
    last = network.readout.node
    shown = record.spikes[last]
    assert np.array_equal(shown.reshape(out.shape), out)
    assert 0.02 < out.mean() < 0.98
    for name, state in states.items():
        mine = record.membrane[name].reshape(state.shape)
        late = 1 if name == last and not np.array_equal(mine, state) else 0
        assert np.array_equal(mine[:, late:], state[:, : STEPS - late]), name
    return network


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, Any]:
    """A neuron over the whole range of its decays, thresholds and scales."""
    decay = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0, 1 / 4096, 0.5]))
    return {
        "threshold": draw(st.floats(0.2, 4.0)),
        "current_decay": draw(decay),
        "voltage_decay": draw(decay),
        "scale": draw(st.sampled_from([64, 64, 32, 128])),
    }


@given(parameters(), parameters(), st.integers(0, 99), st.booleans(), st.booleans())
def test_dense_layers_with_any_registers(
    first: dict[str, Any], second: dict[str, Any], seed: int, norm: bool, shift: bool
) -> None:
    torch.manual_seed(seed)
    rule = {"norm": slayer().neuron.norm.MeanOnlyBatchNorm} if norm else {}
    net = Net(
        cuba().Dense({**first, **rule}, 9, 7, weight_scale=3, weight_norm=True, delay_shift=shift),
        cuba().Dense(second, 7, 5, weight_scale=4, delay_shift=shift),
    )
    if norm:
        net.blocks[0].neuron.norm.running_mean = torch.randn(7) * 0.2
    network, x = load_torch(net.eval(), sample=spikes(seed, 9)), spikes(seed, 9)
    states, out = membranes(net, x)
    record = run(network, frames(x), record=("spikes", "membrane"))
    assert np.array_equal(record.spikes["blocks.1"], out)
    assert np.array_equal(record.membrane["blocks.0"], states["blocks.0"])
    assert {edge.delay for edge in network.edges} == ({0, 1} if shift else {0})


def images() -> list[nn.Module]:
    """Networks on (channels, height, width) = (2, 9, 8)."""
    b = cuba()

    def p(**changes: Any) -> dict[str, Any]:
        return {**PARAMETERS, **changes}

    return [
        Net(b.Conv(p(), 2, 4, 3, padding=1, weight_scale=3), b.Pool(p(), 2, weight_scale=1.1), b.Flatten(),
            b.Dense(p(), 80, 6, weight_scale=4)),
        Net(b.Conv(p(threshold=0.2), 2, 4, (3, 2), stride=(2, 1), dilation=(1, 2), groups=2, weight_scale=9)),
        Net(b.ConvT(p(), 2, 3, 4, stride=2, padding=1, weight_scale=3), b.Unpool(p(), 2, weight_scale=1.1)),
        Net(b.Dense(p(), (8, 9, 2), 6, weight_scale=4)),
    ]  # fmt: skip


@pytest.mark.parametrize("index", range(4))
def test_layers_on_images(index: int) -> None:
    torch.manual_seed(index)
    exact(images()[index], spikes(index, 2, 9, 8))


@pytest.mark.parametrize("seed", range(3))
def test_recurrent_layers(seed: int) -> None:
    torch.manual_seed(seed)
    make = partial(cuba().Recurrent, weight_scale=4)
    network = exact(Net(make(dict(PARAMETERS), 9, 7), make(dict(PARAMETERS), 7, 5)), spikes(seed, 9))
    assert [e.delay for e in network.edges if e.target.endswith("recurrent")] == [1, 1]


def test_states_that_an_earlier_run_left_are_forgotten() -> None:
    torch.manual_seed(0)
    net = Net(cuba().Recurrent(dict(PARAMETERS), 9, 7, weight_scale=4)).eval()
    others = spikes(1, 9).repeat(2, 1, 1)[:5]  # as many samples as the import runs
    net(others)
    exact(net, spikes(0, 9))


@pytest.mark.parametrize("seed", range(3))
def test_axonal_delays(seed: int) -> None:
    torch.manual_seed(seed)
    make = partial(cuba().Dense, PARAMETERS, weight_scale=4)
    net = Net(make(9, 7, delay=True), make(7, 6, delay=True), make(6, 5))
    net(spikes(seed, 9))
    net.blocks[0].delay.delay.data = torch.rand(7) * 5
    net.blocks[1].delay.delay.data = torch.rand(6) * 3
    network = exact(net, spikes(seed, 9))
    delays = {e.delay for e in network.edges if e.source == "blocks.0"}
    assert delays == {1 + int(d) for d in net.blocks[0].delay.delay}
    with pytest.raises(RanvierError, match="RV245"):
        load_torch(Net(*net.blocks[:2]), sample=spikes(seed, 9))


@pytest.mark.parametrize("shift", [False, True])
def test_recorded_spikes_stand_in_the_step_in_which_they_were_sent(shift: bool) -> None:
    torch.manual_seed(4)
    net = Net(
        cuba().Dense(PARAMETERS, 9, 8, weight_scale=3, delay=True, delay_shift=shift),
        cuba().Dense(PARAMETERS, 8, 7, weight_scale=4, delay_shift=shift),
        cuba().Dense(PARAMETERS, 7, 5, weight_scale=4, delay_shift=shift),
    ).eval()
    x = spikes(3, 9)
    with torch.no_grad():
        net(x)
        net.blocks[0].delay.delay.copy_(torch.arange(8).reshape(net.blocks[0].delay.delay.shape) % 4)
    wanted = run(load_torch(net, sample=x), frames(x), ("spikes",)).spikes
    found = recorded_spikes(net, frames(x), sample=x)
    assert set(found) == set(wanted)
    for name, mine in found.items():
        assert mine.any()
        np.testing.assert_array_equal(mine, wanted[name].reshape(mine.shape), err_msg=name)


def test_delays_of_an_image_are_those_of_its_channels() -> None:
    torch.manual_seed(0)
    make = partial(cuba().Conv, PARAMETERS, kernel_size=3, weight_scale=4)
    net = Net(make(2, 3, delay=True), make(3, 2))
    net(spikes(0, 2, 7, 7))
    net.blocks[0].delay.delay.data = torch.tensor([0.3, 2.9, 1.0])
    exact(net, spikes(0, 2, 7, 7))


def test_an_affine_layer_shows_its_membrane() -> None:
    torch.manual_seed(0)
    net = Net(cuba().Dense(PARAMETERS, 9, 7, weight_scale=4), cuba().Affine(PARAMETERS, 7, 5, weight_scale=4)).eval()
    network = load_torch(net, sample=spikes(0, 9), readout="last_membrane")
    wanted = frames(net(spikes(0, 9))) * 4096
    mine = run(network, frames(spikes(0, 9)), record=("membrane",)).membrane[network.readout.node]
    assert np.array_equal(mine, wanted)
    assert np.ptp(wanted) > 4096


def test_a_mean_over_time_is_a_spike_count() -> None:
    class Rate(Net):
        def forward(self, spike: torch.Tensor) -> torch.Tensor:
            return super().forward(spike).mean(-1)

    torch.manual_seed(0)
    net = Rate(cuba().Dense(PARAMETERS, 9, 7, weight_scale=4)).eval()
    network = load_torch(net, sample=spikes(0, 9))
    fired = run(network, frames(spikes(0, 9)), record=("spikes",)).spikes[network.readout.node]
    assert np.allclose(fired.mean(axis=1), net(spikes(0, 9)).detach().numpy(), atol=1e-6)
    assert network.readout.kind == "spike_count"


def test_synapses_and_neurons_without_blocks() -> None:
    class Loose(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            make, s = slayer().neuron.cuba.Neuron, slayer().synapse
            self.first, self.second = make(**PARAMETERS), make(**PARAMETERS)
            self.conv = s.Conv(2, 3, 3, weight_scale=4, pre_hook_fx=self.first.quantize_8bit)
            self.dense = s.Dense(75, 5, weight_scale=4, pre_hook_fx=self.second.quantize_8bit)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(self.conv(x))
            out: torch.Tensor = self.second(self.dense(x.reshape(x.shape[0], -1, x.shape[-1])))
            return out

    torch.manual_seed(0)
    network = exact(Loose(), spikes(0, 2, 7, 7))
    assert all(op.grid is not None for op in network.nodes if isinstance(op, SYNAPSES))
    loose = Loose()
    loose.conv.pre_hook_fx = None
    with pytest.raises(RanvierError, match="RV243 conv"):
        load_torch(loose, sample=spikes(0, 2, 7, 7))


def test_the_live_module_is_the_file_that_it_exports(tmp_path: Path) -> None:
    torch.manual_seed(0)
    norm = {"norm": slayer().neuron.norm.MeanOnlyBatchNorm}
    net = Net(
        cuba().Conv({**PARAMETERS, **norm}, 2, 4, 3, weight_scale=3),
        cuba().Flatten(),
        cuba().Dense(PARAMETERS, 100, 6, weight_scale=3, delay=True),
        cuba().Dense(PARAMETERS, 6, 5, weight_scale=3),
    ).eval()
    net(spikes(0, 2, 7, 7))
    net.blocks[0].neuron.norm.running_mean = torch.randn(4) * 0.2
    net.blocks[2].delay.delay.data = torch.rand(6) * 4
    live = load_torch(net, sample=spikes(0, 2, 7, 7))
    with h5py.File(tmp_path / "net.net", "w") as file:
        for i, block in enumerate(net.blocks):
            block.export_hdf5(file.create_group(f"layer/{i}"))
    read = load_netx(tmp_path / "net.net", input_shape=(2, 7, 7))
    for mine, other in zip(live.populations, read.populations, strict=True):
        assert isinstance(mine.model, RegisterLif)
        assert isinstance(other.model, RegisterLif)
        for name in ("du", "dv", "vth", "bias"):
            registers = getattr(mine.model, name), getattr(other.model, name)
            assert np.array_equal(*np.broadcast_arrays(*registers)), name
    weights = [[n for n in net_.nodes if isinstance(n, SYNAPSES) and n.grid] for net_ in (live, read)]
    for mine_op, other_op in zip(*weights, strict=True):
        assert np.array_equal(mine_op.weight, other_op.weight)
        assert mine_op.grid == other_op.grid


def test_published_weights_as_a_live_module() -> None:
    """The MNIST network of lava-dl's authors, rebuilt from blocks, fires as the imported file does, at every layer."""
    path = test_data("lava_dl", "mnist_784_128_64_10.net")
    read = load_netx(path)
    synapses = [node for node in read.nodes if isinstance(node, SYNAPSES) and node.grid]
    params = {"threshold": 1.0, "current_decay": 410 / 4096, "voltage_decay": 410 / 4096}
    blocks = []
    for op in synapses:
        outputs, inputs = op.weight.shape
        block = cuba().Dense(params, inputs, outputs, delay_shift=False)
        weight = torch.tensor(op.weight.copy()) / 64.0
        block.synapse.weight.data = weight.float().reshape(outputs, inputs, 1, 1, 1)
        blocks.append(block)
    live = load_torch(Net(*blocks), sample=spikes(1, synapses[0].in_size, rate=0.1))
    x = frames(spikes(2, synapses[0].in_size, rate=0.1))
    mine = run(live, x, record=("spikes",))
    direct = [n.name for n in read.populations if n.name.startswith("dense")]
    first = next(node for node in read.nodes if node.name == direct[0])
    assert isinstance(first.model, RegisterLif)
    assert int(first.model.dv) == 410
    out = membranes(Net(*blocks), spikes(2, synapses[0].in_size, rate=0.1))[1]
    assert np.array_equal(mine.spikes["blocks.2"], out)
    for i, name in enumerate(direct):
        model = next(node.model for node in read.populations if node.name == name)
        for register in ("du", "dv", "vth"):
            assert np.array_equal(getattr(live.populations[i].model, register), getattr(model, register))
    assert out.any()


def test_the_users_module_stays_as_it_was() -> None:
    torch.manual_seed(0)
    net = Net(cuba().Dense(PARAMETERS, 9, 7, weight_scale=4), cuba().Recurrent(dict(PARAMETERS), 7, 5, weight_scale=4))
    net(spikes(0, 9))
    before = {n: b.clone() for n, b in (*net.named_parameters(), *net.named_buffers())}
    generator = torch.get_rng_state()
    load_torch(net, sample=spikes(0, 9))
    after = dict((*net.named_parameters(), *net.named_buffers()))
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert torch.equal(generator, torch.get_rng_state())
    assert net.training


def test_the_program_on_the_chip_is_the_same() -> None:
    torch.manual_seed(0)
    make = partial(cuba().Dense, PARAMETERS, weight_scale=4)
    net = Net(make(9, 7, delay=True), cuba().Recurrent(dict(PARAMETERS), 7, 5, weight_scale=4))
    net(spikes(0, 9))
    net.blocks[0].delay.delay.data = torch.rand(7) * 3
    deployed(exact(net, spikes(0, 9)), frames(spikes(0, 9)), least=1.0 - 1e-12)


def dense(**changes: Any) -> nn.Module:
    made: nn.Module = cuba().Dense({**PARAMETERS, **changes}, 9, 7)
    return made


REFUSED: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "graded_spike": ("RV243", lambda: dense(graded_spike=True)),
    "its decays are drawn": ("RV243", lambda: dense(shared_param=False)),
    "its delays are drawn": ("RV243", lambda: cuba().Dense(PARAMETERS, 9, 7, delay=True)),
    "no multiples of": ("RV243", lambda: cuba().Dense(PARAMETERS, 9, 7, pre_hook_fx=None)),
    "so large that in float32": ("RV243", lambda: dense(threshold=80.0)),
    "its threshold is -1": ("RV243", lambda: dense(threshold=-1.0)),
    "WgtScaleBatchNorm": ("RV243", lambda: dense(norm=slayer().neuron.norm.WgtScaleBatchNorm)),
    "dynamics=False": ("RV243", lambda: cuba().Affine(PARAMETERS, 9, 7, dynamics=False)),
    "cuba.KWTA": ("RV244", lambda: cuba().KWTA(dict(PARAMETERS), 9, 7, 2)),
    "cuba.Average": ("RV244", lambda: Net(dense(), cuba().Average(7))),
    "cuba.Input": ("RV244", lambda: Net(cuba().Input(PARAMETERS, weight=1.0), dense())),
    "cuba.TimeDecimation": ("RV244", lambda: Net(dense(), cuba().TimeDecimation(2))),
    "alif.Dense of SLAYER adapts": ("RV244", lambda: slayer().block.alif.Dense(
        {**PARAMETERS, "threshold_step": 0.5, "threshold_decay": 0.1, "refractory_decay": 0.1}, 9, 7)),
    "rf.Dense of SLAYER turns": ("RV244", lambda: slayer().block.rf.Dense(
        {"threshold": 1.0, "period": 9.0, "decay": 0.1}, 9, 7)),
    "rf_iz.Dense of SLAYER turns": ("RV244", lambda: slayer().block.rf_iz.Dense(
        {"threshold": 1.0, "period": 9.0, "decay": 0.1}, 9, 7)),
    "sigma_delta.Dense of SLAYER sends": ("RV244", lambda: slayer().block.sigma_delta.Dense(
        {"threshold": 0.1, "activation": torch.relu}, 9, 7)),
}  # fmt: skip


@pytest.mark.parametrize("told", REFUSED)
def test_what_cannot_be_kept_is_refused_by_name(told: str) -> None:
    code, make = REFUSED[told]
    with pytest.raises(RanvierError) as refused:
        load_torch(Net(make()), sample=spikes(0, 9))
    (found,) = refused.value.diagnostics
    assert (found.code, found.place[:8]) == (code, "blocks.0")
    assert told in found.message
    assert code in CODES


def test_real_numbers_as_input_are_refused() -> None:
    with pytest.raises(RanvierError, match="RV243"):
        load_torch(Net(dense()), sample=spikes(0, 9) * 0.7)


def test_windows_across_channels_are_refused() -> None:
    with pytest.raises(RanvierError, match="reach from one channel into the next"):
        load_torch(Net(cuba().Pool(PARAMETERS, 3, stride=1)), sample=spikes(0, 1, 6, 6))
