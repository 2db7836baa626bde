"""Orders of evaluation: forward along undelayed edges, loops without delay found."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.order import evaluation_order, graph, loop_without_delay


def network(names: str, *edges: tuple[str, str, int]) -> Network:
    nodes = (Input("x", (1,), "spikes"), *(Neurons(n, (1,), Lif()) for n in names))
    return Network("n", nodes, tuple(Edge(*e) for e in edges), Readout(names[-1]))


@given(st.permutations("abcdefg"), st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2))))
def test_undelayed_edges_point_forward(names, drawn):
    """Edges drawn without delay go forward in some hidden order, so that there is no loop to refuse."""
    hidden = sorted(names)
    edges = [(hidden[min(i, j)], hidden[max(i, j)], 0) if d == 0 else (hidden[i], hidden[j], d) for i, j, d in drawn
             if d or i != j]  # fmt: skip
    net = network("".join(names), *edges)
    order = evaluation_order(net)
    assert sorted(order) == sorted(["x", *names])
    assert all(order.index(s) < order.index(t) for s, t, d in edges if d == 0)
    assert loop_without_delay(net) == []


def test_ties_are_in_the_order_of_the_nodes():
    assert evaluation_order(network("cab")) == ["x", "c", "a", "b"]
    assert evaluation_order(network("cab", ("b", "c", 0))) == ["x", "a", "b", "c"]


def test_a_loop_is_named_from_end_to_end():
    loop = loop_without_delay(network("abc", ("x", "a", 0), ("a", "b", 0), ("b", "c", 0), ("c", "a", 0)))
    assert loop[0] == loop[-1]
    assert set(loop) == {"a", "b", "c"}
    assert loop_without_delay(network("a", ("a", "a", 0))) == ["a", "a"]
    assert loop_without_delay(network("ab", ("a", "b", 0), ("b", "a", 1))) == []


def test_parallel_edges_fall_together():
    net = network("ab", ("a", "b", 0), ("a", "b", 3))
    assert set(graph(net, zero_delay_only=False).edges) == {("a", "b")}
    assert np.size(list(graph(network("ab", ("a", "b", 1)), zero_delay_only=True).edges)) == 0
