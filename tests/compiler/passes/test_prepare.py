"""Canonicalize, fold and retime keep every spike: random networks, before against after, in exact arithmetic."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Conv, Dense, Sparse
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.passes.canonicalize import Canonicalize
from ranvier.compiler.passes.fold import Fold
from ranvier.compiler.passes.retime import Retime
from ranvier.compiler.pipeline import prepare
from ranvier.runtimes import reference
from support.float_networks import dyadic_inputs, float_networks


def assert_same_spikes(before: Network, after: Network, seed: int) -> None:
    inputs = dyadic_inputs(before, seed)
    a, b = (reference.run(n, inputs, ("spikes", "membrane")) for n in (before, after))
    for name in a.spikes:
        np.testing.assert_array_equal(a.spikes[name], b.spikes[name])
        np.testing.assert_array_equal(a.membrane[name], b.membrane[name])


@given(float_networks(), st.integers(0, 2**32 - 1))
def test_canonical_networks_compute_the_same(network: Network, seed: int) -> None:
    assert_same_spikes(network, check_network(Canonicalize()(network), "imported"), seed)


@given(float_networks(), st.integers(0, 2**32 - 1))
def test_folded_networks_compute_the_same(network: Network, seed: int) -> None:
    folded = check_network(Fold()(Canonicalize()(network)), "folded")
    assert_same_spikes(network, folded, seed)


@given(float_networks())
def test_retiming_leaves_no_negative_delay(network: Network) -> None:
    retimed = prepare(network)
    latency = {p.name: p.latency for p in retimed.populations} | {"input": 0}
    slack = []
    for op in retimed.linears:
        (into,), (out,) = retimed.into[op.name], retimed.out_of[op.name]
        slack.append((out.target, latency[out.target] - latency[into.source] - 1 + into.delay))
    assert all(extra >= 0 for _, extra in slack)
    for name, value in latency.items():
        if name != "input" and value > 1:
            assert any(target == name and extra == 0 for target, extra in slack), "a latency larger than needed"


def two_layers(edges: tuple[Edge, ...]) -> Network:
    return Network(
        "loop",
        (
            Input("input", (2,), "spikes"),
            Dense("a", np.eye(2)),
            Neurons("n1", (2,), Lif()),
            Dense("b", np.eye(2)),
            Neurons("n2", (2,), Lif()),
            *((Dense("back", np.eye(2)),) if edges else ()),
        ),
        (Edge("input", "a"), Edge("a", "n1"), Edge("n1", "b"), Edge("b", "n2"), *edges),
        Readout("n2"),
    )


def test_a_loop_over_two_layers_with_one_step_of_delay_is_refused_by_name() -> None:
    network = two_layers((Edge("n2", "back", 1), Edge("back", "n1")))
    with pytest.raises(RanvierError) as refused:
        prepare(network)
    (found,) = refused.value.diagnostics
    assert found.code == "RV370"
    assert "n1" in found.message
    assert "n2" in found.message


def test_the_same_loop_with_two_steps_of_delay_is_retimed() -> None:
    retimed = prepare(two_layers((Edge("n2", "back", 2), Edge("back", "n1"))))
    assert [p.latency for p in retimed.populations] == [1, 2]


def test_a_loop_without_delay_is_refused() -> None:
    with pytest.raises(RanvierError, match="RV319"):
        prepare(two_layers((Edge("n2", "back"), Edge("back", "n1"))))


def test_pools_go_into_the_kernel_or_the_dense_weights_that_follow() -> None:
    rng = np.random.default_rng(0)
    pool = Conv("pool", np.ones((3, 1, 2, 2)), (3, 8, 8), None, (2, 2), groups=3)
    conv = Conv("conv", rng.normal(size=(5, 3, 3, 3)), (3, 4, 4), None, (1, 1), ((1, 1), (1, 1)))
    dense = Dense("dense", rng.normal(size=(4, 80)))
    nodes: tuple[Node, ...] = (
        Input("input", (3, 8, 8), "spikes"),
        pool,
        conv,
        Neurons("n1", (5, 4, 4), Lif()),
        dense,
        Neurons("n2", (4,), Lif()),
    )
    edges = tuple(Edge(a.name, b.name) for a, b in itertools.pairwise(nodes))
    folded = Fold()(Network("pooled", nodes, edges, Readout("n2")))
    kinds = {op.name: type(op) for op in folded.linears}
    assert kinds == {"conv": Conv, "dense": Dense}
    assert folded.by_name["conv"].weight.shape == (5, 3, 6, 6)


def test_a_population_without_layer_in_between_gets_an_identity() -> None:
    nodes = (Input("input", (3,), "spikes"), Neurons("n", (3,), Lif(gain=0.5)))
    folded = Fold()(Network("direct", nodes, (Edge("input", "n"),), Readout("n")))
    (synapse,) = folded.linears
    assert isinstance(synapse, Sparse)
    np.testing.assert_array_equal(synapse.data, [0.5, 0.5, 0.5])


def test_a_bias_behind_a_slow_current_charges_the_current() -> None:
    dense = Dense("d", np.eye(2), np.array([0.25, -0.5]))
    nodes = (Input("input", (2,), "spikes"), dense, Neurons("n", (2,), Lif(keep_current=0.5, gain=2.0)))
    folded = Fold()(Network("biased", nodes, (Edge("input", "d"), Edge("d", "n")), Readout("n")))
    model = folded.populations[0].model
    assert isinstance(model, Lif)
    np.testing.assert_array_equal(model.current_drive, [0.5, -1.0])
    np.testing.assert_array_equal(model.drive, 0.0)


def test_passes_do_not_touch_their_input() -> None:
    network = two_layers(())
    before = replace(network)
    prepare(network)
    assert network.nodes == before.nodes
    assert network.edges == before.edges
    assert all(p.latency == -1 for p in network.populations)


def test_retime_reports_latencies_of_unequal_branches() -> None:
    network = two_layers((Edge("input", "back"), Edge("back", "n2")))
    retimed = Retime()(Fold()(network))
    assert [p.latency for p in retimed.populations] == [1, 2]
