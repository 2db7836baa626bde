"""Layers whose source wires have several weight exponents are several processes in Lava, which add up to the same."""

import numpy as np
import pytest

from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes.observe import calibrate
from ranvier.targets.load import load_target
from support.lava_networks import assert_lava_agrees, lava_processes

pytestmark = pytest.mark.usefixtures("lava")


def test_lava_agrees_on_dense_and_recurrent_layers_in_parts() -> None:
    rng = np.random.default_rng(1)
    wires = 2.0 ** -np.arange(12)[None, :] / 4
    nodes = (
        Input("input", (12,), "spikes"),
        Dense("d", rng.choice([-1.0, 1.0], (9, 12)) * rng.uniform(1, 2, (9, 12)) * wires**0.5),
        Neurons("n", (9,), Lif(keep_membrane=0.9, threshold=0.5)),
        Dense("r", rng.normal(size=(9, 9)) * wires[:, :9]),
    )
    edges = (Edge("input", "d"), Edge("d", "n"), Edge("n", "r", 1), Edge("r", "n"))
    network = prepare(Network("parts", nodes, edges, Readout("n")))
    inputs = (rng.random((2, 20, 12)) < 0.4).astype(np.int32)
    options = Options(weight_bits=4, exponent_groups=3)
    chip = lower(network, load_target("loihi2"), calibrate(network, inputs), options)
    assert {c.layer for c in chip.connections if c.part_of} == {"d", "r"}
    assert len(chip.connections) > 4
    assert "Sparse" in lava_processes(chip)
    assert_lava_agrees(chip, inputs)
