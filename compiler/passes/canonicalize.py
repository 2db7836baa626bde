"""Canonicalize: one spelling for each linear layer before anything is folded."""

from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.ir.linear import Conv, Pool
from ranvier.compiler.ir.network import Network, Node


@dataclass(frozen=True)
class Canonicalize:
    """Pools become depthwise convolutions, one-axis convolutions two-axis ones of height 1.

    Values do not change: a sum pool is a convolution with ones, an average pool one with 1 / window size.
    """

    def __call__(self, network: Network) -> Network:
        """The same network with pools and one-axis convolutions rewritten."""
        return replace(network, nodes=tuple(_canonical(node) for node in network.nodes))


def _canonical(node: Node) -> Node:
    if isinstance(node, Pool):
        node = _depthwise(node)
    if isinstance(node, Conv) and len(node.in_shape) == 2:
        return _widened(node)
    return node


def _depthwise(pool: Pool) -> Conv:
    value = 1.0 if pool.kind == "sum" else 1.0 / float(np.prod(pool.kernel))
    channels = pool.in_shape[0]
    weight = np.full((channels, 1, *pool.kernel), value)
    return Conv(
        pool.name,
        weight,
        pool.in_shape,
        None,
        pool.stride,
        pool.padding,
        pool.dilation,
        groups=channels,
        grid=None,
    )


def _widened(conv: Conv) -> Conv:
    return replace(
        conv,
        weight=conv.weight[:, :, None, :],
        in_shape=(conv.in_shape[0], 1, conv.in_shape[1]),
        stride=(1, *conv.stride),
        padding=((0, 0), *conv.padding),
        dilation=(1, *conv.dilation),
    )
