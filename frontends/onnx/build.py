"""From populations and what they receive to a network: layers become nodes, ages become delays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.linear import Conv, Dense, Linear, Pool, Reshape, Scale, Sparse
from ranvier.compiler.ir.network import Coding, Edge, Input, Network, Neurons, Node, Note, Readout
from ranvier.frontends.onnx.evaluate import operate
from ranvier.frontends.onnx.fit import Fitted
from ranvier.frontends.onnx.linear import batch_norm, conv_shape, pool_shape
from ranvier.frontends.onnx.model import Array, OnnxNode
from ranvier.frontends.onnx.populations import Described, Describer, Piece, Population
from ranvier.frontends.onnx.signal import Atom
from ranvier.frontends.onnx.symbolic import MAXIMA, Interpreter

INPUT = "input"


@dataclass(eq=False)
class Offsets:
    """What every layer gives when nothing has been sent yet: its bias, through the layers after it."""

    describer: Describer
    interpreter: Interpreter
    known: dict[Any, Array] = field(default_factory=dict)

    def __call__(self, described: Described) -> Array:
        """What the layers in ``described`` give, flat, before anything was sent."""
        total = np.array(described.constant, np.float64).ravel()
        for piece in described.pieces:
            if piece.source[0] == "layer":
                np.add.at(total, piece.places, piece.factor * self.layer(piece.source[1])[piece.taken])
        return total

    def layer(self, key: tuple[Any, ...]) -> Array:
        """The layer's result, flat, for nothing at its input."""
        if key not in self.known:
            atom, inside = self.describer.layers[key]
            value = self(inside).reshape(1, *inside.constant.shape)
            assert atom.node is not None
            weights = self.interpreter.weights[atom.digest]
            self.known[key] = operate(atom.node, [value, *weights], self.interpreter.file)[0].ravel()
        return self.known[key]


