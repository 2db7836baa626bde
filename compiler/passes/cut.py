"""Cut: a network with host functions becomes parts that run one after the other, on the chip and on the host."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import networkx as nx
import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape, floats, size
from ranvier.compiler.ir.hosted import (
    ChipPart,
    Crossing,
    HostedNetwork,
    HostedNode,
    HostFunction,
    HostPart,
    Part,
    Parts,
)
from ranvier.compiler.ir.hosted_verify import check_hosted, check_parts
from ranvier.compiler.ir.linear import LINEAR, Linear, Sparse
from ranvier.compiler.ir.models import FORMS
from ranvier.compiler.ir.network import Coding, Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import NUMERIC, Lif


@dataclass(frozen=True)
class Cut:
    """Divide a hosted network at its host functions.

    Every node that sends has a *depth*: inputs 0, host functions an even number, populations an odd one, the least that
    is not less than that of any sender that reaches it through linear layers, and greater where the sender is of the
    other kind. Populations of one loop have one depth. Each odd depth is a ``ChipPart``, each even one with functions a
    ``HostPart``; linear layers belong to what receives them, copied where two parts do. What one part needs of others
    lies before it, so that the parts run one after the other, each on whole trains.

    A chip part takes spikes where all that enters it are single spikes, else a current. ``scales``: the largest
    absolute value of what a sender of real numbers sends, by its name (1 where none is given). Where several senders
    share an input, each is divided by its own, and its selection inside multiplies by it again.
    """

    scales: Mapping[str, float] = field(default_factory=dict)

    def __call__(self, network: HostedNetwork) -> Parts:
        """The parts of ``network``; raises ``RanvierError`` RV740 for loops through host functions, RV741."""
        check_hosted(network)
        depths = _depths(network)
        parts = [self._part(network, _at(network, depths, depth)) for depth in sorted(set(depths.values()))]
        needed = {c.source for part in parts for c in part.takes} | {network.readout.node}
        given = tuple(_giving(part, needed, network.readout) for part in parts)
        return check_parts(Parts(network.name, network.inputs[0], given, network.readout, network.notes))

    def _part(self, network: HostedNetwork, members: Sequence[str]) -> Part:
        """The part that computes ``members``; ``gives`` names all of them."""
        held = _held(network, members)
        edges = tuple(e for e in network.edges if e.target in held)
        outside = {e.source for e in edges} - held
        senders = [node for node in network.nodes if node.name in outside]
        nodes = [node for node in network.nodes if node.name in held]
        functions = [node for node in nodes if isinstance(node, HostFunction)]
        if functions:
            takes = tuple(Crossing(sender.name, sender.out_shape) for sender in senders)
            return HostPart(tuple(_in_order(nodes, edges)), edges, takes, tuple(members))
        senders = senders or list(network.inputs)
        alone = len(senders) == 1
        takes = tuple(Crossing(s.name, s.out_shape, 1.0 if alone else self._scale(s)) for s in senders)
        port, picks = _entry(senders, takes, held)
        name = f"{network.name}.{members[0]}"
        return ChipPart(_chip_network(name, port, picks, nodes, edges), takes, tuple(members))

    def _scale(self, sender: HostedNode) -> float:
        return 1.0 if sends_spikes(sender) else self.scales.get(sender.name, 1.0)


def sends_spikes(node: HostedNode) -> bool:
    """Whether what ``node`` sends are single spikes, 0 or 1."""
    if isinstance(node, Input):
        return node.coding == "spikes"
    if not isinstance(node, Neurons):
        return False
    if isinstance(node.model, Lif):
        return node.model.max_spikes == 1
    form = FORMS.get(type(node.model))
    return form is None or (form.most(node.model) == 1 and not isinstance(node.model, NUMERIC))


def _depths(network: HostedNetwork) -> dict[str, int]:
    """The depth of every population and host function."""
    graph = nx.DiGraph()
    graph.add_nodes_from(node.name for node in network.nodes)
    graph.add_edges_from((e.source, e.target) for e in network.edges)
    _refuse_loops(network, graph)
    found: dict[str, int] = {}
    reached: dict[str, tuple[int, int]] = {}  # the deepest population, and the deepest on the host, that reach a node
    loops = nx.condensation(graph)
    for component in nx.topological_sort(loops):
        names = loops.nodes[component]["members"]
        before = [reached[s] for name in names for s in graph.predecessors(name) if s not in names]
        chip, host = (max((pair[kind] for pair in before), default=-1) for kind in (0, 1))
        kinds = {type(network.by_name[name]) for name in names}
        if HostFunction in kinds or Input in kinds:
            host = max(host, chip + 1, 0)
        if Neurons in kinds:
            chip = max(chip, host + 1, 1)
        for name in names:
            reached[name] = chip, host
            node = network.by_name[name]
            if isinstance(node, Neurons | HostFunction):
                found[name] = chip if isinstance(node, Neurons) else host
                reached[name] = (chip, -1) if isinstance(node, Neurons) else (-1, host)
    return found


def _refuse_loops(network: HostedNetwork, graph: Any) -> None:
    """Raise RV740 for a loop through a host function, RV741 for one of linear layers alone."""
    for function in network.functions:
        for follower in graph.successors(function.name):
            if nx.has_path(graph, follower, function.name):
                loop = [function.name, *nx.shortest_path(graph, follower, function.name)]
                text = f"the loop {' -> '.join(loop)} passes through the host, which computes whole trains at a time"
                fix = "feed back inside the spiking part alone, or compute the function outside of the loop"
                raise error("RV740", function.name, text, fix, length=len(loop) - 1)
    linear = graph.subgraph(node.name for node in network.nodes if isinstance(node, LINEAR))
    for names in nx.strongly_connected_components(linear):
        name = min(names)
        if len(names) > 1 or linear.has_edge(name, name):
            text = f"the loop of {', '.join(sorted(names))} passes through no neuron"
            raise error("RV741", name, text, "put spiking neurons into every recurrent loop")


def _at(network: HostedNetwork, depths: Mapping[str, int], depth: int) -> list[str]:
    """The names of the nodes at ``depth``, in the order of the network."""
    return [node.name for node in network.nodes if depths.get(node.name) == depth]


def _held(network: HostedNetwork, members: Sequence[str]) -> set[str]:
    """``members`` and the linear layers that lead to them."""
    held, left = set(members), list(members)
    while left:
        for edge in network.into[left.pop()]:
            if isinstance(network.by_name[edge.source], LINEAR) and edge.source not in held:
                held.add(edge.source)
                left.append(edge.source)
    return held


def _in_order(nodes: Sequence[HostedNode], edges: Sequence[Edge]) -> Iterator[HostFunction | Linear]:
    """Host functions and linear layers so that every edge points forward."""
    by_name = {node.name: node for node in nodes}
    position = {node.name: i for i, node in enumerate(nodes)}
    graph = nx.DiGraph()
    graph.add_nodes_from(by_name)
    graph.add_edges_from((e.source, e.target) for e in edges if e.source in by_name)
    for name in nx.lexicographical_topological_sort(graph, key=lambda n: position[n]):
        node = by_name[name]
        assert isinstance(node, HostFunction | Linear)
        yield node


def _entry(
    senders: Sequence[HostedNode], takes: Sequence[Crossing], held: set[str]
) -> tuple[Input, Mapping[str, Linear | None]]:
    """The input of a chip part, and by sender the selection that picks its frame out (None: it is the whole input)."""
    coding: Coding = "spikes" if all(map(sends_spikes, senders)) else "current"
    first = senders[0]
    if len(senders) == 1:
        port = replace(first, encoder=None) if isinstance(first, Input) else None
        return port or Input(_fresh("arriving", held), _shape(first.out_shape), coding), {first.name: None}
    total, offset = sum(size(c.shape) for c in takes), 0
    picks: dict[str, Linear | None] = {}
    for crossing in takes:
        picks[crossing.source] = _selection(_fresh(f"from_{crossing.source}", held), crossing, offset, total)
        offset += size(crossing.shape)
    return Input(_fresh("arriving", held), (total,), coding), picks


def _selection(name: str, crossing: Crossing, offset: int, total: int) -> Sparse:
    count = size(crossing.shape)
    data, columns = floats(np.full(count, crossing.scale)), offset + np.arange(count)
    return Sparse(name, data, columns, np.arange(count + 1), total, _shape(crossing.shape))


def _chip_network(
    name: str, port: Input, picks: Mapping[str, Linear | None], nodes: Sequence[HostedNode], edges: Sequence[Edge]
) -> Network:
    """The populations and layers of a chip part behind its input."""
    inside = [node for node in nodes if isinstance(node, Neurons | Linear)]
    read = [node.name for node in inside if isinstance(node, Neurons)][-1]
    added = {source: pick for source, pick in picks.items() if pick is not None}
    start = {source: port.name if pick is None else pick.name for source, pick in picks.items()}
    into = [Edge(port.name, pick.name) for pick in added.values()]
    ways = (*into, *(replace(e, source=start.get(e.source, e.source)) for e in edges))
    held: tuple[Node, ...] = (port, *added.values(), *inside)
    return Network(name, held, ways, Readout(read))


def _giving(part: Part, needed: set[str], readout: Readout) -> Part:
    """``part`` that gives only what is ``needed``; a chip part's readout is that of the network where it holds it."""
    gives = tuple(name for name in part.gives if name in needed)
    if isinstance(part, HostPart):
        return replace(part, gives=gives)
    read = readout if readout.node in gives else Readout(gives[-1] if gives else part.gives[-1])
    return replace(part, network=replace(part.network, readout=read), gives=gives)


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _shape(shape: Shape) -> Shape:
    """The shape of a frame: that of a single number has one axis."""
    return shape or (1,)
