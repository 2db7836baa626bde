"""lava-dl files: integers as they stand, registers as lava-dl's importer sets them, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.frontends.netx import load_netx
from ranvier.runtimes import oracle, simulator
from ranvier.runtimes.observe import observe
from ranvier.runtimes.reference import run
from ranvier.targets.load import load_target
from support.netx_files import CUBA, conv, dense, write_netx

RNG = np.random.default_rng(7)


def load(path: Path, *layers: Any, **options: Any) -> Network:
    return check_network(load_netx(write_netx(path / "n.net", *layers), **options), "imported")


def codes(path: Path, *layers: Any, **options: Any) -> list[str]:
    with pytest.raises(RanvierError) as found:
        load(path, *layers, **options)
    return [d.code for d in found.value.diagnostics]


def registers(network: Network, number: int = 0) -> RegisterLif:
    model = network.populations[number].model
    assert isinstance(model, RegisterLif)
    return model


def cuba_steps(inputs: np.ndarray, bias: int = 0) -> np.ndarray:
    """SLAYER's CUBA equations in plain integers: ``inputs`` (steps, neurons) are weighted sums."""
    u = v = np.zeros(inputs.shape[1], np.int64)
    spikes = []
    for a in inputs:
        u = np.trunc(u * (4096 - 1024) / 4096).astype(np.int64) + 64 * a
        v = np.trunc(v * (4096 - 128) / 4096).astype(np.int64) + u + 64 * bias
        spikes.append(v > 80 * 64)
        v = np.where(spikes[-1], 0, v)
    return np.array(spikes)


def test_a_dense_layer_steps_as_slayer_does(tmp_path: Path) -> None:
    weight = 2 * RNG.integers(-40, 41, (5, 12))
    network = load(tmp_path, dense(weight, bias=np.full(5, 3.0)))
    x = RNG.integers(0, 2, (1, 60, 12))
    wanted = cuba_steps(x[0] @ weight.T, bias=3)
    np.testing.assert_array_equal(run(network, x).outputs[0], wanted)
    assert 10 < wanted.sum() < wanted.size - 10
    model, op = registers(network), network.linears[0]
    assert (int(model.du), int(model.dv), int(model.vth), int(model.bias)) == (1023, 128, 80, 192)
    assert isinstance(op, Dense)
    assert op.grid is not None
    assert (op.grid.scale, op.grid.exponent, op.grid.sign) == (4096.0, 0, "mixed")
    assert network.populations[0].scale == 4096.0


