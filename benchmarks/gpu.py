"""How near the GPU kernels come to the card: neuron scan against copying, synapses against the matrix product.

Run with ``python -m benchmarks.gpu``. The goals are 70 % of the card's copy bandwidth for the scan and 50 % of its
matrix throughput for synapses at 256 samples. Both rulers are measured on the same card in the same run: a copy of a
large tensor, and torch's own matrix product (cuBLAS) in the same types. Every network is first compared with the
oracle. Without a CUDA device nothing is measured, and no figure is printed.
"""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from benchmarks.simulator import CASES, lif

from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Port
from ranvier.compiler.ir.network import Readout
from ranvier.runtimes import gpu, oracle
from ranvier.runtimes.gpu import device
from ranvier.runtimes.gpu.network import Uploaded, upload
from ranvier.runtimes.gpu.piece import Piece, Size
from ranvier.runtimes.gpu.routes import routes
from ranvier.runtimes.simulator.plan import lower

REPEATS = 20
SAMPLES, STEPS = 256, 64
WIDTH = 4096
COPY_BYTES = 2**31
CHECKED = 2  # samples of each network that the oracle runs too


@dataclass(frozen=True)
class Share:
    """A rate and the ruler it is held against, in the same unit."""

    rate: float
    ruler: float

    def __str__(self) -> str:
        return f"{self.rate / 1e12:.2f} of {self.ruler / 1e12:.2f} T/s, {100 * self.rate / self.ruler:.0f} %"


def seconds(work: Callable[[], Any], name: str) -> float:
    """Median seconds of ``work`` on the device ``name``, after two runs that compile and warm up."""
    for _ in range(2):
        work()
    found = []
    for _ in range(REPEATS):
        _wait(name)
        started = time.perf_counter()
        work()
        _wait(name)
        found.append(time.perf_counter() - started)
    return float(np.median(found))


def copy_rate(name: str, size: int = COPY_BYTES) -> float:
    """Bytes read and written each second by copying a tensor."""
    source = torch.ones(size // 2, dtype=torch.int8, device=name)
    target = torch.empty_like(source)
    return size / seconds(lambda: target.copy_(source), name)


def layer(width: int, even: bool = True) -> ChipNetwork:
    """A dense layer of stock neurons, with even weights of 9 bits (int8 products) or odd ones (float16 products)."""
    weight = np.random.default_rng(0).integers(-128, 128, (width, width)).astype(np.int32)
    synapse = DenseSynapse(2 * weight if even else 2 * weight + 1)
    connection = Connection("c", "in", "out", synapse, 0, "mixed", 0)
    populations = (lif("out", (width,), 1, 20_000),)
    return ChipNetwork("layer", "loihi2", (Port("in", (width,)),), populations, (connection,), Readout("out"))


def prepared(chip: ChipNetwork, size: Size, name: str) -> tuple[Uploaded, Piece]:
    """``chip`` on the device, with random spikes on its wires."""
    plan = lower(chip)
    network = upload(plan, routes(chip, plan), name)
    piece = Piece(network, size, (), frozenset())
    piece.frames.copy_(torch.rand(piece.frames.shape, device=name) < 0.1)
    return network, piece


def scan_share(name: str, size: Size, width: int, copied: float) -> Share:
    """Bytes that the scan must move (currents in, spikes out) each second against those of a copy."""
    network, piece = prepared(layer(width), size, name)
    population = network.populations["out"]
    current = torch.randint(-64, 64, (size.samples * size.steps * width,), device=name).to(population.sums)
    moved = current.numel() * (population.sums.itemsize + population.sends.itemsize)
    return Share(moved / seconds(lambda: piece.scan(population, current, 0, size.steps), name), copied)


def product_share(name: str, size: Size, width: int, even: bool) -> Share:
    """Operations of a dense connection each second against those of torch's matrix product in the same types."""
    network, piece = prepared(layer(width, even), size, name)
    synapses, events = network.synapses["c"], piece.events["out"][0]
    rows, kind = size.samples * size.steps, torch.int8 if even else torch.float16
    current = torch.zeros(rows * width, dtype=torch.int32, device=name)
    spent = seconds(lambda: piece.deliver(synapses, current, events, (0, size.steps), True), name)
    left = piece.frames.reshape(rows, width).to(kind)
    right = synapses.arrays["weight"].to(kind)
    multiply = torch._int_mm if even else torch.matmul
    operations = 2 * rows * width * width
    return Share(operations / spent, operations / seconds(lambda: multiply(left, right), name))


def networks() -> None:
    """Microseconds per sample and step of whole networks, inputs and outputs carried to and from the card."""
    for label, case in CASES.items():
        chip, inputs = case()
        few = inputs[:CHECKED]
        assert gpu.run(chip, few).overflows == oracle.run(chip, few).overflows
        assert np.array_equal(gpu.run(chip, few).outputs, oracle.run(chip, few).outputs), label
        gpu.run(chip, inputs)
        spent = float(np.median([gpu.run(chip, inputs).seconds for _ in range(5)]))
        print(f"{label:20} {spent / (inputs.shape[0] * inputs.shape[1]) * 1e6:8.3f} us per sample-step")


def main() -> None:
    """Print the shares and the times, or that nothing can be measured here."""
    found = device.find()
    if found is None or found.interpreted:
        print("not measured: no CUDA device" if found is None else "not measured: Triton's interpreter has no speed")
        return
    size = Size(SAMPLES, STEPS, STEPS)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, Python {platform.python_version()}")
    print(f"neuron scan: {scan_share(found.name, size, WIDTH, copy_rate(found.name))} bytes")
    print(f"synapses, int8: {product_share(found.name, size, WIDTH, even=True)} operations")
    print(f"synapses, float16: {product_share(found.name, size, WIDTH, even=False)} operations")
    networks()


def _wait(name: str) -> None:
    if name == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
