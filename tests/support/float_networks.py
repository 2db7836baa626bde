"""Random float networks in the way frontends build them: chains of linear layers, skips, recurrence."""

import numpy as np
from hypothesis import strategies as st

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.linear import Conv, Dense, Linear, Pool, Reshape, Scale
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif


@st.composite
def float_networks(draw: st.DrawFn, chip_like: bool = False) -> Network:
    """One to three populations; between them random chains of conv, pool, norm, reshape and dense layers.

    All values are dyadic rationals, so that float64 sums are exact in any order. ``chip_like`` keeps to one spike
    a step and decays within 0 and 1, with coarse values.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape: Shape = draw(st.sampled_from([(6,), (2, 6), (2, 6, 4)]))
    nodes: list[Node] = [Input("input", shape, draw(st.sampled_from(["spikes", "current"])))]
    edges: list[Edge] = []
    last = nodes[0]
    earlier: list[Node] = []
    for index in range(draw(st.integers(1, 3))):
        chain = _chain(draw, rng, last.out_shape, f"l{index}")
        out = chain[-1].out_shape
        population = Neurons(f"n{index}", out, _model(draw, rng, size(out), chip_like))
        previous = last.name
        for op in chain:
            edges.append(Edge(previous, op.name))
            previous = op.name
        edges.append(Edge(previous, population.name))
        nodes += chain
        if draw(st.booleans()):
            loop = Dense(f"r{index}", _dyadic(rng, (size(out), size(out))), _dyadic(rng, (size(out),)))
            nodes.append(loop)
            edges += [Edge(population.name, loop.name, draw(st.integers(1, 2))), Edge(loop.name, population.name)]
        if earlier and draw(st.booleans()):
            skip = Dense(f"s{index}", _dyadic(rng, (size(out), size(earlier[-1].out_shape))))
            nodes.append(skip)
            edges += [Edge(earlier[-1].name, skip.name), Edge(skip.name, population.name)]
        nodes.append(population)
        earlier.append(last)
        last = population
    kind = draw(st.sampled_from(["spike_count", "last_membrane"]))
    return Network("random", tuple(nodes), tuple(edges), Readout(last.name, kind))


def _dyadic(rng: np.random.Generator, shape: tuple[int, ...], unit: float = 0.125) -> np.ndarray:
    return rng.integers(-8, 9, shape) * unit


def _chain(draw: st.DrawFn, rng: np.random.Generator, shape: Shape, name: str) -> list[Linear]:
    chain: list[Linear] = []
    for number in range(draw(st.integers(1, 3))):
        spatial = len(shape) > 1
        kind = draw(st.sampled_from(["conv", "pool", "norm", "flat"] if spatial else ["dense", "norm"]))
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
    outputs = groups * draw(st.integers(1, 2))
    weight = _dyadic(rng, (outputs, shape[0] // groups, *kernel))
    bias = _dyadic(rng, (outputs,)) if draw(st.booleans()) else None
    return Conv(name, weight, shape, bias, stride, padding, (1,) * axes, groups)


def _model(draw: st.DrawFn, rng: np.random.Generator, neurons: int, chip_like: bool) -> Lif:
    per_neuron = draw(st.booleans())
    count = (neurons,) if per_neuron else ()
    return Lif(
        keep_current=draw(st.sampled_from([0.0, 0.5])),
        keep_membrane=draw(st.sampled_from([0.5, 0.75, 1.0])),
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
