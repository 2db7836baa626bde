"""How Ranvier's time grows, one quantity at a time, and what a neuron update costs against a copy."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.speed.statistics import fit_power, median
from benchmarks.speed.workloads import mlp, spikes, stock
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Port
from ranvier.compiler.ir.network import Readout
from ranvier.runtimes import simulator

Case = tuple[ChipNetwork, NDArray[Any]]
COPY_BYTES = 2**27
UPDATE_BYTES = 4 + 1 / 8  # the input sum, and a spike as a bit
"""What a neuron update must read and write in one step: an input sum of four bytes and a spike of one."""


@dataclass(frozen=True)
class Sweep:
    """One law: a network and inputs for every ``x``."""

    law: str
    unit: str
    x: tuple[float, ...]
    case: Callable[[float], Case]


def _case(inputs: int = 256, hidden: int = 256, steps: int = 100, samples: int = 16, rate: float = 0.1) -> Case:
    chip, _ = mlp((inputs, hidden, 10))
    return chip, spikes(np.random.default_rng(5), (samples, steps, inputs), rate)


def _sparse_fan(synapses: float) -> Case:
    """A fixed number of neurons whose number of inputs grows; a fixed share of them is active."""
    return _case(inputs=int(synapses) // 512, hidden=512)


SWEEPS: tuple[Sweep, ...] = (
    Sweep("steps", "steps", (50, 100, 200, 400, 800, 1600), lambda x: _case(steps=int(x))),
    Sweep("neurons", "neurons, 256 inputs each", (128, 256, 512, 1024, 2048, 4096), lambda x: _case(hidden=int(x))),
    Sweep("synapses", "synapses of 512 neurons", tuple(2.0**k for k in range(15, 21)), _sparse_fan),
    Sweep("activity", "input rate", (0.01, 0.03, 0.1, 0.3, 0.9), lambda x: _case(hidden=1024, rate=x)),
    Sweep("batch", "samples", (1, 4, 16, 64, 256), lambda x: _case(samples=int(x))),
)


def seconds_of(run: Callable[[], object], budget: float, repeats: int) -> float:
    """The median time of ``run`` after a first call, of up to ``repeats`` within ``budget`` seconds."""
    run()
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < repeats and (not times or time.perf_counter() - started < budget):
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return median(times)


def measure(budget: float, repeats: int, points: int | None = None) -> list[dict[str, Any]]:
    """Every sweep with its fitted law; ``points``: only the first so many of each."""
    return [_swept(sweep, sweep.x[:points], budget, repeats) for sweep in SWEEPS]


def _swept(sweep: Sweep, x: Sequence[float], budget: float, repeats: int) -> dict[str, Any]:
    seconds = []
    for value in x:
        chip, inputs = sweep.case(value)
        seconds.append(seconds_of(lambda c=chip, i=inputs: simulator.run(c, i, threads=1), budget, repeats))  # type: ignore[misc]
    law = fit_power(x, seconds)
    numbers = {"exponent": law.exponent, "factor": law.factor, "r2": law.r2}
    return {"law": sweep.law, "unit": sweep.unit, "x": list(map(float, x)), "seconds": seconds} | numbers


def neuron_update(budget: float, repeats: int, neurons: int = 4096, steps: int = 200) -> Mapping[str, float]:
    """The time of a neuron update with input in every step, through the whole executor, against a copy.

    One spike reaches all neurons in every step and makes none of them fire: without it, steps would be passed over.

    ``neuron_update_ns``: one neuron and step. ``copy_ns``: copying in memory so that as many bytes are read and
    written in all, on one thread, outside the caches. ``neuron_update_share``: the second over the first.
    """
    port, population = Port("in", (1,)), stock("wide", (neurons,), 1, 1000, 300)
    fan = Connection("c", "in", "wide", DenseSynapse(np.full((neurons, 1), 2, np.int32)), 0, "mixed", 0)
    chip = ChipNetwork("update", "loihi2", (port,), (population,), (fan,), Readout("wide"))
    ones = np.ones((16, steps, 1), np.uint8)
    updates = 16 * steps * neurons
    update = seconds_of(lambda: simulator.run(chip, ones, threads=1), budget, repeats) / updates
    source, target = np.ones(COPY_BYTES // 8), np.empty(COPY_BYTES // 8)
    copied = seconds_of(lambda: np.copyto(target, source), budget, repeats) / (2 * COPY_BYTES)
    same = copied * UPDATE_BYTES
    return {"neuron_update_ns": update * 1e9, "copy_ns": same * 1e9, "neuron_update_share": same / update}
