"""The networks and inputs of the benchmark, each as the integers that chips run and as the floats they stand for.

The drawn networks have integer weights w and thresholds vth; their float form is w / (vth + 1/2) with threshold 1.
Without leak the two fire in the same steps, for a sum of integers is above vth exactly when it is above vth + 1/2.
"""

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import (
    ChipNetwork,
    ChipSynapse,
    Connection,
    ConvSynapse,
    DenseSynapse,
    Population,
    Port,
)
from ranvier.compiler.ir.linear import Conv, Dense, Reshape
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.programs import DECAY_UNITY, Features, chip_lif
from ranvier.compiler.ir.trace import Trace, Value

Array = NDArray[Any]
RATES = (0.01, 0.05, 0.10, 0.30)
BATCHES = (1, 256)
SEW_LEVELS: tuple[tuple[int, ...], ...] = ((150, 350, 500), (800, 600, 800), (1200,))
"""Thresholds of the residual network's layers, resolution by resolution, at which a few per cent of them fire."""


class MissingDataError(Exception):
    """The data of a workload are not on this machine."""


@dataclass(frozen=True, eq=False)
class Workload:
    """One network with the inputs (samples, steps, *shape) of every run.

    ``network``: the float network, None where there is none. ``compile_s``: seconds that Ranvier took to make the
    integers from the floats, where it did. ``facts``: what identifies the run, e.g. the input rate.
    """

    name: str
    chip: ChipNetwork
    network: Network | None
    inputs: Array
    batches: tuple[int, ...] = BATCHES
    compile_s: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return sum(p.size for p in self.chip.populations)


def drawn_weights(rng: np.random.Generator, shape: tuple[int, ...], lift: int = 0) -> NDArray[np.int32]:
    """Even weights between -120 and 120, all lifted by ``2 * lift``."""
    return ((rng.integers(-60, 61, shape) + lift) * 2).astype(np.int32)


def spikes(rng: np.random.Generator, shape: tuple[int, ...], rate: float) -> NDArray[np.uint8]:
    """Independent spikes of one rate."""
    return (rng.random(shape, dtype=np.float32) < rate).astype(np.uint8)


def stock(name: str, shape: tuple[int, ...], latency: int, vth: int, dv: int) -> Population:
    """A population of the Loihi neuron without synaptic memory, so that frameworks have the same neuron."""
    params = {"du": np.array(DECAY_UNITY - 1), "dv": np.array(dv), "vth": np.array(vth), "bias": np.array(0)}
    return Population(name, shape, chip_lif(Features()), params, {"u": np.array(0), "v": np.array(0)}, latency)


def leaky(name: str, shape: tuple[int, ...], dv: int) -> Neurons:
    """The float population for ``stock``."""
    return Neurons(name, shape, Lif(keep_membrane=np.array(1.0 - dv / DECAY_UNITY)))


def mlp(sizes: tuple[int, ...] = (784, 512, 10), vth: int = 1200, dv: int = 300) -> tuple[ChipNetwork, Network]:
    """Dense layers one after the other."""
    rng = np.random.default_rng(0)
    populations, connections = [], []
    nodes: list[Node] = [Input("in", sizes[:1], "spikes")]
    for index, (before, width) in enumerate(itertools.pairwise(sizes), 1):
        weight = drawn_weights(rng, (width, before), lift=1)
        source = "in" if index == 1 else f"lif{index - 1}"
        populations.append(stock(f"lif{index}", (width,), index, vth, dv))
        connections.append(Connection(f"fc{index}", source, f"lif{index}", DenseSynapse(weight), 0, "mixed", 0))
        nodes += [Dense(f"fc{index}", weight / (vth + 0.5)), leaky(f"lif{index}", (width,), dv)]
    edges = tuple(Edge(a.name, b.name) for a, b in itertools.pairwise(nodes))
    readout = Readout(populations[-1].name)
    chip = ChipNetwork("mlp", "loihi2", (Port("in", sizes[:1]),), tuple(populations), tuple(connections), readout)
    return chip, Network("mlp", tuple(nodes), edges, readout)


def mlp_at(rate: float, steps: int = 100, samples: int = 256, sizes: tuple[int, ...] = (784, 512, 10)) -> Workload:
    """The dense network with random spikes of ``rate``."""
    chip, network = mlp(sizes)
    inputs = spikes(np.random.default_rng(1), (samples, steps, sizes[0]), rate)
    return Workload(f"mlp {rate:.0%}", chip, network, inputs, facts={"rate": rate})


