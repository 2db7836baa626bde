"""Retime: give every population the chip step at which it meets its source network's first step."""

from dataclasses import dataclass, replace

import networkx as nx

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.network import Network, Neurons, Node


@dataclass(frozen=True)
class Retime:
    """On the chip every synapse costs one step; in the frameworks a spike crosses all layers within one.

    A population p gets the least latency L(p) with ``L(target) >= L(source) + 1 - d`` for every connection of
    network delay d; the slack becomes extra delay on the short branches, ``L(target) - L(source) - 1 + d``.
    This is retiming as in circuits (Leiserson and Saxe 1991): longest paths, by Bellman and Ford.
    A loop whose delays are fewer than its synapses has no solution and is refused.
    """

    def __call__(self, network: Network) -> Network:
        """``network`` with the latency of every population; raises ``RanvierError`` (RV370) if there is none."""
        hops = list(_hops(network))
        latency = {n.name: 0 for n in network.inputs} | {n.name: 1 for n in network.populations}
        for _ in range(len(latency) + 1):
            late = [(s, t, d) for s, t, d in hops if latency[t] < latency[s] + 1 - d]
            if not late:
                break
            for source, target, delay in late:
                latency[target] = max(latency[target], latency[source] + 1 - delay)
        else:
            loop = _tight_loop(hops)
            text = f"the loop {' -> '.join(loop)} passes {len(loop) - 1} synapses, one chip step each, in less delay"
            fix = "delay the feedback by one step per layer it crosses, or make the loop one population"
            raise error("RV370", loop[0], text, fix, synapses=len(loop) - 1)
        nodes: tuple[Node, ...] = tuple(
            replace(node, latency=latency[node.name]) if isinstance(node, Neurons) else node for node in network.nodes
        )
        return replace(network, nodes=nodes)


def _hops(network: Network) -> list[tuple[str, str, int]]:
    """(source, target, delay) of every synapse of a folded network."""
    return [
        (into.source, out.target, into.delay + out.delay)
        for op in network.linears
        for into in network.into[op.name]
        for out in network.out_of[op.name]
    ]


def _tight_loop(hops: list[tuple[str, str, int]]) -> list[str]:
    """A loop with more synapses than delay, closed by its first name."""
    graph = nx.DiGraph()
    for source, target, delay in hops:
        weight = delay - 1
        known = graph.get_edge_data(source, target)
        graph.add_edge(source, target, weight=weight if known is None else min(weight, known["weight"]))
    for name in graph.nodes:
        try:
            return [str(n) for n in nx.find_negative_cycle(graph, name)]
        except nx.NetworkXError:
            continue
    raise AssertionError("no tight loop")
