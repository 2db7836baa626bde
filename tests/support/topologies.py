"""Networks of every topology, with weights, thresholds and decays that a chip holds exactly."""

import itertools
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.delays import delayed
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Linear, Pool, Reshape
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout, ReadoutKind
from ranvier.compiler.ir.neurons import Lif

RNG = np.random.default_rng(77)
IMAGE: Shape = (2, 5, 6)
INTEGRATOR = Lif(threshold=2.0, compare=">=")
RELAY = Lif(keep_membrane=0.0, threshold=0.5)


def whole(*shape: int) -> NDArray[np.float64]:
    """Weights from -2 to 3 in halves."""
    return RNG.integers(-4, 7, shape) / 2


def neurons(name: str, shape: Shape, model: Lif = INTEGRATOR) -> Neurons:
    """A population that integrates whole numbers."""
    return Neurons(name, shape, model)


def in_a_row(nodes: tuple[Node, ...], more: tuple[Edge, ...] = (), kind: ReadoutKind = "spike_count") -> Network:
    """``nodes`` one after the other, and ``more`` edges."""
    edges = tuple(Edge(a.name, b.name) for a, b in itertools.pairwise(nodes))
    last = [n for n in nodes if isinstance(n, Neurons)][-1]
    return Network("topology", nodes, (*edges, *more), Readout(last.name, kind))


def _layered(op: Linear) -> Network:
    """One layer between two dense ones."""
    first = Conv("first", whole(IMAGE[0], IMAGE[0], 1, 1), IMAGE)
    middle = neurons("middle", op.out_shape)
    nodes = (Input("input", IMAGE, "spikes"), first, neurons("n0", IMAGE), op, middle)
    last = Dense("last", whole(4, size(op.out_shape)))
    return in_a_row((*nodes, last, neurons("n1", (4,))), kind="first_spike")


def _axons() -> Network:
    """Every neuron of a layer is heard after a time of its own; the layer hears itself without it."""
    late, ways = delayed("late", "n0", (6,), RNG.integers(0, 9, 6))
    nodes = (
        Input("input", (5,), "spikes"), Dense("a", whole(6, 5)), Dense("loop", whole(6, 6)), neurons("n0", (6,)),
        *late, Dense("b", whole(4, 6)), neurons("n1", (4,)),
    )  # fmt: skip
    edges = (
        Edge("input", "a"), Edge("a", "n0"), Edge("n0", "loop", 1), Edge("loop", "n0"), *ways,
        Edge("late", "b"), Edge("b", "n1"),
    )  # fmt: skip
    return Network("axons", nodes, edges, Readout("n1", "first_spike"))


def _synapses() -> Network:
    """Every synapse has its own delay: the sum of layers, one per delay."""
    delays, weight = RNG.integers(0, 4, (4, 5)), whole(4, 5)
    parts = [Dense(f"by{d}", np.where(delays == d, weight, 0.0)) for d in range(4)]
    edges = [edge for d, op in enumerate(parts) for edge in (Edge("input", op.name, d), Edge(op.name, "n0"))]
    nodes = (Input("input", (5,), "spikes"), *parts, neurons("n0", (4,)))
    return Network("synapses", nodes, tuple(edges), Readout("n0"))


def _across() -> Network:
    """Three layers, the last heard by the first three steps later, the second two steps later."""
    nodes = (
        Input("input", (5,), "spikes"), Dense("a", whole(6, 5)), neurons("n0", (6,)), Dense("b", whole(5, 6)),
        neurons("n1", (5,)), Dense("c", whole(4, 5)), neurons("n2", (4,)),
    )  # fmt: skip
    back = (Edge("n2", "far", 3), Edge("far", "n0"), Edge("n1", "near", 2), Edge("near", "n0"))
    network = in_a_row(nodes, back)
    loops = (Dense("far", whole(6, 4)), Dense("near", whole(6, 5)))
    return Network("across", (*nodes, *loops), network.edges, network.readout)


def _branches() -> Network:
    """A residual sum over two layers, a concatenation with the input, and one layer that two sources share."""
    shared = Dense("shared", whole(6, 6))
    nodes = (
        Input("input", (6,), "spikes"), Dense("a", whole(6, 6)), neurons("n0", (6,)), shared, neurons("n1", (6,)),
        Dense("c", whole(6, 6)), neurons("n2", (6,)), Dense("d", whole(4, 6)), neurons("n3", (4,)),
    )  # fmt: skip
    residual = (Edge("n0", "n2"), Edge("input", "d"), Edge("input", "shared"), Edge("n0", "shared", 2))
    return in_a_row(nodes, residual)


def _relays() -> Network:
    """The maximum over overlapping windows of spikes."""
    pool = Conv("windows", np.ones((2, 1, 3, 2)), IMAGE, None, (2, 1), ((1, 1), (0, 1)), (1, 1), 2)
    first = Conv("first", whole(2, 2, 3, 3), IMAGE, None, (1, 1), ((1, 1), (1, 1)))
    flat = Reshape("flat", pool.out_shape, (size(pool.out_shape),))
    nodes = (
        Input("input", IMAGE, "spikes"), first, neurons("n0", IMAGE), pool,
        neurons("relays", pool.out_shape, RELAY), flat, Dense("last", whole(3, flat.in_size)), neurons("n1", (3,)),
    )  # fmt: skip
    return in_a_row(nodes, kind="max_membrane")


@cache
def topologies() -> Mapping[str, Network]:
    """All of them by name."""
    channels = IMAGE[0]
    layers: dict[str, Linear] = {
        "transposed": ConvTranspose("op", whole(channels, 3, 3, 2), IMAGE, None, (2, 3), (1, 0), (1, 2)),
        "transposed_unit_stride": ConvTranspose("op", whole(channels, 2, 3, 2), IMAGE, None, (1, 1), (1, 0)),
        "transposed_depthwise": ConvTranspose("op", whole(channels, 1, 2, 2), IMAGE, None, (2, 2), groups=channels),
        "depthwise": Conv("op", whole(2 * channels, 1, 3, 3), IMAGE, groups=channels),
        "grouped": Conv("op", whole(4, 1, 2, 3), IMAGE, None, (1, 2), ((1, 0), (1, 1)), groups=2),
        "not_square": Conv("op", whole(3, channels, 1, 5), IMAGE, None, (2, 1), ((0, 0), (2, 2))),
        "dilated": Conv("op", whole(3, channels, 2, 3), IMAGE, None, (1, 1), ((0, 0), (2, 2)), (3, 2)),
        "pooled": Pool("op", "sum", IMAGE, (2, 3), (1, 3), ((1, 1), (0, 0))),
    }
    others = {"axons": _axons(), "synapses": _synapses(), "across": _across()}
    return {
        **{name: _layered(op) for name, op in layers.items()}, **others, "branches": _branches(), "relays": _relays()
    }  # fmt: skip


def spikes_for(network: Network, samples: int = 3, steps: int = 14) -> NDArray[np.int8]:
    """Random spikes for its input."""
    return (np.random.default_rng(5).random((samples, steps, *network.inputs[0].shape)) < 0.35).astype(np.int8)
