"""The simulator equals the oracle in every value, count and overflow event, on random legal networks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.runtimes import oracle
from ranvier.runtimes.recording import Records
from ranvier.runtimes.simulator import run
from support.networks import Limits, chip_networks, inputs_for
from support.recordings import assert_equal

EVERYTHING: Records = ("spikes", "states", "membrane")


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
