"""A small Lava run that goes wrong in the way that its first argument names."""

import os
import sys
from pathlib import Path

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import DelayDense
from lava.proc.io.source import RingBuffer
from lava.proc.lif.process import LIF

sys.path.insert(0, sys.argv[3])
from watch import run_watched  # type: ignore[import-not-found]


def build(vth: float, delay: int) -> LIF:
    """Three always-on inputs, a delayed synapse, two neurons."""
    source = RingBuffer(data=np.ones((3, 5), dtype=int))
    weights = np.full((2, 3), 64)
    synapse = DelayDense(weights=weights, delays=np.full((2, 3), delay), max_delay=delay)
    neurons = LIF(shape=(2,), du=0, dv=0, vth=vth)
    source.s_out.connect(synapse.s_in)
    synapse.a_out.connect(neurons.a_in)
    return neurons


def run(neurons: LIF, tag: str = "fixed_pt", watched: bool = False) -> None:
    """Run the network that holds ``neurons``."""
    config = Loihi2SimCfg(select_tag=tag)
    if watched:
        run_watched(neurons, RunSteps(10), config)
    else:
        neurons.run(condition=RunSteps(10), run_cfg=config)


def write(result: Path) -> None:
    """Write the result the safe way."""
    part = result.with_suffix(".part")
    part.write_text("done")
    part.replace(result)


def main(mode: str, result: Path) -> None:
    """Do what ``mode`` says."""
    neurons = build(vth=1.5 if mode == "float_vth" else 10, delay=64 if mode in ("crash", "hang") else 1)
    tag = "no_such_tag" if mode == "wrong_tag" else "fixed_pt"
    run(neurons, tag, watched=mode in ("good", "crash", "float_vth", "killed"))
    if mode == "segfault":
        neurons.stop()
        run(neurons)
    if mode != "no_result":
        write(result)
    if mode == "no_exit":
        return
    if mode == "good":
        neurons.stop()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
