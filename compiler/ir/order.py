"""Orders of a network's nodes along its edges."""

from typing import Any

import networkx as nx

from ranvier.compiler.ir.network import Network


def graph(network: Network, zero_delay_only: bool) -> Any:
    """The nodes and edges of ``network`` as a networkx graph; parallel edges fall together."""
    g = nx.DiGraph()
    g.add_nodes_from(node.name for node in network.nodes)
    g.add_edges_from((e.source, e.target) for e in network.edges if e.delay == 0 or not zero_delay_only)
    return g


def loop_without_delay(network: Network) -> list[str]:
    """The names along a loop of zero-delay edges, closed by its first name; empty when there is none."""
    try:
        loop = nx.find_cycle(graph(network, zero_delay_only=True))
    except nx.NetworkXNoCycle:
        return []
    return [str(loop[0][0]), *(str(edge[1]) for edge in loop)]


def evaluation_order(network: Network) -> list[str]:
    """Node names so that every zero-delay edge points forward, ties in the order of the nodes."""
    position = {node.name: i for i, node in enumerate(network.nodes)}
    return [str(n) for n in nx.lexicographical_topological_sort(graph(network, True), key=lambda n: position[n])]
