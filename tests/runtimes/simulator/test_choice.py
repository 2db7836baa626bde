"""Dense sums row by row or as products: the same values, and the faster way by measurement."""

import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import oracle
from ranvier.runtimes.recording import Records
from ranvier.runtimes.simulator import choice, piece, run
from ranvier.runtimes.simulator.calls import Call, run_blocks
from ranvier.runtimes.simulator.choice import ALWAYS, NEVER, Synapses
from ranvier.runtimes.simulator.forms import Scatter
from ranvier.runtimes.simulator.profile import profile
from support.networks import Limits, chip_networks, inputs_for
from support.recordings import assert_equal

EVERYTHING: Records = ("spikes", "states", "membrane")
RNG = np.random.default_rng(12)
CASES = chip_networks(Limits()).flatmap(lambda chip: st.tuples(st.just(chip), inputs_for(chip)))


def one_layer(weight: NDArray[np.int32], bits: int = 0) -> ChipNetwork:
    """Inputs, ``weight``, stock neurons."""
    values = {"du": 2047, "dv": 2048, "vth": 150, "bias": 0}
    params = {key: np.array(value) for key, value in values.items()}
    zero = {"u": np.array(0), "v": np.array(0)}
    population = Population("n", (weight.shape[0],), chip_lif(Features()), params, zero, 1)
    connection = Connection("c", "in", "n", DenseSynapse(weight), 0, "mixed", 0)
    port = Port("in", (weight.shape[1],), bits)
    return ChipNetwork("net", "loihi2", (port,), (population,), (connection,), Readout("n"))


def spikes(shape: tuple[int, ...], rate: float) -> NDArray[np.int32]:
    """Random spikes."""
    return (RNG.random(shape) < rate).astype(np.int32)


@settings(max_examples=10)
@given(CASES, st.sampled_from(["product", "scatter"]))
def test_every_way_equals_the_oracle(case: tuple[ChipNetwork, NDArray[np.int32]], synapses: Synapses) -> None:
    chip, inputs = case
    assert_equal(oracle.run(chip, inputs, EVERYTHING), run(chip, inputs, EVERYTHING, synapses=synapses))


@pytest.mark.parametrize("bits", [0, 8])
@pytest.mark.parametrize(("wires", "largest", "factor"), [(33, 60, 2), (150, 2_000, 1), (64, 120, 64), (70, 2**20, 1)])
def test_products_of_any_size_and_type(bits: int, wires: int, largest: int, factor: int) -> None:
    weight = RNG.integers(-largest, largest + 1, (70, wires)).astype(np.int32) * factor
    inputs = spikes((3, 40, wires), 0.4) * (RNG.integers(-127, 128, (3, 40, wires)) if bits else 1)
    chip = one_layer(weight, bits)
    assert_equal(oracle.run(chip, inputs, EVERYTHING), run(chip, inputs, EVERYTHING, synapses="product"))
    way = profile(chip, inputs, synapses="product", repeats=1).ways["c"]
    assert (way.multiplied > 0) == (largest < 2**15)


def test_the_profile_says_which_way_was_taken_and_what_took_the_time() -> None:
    weight = RNG.integers(-60, 61, (70, 40)).astype(np.int32)
    chip, inputs = one_layer(weight), spikes((2, 30, 40), 0.5)
    found = profile(chip, inputs, synapses="scatter", repeats=1)
    assert (found.ways["c"].scattered, found.ways["c"].multiplied, found.ways["c"].even) == (60, 0, NEVER)
    assert {"pack", "else", "n: c", "n: neurons"} <= set(found.seconds)
    assert all(seconds >= 0 for seconds in found.seconds.values())
    assert "60 steps row by row" in str(found)
    assert profile(chip, inputs, synapses="product", repeats=1).ways["c"].even == ALWAYS


def test_the_break_even_is_measured_once_for_a_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    took = {NEVER: 2.0, ALWAYS: 1.0}
    monkeypatch.setattr(choice, "_measured", {})
    monkeypatch.setattr(choice, "_seconds", lambda made: took[made.numbers[0]])

    def probe(sent: NDArray[np.uint64], even: int) -> Call:
        asked.append(even)
        assert sent.shape == (1, choice.ROWS, 2)
        return Call([even], np.zeros(0, np.int64), ())

    shape = (100, 2, "int8", "uint64")
    assert 20 < choice.break_even(shape, probe) < 30
    assert choice.break_even(shape, probe) < NEVER
    assert asked == [NEVER, ALWAYS]
    took[ALWAYS] = 100.0
    assert choice.break_even((100, 3, "int8", "uint64"), probe) == NEVER


def test_weights_live_as_long_as_the_calls_that_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[NDArray[np.int16]]] = []
    pairs = Scatter.pairs.func

    def made_again(scatter: Scatter) -> NDArray[np.int16]:
        """What a thread sees when another one has computed the same at the same time: not what it took before."""
        found: NDArray[np.int16] = pairs(scatter)
        made.append(weakref.ref(found))
        return found

    def checked(*given: Any) -> tuple[int, int]:
        assert made
        assert all(pair() is not None for pair in made)
        return run_blocks(*given)

    monkeypatch.setattr(Scatter, "pairs", property(made_again))
    monkeypatch.setattr(piece, "run_blocks", checked)
    chip, inputs = one_layer(RNG.integers(-60, 61, (70, 40)).astype(np.int32)), spikes((2, 30, 40), 0.5)
    expected = oracle.run(chip, inputs, EVERYTHING)
    assert_equal(expected, run(chip, inputs, EVERYTHING, threads=1, synapses="product"))


def test_bytes_that_are_no_spikes_are_refused_while_they_are_packed() -> None:
    chip = one_layer(np.ones((5, 4), np.int32))
    with pytest.raises(RanvierError, match="RV825"):
        run(chip, np.full((2, 3, 4), 2, np.uint8))
