"""The simulator equals the oracle in every value, count and overflow event, on random legal networks."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.runtimes import oracle
from ranvier.runtimes.recording import Recording, Records
from ranvier.runtimes.simulator import run
from support.networks import Limits, chip_networks, inputs_for

EVERYTHING: Records = ("spikes", "states", "membrane")


def assert_equal(found: Recording, expected: Recording) -> None:
    """Both recordings hold the same, whatever the width of their integers."""
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    for name in ("spikes", "membrane"):
        _same_arrays(getattr(found, name), getattr(expected, name))
    assert set(found.states) == set(expected.states)
    for population, states in expected.states.items():
        _same_arrays(found.states[population], states)
    assert dict(found.stats) == dict(expected.stats)
    assert set(found.overflows) == set(expected.overflows)
    assert len(found.overflows) == len(expected.overflows)


def _same_arrays(found: Any, expected: Any) -> None:
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def with_inputs(limits: Limits) -> st.SearchStrategy[tuple[ChipNetwork, NDArray[np.int32]]]:
    """A network and data for it."""
    return chip_networks(limits).flatmap(lambda chip: st.tuples(st.just(chip), inputs_for(chip)))


@given(with_inputs(Limits(stock_only=True)))
def test_stock_neurons(case: tuple[ChipNetwork, NDArray[np.int32]]) -> None:
    chip, inputs = case
    assert_equal(run(chip, inputs, EVERYTHING), oracle.run(chip, inputs, EVERYTHING))


@settings(max_examples=settings().max_examples // 3)  # nearly every network brings programs to compile
@given(with_inputs(Limits(max_neurons=40, exponents=(-6, 12))))
def test_every_neuron_and_wide_exponents(case: tuple[ChipNetwork, NDArray[np.int32]]) -> None:
    chip, inputs = case
    assert_equal(run(chip, inputs, EVERYTHING), oracle.run(chip, inputs, EVERYTHING))


@given(with_inputs(Limits(stock_only=True)), st.integers(1, 3), st.integers(1, 3))
def test_threads_and_batch_change_nothing(
    case: tuple[ChipNetwork, NDArray[np.int32]], threads: int, batch: int
) -> None:
    chip, inputs = case
    assert_equal(run(chip, inputs, threads=threads, batch=batch), oracle.run(chip, inputs))
