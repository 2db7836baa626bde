"""Speed of the CPU simulator: microseconds per sample and step of some typical networks.

Run with ``python -m benchmarks.simulator [--threads N]``. The same 784-512-10 network runs with inputs of every
activity, in which an event-driven sum is better or worse than a product of matrices. For whoever changes a kernel: a
look of a minute. What stands in the documents comes from ``benchmarks.speed``.
"""

import argparse
import time
from collections.abc import Callable
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
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes.recording import Recording
from ranvier.runtimes.simulator import run

RNG = np.random.default_rng(0)
Case = tuple[ChipNetwork, NDArray[Any]]


def lif(name: str, shape: tuple[int, ...], latency: int, vth: int) -> Population:
    """A stock population with moderate decays."""
    params = {"du": np.array(400), "dv": np.array(300), "vth": np.array(vth), "bias": np.array(0)}
    zero = {"u": np.array(0), "v": np.array(0)}
    return Population(name, shape, chip_lif(Features()), params, zero, latency)


def weights(*shape: int) -> NDArray[np.int32]:
    """Even weights of both signs, a few more positive ones."""
    return (RNG.integers(-60, 62, shape) * 2).astype(np.int32)


def chain(port: Port, populations: list[Population], synapses: list[ChipSynapse]) -> ChipNetwork:
    """Layers one after the other; a synapse beyond the last layer's is recurrent on the first."""
    names = [port.name, *(p.name for p in populations)]
    connections = [
        Connection(f"c{i}", names[i], names[i + 1], synapse, 0, "mixed", 0)
        for i, synapse in enumerate(synapses[: len(populations)])
    ]
    connections += [Connection("r", names[1], names[1], s, 0, "mixed", 0) for s in synapses[len(populations) :]]
    return ChipNetwork("bench", "loihi2", (port,), tuple(populations), tuple(connections), Readout(names[-1]))


def spikes(samples: int, steps: int, shape: tuple[int, ...], rate: float) -> NDArray[np.uint8]:
    """Random input spikes."""
    return (RNG.random((samples, steps, *shape)) < rate).astype(np.uint8)


def mlp(rate: float = 0.1) -> Case:
    """784-512-10 with inputs that are active at ``rate``."""
    layers = [lif("hidden", (512,), 1, 12000), lif("out", (10,), 2, 3000)]
    chip = chain(Port("in", (784,)), layers, [DenseSynapse(weights(512, 784)), DenseSynapse(weights(10, 512))])
    return chip, spikes(256, 100, (784,), rate)


def analog_mlp() -> Case:
    """784-512-10 with an 8-bit value on every input in every step."""
    chip, frames = mlp()
    graded = ChipNetwork(
        chip.name, chip.target, (Port("in", (784,), 8),), chip.populations, chip.connections, chip.readout
    )
    return graded, RNG.integers(0, 128, (32, *frames.shape[1:]))


def recurrent() -> Case:
    """12-38-7 with recurrence in the middle, as small tactile nets have it."""
    layers = [lif("hidden", (38,), 1, 1000), lif("out", (7,), 2, 1000)]
    synapses: list[ChipSynapse] = [DenseSynapse(weights(n, m)) for n, m in ((38, 12), (7, 38), (38, 38))]
    return chain(Port("in", (12,)), layers, synapses), spikes(256, 256, (12,), 0.1)


def conv() -> Case:
    """2x34x34 events, two strided convolutions, a dense layer."""
    first = ConvSynapse(weights(16, 2, 5, 5), (2, 34, 34), (16, 16, 16), (2, 2), ((1, 1), (1, 1)), (1, 1), 1)
    second = ConvSynapse(weights(16, 16, 3, 3), (16, 16, 16), (16, 8, 8), (2, 2), ((1, 1), (1, 1)), (1, 1), 1)
    layers = [lif("a", (16, 16, 16), 1, 1500), lif("b", (16, 8, 8), 2, 2000), lif("out", (10,), 3, 2000)]
    chip = chain(Port("in", (2, 34, 34)), layers, [first, second, DenseSynapse(weights(10, 1024))])
    return chip, spikes(16, 300, (2, 34, 34), 0.01)


CASES: dict[str, Callable[[], Case]] = {
    **{f"mlp 784-512-10 {rate:.0%}": partial(mlp, rate) for rate in (0.01, 0.05, 0.1, 0.3, 0.7)},
    "analog 784-512-10": analog_mlp,
    "recurrent 12-38-7": recurrent,
    "conv 2x34x34": conv,
}


def best(chip: ChipNetwork, inputs: NDArray[Any], threads: int) -> tuple[float, float, Recording]:
    """Least wall and processor seconds of five runs: on a busy machine the second is the one to trust."""
    wall, processor = [], []
    for _ in range(5):
        started = time.process_time()
        recording = run(chip, inputs, threads=threads)
        processor.append(time.process_time() - started)
        wall.append(recording.seconds)
    return min(wall), min(processor), recording


def main() -> None:
    """Print one line per network: first run (with compilation or its cache), times per sample-step, spike rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    print(f"{'network':20} {'samples':>7} {'steps':>5} {'first run s':>11} {'us wall':>8} {'us cpu':>8} {'rate':>6}")
    for name, case in CASES.items():
        chip, inputs = case()
        first = run(chip, inputs, threads=threads).seconds
        wall, processor, recording = best(chip, inputs, threads)
        count = inputs.shape[0] * inputs.shape[1]
        sent = sum(s.spikes for s in recording.stats.values())
        rate = sent / (sum(s.neurons for s in recording.stats.values()) * count)
        times = f"{wall / count * 1e6:8.2f} {processor / count * 1e6:8.2f}"
        print(f"{name:20} {inputs.shape[0]:7} {inputs.shape[1]:5} {first:11.2f} {times} {rate:6.3f}")


if __name__ == "__main__":
    main()
