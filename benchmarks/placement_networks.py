"""Networks for ``benchmarks.placement``: published shapes with random weights, and the synthetic layered nets."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import IntArray, Shape
from ranvier.compiler.ir.chip import (
    ChipNetwork,
    ChipSynapse,
    Connection,
    ConvSynapse,
    DenseSynapse,
    Population,
    Port,
    SparseSynapse,
)
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif

# (output channels, stride) of the depthwise-separable pairs of MobileNet (Howard et al. 2017, Table 1).
_PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


def lif(name: str, shape: Shape, latency: int) -> Population:
    """A stock population whose neurons all have the same registers."""
    params = {"du": np.array(400), "dv": np.array(300), "vth": np.array(64), "bias": np.array(0)}
    zero = {"u": np.array(0), "v": np.array(0)}
    return Population(name, shape, chip_lif(Features()), params, zero, latency)


class Chain:
    """A network built layer by layer, each on the last."""

    def __init__(self, name: str, shape: Shape) -> None:
        self.name, self.shape, self.source = name, shape, "in"
        self.port, self.random = Port("in", shape), np.random.default_rng(0)
        self.populations: list[Population] = []
        self.connections: list[Connection] = []

    def conv(self, outputs: int, kernel: int, stride: int = 1, *, same: bool = True, groups: int = 1) -> None:
        """A convolution; ``same``: padded as Keras does, else not at all."""
        spatial = [-(-n // stride) if same else (n - kernel) // stride + 1 for n in self.shape[1:]]
        missing = [max((m - 1) * stride + kernel - n, 0) for m, n in zip(spatial, self.shape[1:], strict=True)]
        padding = tuple((m // 2, m - m // 2) for m in missing)
        weight = self._weights(outputs, self.shape[0] // groups, kernel, kernel)
        shape = (outputs, *spatial)
        self._add(ConvSynapse(weight, self.shape, shape, (stride, stride), padding, (1, 1), groups), shape)

    def dense(self, outputs: int) -> None:
        """All to all."""
        self._add(DenseSynapse(self._weights(outputs, int(np.prod(self.shape)))), (outputs,))

    def done(self) -> ChipNetwork:
        """The network."""
        parts = (tuple(self.populations), tuple(self.connections), Readout(self.source))
        return ChipNetwork(self.name, "loihi1", (self.port,), *parts)

    def _weights(self, *shape: int) -> NDArray[np.int32]:
        """Full precision: even, not zero."""
        return 2 * self.random.integers(1, 128, shape, dtype=np.int32)

    def _add(self, synapse: ChipSynapse, shape: Shape) -> None:
        name = f"layer{len(self.populations) + 1}"
        self.connections.append(Connection(f"to_{name}", self.source, name, synapse, 0, "mixed", 0))
        self.populations.append(lif(name, shape, len(self.populations) + 1))
        self.source, self.shape = name, shape


def mobilenet(side: int, width: float = 1.0, classes: int = 1000, first_stride: int = 2) -> ChipNetwork:
    """MobileNet v1 for square images: 28 layers and the global mean before the last."""
    chain = Chain(f"mobilenet_{side}", (3, side, side))
    chain.conv(int(32 * width), 3, first_stride)
    for outputs, stride in _PAIRS:
        chain.conv(chain.shape[0], 3, stride, groups=chain.shape[0])
        chain.conv(int(outputs * width), 1)
    chain.conv(chain.shape[0], chain.shape[1], same=False, groups=chain.shape[0])
    chain.dense(classes)
    return chain.done()


def mnist_cnn(channels: Sequence[int]) -> ChipNetwork:
    """Four convolutions down to the classes, kernels and strides of the public NxTF tutorial."""
    chain = Chain("mnist_cnn", (1, 28, 28))
    for outputs, kernel, stride in zip(channels, (5, 3, 3, 4), (2, 1, 2, 1), strict=True):
        chain.conv(outputs, kernel, stride, same=False)
    return chain.done()


def synapses(chip: ChipNetwork) -> int:
    """Synapses, each use of a shared weight counted; those beyond the border too."""
    found = 0
    for connection in chip.connections:
        s = connection.synapse
        if isinstance(s, ConvSynapse):
            found += s.weight[0].size * s.out_size
        else:
            found += s.data.size if isinstance(s, SparseSynapse) else s.weight.size
    return found


def ring_pairs(layers: int, size: int, fan: int, seed: int = 0, *, shuffled: bool = False) -> tuple[IntArray, IntArray]:
    """(synapses,) sources and targets of ``layers`` rings of ``size`` neurons.

    Each neuron connects to the distinct values of ``fan`` random offsets in +-fan in the next ring. ``shuffled``: the
    neurons of every ring are numbered at random.
    """
    random = np.random.default_rng(seed)
    sources, targets = [], []
    for layer in range(layers - 1):
        reached = np.sort((np.arange(size)[:, None] + random.integers(-fan, fan + 1, (size, fan))) % size, axis=1)
        new = np.diff(reached, axis=1, prepend=-1) != 0
        sources.append(np.nonzero(new)[0] + layer * size)
        targets.append(reached[new] + (layer + 1) * size)
    number = np.arange(layers * size)
    if shuffled:
        number = np.concatenate([layer * size + random.permutation(size) for layer in range(layers)])
    return number[np.concatenate(sources)], number[np.concatenate(targets)]


def rings(layers: int, size: int, fan: int, seed: int = 0, *, shuffled: bool = False) -> ChipNetwork:
    """The network of ``ring_pairs``, without a port."""
    sources, targets = ring_pairs(layers, size, fan, seed, shuffled=shuffled)
    populations = tuple(lif(f"ring{i}", (size,), i + 1) for i in range(layers))
    connections = []
    for i in range(layers - 1):
        held = sources // size == i
        order = np.lexsort((sources[held], targets[held]))
        counts = np.bincount(targets[held] - (i + 1) * size, minlength=size)
        pointers = np.concatenate([[0], np.cumsum(counts)])
        synapse = SparseSynapse(np.full(order.size, 2, np.int32), (sources[held] - i * size)[order], pointers, size)
        connections.append(Connection(f"to_ring{i + 1}", f"ring{i}", f"ring{i + 1}", synapse, 0, "mixed", 0))
    return ChipNetwork("rings", "loihi1", (), populations, tuple(connections), Readout(populations[-1].name))
