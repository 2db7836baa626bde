"""The shapes of SEW-ResNet with parametric LIF neurons on event vision, as published with STEMS (arXiv 2502.03287).

Seven blocks of convolutions, each ending in the sum of its last two layers and a pool by two; 128x128 pixels, two
polarities. The pools of spikes are averages, which have the shapes of maxima; the weights are zero, or random.
"""

import numpy as np

from ranvier.compiler.ir.linear import Conv, Pool
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif

BLOCKS = 7
NARROWED = (0, 4)
"""The blocks that begin with a layer of one by one pixel, which changes the number of channels."""


def sew(stateful: int, side: int = 128, channels: int = 64, seed: int | None = None) -> Network:
    """The network whose last ``stateful`` blocks have leaky neurons and whose first ones leak fully.

    From ``side`` by ``side`` pixels, with ``channels`` in its first four blocks and twice as many in the last three;
    weights that make its neurons spike are drawn with ``seed``, None: all zero.
    """
    rng = None if seed is None else np.random.default_rng(seed)
    before: list[Node] = [Input("events", (2, side, side), "current")]
    nodes, edges = list(before), list[Edge]()
    for block in range(BLOCKS):
        wide = channels if block < 4 else 2 * channels
        kernels = (1, 3, 3) if block in NARROWED else (3, 3)
        keep = 0.5 if block >= BLOCKS - stateful else 0.0
        pair: list[Node] = []
        for index, kernel in enumerate(kernels):
            sources = pair[-1:] or before
            conv = _conv(f"conv{block}{index}", sources[0].out_shape, wide, kernel, rng)
            lif = Neurons(f"lif{block}{index}", conv.out_shape, _plif(keep))
            edges += [*(Edge(source.name, conv.name) for source in sources), Edge(conv.name, lif.name)]
            nodes += [conv, lif]
            pair.append(lif)
        before = [Pool(f"pool{block}", "average", pair[-1].out_shape, (2, 2), (2, 2), ((0, 0), (0, 0)))]
        edges += [Edge(lif.name, before[0].name) for lif in pair[-2:]]
        nodes += before
    kept = [node for node in nodes if node.name != before[0].name]
    kept_edges = tuple(edge for edge in edges if edge.target != before[0].name)
    return Network(f"SEW-{stateful}PLIF", tuple(kept), kept_edges, Readout(kept[-1].name))


def _conv(name: str, shape: tuple[int, ...], channels: int, kernel: int, rng: np.random.Generator | None) -> Conv:
    around, size = (kernel // 2, kernel // 2), (channels, shape[0], kernel, kernel)
    scale = 8.0 / np.sqrt(shape[0] * kernel**2)
    weight = np.zeros(size) if rng is None else rng.normal(0.0, scale, size)
    return Conv(name, weight, shape, padding=(around, around))


def _plif(keep: float) -> Lif:
    return Lif(keep_membrane=np.array(keep), gain=np.array(1.0 - keep))
