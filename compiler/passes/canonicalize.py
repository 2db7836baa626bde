"""Canonicalize: one spelling for each linear layer before anything is folded."""

from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.ir.linear import Conv, ConvTranspose, Pool
from ranvier.compiler.ir.network import Network, Node


@dataclass(frozen=True)
class Canonicalize:
    """Pools become depthwise convolutions, one-axis convolutions two-axis ones of height 1.

    A transposed convolution without stride is a convolution with the kernel turned round, its channels exchanged;
    with a stride it stays what it is, and becomes a sparse matrix when it is folded.
    Values do not change: a sum pool is a convolution with ones, an average pool one with 1 / window size.
    """

    def __call__(self, network: Network) -> Network:
        """The same network with pools and one-axis convolutions rewritten."""
        return replace(network, nodes=tuple(_canonical(node) for node in network.nodes))


def _canonical(node: Node) -> Node:
    if isinstance(node, Pool):
        node = _depthwise(node)
    if isinstance(node, ConvTranspose) and max(node.stride) == 1:
        node = _turned(node)
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


def _turned(op: ConvTranspose) -> Conv | ConvTranspose:
    """``op`` of stride 1 as a convolution; as it is where its result is cut shorter than its kernel reaches."""
    reach = [d * (k - 1) - p for d, k, p in zip(op.dilation, op.kernel, op.padding, strict=True)]
    if min(reach) < 0:
        return op
    channels, per_group = op.weight.shape[:2]
    kernel = np.flip(op.weight, axis=tuple(range(2, op.weight.ndim)))
    grouped = kernel.reshape(op.groups, channels // op.groups, per_group, *op.kernel).swapaxes(1, 2)
    weight = grouped.reshape(op.groups * per_group, channels // op.groups, *op.kernel)
    padding = tuple((r, r + extra) for r, extra in zip(reach, op.output_padding, strict=True))
    return Conv(op.name, weight, op.in_shape, op.bias, op.stride, padding, op.dilation, op.groups)


def _widened(conv: Conv) -> Conv:
    return replace(
        conv,
        weight=conv.weight[:, :, None, :],
        in_shape=(conv.in_shape[0], 1, conv.in_shape[1]),
        stride=(1, *conv.stride),
        padding=((0, 0), *conv.padding),
        dilation=(1, *conv.dilation),
    )
