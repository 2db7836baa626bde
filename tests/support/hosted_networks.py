"""Hosted networks, random and by hand, and a plain interpreter that runs them whole, one step after the other."""

from dataclasses import dataclass, field

import networkx as nx
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.ir import host_functions
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.hosted import ChipPart, HostedNetwork, HostedNode, HostFunction, HostPart, Parts
from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.linear import Dense, Scale, Sparse
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Edge, Input, Neurons, Readout
from ranvier.compiler.ir.neurons import GradedLif, Lif
from ranvier.runtimes import reference
from ranvier.runtimes.hosted import HostedRecording, Runner, run_parts

Values = NDArray[np.float64]
KINDS = ("relu", "silu", "softmax", "product", "sigmoid")


def interpreted(network: HostedNetwork, inputs: Values) -> dict[str, Values]:
    """What every node gives, (samples, steps, size), each step computed from the definitions alone."""
    samples, steps = inputs.shape[:2]
    graph = nx.DiGraph()
    graph.add_nodes_from(n.name for n in network.nodes)
    graph.add_edges_from((e.source, e.target) for e in network.edges if e.delay == 0)
    position = {n.name: i for i, n in enumerate(network.nodes)}
    order = list(nx.lexicographical_topological_sort(graph, key=lambda n: position[n]))
    gave = {n.name: np.zeros((samples, steps, size(n.out_shape))) for n in network.nodes}
    made = {n.name: realised(n.model) for n in network.nodes if isinstance(n, Neurons)}
    states = {
        name: {s: np.broadcast_to(v, (samples, size(network.by_name[name].shape))).copy() for s, v in m.initial.items()}
        for name, m in made.items()
    }
    for t in range(steps):
        for name in order:
            node = network.by_name[name]
            if isinstance(node, Input):
                gave[name][:, t] = inputs[:, t].reshape(samples, -1)
                continue
            x = np.zeros((samples, size(node.shape) if isinstance(node, Neurons) else node.in_size))
            for edge in network.into[name]:
                if t >= edge.delay:
                    x = x + gave[edge.source][:, t - edge.delay]
            if isinstance(node, Neurons):
                result = step(made[name].program, states[name], made[name].params, x)
                states[name] = {s: np.asarray(v) for s, v in result.states.items()}
                gave[name][:, t] = result.spikes
            elif isinstance(node, HostFunction):
                gave[name][:, t] = host_functions.compute(node, x).reshape(samples, -1)
            else:
                gave[name][:, t] = (linear_matrix(node) @ x.T).T + linear_offset(node)
    return gave


def run_in_float(parts: Parts, inputs: Values) -> HostedRecording:
    """The parts one after the other, the spiking ones by the float reference."""

    def runner(part: ChipPart) -> Runner:
        return Runner(lambda frames: reference.run(part.network, frames, ("spikes", "membrane")))

    return run_parts(parts, inputs, [runner(part) for part in parts.chips])


def function(name: str, kind: str, features: int) -> HostFunction:
    """A function of ``features`` numbers, or of two arguments of as many."""
    shapes = ((features,),) * (2 if kind == "product" else 1)
    options = {"softmax": {"axis": 0.0}, "rms_norm": {"axes": 1.0, "eps": 1e-6}}.get(kind, {})
    constants = {"softmax": {"allowed": np.ones(())}, "rms_norm": {"weight": np.ones(features)}}.get(kind, {})
    return HostFunction(name, kind, shapes, (features,), options, constants)


