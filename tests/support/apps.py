"""Small networks, files and data for tests of the public functions and the command line."""

from pathlib import Path

import nir
import numpy as np

from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif

INPUTS, CLASSES = 6, 3
WEIGHT = np.repeat(np.eye(CLASSES), 2, axis=1) * 0.75 + np.linspace(-0.2, 0.1, CLASSES * INPUTS).reshape(CLASSES, -1)


def small_network(name: str = "small", out: str = "out") -> Network:
    """Six inputs, three leaky neurons: class k is driven by the inputs 2k and 2k + 1."""
    lif = Lif(keep_membrane=np.array(0.5))
    nodes = (Input("input", (INPUTS,), "spikes"), Dense("fc", WEIGHT), Neurons(out, (CLASSES,), lif))
    return Network(name, nodes, (Edge("input", "fc"), Edge("fc", out)), Readout(out))


def write_nir(path: Path) -> Path:
    """A NIR file of six inputs and three neurons that leaves the reset open."""
    ones = np.ones(CLASSES)
    lif = nir.LIF(tau=2e-3 * ones, r=2 * ones, v_leak=0 * ones, v_threshold=ones)
    nodes = {
        "input": nir.Input({"input": np.array([INPUTS])}),
        "fc": nir.Affine(WEIGHT, np.zeros(CLASSES)),
        "lif": lif,
        "output": nir.Output({"output": np.array([CLASSES])}),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output")]
    nir.write(path, nir.NIRGraph(nodes, edges))
    return path


def small_data(samples: int = 12, steps: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Spikes (samples, steps, 6) that mostly drive the neuron of their label (samples,)."""
    rng = np.random.default_rng(3)
    labels = np.arange(samples) % CLASSES
    chance = np.where(np.arange(INPUTS) // 2 == labels[:, None], 0.8, 0.05)
    return (rng.random((samples, steps, INPUTS)) < chance[:, None]).astype(np.uint8), labels
