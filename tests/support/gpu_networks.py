"""Small networks that send every synapse kernel of the GPU executor through each of its kinds of numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
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
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.steps import StepProgram


def population(name: str, shape: Shape, latency: int, program: StepProgram | None = None, **params: int) -> Population:
    """A stock population with moderate decays, or one of ``program`` with ``params``."""
    given = params or {"du": 400, "dv": 300, "vth": 20, "bias": 3}
    program = program or chip_lif(Features())
    values = {p: np.array(given[p]) for p in program.params}
    bits = 8 if program.graded else 0
    return Population(name, shape, program, values, {s.name: np.array(0) for s in program.states}, latency, bits)


def dense(low: int, high: int, targets: int, sources: int, scale: int = 1) -> DenseSynapse:
    """Weights from ``low`` to ``high``, both included, times ``scale``."""
    return DenseSynapse(scale * _weights(low, high, (targets, sources), 1))


def conv(low: int, high: int, shapes: tuple[Shape, Shape], groups: int = 1, **geometry: Any) -> ConvSynapse:
    """A convolution with a kernel of 3 x 2 and weights from ``low`` to ``high``, both included."""
    (channels, *_), (outputs, *_) = shapes
    weight = _weights(low, high, (outputs, channels // groups, 3, 2), 2)
    given = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)} | geometry
    return ConvSynapse(weight, *shapes, given["stride"], given["padding"], given["dilation"], groups)


def sparse(low: int, high: int, targets: int, sources: int, degree: int = 3) -> SparseSynapse:
    """Rows of 0 to ``degree`` weights."""
    rng = np.random.default_rng(3)
    degrees = rng.integers(0, degree + 1, targets)
    wires = np.concatenate([np.sort(rng.choice(sources, d, replace=False)) for d in degrees])
    return SparseSynapse(
        _weights(low, high, (wires.size,), 4), wires.astype(int), np.concatenate([[0], np.cumsum(degrees)]), sources
    )


def chain(
    port: Port, parts: Sequence[tuple[ChipSynapse, Population]], exponents: int = 0, loop: ChipSynapse | None = None
) -> ChipNetwork:
    """Layers one after the other; ``loop`` is recurrent on the first."""
    names = [port.name, *(p.name for _, p in parts)]
    links = [
        Connection(f"c{i}", names[i], names[i + 1], synapse, exponents, "mixed", 0)
        for i, (synapse, _) in enumerate(parts)
    ]
    if loop is not None:
        links.append(Connection("loop", names[1], names[1], loop, 0, "mixed", 0))
    return ChipNetwork("chain", "loihi2", (port,), tuple(p for _, p in parts), tuple(links), Readout(names[-1]))


def single(
    synapse: ChipSynapse, bits: int = 0, exponent: int = 0, shape: Shape | None = None, **params: int
) -> ChipNetwork:
    """A port of messages of ``bits``, ``synapse``, one population."""
    source = shape or (synapse.in_shape if isinstance(synapse, ConvSynapse) else (synapse.in_size,))
    target = synapse.out_shape if isinstance(synapse, ConvSynapse) else (synapse.out_size,)
    return chain(Port("in", source, bits), [(synapse, population("out", target, 1, **params))], exponent)


def frames(chip: ChipNetwork, samples: int, steps: int, rate: float = 0.4) -> NDArray[np.int32]:
    """Spikes, or messages of both signs, where the port takes such."""
    rng, port = np.random.default_rng(7), chip.ports[0]
    busy = rng.random((samples, steps, size(port.shape))) < rate
    most = 2 ** (port.bits - 1) - 1 if port.bits else 0
    values = busy * (rng.integers(-most, most + 1, busy.shape) if port.bits else 1)
    return np.asarray(values.reshape(samples, steps, *port.shape), dtype=np.int32)


def _weights(low: int, high: int, shape: Shape, seed: int) -> NDArray[np.int32]:
    found = np.random.default_rng(seed).integers(low, high + 1, shape)
    found.reshape(-1)[:2] = [low, high][: found.size]
    return found.astype(np.int32)