@st.composite
def hosted_networks(draw: st.DrawFn) -> HostedNetwork:
    """Populations and host functions in any order behind an input: skips, shared layers, delays, recurrences."""
    graph = _Graph(draw, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    coding = draw(st.sampled_from(["spikes", "current"]))
    graph.nodes.append(Input("input", (draw(st.integers(2, 5)),), coding))
    for index in range(draw(st.integers(2, 6))):
        graph.sender(index)
    if not any(isinstance(n, Neurons) for n in graph.nodes):
        graph.population("last", graph.rng.integers(2, 5))
    for _ in range(draw(st.integers(0, 2))):
        graph.recurrence()
    read = [n for n in graph.nodes if isinstance(n, Neurons | HostFunction)][-1]
    kinds = ["spike_count"] if isinstance(read, HostFunction) else ["spike_count", "last_membrane"]
    return HostedNetwork(
        "random", tuple(graph.nodes), tuple(graph.edges), Readout(read.name, draw(st.sampled_from(kinds)))
    )


@dataclass
class _Graph:
    draw: st.DrawFn
    rng: np.random.Generator
    nodes: list[HostedNode] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    @property
    def senders(self) -> list[HostedNode]:
        return [n for n in self.nodes if isinstance(n, Input | Neurons | HostFunction)]

    def sender(self, index: int) -> None:
        """A population or a function behind some of what there is."""
        features = int(self.rng.integers(2, 5))
        if self.draw(st.booleans()):
            self.population(f"n{index}", features)
        else:
            made = function(f"f{index}", self.draw(st.sampled_from(KINDS)), features)
            self.behind(made, made.in_size)

    def population(self, name: str, features: int) -> None:
        """Spiking neurons, or some that send numbers."""
        dyadic = self.rng.choice([0.5, 1.0, 1.5], features)
        kinds = [
            Lif(keep_membrane=0.5, threshold=dyadic, reset="subtract", reset_amount=dyadic),
            Lif(keep_current=0.5, threshold=1.0, max_spikes=3, reset="subtract"),
            GradedLif(keep_membrane=0.5, threshold=0.5),
        ]
        self.behind(Neurons(name, (int(features),), kinds[self.draw(st.integers(0, 2))]), int(features))

    def behind(self, node: HostedNode, features: int) -> None:
        """``node`` behind one to three senders, through layers of its own or layers that others use as well."""
        before = self.senders
        for number in range(self.draw(st.integers(1, 3))):
            source = before[self.draw(st.integers(0, len(before) - 1))]
            delay = self.draw(st.sampled_from([0, 0, 0, 1, 2]))
            known = [n for n in self.nodes if isinstance(n, Dense) and n.weight.shape[0] == features]
            if known and self.draw(st.booleans()):
                self.edges.append(Edge(known[0].name, node.name, delay))
                continue
            layer = self.dense(f"{node.name}.w{number}", size(source.out_shape), features, self.draw(st.booleans()))
            self.edges += [Edge(source.name, layer, delay), Edge(layer, node.name, self.draw(st.integers(0, 1)))]
        self.nodes.append(node)

    def dense(self, name: str, inputs: int, outputs: int, bias: bool = False) -> str:
        """A layer of coarse weights."""
        weight = self.rng.integers(-8, 9, (outputs, inputs)) * 0.25
        self.nodes.append(Dense(name, weight, self.rng.integers(-4, 5, outputs) * 0.25 if bias else None))
        return name

    def recurrence(self) -> None:
        """A delayed way back between populations with no host function in the loop."""
        graph = nx.DiGraph((e.source, e.target) for e in self.edges)
        functions = {n.name for n in self.nodes if isinstance(n, HostFunction)}
        held = [n for n in self.nodes if isinstance(n, Neurons)]
        source, target = (held[self.draw(st.integers(0, len(held) - 1))] for _ in range(2))
        if target.name in graph and source.name in graph:
            between = nx.descendants(graph, target.name) & nx.ancestors(graph, source.name)
            if between & functions:
                return
        layer = self.dense(f"back{len(self.nodes)}", size(source.shape), size(target.shape))
        self.edges += [Edge(source.name, layer, self.draw(st.integers(1, 2))), Edge(layer, target.name)]


def frames_for(network: HostedNetwork, seed: int, samples: int = 2, steps: int = 5) -> Values:
    """Coarse values, or spikes, as the input takes them."""
    rng = np.random.default_rng(seed)
    shape = (samples, steps, *network.inputs[0].shape)
    if network.inputs[0].coding == "spikes":
        return (rng.random(shape) < 0.4).astype(np.float64)
    return (rng.integers(-8, 9, shape) * 0.125).astype(np.float64)


def gated_network(seed: int = 0, features: int = 6, classes: int = 3) -> HostedNetwork:
    """Spikes, a norm and a gate on the host, spikes that also see the first ones, an answer: chip, host, chip."""
    rng = np.random.default_rng(seed)

    def weights(outputs: int, inputs: int) -> NDArray[np.float64]:
        return rng.normal(0.0, 1.2 / np.sqrt(inputs), (outputs, inputs)).astype(np.float64)

    fired = Lif(keep_membrane=0.75, threshold=0.5, reset="subtract", reset_amount=0.5)
    first, second = np.eye(2 * features)[:, :features], np.eye(2 * features)[:, features:]
    nodes = (
        Input("input", (4,), "spikes"),
        Dense("embed", weights(features, 4)), Neurons("lif1", (features,), fired),
        Dense("up", weights(features, features), rng.normal(0.0, 0.2, features)),
        function("norm", "rms_norm", features), function("silu", "silu", features),
        Sparse("silu.at", np.ones(features), np.arange(features), _rows(first), features, (2 * features,)),
        Sparse("lif1.at", np.ones(features), np.arange(features), _rows(second), features, (2 * features,)),
        function("gate", "product", features),
        Dense("down", weights(features, features)), Neurons("lif2", (features,), fired),
        Scale("skip", (features,), np.asarray(0.5), np.zeros(())),
        Dense("head", weights(classes, features)), Neurons("out", (classes,), fired),
    )  # fmt: skip
    ways = [
        ("input", "embed"), ("embed", "lif1"), ("lif1", "up"), ("up", "norm"), ("norm", "silu"), ("silu", "silu.at"),
        ("silu.at", "gate"), ("lif1", "lif1.at"), ("lif1.at", "gate"), ("gate", "down"), ("down", "lif2"),
        ("lif1", "skip"), ("skip", "lif2"), ("lif2", "head"), ("head", "out"),
    ]  # fmt: skip
    return HostedNetwork("gated", nodes, tuple(Edge(a, b) for a, b in ways), Readout("out"))


def _rows(matrix: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.count_nonzero(matrix, axis=1))])


def hosts(parts: Parts) -> list[HostPart]:
    """The parts that the host computes."""
    return [p for p in parts.parts if isinstance(p, HostPart)]
