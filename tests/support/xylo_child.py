"""The child process of ``xylo_environment.py``: runs where xylosim is installed, and is started by file name.

Malformed lists crash the interpreter, and the layer keeps references to its lists, so they all stay alive here.
"""

import json
import sys
from pathlib import Path
from typing import Any

from xylosim.v2 import XyloLayer, XyloSynapse


def synapses(weights: list[list[int]]) -> list[list[Any]]:
    """One list per source with all its synapses, zeros included."""
    return [[XyloSynapse(target, 0, w) for target, w in enumerate(row)] for row in weights]


def evolve(case: dict[str, Any]) -> dict[str, Any]:
    """One sample through one configuration: what is recorded, each (steps, neurons)."""
    parts = [synapses(case[name]) for name in ("w_in", "w_rec", "w_out")]
    hidden, outputs = case["hidden"], case["outputs"]
    aliases: list[list[int]] = [[] for _ in hidden["threshold"]]
    syns, syns_out = [[d, d] for d in hidden["dash_syn"]], [[d] for d in outputs["dash_syn"]]
    layer = XyloLayer(
        *parts, aliases, hidden["threshold"], outputs["threshold"], True, hidden["bias"], outputs["bias"],
        *case["shifts"], hidden["dash_mem"], outputs["dash_mem"], syns, syns_out, "layer",
    )  # fmt: skip
    spikes = layer.evolve(case["input"])
    return {
        "hidden_u": list(zip(*layer.rec_i_syn, strict=True)),
        "hidden_v": list(zip(*layer.rec_v_mem, strict=True)),
        "hidden_n": layer.rec_recurrent_spikes,
        "outputs_u": list(zip(*layer.rec_i_syn_out, strict=True)),
        "outputs_v": list(zip(*layer.rec_v_mem_out, strict=True)),
        "outputs_n": spikes,
    }


if __name__ == "__main__":
    cases = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps([evolve(case) for case in cases]))
