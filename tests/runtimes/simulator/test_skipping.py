"""Steps that are passed over because nothing can happen in them, and spikes held as bits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import oracle
from ranvier.runtimes.recording import Records
from ranvier.runtimes.simulator import run
from ranvier.runtimes.simulator.events import bit_by_bit, listed_bits
from ranvier.runtimes.simulator.packing import count_nonzero, pack, unpack, words
from ranvier.runtimes.simulator.vectors import SPAN

ALL: Records = ("spikes", "states", "membrane")


def network(du: int, dv: int, bias: int, neurons: int, start: int) -> ChipNetwork:
    """Seven inputs, stock neurons with these decays, bias and first membrane, which look at themselves a step later."""
    rng = np.random.default_rng(neurons)
    params = {"du": np.array(du), "dv": np.array(dv), "vth": np.array(300), "bias": np.array(bias)}
    initial = {"u": np.array(0), "v": np.array(start)}
    population = Population("n", (neurons,), chip_lif(Features()), params, initial, 1)
    weight, loop = rng.integers(-100, 127, (neurons, 7)), rng.integers(-60, 60, (neurons, neurons))
    connections = (
        Connection("c", "in", "n", DenseSynapse(weight.astype(np.int32)), 0, "mixed", 0),
        Connection("r", "n", "n", DenseSynapse(loop.astype(np.int32)), 0, "mixed", 2),
    )
    return ChipNetwork("net", "loihi2", (Port("in", (7,)),), (population,), connections, Readout("n"))


@settings(max_examples=25)
@given(
    st.sampled_from([0, 100, 4095]),
    st.sampled_from([0, 300, 4096]),
    st.sampled_from([0, 0, 3, -3]),
    st.sampled_from([1, 16, 33, 70]),
    st.sampled_from([0, 5000]),
    st.sampled_from([0.0, 0.01, 0.2]),
    st.booleans(),
)
def test_rare_input_changes_nothing_but_time(
    du: int, dv: int, bias: int, neurons: int, start: int, rate: float, recorded: bool
) -> None:
    chip = network(du, dv, bias, neurons, start)
    if recorded:
        chip = replace(chip, readout=Readout("n", "last_membrane"))
    inputs = (np.random.default_rng(du + dv).random((3, 150, 7)) < rate).astype(np.uint8)
    expected, found = oracle.run(chip, inputs, ALL), run(chip, inputs, ("spikes",))
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    np.testing.assert_array_equal(found.spikes["n"], expected.spikes["n"])
    assert dict(found.stats) == dict(expected.stats)
    assert set(found.overflows) == set(expected.overflows)
    whole = run(chip, inputs, ALL)
    for state, values in expected.states["n"].items():
        np.testing.assert_array_equal(whole.states["n"][state], values)
    np.testing.assert_array_equal(whole.membrane["n"], expected.membrane["n"])


@pytest.mark.parametrize("wires", [1, 63, 64, 65, 640, 64 * SPAN, 64 * SPAN + 70])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.6, 1.0])
def test_bits_hold_what_the_bytes_held(wires: int, rate: float) -> None:
    rng = np.random.default_rng(wires)
    spikes = (rng.random((2, 300 if wires < 100 else 3, wires)) < rate).astype(np.uint8)
    bits, counts, again = (
        np.zeros((*spikes.shape[:2], words(wires)), np.uint64),
        np.zeros(wires, np.int64),
        counts_of(spikes),
    )
    assert pack(spikes, bits, counts) == spikes.max()
    np.testing.assert_array_equal(counts, again)
    order, back = rng.permutation(wires), np.zeros_like(spikes)
    unpack(bits, order, back)
    np.testing.assert_array_equal(back[..., order], spikes)
    senders = np.zeros(wires + SPAN, np.uint32)
    count = listed_bits(bits[0, 0], senders, 0, 3)
    np.testing.assert_array_equal(senders[:count], np.flatnonzero(spikes[0, 0]) << 3)


def counts_of(spikes: np.ndarray) -> np.ndarray:
    """How often each wire is not 0, by the function for numbers."""
    counts = np.zeros(spikes.shape[2], np.int64)
    count_nonzero(spikes.astype(np.int64), counts)
    np.testing.assert_array_equal(counts, np.count_nonzero(spikes, axis=(0, 1)))
    return counts


def test_bytes_that_are_no_spikes_are_told() -> None:
    bits, counts = np.zeros((1, 1, 2), np.uint64), np.zeros(70, np.int64)
    assert pack(np.full((1, 1, 70), 3, np.uint8), bits, counts) > 1


@given(st.integers(0, 2**64 - 1))
def test_the_bits_of_a_word_are_listed_in_order(word: int) -> None:
    senders, slow = np.zeros(2 * SPAN, np.uint32), np.zeros(2 * SPAN, np.uint32)
    count = listed_bits(np.array([word], np.uint64), senders, 5, 2)
    assert bit_by_bit(np.uint64(word), 0, 2, slow, 5) == count == 5 + word.bit_count()
    np.testing.assert_array_equal(senders[5:count], slow[5:count])
    assert senders[5:count].tolist() == [4 * k for k in range(64) if word >> k & 1]
