"""The GPU executor equals the oracle in every value, count and overflow event, on random legal networks."""

from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.runtimes import gpu, oracle
from ranvier.runtimes.recording import Records
from support.networks import Limits, chip_networks, inputs_for
from support.recordings import assert_equal

EVERYTHING: Records = ("spikes", "states", "membrane")
FEW = settings(max_examples=settings().max_examples // 6, phases=[Phase.generate])  # the interpreter is slow
Case = tuple[ChipNetwork, NDArray[np.int32]]


def with_inputs(limits: Limits) -> st.SearchStrategy[Case]:
    """A network and little data for it."""
    cases = chip_networks(limits).flatmap(lambda chip: st.tuples(st.just(chip), inputs_for(chip)))
    return cases.map(lambda case: (case[0], case[1][:2, :4]))


@FEW
@given(with_inputs(Limits(stock_only=True, max_neurons=12)), st.sampled_from(["measured", "product", "scatter"]))
def test_stock_neurons(case: Case, synapses: Any) -> None:
    chip, inputs = case
    assert_equal(gpu.run(chip, inputs, EVERYTHING, synapses=synapses), oracle.run(chip, inputs, EVERYTHING))


@FEW
@given(with_inputs(Limits(max_neurons=12, exponents=(-6, 12))), st.integers(1, 3))
def test_every_neuron_and_wide_exponents(case: Case, batch: int) -> None:
    chip, inputs = case
    assert_equal(gpu.run(chip, inputs, EVERYTHING, batch=batch), oracle.run(chip, inputs, EVERYTHING))