def test_a_convolution_is_a_cross_correlation(tmp_path: Path) -> None:
    kernel = 2 * RNG.integers(-60, 61, (3, 2, 3, 3))
    network = load(tmp_path, conv(kernel[..., None], padding=np.array([1, 0])), input_shape=(2, 5, 6))
    x = RNG.integers(0, 2, (1, 30, 2, 5, 6))
    padded = np.pad(x[0], ((0, 0), (0, 0), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    sums = np.einsum("tcijkl,ockl->toij", windows, kernel)
    wanted = cuba_steps(sums.reshape(30, -1)).reshape(sums.shape)
    np.testing.assert_array_equal(run(network, x).outputs[0], wanted)
    assert wanted.any()
    assert isinstance(network.linears[0], Conv)


def test_a_recurrent_layer_hears_itself_one_step_later(tmp_path: Path) -> None:
    weight, back = 2 * RNG.integers(-40, 60, (4, 6)), 2 * RNG.integers(-60, 60, (4, 4))
    network = load(tmp_path, dense(weight, weight_rec=np.float32(back)) | {"type": "dense_rec"})
    assert {(e.source, e.target): e.delay for e in network.edges if e.delay} == {
        ("dense_rec0", "dense_rec0.weight_rec"): 1
    }
    x = RNG.integers(0, 2, (1, 40, 6))
    spikes = run(network, x).outputs[0].astype(np.int64)
    before = np.vstack([np.zeros((1, 4), np.int64), spikes[:-1]])
    np.testing.assert_array_equal(spikes, cuba_steps(x[0] @ weight.T + before @ back.T))
    assert spikes.any()


def test_an_input_layer_is_driven_by_its_bias(tmp_path: Path) -> None:
    layer = {"type": "input", "shape": np.array([1, 2, 3]), "weight": 40.0, "bias": np.array([36.0]), "neuron": CUBA}
    network = load(tmp_path, layer)
    mantissas = RNG.integers(-20, 120, (1, 2, 3))
    x = np.broadcast_to((mantissas - 36) / 40, (1, 30, 1, 2, 3))
    v, wanted = np.zeros(6, np.int64), []
    for _ in range(30):
        v = np.trunc(v * (4096 - 128) / 4096).astype(np.int64) + 64 * mantissas.ravel()
        wanted.append(v > 80 * 64)
        v = np.where(wanted[-1], 0, v)
    for form in (network, prepare(network)):
        np.testing.assert_array_equal(run(form, x).outputs[0].reshape(30, 6), wanted)
    assert np.sum(wanted) > 10
    assert network.inputs[0].payload is not None
    assert network.inputs[0].payload.scale == 40.0


def test_a_layer_without_neurons_is_read_by_its_membrane(tmp_path: Path) -> None:
    network = load(tmp_path, dense(2 * np.eye(3)), dense([[2, -4, 6]], neuron=None))
    assert network.readout.kind == "last_membrane"
    assert any(note.code == "RV155" for note in network.notes)
    silent = CUBA | {"vThMant": 2**17 - 1}
    assert load(tmp_path, dense(2 * np.eye(3), neuron=silent)).readout.kind == "last_membrane"
    assert load(tmp_path, dense(2 * np.eye(3))).readout.kind == "spike_count"


def test_weights_are_put_on_lavas_grid_and_the_change_is_said(tmp_path: Path) -> None:
    network = load(tmp_path, dense([[255, -256, 3, -3, 300]]))
    op = network.linears[0]
    assert isinstance(op, Dense)
    assert op.weight.tolist() == [[254, -256, 2, -4, 254]]
    assert next(n.text for n in network.notes if n.code == "RV150").startswith("4 of 5 values")
    positive = load(tmp_path, dense([[255, 3, 0]])).linears[0]
    negative = load(tmp_path, dense([[-255, -3, 0]])).linears[0]
    assert isinstance(positive, Dense)
    assert isinstance(negative, Dense)
    assert positive.grid is not None
    assert negative.grid is not None
    assert (positive.grid.sign, positive.weight.tolist()) == ("excitatory", [[255, 3, 0]])
    assert (negative.grid.sign, negative.weight.tolist()) == ("inhibitory", [[-255, -3, 0]])


def late(spikes: np.ndarray, delays: list[int]) -> np.ndarray:
    """Column i of ``spikes`` (steps, neurons) moved ``delays[i]`` steps on."""
    moved = np.zeros_like(spikes)
    for neuron, delay in enumerate(delays):
        moved[delay:, neuron] = spikes[: len(spikes) - delay, neuron]
    return moved


@pytest.mark.parametrize("delays", [[4, 4, 4, 4], [0, 3, 7, 3]])
def test_axonal_delays_reach_the_next_layer_late(tmp_path: Path, delays: list[int]) -> None:
    first, second = 2 * RNG.integers(-40, 60, (4, 6)), 2 * RNG.integers(-40, 60, (3, 4))
    layers = dense(first, delay=np.array(delays) + 0.5, bias=np.full(4, 3.0)), dense(second)
    network = load(tmp_path, *layers)
    x = RNG.integers(0, 2, (1, 60, 6))
    sent = cuba_steps(x[0] @ first.T, bias=3)
    wanted = cuba_steps(late(sent, delays) @ second.T)
    prepared = prepare(network)
    for form in (network, prepared):
        np.testing.assert_array_equal(run(form, x).outputs[0], wanted)
    assert sent.any()
    assert wanted.any()
    assert len([e for e in prepared.edges if e.delay]) == len(set(delays) - {0})
    chip = lower(prepared, load_target("loihi2"), observe(prepared, x), Options())
    for executor in (oracle, simulator):
        np.testing.assert_array_equal(executor.run(chip, x).outputs[0], wanted)


def test_axonal_delays_of_the_last_layer_delay_what_is_read(tmp_path: Path) -> None:
    delays, weight = [5, 0, 2], 2 * RNG.integers(-40, 60, (3, 6))
    network = load(tmp_path, dense(weight, delay=np.array(delays, float)))
    x = RNG.integers(0, 2, (1, 60, 6))
    wanted = late(cuba_steps(x[0] @ weight.T), delays)
    for form in (network, prepare(network)):
        np.testing.assert_array_equal(run(form, x).outputs[0], wanted)
    assert wanted.any()
    assert not any(note.code == "RV153" for note in network.notes)
    biased = load(tmp_path, dense(weight, delay=np.array(delays, float), bias=np.full(3, 3.0)))
    assert any(note.code == "RV153" for note in biased.notes)


def test_a_recurrent_layer_hears_itself_without_its_axonal_delays(tmp_path: Path) -> None:
    weight, back = 2 * RNG.integers(-40, 60, (4, 6)), 2 * RNG.integers(-60, 60, (4, 4))
    delays = [1, 4, 0, 2]
    layer = dense(weight, weight_rec=np.float32(back), delay=np.array(delays, float)) | {"type": "dense_rec"}
    network = load(tmp_path, layer, dense(2 * np.eye(4) * 60))
    x = RNG.integers(0, 2, (1, 40, 6))
    run_ = run(prepare(network), x, record=("spikes",))
    sent = run_.spikes["dense_rec0"][0].astype(np.int64)
    before = np.vstack([np.zeros((1, 4), np.int64), sent[:-1]])
    np.testing.assert_array_equal(sent, cuba_steps(x[0] @ weight.T + before @ back.T))
    np.testing.assert_array_equal(run_.outputs[0], cuba_steps(late(sent, delays) @ (120 * np.eye(4, dtype=int))))
    assert codes(tmp_path, layer) == ["RV147"]


def test_delays_that_no_chip_can_hold_or_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    assert codes(tmp_path, dense(2 * np.eye(3), delay=np.array([63.0]))) == ["RV147"]
    assert codes(tmp_path, dense(2 * np.eye(3), delay=np.array([0.0, -1, 2]))) == ["RV147"]
    assert codes(tmp_path, dense(2 * np.eye(3), delay=np.array([1.0, 2.0]))) == ["RV142"]


def test_an_average_layer_counts_the_spikes_of_its_groups(tmp_path: Path) -> None:
    average = {"type": "average", "shape": np.array([2, 1, 1])}
    weight = 2 * RNG.integers(-40, 60, (6, 5))
    network = load(tmp_path, {"type": "input", "shape": np.array([5])}, dense(weight), average)
    x = RNG.integers(0, 2, (1, 50, 5))
    result = run(prepare(network), x, record=("spikes",))
    counts = result.spikes["dense1"][0].sum(axis=0).reshape(2, 3).sum(axis=1)
    np.testing.assert_array_equal(result.outputs[0, -1], 64 * counts)
    assert network.readout.kind == "last_membrane"
    assert counts.all()
    assert codes(tmp_path, dense(weight), {"type": "average", "shape": np.array([4, 1, 1])}) == ["RV145"]
    assert codes(tmp_path, dense(weight), average, dense(np.eye(2))) == ["RV143"]


@pytest.mark.parametrize(
    ("layers", "code"),
    [
        ([], "RV141"),
        ([{"type": "pool"}], "RV143"),
        ([dense(np.eye(2) * 2), {"type": "input", "shape": np.array([2]), "neuron": CUBA}], "RV143"),
        ([{"type": "input", "shape": np.array([2])}], "RV141"),
        ([dense(np.eye(2), CUBA | {"type": "SDNN"})], "RV144"),
        ([dense(np.eye(2), CUBA | {"type": "ADRF_PHASE"})], "RV144"),
        ([dense(np.eye(2), CUBA | {"refDelay": 3})], "RV144"),
        ([dense(np.eye(2), CUBA | {"gradedSpike": True})], "RV144"),
        ([dense(np.eye(2), CUBA | {"iDecay": 5000})], "RV142"),
        ([dense(np.eye(2), CUBA | {"vThMant": np.array([1, 2, 3])})], "RV142"),
        ([dense(np.eye(2), bias=np.full(2, 5000.0))], "RV142"),
        ([dense(np.eye(2), CUBA | {"wgtExp": 2})], "RV146"),
        ([dense(np.full((2, 2), 0.5))], "RV146"),
        ([dense(np.eye(2)), dense(np.ones((2, 3)))], "RV145"),
        ([dense(np.eye(2)), conv(np.ones((1, 1, 3, 3)))], "RV145"),
        ([dense(np.eye(2), shape=np.array([7]))], "RV145"),
        ([conv(np.ones((1, 1, 3, 3)))], "RV149"),
        ([dense(np.full((2, 2), np.inf))], "RV142"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, layers: list[Any], code: str) -> None:
    assert codes(tmp_path, *layers) == [code]


def test_all_bad_layers_are_named_at_once(tmp_path: Path) -> None:
    layers = dense(np.full((2, 2), 0.5)), {"type": "unpool"}, {"type": "convT"}
    assert codes(tmp_path, *layers) == ["RV146", "RV143", "RV143"]
