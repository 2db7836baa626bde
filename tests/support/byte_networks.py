"""Random float networks for the chips with 8-bit weights, Xylo and Speck, and their programs."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.devices import build_device
from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.program import Program
from ranvier.compiler.pipeline import prepare
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_any
from ranvier.targets.schema import CrossbarTarget, Target

STEPS = 40


def spikes(shape: tuple[int, ...], seed: int, rate: float = 0.3, samples: int = 1) -> NDArray[np.float64]:
    """Random frames (samples, steps, *shape)."""
    return (np.random.default_rng(seed).random((samples, STEPS, *shape)) < rate).astype(np.float64)


def device_program(net: Network, target: str, x: NDArray[np.float64]) -> Program:
    """``net`` compiled for a chip that is no mesh, calibrated with ``x``."""
    chosen, prepared = load_any(target), prepare(net)
    assert not isinstance(chosen, Target | CrossbarTarget)
    return build_device(prepared, chosen, observe(prepared, x))


def xylo_network(seed: int) -> Network:
    """Two hidden layers of different decays, the first recurrent, with biases, behind each other and the outputs."""
    rng = np.random.default_rng(seed)

    def lif(most: int) -> Lif:
        decays = {"keep_current": rng.choice([0.5, 0.75, 0.9]), "keep_membrane": rng.choice([0.75, 0.875, 0.95])}
        return Lif(
            **decays, compare=">=", max_spikes=most, reset="subtract", reset_amount=1.0,
            drive=rng.normal(0, 0.01) * (seed % 2),
        )  # fmt: skip

    nodes: tuple[Node, ...] = (
        Input("input", (8,), "spikes"), Dense("w_in", rng.normal(0.1, 0.4, (20, 8))), Neurons("first", (20,), lif(31)),
        Dense("w_rec", rng.normal(0, 0.06, (20, 20))), Dense("w_on", rng.normal(0.01, 0.1, (12, 20))),
        Neurons("second", (12,), lif(31)), Dense("w_out", rng.normal(0.01, 0.1, (5, 12))), Neurons("out", (5,), lif(1)),
    )  # fmt: skip
    pairs = [("input", "w_in", 0), ("w_in", "first", 0), ("first", "w_rec", 1), ("w_rec", "first", 0),
             ("first", "w_on", 0), ("w_on", "second", 0), ("second", "w_out", 0), ("w_out", "out", 0)]  # fmt: skip
    return Network(f"xylo{seed}", nodes, tuple(Edge(*pair) for pair in pairs), Readout("out"))


def speck_network(seed: int, **changes: Any) -> Network:
    """Two convolutions, of random channels, kernels, strides and paddings, and a dense layer; integrate-and-fire."""
    rng = np.random.default_rng(seed)
    given: dict[str, Any] = {"compare": ">=", "max_spikes": 0, "reset": "subtract", "reset_amount": 1.0, **changes}
    shape: tuple[int, ...] = (2, 12, 12)
    nodes: list[Node] = [Input("input", shape, "spikes")]
    for number in range(2):
        channels, kernel, stride = int(rng.integers(3, 9)), int(rng.choice([1, 3, 5])), int(rng.choice([1, 2]))
        weight = rng.normal(0.02, 0.3 / kernel, (channels, shape[0], kernel, kernel))
        pad = int(rng.integers(0, 2))
        conv = Conv(f"c{number}", weight, shape, None, (stride, stride), ((pad, pad), (pad, pad)))
        nodes += [conv, Neurons(f"n{number}", conv.out_shape, Lif(**given))]
        shape = conv.out_shape
    dense = Dense("d", rng.normal(0.02, 0.1, (10, int(np.prod(shape)))))
    nodes += [dense, Neurons("out", (10,), Lif(**given))]
    return Network(
        f"speck{seed}", tuple(nodes), tuple(Edge(a.name, b.name) for a, b in pairwise(nodes)), Readout("out")
    )
