"""Random legal chip networks for property tests, and data that fit them."""

import re
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.chip import (
    ChipNetwork,
    ChipSynapse,
    Connection,
    ConvSynapse,
    DenseSynapse,
    Population,
    Port,
    SparseSynapse,
)
from ranvier.compiler.ir.linear import SignMode
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.neuron_steps.adaptive import adaptive_lif, feedback_lif
from ranvier.compiler.ir.neuron_steps.compartments import two_compartment
from ranvier.compiler.ir.neuron_steps.graded import graded_lif
from ranvier.compiler.ir.neuron_steps.quantizer import quantizer
from ranvier.compiler.ir.neuron_steps.resonators import resonate
from ranvier.compiler.ir.neuron_steps.sigma_delta import sigma_delta
from ranvier.compiler.ir.programs import CUBA_LIF, Features, chip_lif
from ranvier.compiler.ir.steps import StepProgram

STOCK = Features()
WEIGHT_RANGES: dict[SignMode, tuple[int, int]] = {
    "mixed": (-256, 254),
    "excitatory": (0, 255),
    "inhibitory": (-255, 0),
}


RANGES: dict[str, tuple[int, int]] = {
    "du": (-1, 4095),
    "dv": (0, 4096),
    "bias": (-4095, 4095),
    "vth": (0, 3000),
    "threshold": (1, 200_000),
    "reset_value": (-5000, 5000),
    "reset_amount": (1, 200_000),
    "floor": (-300_000, 0),
    "refractory": (1, 5),
    "keep_current": (0, 4096),
    "keep_membrane": (0, 4096),
    "gain": (0, 8192),
    "keep_adaptation": (0, 4096),
    "keep_refractory": (0, 4096),
    "keep_input": (0, 4096),
    "keep_feedback": (0, 4096),
    "keep_dendrite": (-2048, 4096),
    "from_soma": (-4096, 2048),
    "keep_soma": (2048, 6144),
    "from_dendrite": (-4096, 8192),
    "rotate_real": (-4096, 4096),
    "rotate_imag": (-4096, 4096),
}
"""Registers of a random population, by parameter."""
LEVEL = (-100_000, 100_000)
"""Any other parameter is one in membrane units."""


@dataclass(frozen=True)
class Limits:
    """What the generated networks may contain."""

    stock_only: bool = False
    graded: bool = True
    conv: bool = True
    recurrent: bool = True
    delays: bool = True
    exponents: tuple[int, int] = (-3, 3)
    max_neurons: int = 24


def features() -> st.SearchStrategy[Features]:
    """Neuron features of the integer family."""
    return st.builds(
        Features,
        reset=st.sampled_from(["value", "subtract", "none"]),
        compare=st.sampled_from([">", ">="]),
        max_spikes=st.sampled_from([1, 1, 3]),
        late_guard=st.booleans(),
        refractory=st.booleans(),
        floor=st.booleans(),
        late_current=st.booleans(),
        reset_current=st.booleans(),
        block_input=st.booleans(),
    )


def other_programs() -> st.SearchStrategy[StepProgram]:
    """Integer programs of the neurons beyond the leaky integrate-and-fire family."""
    exact = st.just("int")
    compare, reset = st.sampled_from([">", ">="]), st.sampled_from(["value", "subtract", "none"])
    turns = st.sampled_from(["none", "imaginary", "both"])
    message = {"shift": st.integers(0, 8), "bits": st.integers(4, 10)}
    return st.one_of(
        st.builds(adaptive_lif, exact, compare, reset, st.booleans(), st.booleans()),
        st.builds(feedback_lif, exact, compare, st.booleans()),
        st.builds(two_compartment, exact, compare, reset),
        st.builds(resonate, exact, compare, st.sampled_from(["phase", "imaginary"]), turns),
        st.builds(graded_lif, exact, compare, gained=st.booleans(), **message),
        st.builds(quantizer, exact, **message),
        st.builds(sigma_delta, exact, compare, st.sampled_from(["unit", "relu"]), st.booleans(), **message),
    )


