# mypy: ignore-errors
# Not typed: it runs as a child.
"""Lava's fixed-point processes, through the project that Ranvier emits; Lava itself runs in a child of its own.

A run of Lava starts processes and compiles them before the first step. What a step costs is the difference of two
runs: one step, and all samples; the rest is start-up.
"""

import numpy as np
from common import RefusedError, serve

from ranvier.runtimes.lava import driver

LEAST_STEPS = {False: 600, True: 200}
DOUBLINGS = 6


class Lava:
    """One emitted project a run."""

    def __init__(self, given, job):
        self.chip, self.least = given.ir("chip"), LEAST_STEPS[job["quick"]]

    def record(self, frames):
        """Spikes and states of every population."""
        kept = driver.run(self.chip, frames, ("spikes", "states"), single_run=True)
        arrays = {f"spikes:{name}": value for name, value in kept.spikes.items()}
        return arrays | {f"{s}:{name}": v for name, states in kept.states.items() for s, v in states.items()}

    def load(self, frames):
        """The frames, repeated until a run is long against the differences between two starts."""
        again = -(-self.least // (frames.shape[0] * frames.shape[1]))
        return np.tile(frames, (again, *[1] * (frames.ndim - 1))), again

    def run(self, loaded):
        """Seconds of the steps alone, for the samples given once; the run is doubled until it outweighs the start."""
        frames, again = loaded
        short = driver.run(self.chip, frames[:1, :1], single_run=True).seconds
        for _ in range(DOUBLINGS):
            long = driver.run(self.chip, frames, single_run=True).seconds
            if long > 2 * short:
                steps = frames.shape[0] * frames.shape[1]
                return (long - short) * steps / (steps - 1) / again
            frames, again = np.concatenate([frames, frames]), 2 * again
        raise RefusedError("a run of Lava is too short against its start to be measured")


serve(Lava, ("ranvier", "numpy"))
