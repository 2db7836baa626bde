# mypy: ignore-errors
# Not typed: it runs as a child.
"""Ranvier's simulator on the CPU: the integer network, or with ``float`` the float one."""

import numpy as np
from common import serve

from ranvier.runtimes import simulator


class Ranvier:
    """The simulator; ``run`` is the whole public call, from input array to recording."""

    def __init__(self, given, job):
        self.network = given.ir("float" if job.get("variant") == "float" else "chip")
        self.threads = job["threads"]
        self.states = job.get("variant") != "float"

    def record(self, frames):
        """Spikes, and in integers the states, of every population."""
        kept = simulator.run(self.network, frames, ("spikes", "states") if self.states else ("spikes",), threads=1)
        arrays = {f"spikes:{name}": value for name, value in kept.spikes.items()}
        if self.states:
            arrays |= {f"{s}:{name}": v for name, states in kept.states.items() for s, v in states.items()}
        self.answers = kept.outputs
        again = simulator.run(self.network, frames, threads=self.threads)
        assert np.array_equal(again.outputs, kept.outputs), "the timed call and the recorded one differ"
        return arrays

    def load(self, frames):
        """The frames as a user has them."""
        return frames

    def run(self, frames):
        """Outputs of all samples."""
        simulator.run(self.network, frames, threads=self.threads)


serve(Ranvier, ("ranvier", "numpy", "numba"))
