"""The oracle against a second statement of the semantics in plain integers, and against cases by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import oracle
from ranvier.runtimes.recording import OverflowEvent
from support import scalar
from support.networks import chip_networks, inputs_for

ALL = ("spikes", "states", "membrane")


def lif_population(name, n, latency, du=4095, dv=0, vth=1, bias=0):
    params = {"du": np.array(du), "dv": np.array(dv), "vth": np.array(vth), "bias": np.array(bias)}
    initial = {"u": np.array(0), "v": np.array(0)}
    return Population(name, (n,), chip_lif(Features()), params, initial, latency)


def one_layer(weight, exponent=0, **neuron):
    weight = np.asarray(weight, np.int32)
    layer = lif_population("layer", weight.shape[0], 1, **neuron)
    synapses = Connection("synapses", "input", "layer", DenseSynapse(weight), exponent, "mixed", 0)
    return ChipNetwork("one", "loihi2", (Port("input", (weight.shape[1],)),), (layer,), (synapses,), Readout("layer"))


@given(st.data())
def test_every_value_equals_the_scalar_statement(data):
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip, max_samples=2, max_steps=8))
    recording = oracle.run(chip, inputs, ALL)
    for sample in range(inputs.shape[0]):
        frames = inputs[sample].reshape(inputs.shape[1], -1).tolist()
        for name, trace in scalar.run(chip, frames).items():
            assert recording.spikes[name][sample].reshape(len(frames), -1).tolist() == trace.sent
            assert recording.membrane[name][sample].reshape(len(frames), -1).tolist() == trace.membrane
            for state, values in recording.states[name].items():
                expected = [[neuron[state] for neuron in step] for step in trace.states]
                assert values[sample].reshape(len(frames), -1).tolist() == expected


@given(st.data())
def test_samples_do_not_see_each_other(data):
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip))
    whole = oracle.run(chip, inputs, ALL)
    last = oracle.run(chip, inputs[-1:], ALL)
    for name in whole.spikes:
        assert np.array_equal(whole.spikes[name][-1:], last.spikes[name])
        assert np.array_equal(whole.membrane[name][-1:], last.membrane[name])


def test_membrane_by_hand():
    """Weight 2, one spike in step 0: u = 128 then rz(128 * 2048 / 4096) = 64; v = 128 > 64 resets; then 64, 96 > 64."""
    chip = one_layer([[2]], du=2047, dv=0, vth=1)
    recording = oracle.run(chip, np.array([[[1], [0], [0], [0]]]), ALL)
    assert recording.current["layer"].ravel().tolist() == [128, 64, 32, 16]
    assert recording.membrane["layer"].ravel().tolist() == [128, 64, 96, 16]
    assert recording.spikes["layer"].ravel().tolist() == [1, 0, 1, 0]
    assert recording.states["layer"]["v"].ravel().tolist() == [0, 64, 0, 16]


def test_decay_rounds_toward_zero_on_both_sides():
    chip = one_layer([[2], [-2]], du=1, dv=4096, vth=1000)
    u = oracle.run(chip, np.array([[[1], [0]]]), ALL).current["layer"]
    assert u[0, 1].tolist() == [127, -127]


def test_exponents_shift_the_sum_with_floor():
    spikes = np.ones((1, 1, 1))
    up = oracle.run(one_layer([[-6]], exponent=3, vth=1000), spikes, ALL).current["layer"]
    down = oracle.run(one_layer([[-6]], exponent=-2, vth=1000), spikes, ALL).current["layer"]
    assert up.ravel().tolist() == [-6 * 8 * 64]
    assert down.ravel().tolist() == [-2 * 64]


def test_two_layers_recurrence_and_delay_are_aligned_to_network_steps():
    """A spike crosses two layers within its network step; recurrence takes one, a delay of 2 takes three."""
    first, second = lif_population("first", 1, 1, dv=4096), lif_population("second", 1, 2, dv=4096)
    weight = DenseSynapse(np.array([[4]], np.int32))
    joins = [("a", "input", "first", 0), ("b", "first", "second", 0), ("loop", "second", "second", 2)]
    connections = tuple(Connection(n, s, t, weight, 0, "mixed", d) for n, s, t, d in joins)
    chip = ChipNetwork("two", "loihi2", (Port("input", (1,)),), (first, second), connections, Readout("second"))
    recording = oracle.run(chip, np.eye(8)[:1, :, None], ALL)
    assert recording.spikes["first"].ravel().tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert recording.spikes["second"].ravel().tolist() == [1, 0, 0, 1, 0, 0, 1, 0]
    assert recording.stats["second"].spikes == 3
    assert recording.stats["second"].synaptic_operations == 4


def test_readout_by_membrane_and_by_count():
    chip = one_layer([[2], [4]], dv=4096, vth=3)
    inputs = np.ones((1, 3, 1))
    counted = oracle.run(chip, inputs)
    assert counted.outputs.tolist() == [[[0, 1]] * 3]
    assert counted.predictions.tolist() == [1]
    assert (counted.spikes, counted.states, counted.membrane) == ({}, {}, {})
    read = ChipNetwork("m", "loihi2", chip.ports, chip.populations, chip.connections, Readout("layer", "last_membrane"))
    assert oracle.run(read, inputs).outputs.tolist() == [[[128, 256]] * 3]


def test_overflow_of_the_current_is_counted_and_located():
    """512 inputs of weight 126 and no current decay: 64 * 64512 per step passes 2^23 in the third step."""
    chip = one_layer(np.array([[0] * 512, [126] * 512]), du=-1, dv=0, vth=131071)
    recording = oracle.run(chip, np.ones((2, 4, 512)), ALL)
    assert recording.current["layer"][0, :, 1].tolist() == [4128768, 8257536, 12386304 - 2**24, 16515072 - 2**24]
    register = dict(chip.populations[0].program.updates)["u"]
    assert OverflowEvent("layer", register, 2, 0, 2, 1) in recording.overflows


def test_overflow_of_a_convolution_is_at_24_bits():
    weight = np.full((1, 1, 1, 1), 254, np.int32)
    layer = Population("layer", (1, 1, 1), chip_lif(Features()), lif_population("x", 1, 1).params,
                       {"u": np.array(0), "v": np.array(0)}, 1)  # fmt: skip
    synapse = ConvSynapse(weight, (1, 1, 1), (1, 1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    conv = Connection("conv", "input", "layer", synapse, 0, "mixed", 0)
    chip = ChipNetwork("c", "loihi2", (Port("input", (1, 1, 1), 24),), (layer,), (conv,), Readout("layer"))
    recording = oracle.run(chip, np.full((1, 2, 1, 1, 1), 40_000))
    assert OverflowEvent("layer", "conv", 2, 0, 0, 0) in recording.overflows
    dense = Connection("dense", "input", "layer", DenseSynapse(weight.reshape(1, 1)), 0, "mixed", 0)
    wide = ChipNetwork("d", "loihi2", chip.ports, (layer,), (dense,), Readout("layer"))
    assert "dense" not in {e.where for e in oracle.run(wide, np.full((1, 2, 1, 1, 1), 40_000)).overflows}


def test_wrong_data_are_refused():
    chip = one_layer([[2]])
    with pytest.raises(RanvierError, match="RV821"):
        oracle.run(chip, np.ones((1, 1, 2)))
