"""Cut: parts one after the other compute what the whole network computes, spike for spike and value for value."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.hosted import ChipPart, HostedNetwork, HostedNode, HostFunction, HostPart
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.passes.cut import Cut, sends_spikes
from ranvier.compiler.pipeline import prepare
from support.hosted_networks import (
    frames_for,
    function,
    gated_network,
    hosted_networks,
    hosts,
    interpreted,
    run_in_float,
)


def assert_same(network: HostedNetwork, cut: Cut, seed: int) -> None:
    """Every spike and every value that crosses is that of the whole network; each population is in one part."""
    inputs = frames_for(network, seed)
    parts, wanted = cut(network), interpreted(network, inputs)
    got = run_in_float(parts, inputs)
    seen = []
    for recording in got.chips:
        for name, spikes in recording.spikes.items():
            seen.append(name)
            np.testing.assert_array_equal(spikes.reshape(wanted[name].shape), wanted[name])
    assert sorted(seen) == sorted(n.name for n in network.nodes if isinstance(n, Neurons))
    for name, values in got.sent.items():
        np.testing.assert_array_equal(values, wanted[name])
    computed = [n.name for part in hosts(parts) for n in part.nodes if n.name in {f.name for f in network.functions}]
    assert sorted(computed) == sorted(f.name for f in network.functions)
    if network.readout.kind == "spike_count":
        answer = wanted[network.readout.node]
        np.testing.assert_array_equal(got.outputs.reshape(answer.shape), answer)
        np.testing.assert_array_equal(got.predictions, answer.sum(axis=1).argmax(axis=1))


@given(hosted_networks(), st.integers(0, 2**32 - 1))
def test_the_parts_compute_the_whole(network: HostedNetwork, seed: int) -> None:
    assert_same(network, Cut(), seed)


@given(hosted_networks(), st.integers(0, 2**32 - 1))
def test_what_crosses_may_be_scaled(network: HostedNetwork, seed: int) -> None:
    powers = {node.name: 2.0 ** (i % 5 - 2) for i, node in enumerate(network.nodes)}  # exact, as dyadic numbers are
    assert_same(network, Cut(powers), seed)


@given(hosted_networks())
def test_parts_run_in_order_and_alternate_no_more_than_they_must(network: HostedNetwork) -> None:
    parts = Cut()(network)
    kinds = [isinstance(part, ChipPart) for part in parts.parts]
    assert all(a != b for a, b in pairwise(kinds))
    known = {parts.source.name}
    for part in parts.parts:
        assert {c.source for c in part.takes} <= known
        known |= set(part.gives)
    assert parts.readout.node in known
    for part in parts.chips:
        wanted = "spikes" if all(sends_spikes(network.by_name[c.source]) for c in part.takes) else "current"
        assert part.network.inputs[0].coding == wanted


def test_a_gate_between_two_spiking_parts() -> None:
    network = gated_network()
    parts = Cut({"gate": 3.0, "lif1": 9.0})(network)
    first, middle, last = parts.parts
    assert isinstance(first, ChipPart)
    assert isinstance(middle, HostPart)
    assert isinstance(last, ChipPart)
    assert first.network.inputs == network.inputs
    assert (first.gives, middle.gives, last.gives) == (("lif1",), ("gate",), ("out",))
    assert [n.name for n in middle.nodes] == ["up", "norm", "silu", "silu.at", "lif1.at", "gate"]
    assert [(c.source, c.scale) for c in last.takes] == [("lif1", 1.0), ("gate", 3.0)]
    assert last.network.inputs[0].shape == (12,)
    assert [p.name for p in last.network.populations] == ["lif2", "out"]
    for part in parts.chips:
        assert prepare(part.network).populations


def test_a_layer_that_both_sides_need_is_copied() -> None:
    network = gated_network()
    shared = replace(network, edges=(*network.edges, Edge("up", "lif2", 1)))
    _, middle, last = Cut()(shared).parts
    assert "up" in {n.name for n in middle.nodes} & {n.name for n in last.network.nodes}
    assert_same(shared, Cut(), 3)


def test_populations_of_a_loop_stay_together() -> None:
    network = gated_network()
    back = (Dense("back", np.full((6, 3), 0.25)), Edge("out", "back", 1), Edge("back", "lif2"))
    looped = replace(network, nodes=(*network.nodes, back[0]), edges=(*network.edges, *back[1:]))
    assert [p.name for p in Cut()(looped).chips[1].network.populations] == ["lif2", "out"]
    assert_same(looped, Cut(), 4)


def test_a_loop_through_the_host_is_refused_with_its_way() -> None:
    network = gated_network()
    back = (Dense("back", np.full((6, 6), 0.25)), Edge("lif2", "back", 1), Edge("back", "lif1"))
    looped = replace(network, nodes=(*network.nodes, back[0]), edges=(*network.edges, *back[1:]))
    with pytest.raises(RanvierError) as refused:
        Cut()(looped)
    (found,) = refused.value.diagnostics
    assert found.code == "RV740"
    assert found.message.startswith(
        "the loop norm -> silu -> silu.at -> gate -> down -> lif2 -> back -> lif1 -> up -> norm"
    )


def test_a_loop_of_layers_alone_is_refused() -> None:
    network = gated_network()
    looped = replace(network, edges=(*network.edges, Edge("up", "up", 1)))
    with pytest.raises(RanvierError, match="RV741 up: the loop of up passes through no neuron"):
        Cut()(looped)


def test_a_readout_on_the_host_is_summed() -> None:
    network = gated_network()
    assert_same(replace(network, readout=Readout("gate")), Cut(), 5)
    with pytest.raises(RanvierError, match="RV741 gate: a function of the host is summed over the steps"):
        Cut()(replace(network, readout=Readout("gate", "last_membrane")))


MALFORMED = {
    "two nodes have this name": lambda n: replace(n, nodes=(*n.nodes, Dense("up", np.ones((1, 1))))),
    "names an unknown node": lambda n: replace(n, edges=(*n.edges, Edge("nobody", "lif2"))),
    "gives 3 values, lif2 takes 6": lambda n: replace(n, edges=(*n.edges, Edge("out", "lif2"))),
    "has delay -1": lambda n: replace(n, edges=(*n.edges, Edge("lif1", "lif2", -1))),
    "ends at an input": lambda n: replace(n, edges=(*n.edges, Edge("lif1", "input"))),
    "0 inputs": lambda n: replace(n, nodes=n.nodes[1:], edges=n.edges[1:]),
    "neither a population of neurons nor a host function": lambda n: replace(n, readout=Readout("up")),
    "nothing enters this layer": lambda n: replace(n, nodes=(*n.nodes, function("alone", "silu", 2))),
    "NaN or infin": lambda n: replace(n, nodes=(*n.nodes, Neurons("bad", (2,), Lif(drive=np.inf)))),
    "gives shape": lambda n: replace(n, nodes=tuple(_other_shape(node) for node in n.nodes)),
    "it has the options": lambda n: replace(n, nodes=tuple(_other_options(node) for node in n.nodes)),
}


def _other_shape(node: HostedNode) -> HostedNode:
    return replace(node, out_shape=(7,)) if isinstance(node, HostFunction) and node.kind == "silu" else node


def _other_options(node: HostedNode) -> HostedNode:
    return replace(node, options={"bogus": 1.0}) if isinstance(node, HostFunction) and node.kind == "silu" else node


@pytest.mark.parametrize("message", MALFORMED)
def test_what_means_nothing_is_refused(message: str) -> None:
    with pytest.raises(RanvierError) as refused:
        Cut()(MALFORMED[message](gated_network()))
    assert message in str(refused.value)
    assert {d.code for d in refused.value.diagnostics} == {"RV741"}


def test_a_network_without_neurons_has_nothing_for_a_chip() -> None:
    network = gated_network()
    nodes = (*network.nodes[:2], function("f", "silu", 6))
    alone = HostedNetwork("host", nodes, (Edge("input", "embed"), Edge("embed", "f")), Readout("f"))
    with pytest.raises(RanvierError, match="no spiking neurons"):
        Cut()(alone)
