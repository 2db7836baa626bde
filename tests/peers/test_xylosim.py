"""A neuron that is no Loihi neuron, as a step program, against the C++ simulator of the chip it comes from."""

from pathlib import Path

import numpy as np

from ranvier.runtimes import oracle
from support.peers import ask


def test_xylo_neurons_equal_xylosim(tmp_path: Path) -> None:
    from benchmarks.speed.workloads import xylo  # noqa: PLC0415 - found once support.peers is there

    made = xylo(samples=3, steps=80)
    answer = ask("XyloSim", made.chip, made.inputs, tmp_path)
    exact = oracle.run(made.chip, made.inputs, ("spikes", "states"))
    assert exact.spikes["hidden"].max() > 1
    assert exact.spikes["out"].any()
    for name, states in exact.states.items():
        assert np.array_equal(answer.arrays[f"spikes:{name}"], exact.spikes[name])
        assert all(np.array_equal(answer.arrays[f"{s}:{name}"], value) for s, value in states.items())
