"""Corners of the synapse kernels that random networks seldom reach, each against the oracle."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.chip import (
    ChipNetwork,
    ChipSynapse,
    Connection,
    ConvSynapse,
    DenseSynapse,
    Population,
    Port,
    SparseSynapse,
)
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import oracle
from ranvier.runtimes.recording import Recording, Records
from ranvier.runtimes.simulator import dense, run

EVERYTHING: Records = ("spikes", "states", "membrane")
RNG = np.random.default_rng(11)


def stock(name: str, shape: Shape, latency: int = 1, vth: int = 150) -> Population:
    """A stock population that keeps half of its current and membrane."""
    values = {"du": 2047, "dv": 2048, "vth": vth, "bias": 0}
    params = {key: np.array(value) for key, value in values.items()}
    return Population(name, shape, chip_lif(Features()), params, {"u": np.array(0), "v": np.array(0)}, latency)


def one_layer(
    synapse: ChipSynapse, in_shape: Shape, out_shape: Shape, exponent: int = 0, bits: int = 0, delay: int = 0
) -> ChipNetwork:
    """Port -> synapse -> stock neurons."""
    connection = Connection("c", "in", "n", synapse, exponent, "mixed", delay)
    return ChipNetwork(
        "net", "loihi2", (Port("in", in_shape, bits),), (stock("n", out_shape, 1),), (connection,), Readout("n")
    )


def agree(chip: ChipNetwork, inputs: NDArray[Any]) -> Recording:
    """Run both, compare everything, return what the simulator found."""
    found, expected = run(chip, inputs, EVERYTHING), oracle.run(chip, inputs, EVERYTHING)
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    for name, states in expected.states.items():
        np.testing.assert_array_equal(found.spikes[name], expected.spikes[name])
        np.testing.assert_array_equal(found.membrane[name], expected.membrane[name])
        for state, values in states.items():
            np.testing.assert_array_equal(found.states[name][state], values)
    assert dict(found.stats) == dict(expected.stats)
    assert set(found.overflows) == set(expected.overflows)
    return found


def spikes(shape: Sequence[int], rate: float) -> NDArray[np.int32]:
    """Random spikes."""
    return (RNG.random(tuple(shape)) < rate).astype(np.int32)


def wrapped_places(recording: Recording) -> set[str]:
    """Where overflows were found."""
    return {event.where for event in recording.overflows}


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups"),
    [
        ((1, 1), ((0, 0), (0, 0)), (1, 1), 1),
        ((2, 1), ((2, 0), (1, 3)), (1, 2), 1),
        ((3, 2), ((1, 1), (0, 2)), (2, 1), 2),
        ((1, 3), ((0, 2), (2, 2)), (2, 2), 4),
    ],
)
def test_convolution_geometry(
    stride: Shape, padding: tuple[tuple[int, int], ...], dilation: Shape, groups: int
) -> None:
    in_shape, kernel = (4, 9, 7), (3, 2)
    weight = RNG.integers(-100, 101, (8, 4 // groups, *kernel)).astype(np.int32)
    weight[RNG.random(weight.shape) < 0.2] = 0
    axes = zip(in_shape[1:], kernel, stride, padding, dilation, strict=True)
    spatial = tuple((n + lo + hi - d * (k - 1) - 1) // s + 1 for n, k, s, (lo, hi), d in axes)
    synapse = ConvSynapse(weight, in_shape, (8, *spatial), stride, padding, dilation, groups)
    recording = agree(one_layer(synapse, in_shape, (8, *spatial)), spikes((3, 6, *in_shape), 0.3))
    assert recording.stats["n"].spikes > 0


def test_convolution_wraps_at_24_bits() -> None:
    weight = np.full((2, 3, 3, 3), 30_000, np.int32)
    weight[1] = -30_000
    synapse = ConvSynapse(weight, (3, 5, 5), (2, 5, 5), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    values = RNG.integers(-127, 128, (3, 6, 3, 5, 5)) * 3
    recording = agree(one_layer(synapse, (3, 5, 5), (2, 5, 5), bits=10), values)
    assert "c" in wrapped_places(recording)


@pytest.mark.parametrize("exponent", [-7, -1, 0, 5, 22])
@pytest.mark.parametrize("bits", [0, 8])
def test_exponents(exponent: int, bits: int) -> None:
    weight = RNG.integers(-256, 255, (20, 30)).astype(np.int32)
    inputs = spikes((2, 8, 30), 0.5) * (RNG.integers(-127, 128, (2, 8, 30)) if bits else 1)
    for synapse in (DenseSynapse(weight), sparse(weight)):
        recording = agree(one_layer(synapse, (30,), (20,), exponent, bits), inputs)
        assert ("c" in wrapped_places(recording)) == (exponent == 22)


def test_sums_beyond_32_bits() -> None:
    weight = np.full((3, 40), 2**30, np.int32)
    weight[1] = 1 - 2**31
    weight[2, 1:] = 0
    inputs = spikes((2, 6, 40), 0.5)
    for synapse in (DenseSynapse(weight), sparse(weight)):
        recording = agree(one_layer(synapse, (40,), (3,)), inputs)
        assert "c" in wrapped_places(recording)
        assert {e.neuron for e in recording.overflows if e.where == "c"} <= {0, 1}


def test_more_senders_than_fit_the_narrow_type() -> None:
    weight = np.full((5, 700), 254, np.int32)
    weight[1] = -256
    weight[2] = 32_767
    agree(one_layer(DenseSynapse(weight[:2]), (700,), (2,)), spikes((2, 4, 700), 0.9))
    agree(one_layer(DenseSynapse(weight), (700,), (5,)), spikes((2, 4, 700), 0.9))


def test_wide_layers_and_long_runs_are_cut_into_blocks() -> None:
    weight = RNG.integers(-100, 110, (1500, 6)).astype(np.int32)
    chip = one_layer(DenseSynapse(weight), (6,), (1500,))
    recording = agree(chip, spikes((3, 130, 6), 0.4))
    assert recording.stats["n"].spikes > 0


def test_no_neuron_is_connected_or_no_input_comes() -> None:
    nothing = SparseSynapse(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(6, np.int64), 4)
    agree(one_layer(nothing, (4,), (5,)), spikes((2, 3, 4), 0.5))
    agree(one_layer(DenseSynapse(np.ones((5, 4), np.int32)), (4,), (5,)), np.zeros((2, 3, 4)))


def test_stored_zeros_and_repeated_synapses_count_as_the_oracle_counts_them() -> None:
    data, indices = np.array([5, 0, 7, 8], np.int32), np.array([1, 0, 1, 1])
    synapse = SparseSynapse(data, indices, np.array([0, 2, 4]), 3)
    agree(one_layer(synapse, (3,), (2,)), spikes((2, 9, 3), 0.7))


def test_loops_through_several_populations_and_layers_listed_backward() -> None:
    weights = {
        name: RNG.integers(-200, 255, (9, 9)).astype(np.int32) & ~1 for name in ("in_a", "a_b", "b_a", "in_b", "b_b")
    }
    delays = {"in_a": 0, "a_b": 0, "b_a": 1, "in_b": 1, "b_b": 2}
    connections = tuple(
        Connection(key, key[:-2], key[-1], DenseSynapse(weight), 0, "mixed", delays[key])
        for key, weight in weights.items()
    )
    layers = (stock("b", (9,), 2, 300), stock("a", (9,), 1, 300))
    chip = ChipNetwork("loop", "loihi2", (Port("in", (9,)),), layers, connections, Readout("b"))
    recording = agree(chip, spikes((4, 30, 9), 0.2))
    assert 0 < recording.stats["b"].spikes < 4 * 30 * 9


def sparse(weight: NDArray[np.int32]) -> SparseSynapse:
    """The nonzero entries of ``weight`` (targets, sources)."""
    indptr = np.concatenate([[0], np.cumsum((weight != 0).sum(axis=1))])
    return SparseSynapse(weight[weight != 0], np.nonzero(weight)[1], indptr, weight.shape[1])


def test_layout_of_shapes() -> None:
    weight = RNG.integers(-50, 60, (size((2, 3, 4)), 6)).astype(np.int32)
    recording = agree(one_layer(DenseSynapse(weight), (2, 3), (2, 3, 4)), spikes((2, 5, 2, 3), 0.5))
    assert recording.outputs.shape == (2, 5, 2, 3, 4)


def test_values_below_zero_count_by_their_size() -> None:
    weight = np.full((6, 40), 2**24, np.int32)
    inputs = -spikes((2, 6, 40), 0.8) * RNG.integers(1, 128, (2, 6, 40))
    inputs[0, :, 0] = 1
    for synapse in (DenseSynapse(weight), sparse(weight)):
        assert "c" in wrapped_places(agree(one_layer(synapse, (40,), (6,), bits=8), inputs))
    kernel = np.full((2, 1, 3, 3), 2**20, np.int32)
    convolution = ConvSynapse(kernel, (1, 5, 8), (2, 3, 6), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    chip = one_layer(convolution, (1, 5, 8), (2, 3, 6), bits=8)
    assert "c" in wrapped_places(agree(chip, inputs.reshape(2, 6, 1, 5, 8)))


def test_one_and_lower_values_together_are_not_taken_for_spikes() -> None:
    weight = RNG.integers(-256, 255, (20, 8)).astype(np.int32)
    inputs = np.array([1, 0, -5, 1, 0, -1, 1, -2])[None, None].repeat(3, axis=1)
    agree(one_layer(DenseSynapse(weight), (8,), (20,), bits=8), inputs)


@pytest.mark.parametrize("rate", [0.0, 0.002, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("bits", [0, 8])
def test_every_activity(rate: float, bits: int) -> None:
    inputs = spikes((3, 40, 150), rate) * (RNG.integers(-127, 128, (3, 40, 150)) if bits else 1)
    for largest in (60, 120, 2_000, 2**20):
        weight = RNG.integers(-largest, largest + 1, (70, 150)).astype(np.int32)
        for synapse in (DenseSynapse(weight), DenseSynapse(weight * 2), sparse(weight)):
            agree(one_layer(synapse, (150,), (70,), bits=bits), inputs)


@pytest.mark.parametrize("channels", [1, 8, 16, 21, 40])
@pytest.mark.parametrize("size", [3, 4, 9])
@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0])
def test_convolutions_of_any_number_of_channels_and_pixels(channels: int, size: int, rate: float) -> None:
    weight = RNG.integers(-100, 101, (channels, 3, 3, 3)).astype(np.int32)
    shape = (channels, size, size)
    synapse = ConvSynapse(weight, (3, size, size), shape, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    agree(one_layer(synapse, (3, size, size), shape), spikes((2, 5, 3, size, size), rate))


def test_single_steps_of_more_samples_than_are_listed_together() -> None:
    weight, loop = (RNG.integers(-120, 128, (n, n)).astype(np.int32) for n in (70, 70))
    connections = (
        Connection("c", "in", "n", DenseSynapse(weight), 0, "mixed", 0),
        Connection("r", "n", "n", DenseSynapse(loop), 24, "mixed", 1),
    )
    chip = ChipNetwork("net", "loihi2", (Port("in", (70,)),), (stock("n", (70,)),), connections, Readout("n"))
    inputs = spikes((2 * dense.ROWS + 5, 3, 70), 0.3)
    inputs[: dense.ROWS + 1] = 0
    assert "r" in wrapped_places(agree(chip, inputs))


def test_depthwise_convolution() -> None:
    weight = RNG.integers(-100, 101, (37, 1, 3, 3)).astype(np.int32)
    synapse = ConvSynapse(weight, (37, 6, 5), (37, 6, 5), (1, 1), ((1, 1), (1, 1)), (1, 1), 37)
    agree(one_layer(synapse, (37, 6, 5), (37, 6, 5)), spikes((2, 6, 37, 6, 5), 0.3))


def test_input_of_two_connections_adds_up_whatever_comes_first() -> None:
    dense = DenseSynapse(RNG.integers(-100, 101, (36, 36)).astype(np.int32))
    kernel = RNG.integers(-100, 101, (4, 4, 3, 3)).astype(np.int32)
    convolution = ConvSynapse(kernel, (4, 3, 3), (4, 3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    synapses = {"d": dense, "c": convolution, "s": sparse(np.asarray(dense.weight))}
    for first, second, third in (("d", "c", "s"), ("c", "s", "d"), ("s", "d", "c")):
        connections = tuple(
            Connection(name, "in", "n", synapses[name], 0, "mixed", delay)
            for delay, name in enumerate((first, second, third))
        )
        layers = (stock("n", (4, 3, 3), 1, 400),)
        chip = ChipNetwork("net", "loihi2", (Port("in", (4, 3, 3)),), layers, connections, Readout("n"))
        agree(chip, spikes((3, 40, 4, 3, 3), 0.2))
