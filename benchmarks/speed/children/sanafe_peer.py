# ruff: noqa: ARG002 - every peer is built in the same way
# mypy: ignore-errors
# Not typed: it runs as a child under the peer's Python.
"""SANA-FE, the simulator of chips' energy and latency, on its own description of Loihi.

Its neuron computes in double precision with the potential truncated to 1/64. Each sample has a chip of its own; only
the simulation is timed, loading the network is not.
"""

import time

import numpy as np
import sanafe
from common import RefusedError, serve

UNITY = 4096


class SanaFe:
    """The network and where its neurons lie: at most 1024 on a core."""

    most_samples = 1

    def __init__(self, given, job):
        self.chip = given.described("chip")
        for p in self.chip["populations"]:
            if p["semantics"] != "loihi.cuba_lif":
                raise RefusedError(f"{p['name']} is {p['semantics']}, not the neuron of Loihi 1")
            if any(np.any(v) for v in p["initial"].values()):
                raise RefusedError(f"{p['name']} starts from states other than 0")
        if any(c["delay"] for c in self.chip["connections"]):
            raise RefusedError("delays")
        if max(p["size"] for p in (*self.chip["populations"], self.chip["port"])) > 1024:
            raise RefusedError("a population needs more than one core")
        self.matrices = {c["name"]: given.rows(c).tocoo() for c in self.chip["connections"]}

    def _built(self, sample):
        arch = sanafe.load_loihi()
        network, port = sanafe.Network(), self.chip["port"]
        groups = {port["name"]: network.create_neuron_group(port["name"], port["size"], {}, "loihi_sparse_synapse")}
        for n in range(port["size"]):
            groups[port["name"]][n].set_attributes(
                soma_hw_name=f"loihi_inputs[{n}]", dendrite_hw_name="loihi_dendrites",
                model_attributes={"spikes": sample[:, n].astype(int).tolist()},
            )  # fmt: skip
            groups[port["name"]][n].map_to_core(arch.tiles[0].cores[0])
        for index, p in enumerate(self.chip["populations"], 1):
            groups[p["name"]] = self._group(network, p)
            for n in range(p["size"]):
                groups[p["name"]][n].map_to_core(arch.tiles[index // 4].cores[index % 4])
        for c in self.chip["connections"]:
            coo = self.matrices[c["name"]]
            groups[c["source"]].connect_neurons_sparse(
                groups[c["target"]], {"weight": coo.data.astype(float).tolist()},
                list(zip(coo.col.tolist(), coo.row.tolist(), strict=True)),
            )  # fmt: skip
        chip = sanafe.SpikingChip(arch)
        chip.load(network)
        return chip

    def _group(self, network, p):
        params = {k: int(np.asarray(v)) for k, v in p["params"].items()}
        attributes = {
            "threshold": float(params["vth"]),
            "leak_decay": 1 - params["dv"] / UNITY, "reset": 0.0, "reset_mode": "hard",
            "input_decay": 1 - (params["du"] + 1) / UNITY, "bias": params["bias"] / 64,
        }  # fmt: skip
        return network.create_neuron_group(
            p["name"], p["size"], attributes, "loihi_sparse_synapse", "loihi_dendrites", False, True, "loihi_lif"
        )

    def load(self, frames):
        """Frames, flat."""
        return frames.reshape(*frames.shape[:2], -1)

    def run(self, frames):
        """Seconds of the simulations alone; each has a chip loaded for it, as a reset does not restore the inputs."""
        seconds = 0.0
        for sample in frames:
            chip = self._built(sample)
            started = time.perf_counter()
            chip.sim(len(sample) + self.chip["latency"], timing_model="simple")
            seconds += time.perf_counter() - started
        return seconds

    def record(self, frames):
        """Spikes of every population in its own steps."""
        steps, rows = frames.shape[1], {p["name"]: p for p in self.chip["populations"]}
        kept = {f"spikes:{n}": np.zeros((len(frames), steps, p["size"]), np.int64) for n, p in rows.items()}
        for number, sample in enumerate(self.load(frames)):
            chip = self._built(sample)
            sim = chip.sim(steps + self.chip["latency"], timing_model="simple", spike_trace=True)
            for step, sent in enumerate(sim["spike_trace"]):
                for address in sent:
                    name, neuron = address.group_name, address.neuron_offset
                    when = step - rows[name]["latency"] if name in rows else -1
                    if 0 <= when < steps:
                        kept[f"spikes:{name}"][number, when, neuron] = 1
        return kept


serve(SanaFe, ("sanafe", "numpy"))