class _Sew:
    """Builds a residual spiking network twice, in integers and in floats, layer by layer."""

    def __init__(self, channels: int, height: int) -> None:
        self.rng = np.random.default_rng(2)
        self.port = Port("in", (channels, height, height))
        self.nodes: list[Node] = [Input("in", self.port.shape, "spikes")]
        self.edges: list[Edge] = []
        self.populations: list[Population] = []
        self.connections: list[Connection] = []

    def conv(self, sources: tuple[str, ...], shape: tuple[int, ...], out: int, stride: int, vth: int) -> str:
        """A convolution of the sum of ``sources`` and its neurons; the neurons' name."""
        name = f"lif{len(self.populations)}"
        weight = drawn_weights(self.rng, (out, shape[0], 3, 3), lift=2)
        around = ((1, 1), (1, 1))
        op = Conv(f"{name}_in", weight / (vth + 0.5), shape, None, (stride, stride), padding=around)
        synapse = ConvSynapse(weight, shape, op.out_shape, (stride, stride), around, (1, 1), 1)
        self._add(name, op, synapse, sources, vth)
        return name

    def dense(self, sources: tuple[str, ...], wires: int, out: int, vth: int) -> str:
        """A dense layer and its neurons."""
        name = f"lif{len(self.populations)}"
        weight = drawn_weights(self.rng, (out, wires), lift=1)
        self._add(name, Dense(f"{name}_in", weight / (vth + 0.5)), DenseSynapse(weight), sources, vth)
        return name

    def _add(self, name: str, op: Conv | Dense, synapse: ChipSynapse, sources: tuple[str, ...], vth: int) -> None:
        latencies = {p.name: p.latency for p in self.populations} | {"in": 0}
        latency = 1 + max(latencies[s] for s in sources)
        self.populations.append(stock(name, op.out_shape, latency, vth, 0))
        self.connections += [
            Connection(f"{s}_{name}", s, name, synapse, 0, "mixed", latency - latencies[s] - 1) for s in sources
        ]
        path: list[Node] = [op, leaky(name, op.out_shape, 0)]
        if isinstance(op, Dense):
            source = next(p for p in self.populations if p.name == sources[0])
            path.insert(0, Reshape(f"{name}_flat", source.shape, (source.size,)))
        self.nodes += path
        self.edges += [Edge(s, path[0].name) for s in sources]
        self.edges += [Edge(a.name, b.name) for a, b in itertools.pairwise(path)]

    def built(self) -> tuple[ChipNetwork, Network]:
        """Both networks."""
        readout = Readout(self.populations[-1].name)
        populations, connections = tuple(self.populations), tuple(self.connections)
        chip = ChipNetwork("sew", "loihi2", (self.port,), populations, connections, readout)
        return chip, Network("sew", tuple(self.nodes), tuple(self.edges), readout)


def sew(side: int = 128, channels: int = 16, steps: int = 8, samples: int = 2) -> Workload:
    """Spike-element-wise residual blocks at three resolutions; 1.25 million neurons at full size."""
    made = _Sew(2, side)
    last: tuple[str, ...] = ("in",)
    shape: tuple[int, ...] = (2, side, side)
    for level in range(3):
        out = channels << level
        first = made.conv(last, shape, out, 1 if level == 0 else 2, SEW_LEVELS[level][0])
        shape = (out, side >> level, side >> level)
        if level < 2:
            inner = made.conv((first,), shape, out, 1, SEW_LEVELS[level][1])
            outer = made.conv((inner,), shape, out, 1, SEW_LEVELS[level][2])
            last = (first, outer)
        else:
            last = (first,)
    made.dense(last, int(np.prod(shape)), 10, 2000)
    chip, network = made.built()
    inputs = spikes(np.random.default_rng(3), (samples, steps, 2, side, side), 0.02)
    return Workload("sew", chip, network, inputs, facts={"rate": 0.02})


