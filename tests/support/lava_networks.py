"""Hand-made chip networks for the tests of the Lava runtime, and the comparison of Lava with the oracle."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import Shape
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
from ranvier.compiler.ir.network import Readout, ReadoutKind
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.verify import check_chip
from ranvier.runtimes import oracle
from ranvier.runtimes.lava import driver
from ranvier.runtimes.lava.plan import plan
from ranvier.runtimes.recording import Records
from support.networks import Limits, chip_networks

ALL: Records = ("spikes", "states", "membrane")
STALL_S = 60.0
GRID: dict[SignMode, tuple[int, int, int]] = {
    "mixed": (-256, 254, 2),
    "excitatory": (0, 255, 1),
    "inhibitory": (-255, 0, 1),
}
"""Smallest and largest weight of each sign mode, and the distance of neighbours."""


def lif(
    name: str,
    shape: Shape,
    latency: int,
    f: Features | None = None,
    params: Mapping[str, Any] | None = None,
    initial: Mapping[str, Any] | None = None,
) -> Population:
    """Neurons of the integer family, with moderate parameters unless told otherwise."""
    program = chip_lif(f or Features())
    defaults = {"du": 4095, "dv": 128, "vth": 100, "bias": 0, "threshold": 6400, "reset_amount": 6400}
    defaults |= {"reset_value": 0, "floor": -5000, "refractory": 2} | dict(params or {})
    chosen = {key: np.asarray(defaults[key], np.int64) for key in program.params}
    starts = {state.name: np.asarray((initial or {}).get(state.name, 0), np.int64) for state in program.states}
    return Population(name, shape, program, chosen, starts, latency)


def weights(rng: np.random.Generator, shape: Shape, sign: SignMode = "mixed") -> NDArray[np.int32]:
    """Weights of the whole grid, a quarter of them at each of its ends."""
    low, high, unit = GRID[sign]
    drawn = rng.integers(low // unit, high // unit + 1, shape) * unit
    kind = rng.integers(0, 4, shape)
    return np.where(kind == 0, low, np.where(kind == 1, high, drawn)).astype(np.int32)


def dense(rng: np.random.Generator, targets: int, sources: int, sign: SignMode = "mixed") -> DenseSynapse:
    """All to all."""
    return DenseSynapse(weights(rng, (targets, sources), sign))


def sparse(rng: np.random.Generator, targets: int, sources: int, sign: SignMode = "mixed") -> SparseSynapse:
    """Two of five connections."""
    kept = rng.random((targets, sources)) < 0.4
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return SparseSynapse(weights(rng, (int(kept.sum()),), sign), np.nonzero(kept)[1], indptr, sources)


def conv(
    rng: np.random.Generator,
    in_shape: Shape,
    channels: int,
    kernel: Shape = (3, 3),
    stride: Shape = (1, 1),
    padding: tuple[tuple[int, int], ...] = ((1, 1), (1, 1)),
    dilation: Shape = (1, 1),
    groups: int = 1,
) -> ConvSynapse:
    """A convolution of everything that it can vary."""
    spatial = tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(in_shape[1:], padding, dilation, kernel, stride, strict=True)
    )
    kernels = weights(rng, (channels, in_shape[0] // groups, *kernel))
    return ConvSynapse(kernels, in_shape, (channels, *spatial), stride, padding, dilation, groups)


def connect(
    source: str, target: str, synapse: ChipSynapse, exponent: int = 0, delay: int = 0, sign: SignMode = "mixed"
) -> Connection:
    """A connection named after its ends."""
    return Connection(f"{source}_{target}", source, target, synapse, exponent, sign, delay)


def network(
    port: Port, populations: Sequence[Population], connections: Sequence[Connection], kind: ReadoutKind = "spike_count"
) -> ChipNetwork:
    """A network that is read at its last population."""
    readout = Readout(populations[-1].name, kind)
    return ChipNetwork("test net", "loihi2", (port,), tuple(populations), tuple(connections), readout)


def legal_networks() -> st.SearchStrategy[ChipNetwork]:
    """The random networks that the verifier lets pass, as the emitter asks it to."""
    return chip_networks(Limits()).filter(_legal)


def _legal(chip: ChipNetwork) -> bool:
    try:
        return check_chip(chip) is chip
    except RanvierError:
        return False


def spikes(rng: np.random.Generator, samples: int, steps: int, shape: Shape, rate: float = 0.3) -> NDArray[np.int32]:
    """Random spikes."""
    return (rng.random((samples, steps, *shape)) < rate).astype(np.int32)


def assert_lava_agrees(chip: ChipNetwork, inputs: NDArray[np.int32], single_run: bool = False) -> None:
    """Run both and compare all there is."""
    wanted = oracle.run(chip, inputs, ALL)
    got = driver.run(chip, inputs, ALL, single_run=single_run, stall=STALL_S)
    for name, sent in wanted.spikes.items():
        np.testing.assert_array_equal(got.spikes[name], sent, f"spikes of {name}")
        np.testing.assert_array_equal(got.membrane[name], wanted.membrane[name], f"membrane of {name}")
        for state, values in wanted.states[name].items():
            np.testing.assert_array_equal(got.states[name][state], values, f"{state} of {name}")
    np.testing.assert_array_equal(got.outputs, wanted.outputs)
    np.testing.assert_array_equal(got.predictions, wanted.predictions)
    assert got.stats == wanted.stats


def lava_processes(chip: ChipNetwork) -> set[str]:
    """The Lava processes that run ``chip``."""
    chosen = plan(chip)
    neurons = {"LIFReset" if n.stock else "generated" for n in chosen.neurons}
    return neurons | {s.process for s in chosen.synapses}
