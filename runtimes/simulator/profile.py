"""Where a run's time goes, and which way the sums of each dense connection were made."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.runtimes.simulator.choice import NEVER, Synapses
from ranvier.runtimes.simulator.engine import arriving, cut, run, unrecorded
from ranvier.runtimes.simulator.piece import Way, run_piece
from ranvier.runtimes.simulator.plan import lower


@dataclass(frozen=True)
class Profile:
    """Seconds of a run on one thread by what they went into, with the ways of its dense connections.

    ``seconds``: ``pack`` (the input made bits), one entry for each call of the time loop, ``else`` (arrays made,
    results put together). ``sample_steps``: samples times steps.
    """

    seconds: Mapping[str, float]
    ways: Mapping[str, Way]
    sample_steps: int

    def __str__(self) -> str:
        whole = sum(self.seconds.values())
        lines = [f"{'':32} {'us':>8} {'share':>7}   a sample and step"]
        for name, seconds in sorted(self.seconds.items(), key=lambda item: -item[1]):
            lines.append(f"{name:32} {seconds / self.sample_steps * 1e6:8.3f} {seconds / whole:7.1%}")
        for name, way in self.ways.items():
            even = "never" if way.even >= NEVER else f"from {way.even} senders a step on"
            lines.append(f"{name}: {way.scattered} steps row by row, {way.multiplied} as products ({even})")
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        ways = {name: vars(way) for name, way in self.ways.items()}
        return {"seconds": dict(self.seconds), "ways": ways, "sample_steps": self.sample_steps}


def profile(
    network: ChipNetwork | Network, inputs: NDArray[Any], *, synapses: Synapses = "measured", repeats: int = 5
) -> Profile:
    """The profile of ``network`` on ``inputs``: the fastest of ``repeats`` runs after a first one, without records."""
    run(network, inputs, threads=1, synapses=synapses)
    found = [_once(network, inputs, synapses) for _ in range(repeats)]
    return min(found, key=lambda p: sum(p.seconds.values()))


def _once(network: ChipNetwork | Network, inputs: NDArray[Any], synapses: Synapses) -> Profile:
    plan, cycles = lower(network), dict[str, int]()
    ways: dict[str, Way] = {}
    division, spent = cut(plan, inputs.shape[0], inputs.shape[1], 1, None), {"pack": 0.0, "else": 0.0}
    looped = 0.0
    for start in range(0, inputs.shape[0], division.samples):
        stop = min(start + division.samples, inputs.shape[0])
        began = time.perf_counter()
        entering = arriving(network, plan, inputs, start, stop)
        packed = time.perf_counter()
        counts = run_piece(plan, entering, unrecorded(plan), division.steps, synapses=synapses, timed=True)
        spent["pack"] += packed - began
        spent["else"] += time.perf_counter() - packed - counts.seconds
        looped += counts.seconds
        for name, count in counts.cycles.items():
            cycles[name] = cycles.get(name, 0) + count
        for name, way in counts.ways.items():
            before = ways.get(name, Way(0, 0, 0))
            ways[name] = Way(before.scattered + way.scattered, before.multiplied + way.multiplied, way.even)
    whole = max(1, sum(cycles.values()))
    steps = int(np.prod(inputs.shape[:2]))
    return Profile(spent | {name: looped * count / whole for name, count in cycles.items()}, ways, steps)