def programs(limits: Limits) -> st.SearchStrategy[StepProgram]:
    """The integer program of a population."""
    if limits.stock_only:
        return st.just(chip_lif(STOCK))
    return st.one_of(st.just(chip_lif(STOCK)), features().map(chip_lif), other_programs())


@st.composite
def chip_networks(draw: st.DrawFn, limits: Limits = Limits()) -> ChipNetwork:
    """Networks of one to four populations with every synapse kind, delays, recurrence and odd parameters."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape: Shape = draw(st.sampled_from([(5,), (12,), (2, 5, 4), (1, 6, 6)]))
    bits = draw(st.sampled_from([0, 0, 8])) if limits.graded else 0
    nodes: list[Port | Population] = [Port("input", shape, bits, 1.0)]
    connections: list[Connection] = []
    for index in range(draw(st.integers(1, 4))):
        name = f"layer{index}"
        source = nodes[-1]
        synapse = _synapse(draw, rng, source.shape, limits)
        out_shape = synapse.out_shape if isinstance(synapse, ConvSynapse) else (synapse.out_size,)
        sources = [(source, synapse)]
        if len(nodes) > 1 and draw(st.booleans()):
            skip = draw(st.sampled_from(nodes[:-1]))
            sources.append((skip, _dense(draw, rng, size(skip.shape), size(out_shape))))
        slack = draw(st.integers(0, 2)) if limits.delays else 0
        latency = 1 + slack + max(_latency(node) for node, _ in sources)
        if not limits.delays:
            sources = [pair for pair in sources if _latency(pair[0]) + 1 == latency]
        population = _population(draw, rng, name, out_shape, latency, limits)
        for number, (node, syn) in enumerate(sources):
            delay = latency - _latency(node) - 1
            connections.append(_connect(draw, f"{name}_in{number}", node.name, name, syn, delay, limits))
        if limits.delays and draw(st.booleans()):
            again = _sparse(draw, rng, size(source.shape), size(out_shape))
            late = latency - _latency(source) + draw(st.integers(0, 3))
            connections.append(_connect(draw, f"{name}_late", source.name, name, again, late, limits))
        if limits.recurrent and index and draw(st.booleans()):
            earlier = draw(st.sampled_from([n for n in nodes if isinstance(n, Population)]))
            back = _dense(draw, rng, size(out_shape), earlier.size)
            delay = draw(st.integers(0, 2)) if limits.delays else 0
            connections.append(_connect(draw, f"{name}_back", name, earlier.name, back, delay, limits))
        if limits.recurrent and draw(st.booleans()):
            loop = _dense(draw, rng, size(out_shape), size(out_shape))
            delay = draw(st.integers(0, 2)) if limits.delays else 0
            connections.append(_connect(draw, f"{name}_rec", name, name, loop, delay, limits))
        nodes.append(population)
    populations = tuple(n for n in nodes if isinstance(n, Population))
    kind = draw(st.sampled_from(["spike_count", "first_spike", "last_membrane"]))
    return ChipNetwork(
        "random", "loihi2", (nodes[0],), populations, tuple(connections), Readout(populations[-1].name, kind)
    )


@st.composite
def inputs_for(draw: st.DrawFn, chip: ChipNetwork, max_samples: int = 3, max_steps: int = 12) -> NDArray[np.int32]:
    """(samples, steps, *shape) spikes or graded values for the network's port."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    port = chip.ports[0]
    shape = (draw(st.integers(1, max_samples)), draw(st.integers(1, max_steps)), *port.shape)
    active = rng.random(shape) < draw(st.sampled_from([0.05, 0.3, 0.9]))
    if port.bits == 0:
        return active.astype(np.int32)
    limit = 2 ** (port.bits - 1) - 1
    return (active * rng.integers(-limit, limit + 1, shape)).astype(np.int32)


def _latency(node: Port | Population) -> int:
    return node.latency if isinstance(node, Population) else 0