@dataclass(eq=False)
class Builder:
    """Collects nodes and edges, from the readout backwards, so that nothing else is taken along."""

    describer: Describer
    interpreter: Interpreter
    fitted: dict[str, Fitted]
    coding: Coding
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    layers: dict[Any, str] = field(default_factory=dict)

    def network(self, name: str, readout: Readout, notes: tuple[Note, ...]) -> Network:
        """The network that ends at ``readout``, its nodes in the order of what they need."""
        self.populations = {p.name: p for p in self.describer.populations}
        reached = self._reaching(readout.node)
        for population in reached:
            self.nodes[population.name] = Neurons(population.name, population.shape, self.fitted[population.name].model)
        for population in reached:
            self._population(population)
        nodes = tuple(self.nodes[n] for n in self._ordered())
        return Network(name, nodes, tuple(dict.fromkeys(self.edges)), readout, notes)

    def _reaching(self, last: str) -> list[Population]:
        """The populations that ``last`` depends on, itself included, in order."""
        found, pending = {last}, [last]
        while pending:
            for source in self.fitted[pending.pop()].sources:
                for name in self._senders(source.described) - found:
                    found.add(name)
                    pending.append(name)
        return [p for p in self.describer.populations if p.name in found]

    def _senders(self, described: Described) -> set[str]:
        """The populations in ``described``, through layers."""
        found: set[str] = set()
        for piece in described.pieces:
            if piece.source[0] == "population":
                found.add(piece.source[1])
            elif piece.source[0] == "layer":
                found |= self._senders(self.describer.layers[piece.source[1]][1])
        return found

    def _ordered(self) -> list[str]:
        """The names of the nodes, each after what it receives without delay."""
        before: dict[str, list[str]] = {name: [] for name in self.nodes}
        for edge in self.edges:
            if edge.delay == 0:
                before[edge.target].append(edge.source)
        order: dict[str, None] = {}
        pending = [*reversed(self.nodes)]
        while pending:
            name = pending[-1]
            missing = [n for n in before[name] if n not in order]
            if missing:
                pending.append(missing[0])
            else:
                order[pending.pop()] = None
        return list(order)

    def _population(self, population: Population) -> None:
        fitted = self.fitted[population.name]
        for source in fitted.sources:
            described, factor = source.described, source.factor
            uniform = bool(np.all(factor == 1.0))
            target = population.name
            if not uniform:
                target = self._add(Scale(self._unique(f"{target}.gain"), population.shape, factor, np.zeros(())))
                self.edges.append(Edge(target, population.name))
            self._connect(described, target, population.shape, source.delay)

    def _connect(self, described: Described, target: str, shape: Shape, delay: int = 0) -> None:
        """Everything in ``described`` into ``target``, ``delay`` steps late."""
        if np.any(described.constant):
            shift = np.array(described.constant).ravel()
            node = Scale(self._unique(f"{target}.shift"), shape, np.ones(()), shift)
            self.edges.append(Edge(self._add(node), target))
            target = node.name
        for piece in described.pieces:
            age = delay
            if piece.step is not None and described.step is not None:
                age += described.step - piece.step
            self._piece(piece, target, shape, age)

    def _piece(self, piece: Piece, target: str, shape: Shape, age: int) -> None:
        source, out = self._source(piece.source, age)
        age = 0 if piece.source[0] == "layer" else age  # a layer gives its bias even before anything has arrived
        count = size(shape)
        whole = piece.taken.size == count == size(out)
        straight = whole and bool(np.all(piece.taken == np.arange(count)) and np.all(piece.places == np.arange(count)))
        node: Linear | None = None
        if not straight:
            node = _selection(self._unique(f"{source}.part"), piece, size(out), shape)
        elif np.any(piece.factor != 1.0):
            same = bool(np.all(piece.factor == piece.factor[0]))
            factor = piece.factor[0] if same else piece.factor
            node = Scale(self._unique(f"{source}.factor"), shape, np.asarray(factor), np.zeros(()))
        elif out != shape and not isinstance(self.nodes[target], Dense):
            node = Reshape(self._unique(f"{source}.reshape"), out, shape)
        if node is not None:
            self.edges.append(Edge(self._add(node), target))
            target = node.name
        if straight and isinstance(node, Scale) and out != shape:
            reshape = Reshape(self._unique(f"{source}.reshape"), out, shape)
            self.edges.append(Edge(self._add(reshape), target))
            target = reshape.name
        self.edges.append(Edge(source, target, age))

    def _source(self, source: tuple[Any, ...], age: int) -> tuple[str, Shape]:
        if source[0] == "input":
            frame = self.describer.frames.frame
            if INPUT not in self.nodes:
                self.nodes[INPUT] = Input(INPUT, frame, self.coding)
            return INPUT, frame
        if source[0] == "population":
            return source[1], self.populations[source[1]].shape
        name = self._layer(source[1], age)
        return name, self.nodes[name].out_shape

    def _layer(self, key: tuple[Any, ...], age: int) -> str:
        """The node of a layer whose inputs come ``age`` steps late."""
        atom, inside = self.describer.layers[key]
        instance = (key, 0 if inside.step is None else age)
        if instance not in self.layers:
            assert atom.node is not None
            name = self._unique((_title(atom.node) or atom.name) + ".windows" * (atom.node.op in MAXIMA))
            shape = tuple(inside.constant.shape)
            first, *rest = self._linear(atom, name, shape)
            self.layers[instance] = name
            self._add(first)
            self._connect(inside, name, shape, instance[1])
            for node in rest:
                self.edges.append(Edge(self.layers[instance], self._add(node)))
                self.layers[instance] = node.name
        return self.layers[instance]

    def _linear(self, atom: Atom, name: str, shape: Shape) -> tuple[Linear, ...]:
        """The IR's layers for one ONNX layer that takes ``shape``."""
        node = atom.node
        assert node is not None
        weights = self.interpreter.weights[atom.digest]
        w = weights[0] if weights else np.zeros(())
        assert w is not None
        bias = weights[1] if len(weights) > 1 else None
        if node.op == "Conv":
            made = conv_shape(node, (1, *shape), w)[0]
            return (Conv(name, w, shape, bias, made.stride, made.padding, made.dilation, node.integer("group", 1)),)
        if node.op == "BatchNormalization":
            factor, shift = batch_norm(node, [None, *weights])
            return (Scale(name, shape, factor, shift),)
        if node.op in MAXIMA:
            made = pool_shape(node, (1, *shape))[0]
            ones = np.ones((shape[0], 1, *made.kernel))
            return (Conv(name, ones, shape, None, made.stride, made.padding, made.dilation, shape[0]),)
        if node.op in ("AveragePool", "GlobalAveragePool"):
            return self._pool(atom, name, shape)
        matrix = w if node.op == "Gemm" and node.integer("transB", 0) else w.T
        alpha, beta = (node.number("alpha", 1.0), node.number("beta", 1.0)) if node.op == "Gemm" else (1.0, 1.0)
        offset = None if bias is None else np.broadcast_to(beta * bias.reshape(-1), (matrix.shape[0],))
        return (Dense(name, alpha * matrix, offset),)

    def _pool(self, atom: Atom, name: str, shape: Shape) -> tuple[Linear, ...]:
        node = atom.node
        assert node is not None
        made = pool_shape(node, (1, *shape))[0]
        padded = any(n for pair in made.padding for n in pair)
        if not padded or node.integer("count_include_pad", 0):
            return (Pool(name, "average", shape, made.kernel, made.stride, made.padding),)
        ones = operate(node, [np.ones((1, *shape))], self.interpreter.file)[0]
        total = Pool(name, "sum", shape, made.kernel, made.stride, made.padding)
        sums = Pool(name, "average", shape, made.kernel, made.stride, made.padding)
        counted = _inside(sums, shape, made.kernel) * ones.ravel()
        return total, Scale(self._unique(f"{name}.mean"), total.out_shape, 1.0 / counted, np.zeros(()))

    def _add(self, node: Linear) -> str:
        self.nodes[node.name] = node
        return node.name

    def _unique(self, name: str) -> str:
        taken = {*self.nodes, *self.layers.values(), *self.populations, INPUT}
        tries = (name if i == 1 else f"{name}_{i}" for i in range(1, len(taken) + 2))
        return next(n for n in tries if n not in taken)


def _title(node: OnnxNode) -> str:
    """The module's name; a parameter with a name of its own, not ``weight``, says which layer of the module it is."""
    scope = node.scope[-2] if len(node.scope) > 1 else ""
    weight = node.inputs[1] if len(node.inputs) > 1 else ""
    inside, _, own = weight.rpartition(".")
    return weight if scope and inside == scope and own != "weight" else scope or node.name


def _inside(pool: Pool, shape: Shape, kernel: Sequence[int]) -> Array:
    """How many elements of each window lie inside, flat."""
    padded = np.pad(np.ones(shape[1:]), pool.padding)
    views = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel))
    steps = tuple(slice(None, None, s) for s in pool.stride)
    counts = views[steps].reshape(-1, math.prod(kernel)).sum(axis=1)
    return np.tile(counts, shape[0])


def _selection(name: str, piece: Piece, in_size: int, shape: Shape) -> Sparse:
    """The matrix that takes some elements of the source to some places of the target."""
    order = np.argsort(piece.places, kind="stable")
    rows = np.bincount(piece.places, minlength=size(shape))
    indptr = np.concatenate([[0], np.cumsum(rows)])
    return Sparse(name, piece.factor[order], piece.taken[order], indptr, in_size, shape)
