# ruff: noqa: ARG002 - every peer is built in the same way
# mypy: ignore-errors
# Not typed: it runs as a child under the peer's Python.
"""The emulator of nengo-loihi, given registers and weights as they stand on the chip, without its own rounding.

Emulator step n is chip step n - 1: what is put on the wires for step n reaches its targets in step n + 1.
"""

import itertools
import warnings

import numpy as np
from common import RefusedError, serve
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.emulator.interface import EmulatorInterface
from nengo_loihi.inputs import SpikeInput

STATE_MAX = 2**23 - 1
warnings.filterwarnings("ignore", message="Overflow")


class Emulator:
    """A model of one block a population; an emulator of its own for every sample."""

    def __init__(self, given, job):
        self.chip = given.described("chip")
        refuse(self.chip)
        self.model = Model()
        self.blocks = {p["name"]: block(p) for p in self.chip["populations"]}
        port = self.chip["port"]
        self.source = SpikeInput(port["size"])
        for connection in self.chip["connections"]:
            if connection["source"] not in self.blocks and connection["source"] != port["name"]:
                raise RefusedError("unknown source")
            axon = Axon(given.rows(connection).shape[1])
            axon.target = synapse(given.rows(connection), connection["exponent"])
            self.blocks[connection["target"]].add_synapse(axon.target)
            (self.source if connection["source"] == port["name"] else self.blocks[connection["source"]]).add_axon(axon)
        self.model.add_input(self.source)
        for name in self.blocks:
            self.model.add_block(self.blocks[name])

    def load(self, frames):
        """Per sample, the wires that spike in each step."""
        flat = frames.reshape(*frames.shape[:2], -1)
        return [[np.nonzero(frame)[0] for frame in sample] for sample in flat], frames.shape[1]

    def run(self, loaded):
        """All samples, one after the other; nothing is recorded but what the emulator keeps by itself."""
        for sample in loaded[0]:
            emulator = self._start(sample)
            for step in range(loaded[1] + self.chip["latency"]):
                self._biases(emulator, step)
                emulator.step()

    def record(self, frames):
        """Spikes, u and v of every population in its own steps."""
        samples, steps = self.load(frames)
        kept = {
            f"{what}:{p['name']}": np.zeros((len(samples), steps, p["size"]), np.int64)
            for p in self.chip["populations"]
            for what in ("spikes", "u", "v")
        }
        for n, sample in enumerate(samples):
            emulator = self._start(sample)
            for step in range(steps + self.chip["latency"]):
                self._biases(emulator, step)
                emulator.step()
                self._keep(emulator, kept, n, step, steps)
        return kept

    def _keep(self, emulator, kept, sample, step, steps):
        for p in self.chip["populations"]:
            here = emulator.block_info.slices[self.blocks[p["name"]]]
            if 0 <= step - p["latency"] < steps:
                place = sample, step - p["latency"]
                kept[f"spikes:{p['name']}"][place] = emulator.compartment.spiked[here]
                kept[f"u:{p['name']}"][place] = emulator.compartment.current[here]
                kept[f"v:{p['name']}"][place] = emulator.compartment.voltage[here]

    def _start(self, sample):
        self.source.spikes, self.source.permanent = {}, set()
        for step, wires in enumerate(sample):
            self.source.add_spikes(step + 1, wires)
        emulator = EmulatorInterface(self.model, seed=0)
        emulator.compartment.bias[:] = 0
        return emulator

    def _biases(self, emulator, step):
        """A population's bias acts from the first of its own steps."""
        for p in self.chip["populations"]:
            if step == p["latency"] and np.any(p["params"]["bias"]):
                emulator.compartment.bias[emulator.block_info.slices[self.blocks[p["name"]]]] = p["params"]["bias"]


def refuse(chip):
    """Say what the emulators of Loihi 1 lack."""
    for p in chip["populations"]:
        if p["semantics"] != "loihi.cuba_lif":
            raise RefusedError(f"{p['name']} is {p['semantics']}, not the neuron of Loihi 1")
        if any(np.any(v) for v in p["initial"].values()):
            raise RefusedError(f"{p['name']} starts from states other than 0")
    for c in chip["connections"]:
        if c["delay"]:
            raise RefusedError(f"the emulator has no delays, and {c['name']} has one of {c['delay']}")


def block(p):
    """A population as a block in registers."""
    made = LoihiBlock(p["size"], label=p["name"])
    compartment, params = made.compartment, p["params"]

    def filled(value):
        return (np.zeros(p["size"], np.int32) + np.asarray(value)).astype(np.int32)

    compartment.decay_u, compartment.decay_v = filled(params["du"]), filled(params["dv"])
    compartment.vth, compartment.bias = filled(params["vth"]) << 6, filled(params["bias"])
    compartment.vmin, compartment.vmax = -STATE_MAX, STATE_MAX
    compartment.noise_exp, compartment.noise_offset = 0, 0
    compartment.scale_u = compartment.scale_v = False
    compartment.refract_delay = np.ones(p["size"], np.int32)
    return made


def synapse(rows, exponent):
    """Weights in units of 1/64 of a weight, by source."""
    made = Synapse(rows.shape[1])
    columns = rows.tocsc()
    scaled = np.floor(columns.data * 2.0**exponent).astype(np.int32) * 64
    ends = columns.indptr
    made.weights = [scaled[a:b][None] for a, b in itertools.pairwise(ends)]
    made.indices = [columns.indices[a:b][None].astype(np.int32) for a, b in itertools.pairwise(ends)]
    return made


if __name__ == "__main__":
    serve(Emulator, ("nengo-loihi", "nengo", "numpy"))
