"""The small networks whose way through the passes is written down in the golden files."""

import itertools
from collections.abc import Mapping

import numpy as np

from ranvier.compiler.ir.linear import Conv, Dense, Pool, Reshape, Scale
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif


def conv_pool_dense() -> Network:
    """Convolution, batch norm, neurons, average pool, flatten, dense, neurons with soft reset."""
    nodes: tuple[Node, ...] = (
        Input("input", (1, 4, 4), "current"),
        Conv("conv", np.array([[[[1.0, -0.5], [0.25, 0.5]]]]), (1, 4, 4), np.array([0.125]), (1, 1), ((1, 0), (1, 0))),
        Scale("norm", (1, 4, 4), np.array([2.0]), np.array([-0.25])),
        Neurons("hidden", (1, 4, 4), Lif(keep_membrane=0.75, threshold=1.0)),
        Pool("pool", "average", (1, 4, 4), (2, 2), (2, 2), ((0, 0), (0, 0))),
        Reshape("flat", (1, 2, 2), (4,)),
        Dense("dense", np.array([[1.0, -1.0, 0.5, 0.25], [0.5, 1.0, -1.0, 0.75]])),
        Neurons(
            "output", (2,), Lif(keep_membrane=0.5, threshold=0.5, reset="subtract", reset_amount=0.5, compare=">=")
        ),
    )
    edges = tuple(Edge(a.name, b.name) for a, b in itertools.pairwise(nodes))
    return Network("conv_pool_dense", nodes, edges, Readout("output"))


def residual_recurrent() -> Network:
    """A skip connection that needs a delay on the chip, and recurrence with a bias behind a synaptic current."""
    nodes = (
        Input("input", (2,), "spikes"),
        Dense("first", np.array([[1.0, 0.5], [-0.5, 1.0]])),
        Neurons("a", (2,), Lif(keep_current=0.5, keep_membrane=0.875, gain=0.5)),
        Dense("loop", np.array([[0.0, -0.5], [0.25, 0.0]]), np.array([0.125, 0.0])),
        Dense("second", np.array([[1.0, -0.25]])),
        Dense("skip", np.array([[0.75, 0.75]])),
        Neurons("b", (1,), Lif(keep_membrane=0.875)),
    )
    edges = (
        Edge("input", "first"),
        Edge("first", "a"),
        Edge("a", "loop", 1),
        Edge("loop", "a"),
        Edge("a", "second"),
        Edge("second", "b"),
        Edge("input", "skip"),
        Edge("skip", "b"),
    )
    return Network("residual_recurrent", nodes, edges, Readout("b"))


NETWORKS: Mapping[str, Network] = {n.name: n for n in (conv_pool_dense(), residual_recurrent())}
