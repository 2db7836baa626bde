"""Branches for unequal delays: each element comes out exactly as late as it should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.compose import compose, selection
from ranvier.compiler.ir.delays import delayed
from ranvier.compiler.ir.linear import Dense, Grid, Sparse
from ranvier.compiler.ir.matrix import linear_matrix
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.pipeline import prepare
from ranvier.runtimes.reference import run

ECHO = Lif(keep_membrane=0.0, threshold=0.5)


def network(delays: np.ndarray, size: int) -> Network:
    made, ways = delayed("late", "input", (size,), delays)
    nodes = (Input("input", (size,), "spikes"), *made, Neurons("n", (size,), ECHO))
    return check_network(Network("late", nodes, (*ways, Edge("late", "n")), Readout("n")), "imported")


@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.booleans())
def test_every_element_has_its_own_delay(size: int, seed: int, uniform: bool) -> None:
    rng = np.random.default_rng(seed)
    delays = rng.integers(0, 5, 1 if uniform else size)
    x = rng.integers(0, 2, (1, 12, size))
    late = np.broadcast_to(delays, (size,))
    for form in (network(delays, size), prepare(network(delays, size))):
        sent = run(form, x).outputs[0]
        for element in range(size):
            expected = np.concatenate([np.zeros(late[element]), x[0, :, element]])[:12]
            np.testing.assert_array_equal(sent[:, element], expected)


def test_one_branch_for_each_delay_that_occurs() -> None:
    folded = prepare(network(np.array([2, 0, 2, 5]), 4))
    assert sorted(e.delay for e in folded.edges if e.source == "input") == [0, 2, 5]
    assert [op.data.size for op in folded.linears if isinstance(op, Sparse)] == [1, 2, 1]
    plain = network(np.array([3]), 4)
    assert [e.delay for e in plain.edges] == [3, 0]


def test_delays_into_the_past_are_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        delayed("late", "input", (2,), np.array([0, -1]))


@pytest.mark.parametrize("before", [True, False])
def test_a_branch_keeps_integer_weights_and_their_grid(before: bool) -> None:
    dense = Dense("w", np.array([[2.0, 4.0], [6.0, 8.0]]), None, Grid(4096.0, 0, "excitatory"))
    part = selection("part", np.array([True, False]), (2,))
    made = compose(part, dense) if before else compose(dense, part)
    assert isinstance(made, Sparse)
    assert (made.name, made.grid) == ("w", dense.grid)
    expected = [[2.0, 0.0], [6.0, 0.0]] if before else [[2.0, 4.0], [0.0, 0.0]]
    np.testing.assert_array_equal(linear_matrix(made).toarray(), expected)


def test_a_bias_in_front_of_a_delay_is_refused_when_folded() -> None:
    made, ways = delayed("late", "w", (2,), np.array([0, 1]))
    nodes = (Input("input", (2,), "spikes"), Dense("w", np.eye(2), np.ones(2)), *made, Neurons("n", (2,), ECHO))
    biased = Network("late", nodes, (Edge("input", "w"), *ways, Edge("late", "n")), Readout("n"))
    with pytest.raises(RanvierError, match="RV362"):
        prepare(biased)
