# ruff: noqa: ARG002 - every peer is built in the same way
# mypy: ignore-errors
# Not typed: it runs as a child under the peer's Python.
"""XyloSim, the C++ simulator of SynSense's Xylo. It needs every synapse, zeros too, and references that live on."""

import numpy as np
from common import RefusedError, serve
from xylosim.v2 import XyloLayer, XyloSynapse

DASH_SYN, DASH_MEM = 2, 3


class Xylo:
    """A layer of 63 neurons that feed themselves, and 8 that read them."""

    def __init__(self, given, job):
        chip = given.described("chip")
        if [c["name"] for c in chip["connections"]] != ["in_hidden", "loop", "hidden_out"]:
            raise RefusedError("not a network of Xylo's shape and neurons")
        weights = {c["name"]: given.rows(c).toarray().T for c in chip["connections"]}
        self.kept = {name: self._synapses(w) for name, w in weights.items()}
        hidden, out = (p["size"] for p in chip["populations"])
        thresholds = [[int(p["params"]["threshold"])] * p["size"] for p in chip["populations"]]
        self.layer = XyloLayer(
            synapses_in=self.kept["in_hidden"], synapses_rec=self.kept["loop"], synapses_out=self.kept["hidden_out"],
            aliases=[[] for _ in range(hidden)], threshold=thresholds[0], threshold_out=thresholds[1],
            has_bias=False, bias=[0] * hidden, bias_out=[0] * out,
            weight_shift_inp=0, weight_shift_rec=0, weight_shift_out=0,
            dash_mem=[DASH_MEM] * hidden, dash_mem_out=[DASH_MEM] * out,
            dash_syns=[[DASH_SYN, DASH_SYN]] * hidden, dash_syns_out=[[DASH_SYN]] * out, name="bench",
        )  # fmt: skip

    def _synapses(self, weights):
        return [[XyloSynapse(j, 0, int(w)) for j, w in enumerate(row)] for row in weights]

    def load(self, frames):
        """Lists of lists, one a sample."""
        return [sample.reshape(len(sample), -1).astype(int).tolist() for sample in frames]

    def run(self, loaded):
        """All samples, one after the other."""
        for sample in loaded:
            self.layer.reset_all()
            self.layer.evolve(sample)

    def record(self, frames):
        """Spikes and states of both populations."""
        kept = {}
        for sample in self.load(frames):
            self.layer.reset_all()
            self.layer.evolve(sample)
            tracks = {
                "spikes:hidden": self.layer.rec_recurrent_spikes, "spikes:out": self.layer.rec_out_spikes,
                "u:hidden": self.layer.rec_i_syn, "u:out": self.layer.rec_i_syn_out,
                "v:hidden": self.layer.rec_v_mem, "v:out": self.layer.rec_v_mem_out,
            }  # fmt: skip
            for name, track in tracks.items():  # states come neuron by neuron, spikes step by step
                kept.setdefault(name, []).append(np.asarray(track) if name[1] == "p" else np.asarray(track).T)
        return {name: np.stack(parts) for name, parts in kept.items()}


serve(Xylo, ("xylosim", "numpy"))
