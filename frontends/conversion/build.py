"""From a graph without maxima, with an amplitude for each activation, to the spiking network."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.linear import Scale
from ranvier.compiler.ir.network import Coding, Edge, Input, Network, Neurons, Node, Note, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.conversion.graph import Activation, Graph, MaxPool

ACCUMULATOR = "accumulator"


def spiking(graph: Graph, amplitudes: Mapping[str, FloatArray], coding: Coding, notes: tuple[Note, ...]) -> Network:
    """The network of integrate-and-fire neurons whose spike counts approach the values of ``graph``.

    Each activation becomes neurons with threshold and reset amount lambda, soft reset and an initial membrane of
    lambda / 2; a spike stands for lambda in the next layer. With an input constant over T steps a neuron's count is
    ``clip(floor(T x / lambda + 1/2), 0, T)``: the rounded activation. The last layer is summed, not fired: its
    membrane after T steps is T times the answer.
    """
    nodes: list[Node] = [Input(graph.entry.name, graph.entry.shape, coding)]
    edges: list[Edge] = []
    sent: dict[str, str] = {graph.entry.name: graph.entry.name}
    for op in graph.ops:
        assert not isinstance(op, MaxPool)
        edges += [Edge(sent[source], op.name) for source in graph.sources[op.name]]
        sent[op.name] = op.name
        if isinstance(op, Activation):
            amplitude = amplitudes[op.name]
            scale = Scale(f"{op.name}.amplitude", op.shape, amplitude, np.array(0.0))
            nodes += [_integrate_and_fire(op, amplitude), scale]
            edges.append(Edge(op.name, scale.name))
            sent[op.name] = scale.name
        else:
            nodes.append(op)
    nodes.append(_accumulator(graph.shape(graph.output)))
    edges.append(Edge(sent[graph.output], ACCUMULATOR))
    return Network(graph.name, tuple(nodes), tuple(edges), Readout(ACCUMULATOR, "last_membrane"), notes)


def without_last_activation(graph: Graph) -> Graph:
    """``graph`` read before a final activation: the largest answer stays the largest, unless none is above zero."""
    last = graph.by_name.get(graph.output)
    if not isinstance(last, Activation) or len(graph.sources[last.name]) != 1:
        return graph
    (before,) = graph.sources[last.name]
    if before == graph.entry.name:
        return graph
    ops = tuple(op for op in graph.ops if op.name != last.name)
    return replace(graph, ops=ops, sources={op.name: graph.sources[op.name] for op in ops}, output=before)


def _integrate_and_fire(op: Activation, amplitude: FloatArray) -> Neurons:
    """``v += x; fire where v >= lambda; v -= lambda where fired``, from ``v = lambda / 2``."""
    each = amplitude
    if amplitude.ndim and len(op.shape) > 1:
        each = np.repeat(amplitude, size(op.shape[1:]))
    model = Lif(threshold=each, compare=">=", reset="subtract", reset_amount=each, initial=each / 2)
    return Neurons(op.name, op.shape, model)


def _accumulator(shape: Shape) -> Neurons:
    return Neurons(ACCUMULATOR, shape, Lif(threshold=np.array(np.inf), reset="none"))
