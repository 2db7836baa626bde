"""A network small enough to follow by hand, given by its registers."""

import numpy as np

from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif


def counter(dv: int = 0, du: int = 4095, start: int = 0) -> ChipNetwork:
    """One stock neuron behind one wire of weight 2: every spike adds 128 to its membrane, nothing resets it."""
    params = {"du": np.array(du), "dv": np.array(dv), "vth": np.array(100_000), "bias": np.array(0)}
    initial = {"u": np.array(0), "v": np.array(start)}
    population = Population("n", (1,), chip_lif(Features()), params, initial, 1)
    synapse = Connection("w", "x", "n", DenseSynapse(np.array([[2]], np.int32)), 0, "mixed", 0)
    return ChipNetwork("net", "loihi2", (Port("x", (1,)),), (population,), (synapse,), Readout("n"))
