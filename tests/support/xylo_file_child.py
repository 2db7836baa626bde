"""The child process of ``xylo_files.py``: Rockpool's XyloSim, built from a file that Ranvier wrote."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
from samna_name import stand_in  # type: ignore[import-not-found]  # beside this script


def main(file: str, frames: str, answer: str) -> None:
    """Run the configuration in ``file`` on ``frames`` (steps, inputs), and keep all spikes and states."""
    stand_in()
    simulators = import_module("rockpool.devices.xylo.syns61201.xylo_sim")
    given = json.loads(Path(file).read_text())["specification"]
    simulator = simulators.XyloSim.from_specification(
        **{k: np.array(v) if isinstance(v, list) else v for k, v in given.items()}
    )
    sent, _, kept = simulator.evolve(np.load(frames), record=True)
    np.savez(answer, Spikes_out=sent, **kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
