"""Folded float networks: the simulator equals the literal reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Dense, Reshape
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.compiler.passes.fold import Fold
from ranvier.runtimes import reference
from ranvier.runtimes.recording import Records
from ranvier.runtimes.simulator import run
from support.float_networks import dyadic_inputs, float_networks

EVERYTHING: Records = ("spikes", "states", "membrane")
RNG = np.random.default_rng(3)


def assert_same(network: Network, inputs: np.ndarray) -> None:
    """All that both executors record is equal to the last bit."""
    found, expected = run(network, inputs, EVERYTHING), reference.run(network, inputs, EVERYTHING)
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    for name in expected.spikes:
        np.testing.assert_array_equal(found.spikes[name], expected.spikes[name])
        np.testing.assert_array_equal(found.membrane[name], expected.membrane[name])
        assert found.stats[name].spikes == expected.stats[name].spikes
        for state, values in expected.states[name].items():
            np.testing.assert_array_equal(found.states[name][state], values)


@settings(max_examples=settings().max_examples // 5)  # nearly every network brings programs to compile
@given(float_networks(), st.integers(0, 1000))
def test_random_networks_with_dyadic_values(network: Network, seed: int) -> None:
    assert_same(Fold()(network), dyadic_inputs(network, seed))


def chain(model: Lif | RegisterLif, weight: np.ndarray) -> Network:
    """Input, dense weights, neurons."""
    nodes = (Input("in", (weight.shape[1],), "spikes"), Dense("w", weight), Neurons("n", (weight.shape[0],), model))
    return Network("chain", nodes, (Edge("in", "w"), Edge("w", "n", 1)), Readout("n"))


def test_any_weights_give_the_same_spikes_but_near_the_threshold() -> None:
    network = chain(Lif(keep_membrane=np.array(0.9)), RNG.normal(0, 0.3, (40, 60)))
    inputs = (RNG.random((6, 50, 60)) < 0.2).astype(np.float32)
    found, expected = run(network, inputs, EVERYTHING), reference.run(network, inputs, EVERYTHING)
    close = np.abs(expected.membrane["n"] - 1.0) < 1e-9
    apart = found.spikes["n"] != expected.spikes["n"]
    assert not np.any(apart & ~close)
    assert expected.spikes["n"].mean() > 0.01


def test_neurons_given_in_registers_compute_in_integers() -> None:
    model = RegisterLif(np.array(400), np.array(300), np.array(900), np.array(-20))
    network = chain(model, RNG.integers(-100, 120, (20, 30)).astype(np.float64))
    inputs = (RNG.random((3, 40, 30)) < 0.3).astype(np.float32)
    assert_same(network, inputs)
    assert run(network, inputs).stats["n"].spikes > 0


def test_an_unfolded_network_is_refused_with_every_reason() -> None:
    nodes = (
        Input("in", (2, 2), "spikes"),
        Reshape("flat", (2, 2), (4,)),
        Dense("w", np.ones((3, 4)), np.ones(3)),
        Neurons("n", (3,), Lif()),
        Neurons("m", (3,), Lif()),
    )
    edges = (Edge("in", "flat"), Edge("flat", "w"), Edge("w", "n"), Edge("n", "m"))
    with pytest.raises(RanvierError) as caught:
        run(Network("net", nodes, edges, Readout("m")), np.zeros((1, 1, 2, 2)))
    assert {d.place for d in caught.value.diagnostics} == {"flat", "w", "m"}
    assert all(d.code == "RV830" for d in caught.value.diagnostics)
