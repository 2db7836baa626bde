"""Readouts, encoding of inputs, and the refusals of data that do not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Port
from ranvier.compiler.ir.network import Input, Network, Readout
from ranvier.runtimes.recording import Recording, check_inputs, encode, flat_frames, predict

OUTPUTS = np.array([[[3, 1, 2], [0, 4, 2], [1, 0, 2]]])


@pytest.mark.parametrize(
    ("kind", "winner"), [("spike_count", 2), ("sum_membrane", 2), ("last_membrane", 2), ("max_membrane", 1)]
)
def test_predictions_by_readout(kind, winner):
    assert predict(Readout("n", kind), OUTPUTS).tolist() == [winner]


def test_last_and_sum_differ_where_they_should():
    outputs = np.array([[[9, 0], [0, 1]]])
    assert predict(Readout("n", "last_membrane"), outputs).tolist() == [1]
    assert predict(Readout("n", "sum_membrane"), outputs).tolist() == [0]


def test_the_first_spike_wins_and_silence_comes_last():
    outputs = np.zeros((3, 4, 3))
    outputs[0, 2, 1] = outputs[0, 3, 0] = outputs[0, 3, 2] = 1
    outputs[1, 3, 2] = 2
    assert predict(Readout("n", "first_spike"), outputs).tolist() == [1, 2, 0]
    outputs[0, 2, 0] = 1
    assert predict(Readout("n", "first_spike"), outputs).tolist() == [0, 2, 0], "a tie goes to the lowest index"
    outputs[2, 0, 2] = outputs[2, 1:, 1] = 1
    assert predict(Readout("n", "first_spike"), outputs[2:]).tolist() == [2]
    assert predict(Readout("n", "spike_count"), outputs[2:]).tolist() == [1]


def test_ties_go_to_the_lowest_index_and_shapes_are_flattened():
    assert predict(Readout("n"), np.ones((2, 3, 2, 2))).tolist() == [0, 0]
    outputs = np.zeros((1, 2, 2, 2))
    outputs[0, :, 1, 0] = 1
    assert predict(Readout("n"), outputs).tolist() == [2]


def test_current_shows_the_populations_that_have_one():
    states = {"a": {"u": np.ones(1), "v": np.ones(1)}, "b": {"v": np.ones(1)}}
    assert set(Recording(OUTPUTS, np.zeros(1, np.int64), states=states).current) == {"a"}


def test_spikes_pass_unchanged():
    assert encode(Port("p", (2,)), np.array([[[0.0, 1.0]]])).tolist() == [[[0, 1]]]


@given(st.integers(2, 24), st.floats(-1e9, 1e9), st.floats(1e-3, 1e3))
def test_graded_values_round_to_the_nearest_and_saturate_symmetrically(bits, value, scale):
    limit = 2 ** (bits - 1) - 1
    got = int(encode(Port("p", (1,), bits, scale), np.array([[[value]]]))[0, 0, 0])
    assert -limit <= got <= limit
    if abs(value * scale) <= limit:
        assert abs(got - value * scale) <= 0.5
    else:
        assert got == (limit if value > 0 else -limit)


def test_flat_frames_keep_c_order():
    inputs = np.arange(12).reshape(1, 2, 2, 3)
    assert flat_frames(inputs, (2, 3)).tolist() == [[[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]]


def port_network(coding="spikes", shape=(2,)):
    return Network("n", (Input("x", shape, coding),), (), Readout("x"))


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        (np.zeros((1, 1, 3)), "RV821"),
        (np.zeros((1, 2)), "RV821"),
        (np.zeros((0, 1, 2)), "RV822"),
        (np.zeros((1, 0, 2)), "RV822"),
        (np.full((1, 1, 2), "1"), "RV823"),
        (np.zeros((1, 1, 2), complex), "RV823"),
        (np.array([[[0.0, np.nan]]]), "RV824"),
        (np.array([[[0.0, np.inf]]]), "RV824"),
        (np.array([[[0, 2]]]), "RV825"),
        (np.array([[[0.5, 0.0]]]), "RV825"),
    ],
)
def test_data_that_do_not_fit_are_refused(inputs, code):
    with pytest.raises(RanvierError) as caught:
        check_inputs(inputs, port_network())
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert "x" in caught.value.diagnostics[0].place
    chip = ChipNetwork("c", "loihi2", (Port("x", (2,)),), (), (), Readout("x"))
    with pytest.raises(RanvierError, match=code):
        check_inputs(inputs, chip)


def test_data_that_fit_pass():
    check_inputs(np.ones((1, 1, 2), bool), port_network())
    check_inputs(np.full((1, 1, 2), -0.5), port_network("current"))
    chip = ChipNetwork("c", "loihi2", (Port("x", (2,), 8),), (), (), Readout("x"))
    check_inputs(np.full((1, 1, 2), 7.5), chip)
