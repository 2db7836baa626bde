# ruff: noqa: ARG002 - every peer is built in the same way
# mypy: ignore-errors
# Not typed: it runs as a child.
"""Ranvier's executor on an NVIDIA GPU: the whole public call, with the copies to the device and back."""

import numpy as np
from common import RefusedError, serve

from ranvier.runtimes import gpu
from ranvier.runtimes.gpu import device


class RanvierGpu:
    """The integer network on the device."""

    def __init__(self, given, job):
        if device.find() is None:
            raise RefusedError("not measured: no NVIDIA GPU on this machine")
        self.chip = given.ir("chip")

    def record(self, frames):
        """Spikes and states of every population."""
        kept = gpu.run(self.chip, frames, ("spikes", "states"))
        again = gpu.run(self.chip, frames)
        assert np.array_equal(again.outputs, kept.outputs), "the timed call and the recorded one differ"
        arrays = {f"spikes:{name}": value for name, value in kept.spikes.items()}
        return arrays | {f"{s}:{name}": v for name, states in kept.states.items() for s, v in states.items()}

    def load(self, frames):
        """The frames as a user has them."""
        return frames

    def run(self, frames):
        """Outputs of all samples."""
        gpu.run(self.chip, frames)


serve(RanvierGpu, ("ranvier", "numpy", "torch"))
