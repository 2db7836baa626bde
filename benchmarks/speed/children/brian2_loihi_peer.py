# ruff: noqa: ARG002 - every peer is built in the same way
# mypy: ignore-errors
# Not typed: it runs as a child under the peer's Python.
"""Brian2 with the Loihi neuron of brian2-loihi, in numpy code; brian2 step n is chip step n + 1."""

import numpy as np
from brian2 import ms, prefs
from brian2_loihi import (
    LoihiNetwork,
    LoihiNeuronGroup,
    LoihiSpikeGeneratorGroup,
    LoihiSpikeMonitor,
    LoihiStateMonitor,
    LoihiSynapses,
    synapse_sign_mode,
)
from common import RefusedError, serve

prefs.codegen.target = "numpy"


class Brian:
    """One network, put back to its start for every sample; a second one, with monitors, where states are recorded."""

    def __init__(self, given, job):
        self.given, self.chip = given, given.described("chip")
        refuse(self.chip)
        self._build(recorded=False)

    def _build(self, recorded):
        self.source = LoihiSpikeGeneratorGroup(self.chip["port"]["size"], [], [])
        self.groups = {p["name"]: group(p) for p in self.chip["populations"]}
        synapses = [self._connect(self.given, connection) for connection in self.chip["connections"]]
        self.monitors = {name: LoihiSpikeMonitor(g) for name, g in self.groups.items()}
        self.states = {
            f"{what}:{name}": LoihiStateMonitor(g, variable, order=1)
            for name, g in self.groups.items()
            for what, variable in ((("u", "I"), ("v", "v")) if recorded else ())
        }
        parts = (self.source, *self.groups.values(), *synapses, *self.monitors.values(), *self.states.values())
        self.network = LoihiNetwork(*parts)
        self.network.store()

    def _connect(self, given, connection):
        coo = given.rows(connection).tocoo()
        before = self.source if connection["source"] == self.chip["port"]["name"] else self.groups[connection["source"]]
        latencies = {p["name"]: p["latency"] for p in self.chip["populations"]}
        silent = latencies.get(connection["source"], 0) + 1 + connection["delay"] - latencies[connection["target"]]
        if silent < 0:
            raise RefusedError("a connection arrives before its target's first step")
        made = LoihiSynapses(
            before, self.groups[connection["target"]], delay=connection["delay"],
            w_exp=connection["exponent"], sign_mode=synapse_sign_mode.MIXED,
        )  # fmt: skip
        made.connect(i=coo.col, j=coo.row)
        made.w = coo.data.astype(int)
        return made

    def load(self, frames):
        """Per sample, wires and steps of the spikes."""
        flat = frames.reshape(*frames.shape[:2], -1)
        return [np.nonzero(sample) for sample in flat], frames.shape[1]

    def run(self, loaded):
        """All samples, one after the other, with monitors of spikes."""
        for sample in loaded[0]:
            self._run(sample, loaded[1])

    def _run(self, sample, steps):
        self.network.restore()
        self.source.set_spikes(sample[1], sample[0] * ms, sorted=True)
        self.network.run(steps + self.chip["latency"] - 1)

    def record(self, frames):
        """Spikes, u and v of every population in its own steps."""
        samples, steps = self.load(frames)
        self._build(recorded=True)
        rows = {p["name"]: p for p in self.chip["populations"]}
        kept = {
            f"{what}:{name}": np.zeros((len(samples), steps, p["size"]), np.int64)
            for name, p in rows.items()
            for what in ("spikes", "u", "v")
        }
        for n, sample in enumerate(samples):
            self._run(sample, steps)
            for key, monitor in self.states.items():
                start = rows[key.partition(":")[2]]["latency"] - 1
                values = np.asarray(getattr(monitor, "I" if key[0] == "u" else "v"))
                kept[key][n] = values.T[start : start + steps]
            for name, monitor in self.monitors.items():
                when = np.asarray(monitor.t, int) - (rows[name]["latency"] - 1)
                inside = (when >= 0) & (when < steps)
                kept[f"spikes:{name}"][n, when[inside], np.asarray(monitor.i)[inside]] = 1
        self._build(recorded=False)
        return kept


def refuse(chip):
    """Say what brian2-loihi lacks."""
    for p in chip["populations"]:
        if p["semantics"] != "loihi.cuba_lif":
            raise RefusedError(f"{p['name']} is {p['semantics']}, not the neuron of Loihi 1")
        if any(np.any(v) for v in p["initial"].values()):
            raise RefusedError(f"{p['name']} starts from states other than 0")
        if np.any(p["params"]["bias"]):
            raise RefusedError("the neuron has no bias")
        if any(np.size(v) > 1 for v in p["params"].values()):
            raise RefusedError("one set of registers a population")
    if any(c["delay"] > 62 for c in chip["connections"]):
        raise RefusedError("delays beyond 62")


def group(p):
    """A population in registers."""
    params = {k: int(np.asarray(v)) for k, v in p["params"].items()}
    return LoihiNeuronGroup(
        p["size"], refractory=1, threshold_v_mant=params["vth"], decay_v=params["dv"], decay_I=params["du"] + 1
    )


if __name__ == "__main__":
    serve(Brian, ("brian2-loihi", "Brian2", "numpy"))