def published(name: str, network: Network, calibration: Array, inputs: Array) -> Workload:
    """A network from a file, compiled by Ranvier with its calibration data."""
    import ranvier  # noqa: PLC0415 - loads the compiler

    started = time.perf_counter()
    chip = ranvier.compile(network, "loihi2", calibration).program.chip
    seconds = time.perf_counter() - started
    return Workload(name, chip, network, inputs, compile_s=seconds, facts={"rate": float(np.mean(inputs[:16] != 0))})


def _held(name: str, variant: str) -> Any:
    """A case of the tests; raises ``MissingDataError`` where its data are not on this machine."""
    import pytest  # noqa: PLC0415 - the tests' data are found as the tests find them

    from support import cases  # noqa: PLC0415 - as above

    try:
        return getattr(cases, name)(variant)
    except pytest.skip.Exception as skipped:
        raise MissingDataError(str(skipped)) from None


def nmnist() -> Workload:
    """The convolutional network of the NIR paper on recorded events."""
    found = _held("nmnist", "reset to zero")
    again = -(-max(BATCHES) // len(found.inputs))
    return published("nmnist", found.network, found.calibration, np.tile(found.inputs, (again, 1, 1, 1, 1))[:256])


def braille() -> Workload:
    """The recurrent network of the NIR paper on tactile recordings."""
    found = _held("braille", "bias, reset to zero")
    return published("braille", found.network, found.calibration, found.inputs[:256])


def xylo_decay(t: Trace, x: Value, dash: int) -> Value:
    """What Xylo takes from a state in one step: ``x >> dash``, at least 1 where x is positive."""
    part = x >> dash
    return t.where(x > 0, t.op("maximum", part, 1), part)


def xylo_neuron(dash_syn: int, dash_mem: int, most: int) -> Any:
    """Xylo's integrate-and-fire neuron as a step program: 16-bit states, decay by shifts, up to ``most`` spikes."""
    t = Trace(f"xylo.iaf{most}", "int")
    isyn, v = t.state("u", 16), t.state("v", 16)
    arrived = t.op("clip", isyn + t.input, -(2**15), 2**15 - 1)
    current = arrived - xylo_decay(t, arrived, dash_syn)
    kept = v - xylo_decay(t, v, dash_mem)
    h = t.op("clip", kept + current, -(2**15), 2**15 - 1)
    threshold = t.param("threshold")
    count = t.where(h >= threshold, t.op("minimum", h // threshold, most), 0)
    after = h - count * threshold
    return t.finish({"u": current, "v": after}, spikes=count, membrane=h, graded=True)


def xylo(samples: int = 16, steps: int = 256) -> Workload:
    """A recurrent network of the size, neurons and delays of Xylo: 16 inputs, 63 hidden, 8 out, a step after them."""
    rng = np.random.default_rng(4)
    weights = {
        "in_hidden": rng.integers(-60, 90, (63, 16)),
        "loop": rng.integers(-40, 36, (63, 63)),
        "hidden_out": rng.integers(-50, 60, (8, 63)),
    }
    ends = {"in_hidden": ("in", "hidden"), "loop": ("hidden", "hidden"), "hidden_out": ("hidden", "out")}
    zero = {"u": np.array(0), "v": np.array(0)}
    populations = tuple(
        Population(name, (size,), xylo_neuron(2, 3, most), {"threshold": np.array(400)}, zero, latency, bits)
        for name, size, most, latency, bits in (("hidden", 63, 31, 1, 8), ("out", 8, 1, 2, 8))
    )
    connections = tuple(
        Connection(name, *ends[name], DenseSynapse(w.astype(np.int32)), 0, "mixed", int(name == "hidden_out"))
        for name, w in weights.items()
    )
    chip = ChipNetwork("xylo", "loihi2", (Port("in", (16,)),), populations, connections, Readout("out"))
    return Workload("xylo", chip, None, spikes(rng, (samples, steps, 16), 0.1), (1, samples), facts={"rate": 0.1})


FULL: Mapping[str, Callable[[], Workload]] = {
    **{f"mlp {rate:.0%}": partial(mlp_at, rate) for rate in RATES},
    "nmnist": nmnist,
    "braille": braille,
    "sew": sew,
    "xylo": xylo,
}
QUICK: Mapping[str, Callable[[], Workload]] = {
    "mlp 10%": partial(mlp_at, 0.10, 50),
    "nmnist": nmnist,
    "braille": braille,
    "sew": partial(sew, 32, 16, 4, 2),
    "xylo": partial(xylo, 8, 100),
}
