"""The same network without torch: built from the weights file alone, for machines that have no torch.

``ranvier.load(model.trained(), sample=...)`` gives the same nodes; a test compares the two.
"""

import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from ranvier.compiler.ir.linear import Conv, Dense, Reshape
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif

FOLDER = Path(__file__).parent


def network() -> Network:
    """Images (1, 8, 8) each step, two convolutions, a linear layer, leaky neurons that reset to zero."""
    w = load_file(FOLDER / "weights.safetensors")
    nodes: tuple[Node, ...] = (
        Input("input", (1, 8, 8), "current"),
        Conv("conv1", w["conv1.weight"], (1, 8, 8), w["conv1.bias"], padding=((1, 1), (1, 1))),
        Neurons("lif1", (8, 8, 8), _leaky(w, "lif1")),
        Conv("conv2", w["conv2.weight"], (8, 8, 8), w["conv2.bias"], (2, 2), ((1, 1), (1, 1))),
        Neurons("lif2", (16, 4, 4), _leaky(w, "lif2")),
        Reshape("reshape", (16, 4, 4), (256,)),
        Dense("fc", w["fc.weight"], w["fc.bias"]),
        Neurons("lif3", (10,), _leaky(w, "lif3")),
    )
    edges = tuple(Edge(a.name, b.name) for a, b in itertools.pairwise(nodes))
    return Network("DigitsNet", nodes, edges, Readout("lif3"))


def data(name: str) -> dict[str, NDArray[np.generic]]:
    """The arrays of ``test.npz`` (inputs, labels) or ``calibration.npz`` (inputs)."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def _leaky(weights: dict[str, NDArray[np.float32]], name: str) -> Lif:
    """The Leaky of snnTorch with ``reset_mechanism="zero"``."""
    return Lif(
        keep_membrane=weights[f"{name}.beta"].astype(np.float64),
        threshold=weights[f"{name}.threshold"].astype(np.float64),
    )
