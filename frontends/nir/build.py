"""From the graph of a NIR file to a network: loops, shapes, layers, readout."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import IntArray, Shape, floats, size
from ranvier.compiler.ir.delays import delayed
from ranvier.compiler.ir.linear import LINEAR, Linear
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Note, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.fields import mismatch
from ranvier.frontends.hdf5 import read_hdf5
from ranvier.frontends.nir.graph import INTEGRATORS, NEURONS, SPIKING, RawGraph, RawNode, read_graph
from ranvier.frontends.nir.layers import delay_steps, layer
from ranvier.frontends.nir.loops import Loops, find_loops
from ranvier.frontends.nir.neurons import neurons
from ranvier.frontends.nir.reading import Needs, Options, Reading, resolve
from ranvier.frontends.nir.restore import restored


def read(path: str | Path, options: Options) -> Network:
    """The network in the NIR file at ``path`` under ``options``; as it was, if Ranvier wrote it and nothing is said.

    Raises ``RanvierError``.
    """
    root = read_hdf5(path, "RV100", "NIR file")
    own = None if options.given else restored(root, str(path))
    if own is not None:
        return own
    graph = read_graph(root)
    reading, notes = resolve(options, _needs(graph))
    builder = _Builder(graph, reading, options)
    nodes, edges, readout = builder.build()
    return Network(Path(path).stem, nodes, edges, readout, notes + tuple(builder.notes))


def _needs(graph: RawGraph) -> Needs:
    timed = [n for n in graph.of_type(*NEURONS, "Delay") if n.type != "Threshold" and "dt" not in n.metadata]
    lossy = [n for n in graph.of_type("LIF", "IF", "CubaLIF") if "reset" not in n.metadata and not _resets_to(n)]
    spiking = [n for n in graph.of_type(*SPIKING) if not {"compare", "max_spikes"} <= n.metadata.keys()]
    return Needs(*(tuple(n.name for n in found) for found in (timed, lossy, spiking)))


def _resets_to(node: RawNode) -> bool:
    """Whether the file names a reset value other than 0, which only a reset to a value can mean."""
    return bool((node.fields.array("v_reset", 0.0) != 0).any())


class _Builder:
    """Walks the graph forward from its input; problems of all nodes are collected."""

    def __init__(self, graph: RawGraph, reading: Reading, options: Options) -> None:
        self._graph, self._reading, self._options = graph, reading, options
        self.notes: list[Note] = []
        self._problems: list[Diagnostic] = []
        self._built: dict[str, Node] = {}
        self._input = graph.of_type("Input")[0].name
        self._output = graph.of_type("Output")[0].name

    def build(self) -> tuple[tuple[Node, ...], tuple[Edge, ...], Readout]:
        """Nodes in forward order, edges with their delays, and what is read out."""
        self._prune()
        delays = self._explicit_delays()
        timeless = [pair for pair in self._graph.edges if pair[0] not in delays or not delays[pair[0]].min()]
        spikers = frozenset(n.name for n in self._graph.of_type(*NEURONS))
        loops = find_loops(self._graph.nodes, timeless, self._input, spikers)
        self._place_all(loops)
        if self._problems:
            raise RanvierError(self._problems)
        branches, edges, ends = self._branches(delays)
        steps = {name: int(found[0]) for name, found in delays.items() if name not in ends}
        edges += [
            Edge(ends.get(a, a), b, steps.get(a, 0) + ((a, b) in loops.feedback))
            for a, b in self._graph.edges
            if b != self._output
        ]
        for a, b in sorted(loops.feedback):
            self.notes.append(
                Note("RV122", f"edge {a} -> {b}", "it closes a loop: what it carries arrives one step later")
            )
        readout, extra = self._readout()
        leading = [a for a, b in self._graph.edges if b == self._output]
        edges += [Edge(ends.get(a, a), extra.name, steps.get(a, 0)) for a in leading if extra]
        return (*self._built.values(), *branches, *((extra,) if extra else ())), tuple(edges), readout

    def _branches(self, delays: Mapping[str, IntArray]) -> tuple[list[Linear], list[Edge], dict[str, str]]:
        """Behind each ``Delay`` node of unequal delays, its branches; and where they end, by its name."""
        nodes: list[Linear] = []
        edges: list[Edge] = []
        ends: dict[str, str] = {}
        for name, steps in delays.items():
            if steps.size == 1:
                continue
            shape = self._built[name].out_shape
            if steps.size != size(shape):
                raise mismatch("RV107", self._graph.nodes[name].place, f"{steps.size} values", shape)
            ends[name] = f"{name}.late"
            made, ways = delayed(ends[name], name, shape, steps)
            nodes += made
            edges += ways
        return nodes, edges, ends

    def _prune(self) -> None:
        """Drop what cannot reach the output, and refuse what nothing reaches."""
        into: dict[str, list[str]] = {name: [] for name in self._graph.nodes}
        for a, b in self._graph.edges:
            into[b].append(a)
        kept = _reachable(self._output, into)
        if self._input not in kept:
            raise error("RV116", "graph", "no path leads from Input to Output", "correct the edges")
        for name in set(self._graph.nodes) - kept:
            self.notes.append(Note("RV123", f"node {name}", "it does not lead to the output and is left out"))
            del self._graph.nodes[name]
        self._graph.edges = [pair for pair in self._graph.edges if kept.issuperset(pair)]
        lonely = [self._graph.nodes[n] for n in kept if not into[n] and n != self._input]
        if lonely:
            raise RanvierError(
                [Diagnostic("RV116", n.place, "nothing arrives at this node", "connect or remove it") for n in lonely]
            )

    def _explicit_delays(self) -> dict[str, IntArray]:
        found: dict[str, IntArray] = {}
        for node in self._graph.of_type("Delay"):
            dt = self._reading.for_node(node.metadata, node.place).dt
            found[node.name] = delay_steps(node, dt)
        return found

    def _place_all(self, loops: Loops) -> None:
        """Build every node once something that leads to it has been built, then check what else leads to it."""
        into: dict[str, list[str]] = {name: [] for name in self._graph.nodes}
        for a, b in self._graph.edges:
            into[b].append(a)
        pending = [name for name in loops.order if name != self._output]
        while pending and not self._problems:
            waiting = [name for name in pending if not self._place(name, into[name], name in loops.recurrent)]
            assert len(waiting) < len(pending), "every node is reached from the input"
            pending = waiting
        for name, node in self._built.items():
            taken = node.out_shape if isinstance(node, Input | Neurons) else (node.in_size,)
            wrong = [s for a in into[name] if a in self._built and size(s := self._built[a].out_shape) != size(taken)]
            self._problems += [
                mismatch("RV107", self._graph.nodes[name].place, f"{size(taken)} values", s).diagnostics[0]
                for s in wrong
            ]

    def _place(self, name: str, sources: list[str], recurrent: bool) -> bool:
        """Build one node from the shapes of those that lead to it; False where none of them is built."""
        node = self._graph.nodes[name]
        arriving = [self._built[a].out_shape for a in sources if a in self._built]
        if name != self._input and not arriving:
            return False
        try:
            if name == self._input:
                self._built[name] = Input(name, node.fields.shape("shape"), self._options.coding)
            else:
                self._built[name] = self._node(node, max(arriving, key=len), recurrent)
        except RanvierError as found:
            self._problems += found.diagnostics
        return True

    def _node(self, node: RawNode, arriving: Shape, recurrent: bool) -> Node:
        if node.type not in NEURONS:
            return layer(node, arriving)
        if node.type in INTEGRATORS and any(a == node.name and b != self._output for a, b in self._graph.edges):
            raise error(
                "RV113",
                node.place,
                "an integrator that does not spike feeds further layers",
                "use LIF, IF or CubaLIF between layers; integrators are read out only",
            )
        return neurons(node, arriving, self._reading, recurrent)

    def _readout(self) -> tuple[Readout, Neurons | None]:
        """What is read, and a population added to hold it when the network ends without a neuron."""
        last = [a for a, b in self._graph.edges if b == self._output]
        ends = [self._built[a] for a in last]
        self._check_output_shape(ends[0].out_shape)
        if any(isinstance(end, LINEAR) for end in ends) and len({size(e.out_shape) for e in ends}) == 1:
            memoryless = Lif(keep_membrane=floats(0.0), threshold=floats(np.inf), reset="none")
            added = Neurons(self._output, ends[0].out_shape, memoryless)
            kind = self._options.readout or "sum_membrane"
            text = f"the network ends without a neuron: the answer is its {kind.replace('_', ' ')}"
            self.notes.append(Note("RV124", self._output, text))
            return Readout(added.name, kind), added
        if len(ends) != 1 or not isinstance(ends[0], Neurons):
            raise error(
                "RV105",
                "graph",
                f"the output is fed by {', '.join(last)}; one population is read out",
                "let one layer of neurons lead to Output",
            )
        integrates = self._graph.nodes[last[0]].type in INTEGRATORS
        kind = self._options.readout or ("last_membrane" if integrates else "spike_count")
        if self._options.readout is None:
            self.notes.append(
                Note("RV124", last[0], f"the answer is its {kind.replace('_', ' ')}, which the file does not say")
            )
        return Readout(last[0], kind), None

    def _check_output_shape(self, shape: Shape) -> None:
        stated = self._graph.nodes[self._output].fields.group.values.get("shape")
        if isinstance(stated, np.ndarray) and tuple(stated.ravel().tolist()) != shape:
            text = f"the file says {tuple(stated.ravel()[:8].tolist())}, the layers give {shape}, which is used"
            self.notes.append(Note("RV125", f"node {self._output}", text))


def _reachable(start: str, neighbours: dict[str, list[str]]) -> set[str]:
    found, pending = {start}, [start]
    while pending:
        for name in neighbours[pending.pop()]:
            if name not in found:
                found.add(name)
                pending.append(name)
    return found