def _connect(
    draw: st.DrawFn, name: str, source: str, target: str, synapse: ChipSynapse, delay: int, limits: Limits
) -> Connection:
    exponent = 0 if synapse.kind == "conv" else draw(st.integers(*limits.exponents))
    values = synapse.data if isinstance(synapse, SparseSynapse) else synapse.weight
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    sign: SignMode = "mixed"
    if low >= 0:
        sign = "excitatory"
    elif high <= 0 and low >= -255:
        sign = "inhibitory"
    return Connection(name, source, target, synapse, exponent, sign, delay)


def _weights(draw: st.DrawFn, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int32]:
    signs: list[SignMode] = ["mixed", "mixed", "excitatory", "inhibitory"]
    sign = draw(st.sampled_from(signs))
    low, high = WEIGHT_RANGES[sign]
    values = rng.integers(low, high + 1, shape)
    if draw(st.booleans()):
        values = np.where(rng.random(shape) < 0.5, rng.choice([low, high], shape), values)
    return (values & ~1 if sign == "mixed" else values).astype(np.int32)


def _dense(draw: st.DrawFn, rng: np.random.Generator, sources: int, targets: int) -> DenseSynapse:
    return DenseSynapse(_weights(draw, rng, (targets, sources)))


def _synapse(draw: st.DrawFn, rng: np.random.Generator, shape: Shape, limits: Limits) -> ChipSynapse:
    if limits.conv and len(shape) == 3 and draw(st.booleans()):
        return _conv(draw, rng, shape)
    targets = draw(st.integers(1, limits.max_neurons))
    return _dense(draw, rng, size(shape), targets) if draw(st.booleans()) else _sparse(draw, rng, size(shape), targets)


def _sparse(draw: st.DrawFn, rng: np.random.Generator, sources: int, targets: int) -> SparseSynapse:
    kept = rng.random((targets, sources)) < 0.4
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return SparseSynapse(_weights(draw, rng, (int(kept.sum()),)), np.nonzero(kept)[1], indptr, sources)


def _conv(draw: st.DrawFn, rng: np.random.Generator, shape: Shape) -> ConvSynapse:
    channels, height, width = shape
    kernel = (draw(st.integers(1, min(3, height))), draw(st.integers(1, min(3, width))))
    stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    pad = (draw(st.integers(0, 1)), draw(st.integers(0, 1)))
    groups = draw(st.sampled_from([1, channels]))
    outputs = groups * draw(st.integers(1, 2))
    spatial = tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip((height, width), pad, kernel, stride, strict=True))
    weight = _weights(draw, rng, (outputs, channels // groups, *kernel))
    padding = tuple((p, p) for p in pad)
    return ConvSynapse(weight, shape, (outputs, *spatial), stride, padding, (1, 1), groups)


def _population(
    draw: st.DrawFn, rng: np.random.Generator, name: str, shape: Shape, latency: int, limits: Limits
) -> Population:
    neurons = size(shape)
    program = draw(programs(limits))
    per_neuron = draw(st.booleans())

    def values(low: int, high: int) -> NDArray[np.int64]:
        ends = [low, high]
        drawn = rng.choice([*ends, *rng.integers(low, high + 1, 6)], neurons if per_neuron else 1)
        return np.asarray(drawn if per_neuron else drawn[0], dtype=np.int64)

    params = {p: values(*RANGES.get(p, LEVEL)) for p in program.params}
    if "loihi2.lif" in program.semantics or program.semantics == CUBA_LIF:
        params["bias"] = params["bias"] << int(rng.integers(0, 8))
    initial: dict[str, NDArray[np.int64]] = {s.name: np.zeros((), np.int64) for s in program.states}
    if program.semantics != CUBA_LIF and program.states and draw(st.booleans()):
        initial["v"] = values(-3000, 3000)
    return Population(name, shape, program, params, initial, latency, message_bits(program))


def message_bits(program: StepProgram) -> int:
    """The width of what ``program`` sends; 0 for spikes."""
    named = re.search(r"bits(\d+)", program.semantics)
    return int(named[1]) if named else 8 if program.graded else 0
