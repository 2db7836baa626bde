"""Quantizing with every option: what the chip gets keeps to the widths, the records and the meaning of the network."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ranvier.compiler.analysis.memory import memory
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif, SigmaDelta
from ranvier.compiler.ir.weight_levels import weight_levels
from ranvier.compiler.options import Options
from ranvier.compiler.passes.arrivals import arrival
from ranvier.compiler.passes.calibrate import Calibrate
from ranvier.compiler.passes.correct_bias import correct_bias
from ranvier.compiler.passes.equalize import Equalize
from ranvier.compiler.passes.per_channel import channel_gains, rescaled
from ranvier.compiler.passes.quantize import Quantize
from ranvier.compiler.passes.scales import ScaleSearch
from ranvier.compiler.pipeline import build, lower, prepare
from ranvier.runtimes import oracle, reference, simulator
from ranvier.runtimes.observe import calibrate, measure
from ranvier.targets.load import load_target
from support.float_networks import dyadic_inputs, float_networks

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")
seeds = st.integers(0, 2**32 - 1)
points = st.builds(
    Options, st.just(8), st.integers(1, 8), st.just(()), st.booleans(), st.sampled_from(["nearest", "output"]),
    st.booleans(), st.booleans(), exponent_groups=st.integers(1, 4),
)  # fmt: skip


def spiking(weight: np.ndarray, model: Lif) -> Network:
    """One dense layer from spikes into ``model``."""
    nodes = (Input("input", (weight.shape[1],), "spikes"), Dense("d", weight), Neurons("n", (len(weight),), model))
    return Network("spiking", nodes, (Edge("input", "d"), Edge("d", "n")), Readout("n"))


def trains(steps: int, inputs: int, rate: float = 0.3, samples: int = 4) -> np.ndarray:
    return (np.random.default_rng(4).random((samples, steps, inputs)) < rate).astype(np.int8)


def lowered(network: Network, seed: int, options: Options) -> tuple[ChipNetwork, np.ndarray]:
    inputs = dyadic_inputs(network, seed)
    assume(np.abs(inputs).max() > 0)
    prepared = prepare(network)
    return lower(prepared, LOIHI2, calibrate(prepared, inputs), options), inputs


@settings(max_examples=8)
@given(float_networks(), seeds, points)
def test_simulator_and_oracle_agree_with_all_options(network: Network, seed: int, options: Options) -> None:
    try:
        chip, inputs = lowered(network, seed, options)
    except RanvierError:
        assume(False)
    ours, theirs = (run(chip, inputs, ("spikes", "membrane")) for run in (simulator.run, oracle.run))
    for name, spikes in theirs.spikes.items():
        np.testing.assert_array_equal(ours.spikes[name], spikes)
        np.testing.assert_array_equal(ours.membrane[name], theirs.membrane[name])


@settings(max_examples=8)
@given(float_networks(), seeds, points)
def test_layers_of_k_bits_use_at_most_two_to_the_k_levels(network: Network, seed: int, options: Options) -> None:
    try:
        chip, _ = lowered(network, seed, options)
    except RanvierError:
        assume(False)
    for c in chip.connections:
        values = np.unique(c.synapse.data if c.synapse.kind == "sparse" else c.synapse.weight)
        if options.weight_bits == 1:  # a weight of the source that is zero is no synapse, and has no level
            values = values[values != 0]
        levels = weight_levels(options.weight_bits, c.sign)
        np.testing.assert_array_equal(levels.nearest(values.astype(float)), values)
        assert len(values) <= 2**options.weight_bits


@settings(max_examples=8)
@given(float_networks(), seeds, st.integers(1, 8), st.sampled_from(["nearest", "output"]))
def test_no_weight_is_further_off_than_recorded(network: Network, seed: int, bits: int, rounding: str) -> None:
    inputs = dyadic_inputs(network, seed)
    assume(np.abs(inputs).max() > 0)
    prepared, options = prepare(network), Options(weight_bits=bits, rounding=rounding)
    known = calibrate(prepared, inputs)
    quantized = Quantize(LOIHI2, options, known.moments)(Calibrate(known.observed)(prepared))
    chip = lower(prepared, LOIHI2, known, options)
    recorded = {r.place: r.worst for r in chip.roundings if r.parameter == "weight"}
    for c in chip.connections:
        wanted = arrival(quantized, prepared.by_name[c.name], 8, {}).source
        got = (c.synapse.data if c.synapse.kind == "sparse" else c.synapse.weight).reshape(wanted.shape)
        unit = 64 * 2.0**c.exponent / chip.by_name[c.target].scale
        assert np.abs(got * unit - wanted).max(initial=0.0) <= recorded[c.name] * (1 + 1e-9) + 1e-12


def test_layers_have_their_own_width_and_unknown_ones_are_named() -> None:
    network = spiking(np.random.default_rng(0).normal(size=(4, 30)), Lif())
    chip = lower(prepare(network), LOIHI2, None, Options(weight_bits=8, layer_bits=(("d", 2),)))
    assert len(np.unique(chip.connections[0].synapse.weight)) <= 4
    with pytest.raises(RanvierError, match="RV633"):
        lower(prepare(network), LOIHI2, None, Options(layer_bits=(("e", 2),)))


def test_fewer_bits_take_less_memory_where_the_chip_packs_them() -> None:
    network = spiking(np.random.default_rng(0).normal(size=(40, 60)), Lif())
    sizes = []
    for bits in (8, 4, 2):
        program = build(prepare(network), LOIHI1, None, Options(weight_bits=bits))
        sizes.append(memory(program.chip, program.placement, LOIHI1).weight_bytes)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.4 * sizes[0]


def test_the_threshold_that_all_neurons_share_falls_near_its_register() -> None:
    network = prepare(spiking(np.random.default_rng(1).normal(size=(8, 12)), Lif(keep_membrane=0.9, threshold=0.731)))
    chip = lower(network, LOIHI2, calibrate(network, trains(40, 12)), Options(weight_bits=5))
    scale = chip.populations[0].scale
    vth = [r for r in chip.roundings if r.parameter == "vth"]
    assert not vth or vth[0].relative < 0.01
    assert scale * 0.731 / 64 > 50


def test_channels_of_unlike_size_use_the_grid_alike_and_spike_as_before() -> None:
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(6, 20)) * np.array([[8.0, 4, 2, 1, 0.5, 0.25]]).T
    network = prepare(spiking(weight, Lif(keep_membrane=0.9, threshold=np.abs(weight).sum(axis=1) / 8)))
    inputs = trains(80, 20)
    wanted = reference.run(network, inputs, ("spikes",)).spikes["n"]
    differing = {}
    for chosen in (False, True):
        chip = lower(network, LOIHI2, calibrate(network, inputs), Options(weight_bits=4, per_channel=chosen))
        differing[chosen] = int((simulator.run(chip, inputs, ("spikes",)).spikes["n"] != wanted).sum())
    assert differing[True] < 0.6 * differing[False]
    gain, scale = chip.populations[0].gain, chip.populations[0].scale
    assert gain.size == 6
    run = oracle.run(chip, inputs, ("membrane",)).membrane["n"] / (scale * gain)
    exact = reference.run(network, inputs, ("membrane",)).membrane["n"]
    assert np.abs(run - exact)[:, 0].max() < 0.3 * np.abs(exact).max()


def test_gains_leave_the_float_network_as_it_is() -> None:
    model = Lif(keep_current=0.5, keep_membrane=0.8, drive=0.02, current_drive=0.01, threshold=1.0, initial=0.1)
    network = prepare(spiking(np.random.default_rng(3).normal(size=(5, 9)), replace(model, reset="subtract")))
    arrivals = [arrival(network, network.by_name["d"], 3, {})]
    (population,) = network.populations
    scaling = ScaleSearch(population, tuple(arrivals), 2.0**16, 7).best()
    gains = channel_gains(network, population, arrivals, scaling, 2.0**20)
    changed, (a,), _ = rescaled(population, arrivals, arrivals, gains)
    assert len(np.unique(gains)) > 1
    dense = replace(network.by_name["d"], weight=a.source)
    other = replace(network, nodes=(network.nodes[0], dense, changed))
    before, after = (reference.run(n, trains(60, 9), ("spikes", "membrane")) for n in (network, other))
    np.testing.assert_array_equal(before.spikes["n"], after.spikes["n"])
    np.testing.assert_allclose(after.membrane["n"], before.membrane["n"] * changed.gain, atol=1e-9)


def test_a_membrane_that_is_read_keeps_one_scale() -> None:
    network = spiking(np.diag([8.0, 1.0, 0.1]), Lif(reset="none", threshold=np.inf))
    network = prepare(replace(network, readout=Readout("n", "last_membrane")))
    chip = lower(network, LOIHI2, calibrate(network, trains(20, 3)), Options(weight_bits=3, per_channel=True))
    assert chip.populations[0].gain.size == 1


def test_bias_correction_takes_the_mean_back() -> None:
    rng = np.random.default_rng(5)
    network = prepare(spiking(rng.normal(0.4, 0.5, (6, 30)), Lif(keep_membrane=0.9, threshold=1e3)))
    inputs = trains(200, 30)
    wanted = reference.run(network, inputs, ("membrane",)).membrane["n"]
    means = []
    for corrected in (False, True):
        options = Options(weight_bits=3, correct_bias=corrected)
        chip = lower(network, LOIHI2, calibrate(network, inputs), options)
        got = oracle.run(chip, inputs, ("membrane",)).membrane["n"] / chip.populations[0].scale
        means.append(np.abs((got - wanted)[:, 50:].mean(axis=(0, 1))).mean())
    assert means[1] < 0.2 * means[0]


def test_nothing_to_correct_leaves_the_neurons_alone() -> None:
    network = prepare(spiking(np.eye(3), Lif(keep_membrane=0.5)))
    (population,) = network.populations
    a = arrival(network, network.by_name["d"], 8, {})
    scaling = ScaleSearch(population, (a,), 2.0**16, 7).best()
    integers = a.levels.nearest(a.weights * scaling.scale / (64 * 2.0 ** scaling.exponents[0]))
    assert correct_bias(population, [a], [integers], scaling) is population


def sigma_delta() -> Network:
    """A convolution into neurons that send changes, and a dense layer behind them."""
    rng = np.random.default_rng(6)
    conv = Conv("c", rng.normal(size=(3, 2, 2, 2)) * np.array([4.0, 1, 0.1])[:, None, None, None], (2, 4, 4))
    hidden = Neurons("h", (3, 3, 3), SigmaDelta(threshold=0.1, activation="relu"))
    nodes = (Input("input", (2, 4, 4), "current"), conv, hidden, Dense("d", rng.normal(size=(4, 27))),
             Neurons("out", (4,), Lif(reset="none", threshold=np.inf)))  # fmt: skip
    edges = (Edge("input", "c"), Edge("c", "h"), Edge("h", "d"), Edge("d", "out"))
    return Network("sigma_delta", nodes, edges, Readout("out", "last_membrane"))


def test_equalizing_balances_ranges_and_leaves_the_network_as_it_is() -> None:
    network = prepare(sigma_delta())
    equalized = Equalize()(network)
    inputs = np.random.default_rng(7).normal(size=(2, 6, 2, 4, 4))
    before, after = (reference.run(n, inputs, ("membrane",)).membrane["out"] for n in (network, equalized))
    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)
    into, behind = equalized.by_name["c"].weight, equalized.by_name["d"].weight
    peaks = np.abs(into).reshape(3, -1).max(axis=1), np.abs(behind).reshape(4, 3, -1).max(axis=(0, 2))
    np.testing.assert_allclose(peaks[0] / peaks[1], (peaks[0] / peaks[1])[0])
    chip = lower(network, LOIHI2, measure(network, inputs).calibration(), Options(weight_bits=6, equalize=True))
    assert chip.populations[0].gain.size == 27


def test_spiking_neurons_cannot_be_equalized() -> None:
    network = prepare(spiking(np.eye(3), Lif()))
    assert Equalize()(network) is network
