"""Random float networks in the way frontends build them.

Chains of linear layers of every kind, branches of unequal depth, layers that several sources share, recurrence within
a population and across populations, axonal delays.
"""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.delays import delayed
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Linear, Pool, Reshape, Scale
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif


@st.composite
def float_networks(draw: st.DrawFn, chip_like: bool = False) -> Network:
    """One to three populations with random layers and connections between them.

    All values are dyadic rationals, so that float64 sums are exact in any order. ``chip_like`` keeps to one spike
    a step and decays within 0 and 1, with coarse values.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape: Shape = draw(st.sampled_from([(6,), (2, 6), (2, 6, 4)]))
    graph = _Graph(draw, rng, [Input("input", shape, draw(st.sampled_from(["spikes", "current"])))])
    sources: list[Node] = [graph.nodes[0]]
    for index in range(draw(st.integers(1, 3))):
        chain = _chain(draw, rng, sources[-1].out_shape, f"l{index}")
        out = chain[-1].out_shape
        population = Neurons(f"n{index}", out, _model(draw, rng, size(out), chip_like))
        graph.forward(index, sources[-1], chain, population)
        if draw(st.booleans()):
            bias = _dyadic(rng, (size(out),))
            graph.dense(f"r{index}", population, population, draw(st.integers(1, 2)), bias)
        if index and draw(st.booleans()):
            graph.dense(f"s{index}", sources[-2], population, 0)
        if index and draw(st.booleans()):
            earlier = draw(st.integers(1, index))
            graph.dense(f"b{index}", population, sources[earlier], index - earlier + 2 + draw(st.integers(0, 1)))
        graph.nodes.append(population)
        sources.append(population)
    kind = draw(st.sampled_from(["spike_count", "first_spike", "last_membrane"]))
    return Network("random", tuple(graph.nodes), tuple(graph.edges), Readout(sources[-1].name, kind))


@dataclass
class _Graph:
    draw: st.DrawFn
    rng: np.random.Generator
    nodes: list[Node]
    edges: list[Edge] = field(default_factory=list)

    def forward(self, index: int, source: Node, chain: list[Linear], population: Neurons) -> None:
        """``chain`` from ``source``, perhaps behind axonal delays, perhaps also from what was sent before."""
        previous = source.name
        if self.draw(st.booleans()):
            axons = self.rng.integers(0, 4, size(source.out_shape))
            late, ways = delayed(f"d{index}", previous, source.out_shape, axons)
            self.nodes += late
            self.edges += ways
            previous = f"d{index}"
        if self.draw(st.booleans()):
            self.edges.append(Edge(source.name, chain[0].name, self.draw(st.integers(1, 2))))
        for node in (*chain, population):
            self.edges.append(Edge(previous, node.name))
            previous = node.name
        self.nodes += chain

    def dense(self, name: str, source: Node, target: Node, delay: int, bias: np.ndarray | None = None) -> None:
        """All to all, ``delay`` steps late."""
        self.nodes.append(Dense(name, _dyadic(self.rng, (size(target.out_shape), size(source.out_shape))), bias))
        self.edges += [Edge(source.name, name, delay), Edge(name, target.name)]


def _dyadic(rng: np.random.Generator, shape: tuple[int, ...], unit: float = 0.125) -> np.ndarray:
    return rng.integers(-8, 9, shape) * unit


def _chain(draw: st.DrawFn, rng: np.random.Generator, shape: Shape, name: str) -> list[Linear]:
    chain: list[Linear] = []
    for number in range(draw(st.integers(1, 3))):
        spatial = len(shape) > 1
        kind = draw(st.sampled_from(["conv", "transposed", "pool", "norm", "flat"] if spatial else ["dense", "norm"]))
        op = _layer(draw, rng, kind, shape, f"{name}_{number}")
        chain.append(op)
        shape = op.out_shape
    return chain


def _layer(draw: st.DrawFn, rng: np.random.Generator, kind: str, shape: Shape, name: str) -> Linear:
    if kind == "dense":
        outputs = draw(st.integers(1, 8))
        return Dense(name, _dyadic(rng, (outputs, shape[0])), _dyadic(rng, (outputs,)) if draw(st.booleans()) else None)
    if kind == "norm":
        return Scale(name, shape, _dyadic(rng, (shape[0],), 0.5), _dyadic(rng, (shape[0],)))
    if kind == "flat":
        return Reshape(name, shape, (size(shape),))
    axes = len(shape) - 1
    kernel = tuple(min(draw(st.integers(1, 3)), n) for n in shape[1:])
    stride = tuple(draw(st.integers(1, 2)) for _ in range(axes))
    padding = tuple((p, p) for p in (draw(st.integers(0, 1)) for _ in range(axes)))
    if kind == "pool":
        return Pool(
            name,
            draw(st.sampled_from(["sum", "average"])),
            shape,
            tuple(2 if k > 1 else 1 for k in kernel),
            stride,
            padding,
        )
    groups = draw(st.sampled_from([1, shape[0]]))
    if kind == "transposed":
        weight = _dyadic(rng, (shape[0], draw(st.integers(1, 2)), *(min(k, 2) for k in kernel)))
        extra = tuple(s - 1 for s in stride)
        bias = _dyadic(rng, (weight.shape[1] * groups,)) if draw(st.booleans()) else None
        return ConvTranspose(name, weight, shape, bias, stride, (0,) * axes, extra, (1,) * axes, groups)
    wide = draw(st.integers(1, 2))
    dilation = tuple(wide if wide * (k - 1) < n else 1 for k, n in zip(kernel, shape[1:], strict=True))
    outputs = groups * draw(st.integers(1, 2))
    weight = _dyadic(rng, (outputs, shape[0] // groups, *kernel))
    bias = _dyadic(rng, (outputs,)) if draw(st.booleans()) else None
    return Conv(name, weight, shape, bias, stride, padding, dilation, groups)


def _model(draw: st.DrawFn, rng: np.random.Generator, neurons: int, chip_like: bool) -> Lif:
    per_neuron = draw(st.booleans())
    count = (neurons,) if per_neuron else ()
    return Lif(
        keep_current=draw(st.sampled_from([0.0, 0.5])),
        keep_membrane=draw(st.sampled_from([0.0, 0.5, 0.75, 1.0])),
        gain=rng.choice([0.5, 1.0, 2.0], count),
        drive=_dyadic(rng, count),
        threshold=rng.choice([0.5, 1.0, 1.5], count),
        compare=draw(st.sampled_from([">", ">="])),
        max_spikes=1 if chip_like else draw(st.sampled_from([1, 1, 0, 3])),
        reset=draw(st.sampled_from(["value", "subtract", "none"])),
        reset_amount=rng.choice([0.5, 1.0], count),
        refractory=draw(st.sampled_from([0, 0, 2])),
        floor=draw(st.sampled_from([None, -1.0])),
        initial=draw(st.sampled_from([0.0, 0.25])),
    )


def dyadic_inputs(network: Network, seed: int, samples: int = 2, steps: int = 8) -> np.ndarray:
    """Inputs that the network's port takes, as multiples of 1/8."""
    rng = np.random.default_rng(seed)
    port = network.inputs[0]
    shape = (samples, steps, *port.shape)
    return (rng.random(shape) < 0.4) * (1.0 if port.coding == "spikes" else rng.integers(-8, 9, shape) * 0.125)
