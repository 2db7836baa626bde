"""The ONNX layers with weights and the pools, in numpy: (batch, channels, *spatial)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ranvier.frontends.onnx.model import Array, OnnxNode
from ranvier.frontends.onnx.ops import Arguments, Operation, checked, given, optional

MAX_WORK = 2**34


@dataclass(frozen=True)
class Windows:
    """How a kernel slides: per axis its size, stride, dilation and the (before, after) padding."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]

    def out(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """The spatial shape of the result."""
        axes = zip(spatial, self.kernel, self.stride, self.dilation, self.padding, strict=True)
        return tuple((n + lo + hi - d * (k - 1) - 1) // s + 1 for n, k, s, d, (lo, hi) in axes)


def windows(node: OnnxNode, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> Windows:
    """The windows of a Conv or pool ``node`` over ``spatial``; ``ValueError`` for what cannot be."""
    axes = len(kernel)
    ones = (1,) * axes
    stride, dilation = node.integers("strides") or ones, node.integers("dilations") or ones
    if len(spatial) != axes or min((*kernel, *stride, *dilation), default=0) < 1 or len(stride) != len(dilation):
        raise ValueError(f"a kernel of {kernel} does not slide over {spatial}")
    padding = _padding(node, spatial, Windows(kernel, stride, dilation, ((0, 0),) * axes))
    made = Windows(kernel, stride, dilation, padding)
    if node.integer("ceil_mode", 0) and made.out(spatial) != _ceiled(made, spatial):
        raise ValueError("ceil_mode adds windows that reach over the edge")
    if min((p for pair in padding for p in pair), default=0) < 0 or min(made.out(spatial), default=1) < 1:
        raise ValueError(f"a kernel of {kernel} with padding {padding} does not fit into {spatial}")
    return made


def _padding(node: OnnxNode, spatial: tuple[int, ...], bare: Windows) -> tuple[tuple[int, int], ...]:
    mode = node.text("auto_pad", "NOTSET")
    axes = len(bare.kernel)
    if mode in ("NOTSET", "VALID"):
        pads = (node.integers("pads") if mode == "NOTSET" else None) or (0,) * (2 * axes)
        return tuple((pads[i], pads[i + axes]) for i in range(axes))
    found = []
    for n, k, s, d in zip(spatial, bare.kernel, bare.stride, bare.dilation, strict=True):
        total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
        small = total // 2
        found.append((small, total - small) if mode == "SAME_UPPER" else (total - small, small))
    return tuple(found)


def _ceiled(made: Windows, spatial: tuple[int, ...]) -> tuple[int, ...]:
    axes = zip(spatial, made.kernel, made.stride, made.dilation, made.padding, strict=True)
    return tuple(-(-(n + lo + hi - d * (k - 1) - 1) // s) + 1 for n, k, s, d, (lo, hi) in axes)


def _patches(value: Array, made: Windows, fill: float) -> Array:
    """(batch, channels, *out, *kernel)."""
    padded = np.pad(value, [(0, 0), (0, 0), *made.padding], constant_values=fill)
    reach = tuple(d * (k - 1) + 1 for k, d in zip(made.kernel, made.dilation, strict=True))
    axes = tuple(range(2, value.ndim))
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=axes)
    steps = tuple(slice(None, None, s) for s in made.stride)
    inner = tuple(slice(None, None, d) for d in made.dilation)
    return np.asarray(views[(slice(None), slice(None), *steps, *inner)])


def conv_shape(node: OnnxNode, shape: tuple[int, ...], weight: Array) -> tuple[Windows, tuple[int, ...]]:
    """The windows of a Conv and the shape of its result; ``ValueError`` where weight and input do not fit."""
    groups = node.integer("group", 1)
    if len(shape) != weight.ndim or weight.ndim < 3 or groups < 1 or weight.shape[0] % groups:
        raise ValueError(f"a weight of shape {weight.shape} in {groups} groups does not fit an input of {shape}")
    if shape[1] != weight.shape[1] * groups:
        raise ValueError(f"the weight takes {weight.shape[1] * groups} channels, {shape[1]} arrive")
    made = windows(node, shape[2:], weight.shape[2:])
    return made, checked((shape[0], weight.shape[0], *made.out(shape[2:])))


def _conv(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value, weight, bias = given(args, 0), given(args, 1), optional(args, 2)
    made, shape = conv_shape(node, value.shape, weight)
    _bounded(math.prod(shape) * math.prod(weight.shape[1:]))
    groups, axes = node.integer("group", 1), len(made.kernel)
    patches = _patches(value, made, 0.0)
    channels, filters = weight.shape[1], weight.shape[0] // groups
    parts = []
    for g in range(groups):
        taken = patches[:, g * channels : (g + 1) * channels]
        kernels = weight[g * filters : (g + 1) * filters]
        contracted = [1, *range(2 + axes, 2 + 2 * axes)]
        product = np.tensordot(taken, kernels, axes=(contracted, list(range(1, 2 + axes))))
        parts.append(np.moveaxis(product, -1, 1))
    result = np.concatenate(parts, axis=1)
    return (result if bias is None else result + bias.reshape(-1, *(1,) * axes),)


def pool_shape(node: OnnxNode, shape: tuple[int, ...]) -> tuple[Windows, tuple[int, ...]]:
    """The windows of a pool and the shape of its result."""
    if node.op.startswith("Global"):
        spatial = shape[2:]
        ones = (1,) * len(spatial)
        made = Windows(spatial, ones, ones, ((0, 0),) * len(spatial))
    else:
        made = windows(node, shape[2:], node.integers("kernel_shape") or ())
    return made, checked((*shape[:2], *made.out(shape[2:])))


def _pool(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value = given(args, 0)
    made, shape = pool_shape(node, value.shape)
    _bounded(math.prod(shape) * math.prod(made.kernel))
    axes = tuple(range(-len(made.kernel), 0))
    if node.op.endswith("MaxPool"):
        return (np.asarray(_patches(value, made, -np.inf).max(axis=axes)),)
    total = _patches(value, made, 0.0).sum(axis=axes)
    if node.op.startswith("Global") or node.integer("count_include_pad", 0):
        return (np.asarray(total / math.prod(made.kernel)),)
    return (np.asarray(total / _patches(np.ones_like(value), made, 0.0).sum(axis=axes)),)


def _matmul(_node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    x, y = given(args, 0), given(args, 1)
    _bounded(x.size * (y.shape[-1] if y.ndim > 1 else 1))
    checked((x.size // max(x.shape[-1], 1), y.shape[-1] if y.ndim > 1 else 1))
    bias = optional(args, 2)  # the reader puts a constant row that is added there
    return (np.asarray(x @ y if bias is None else x @ y + bias),)


def _gemm(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    x, y, bias = given(args, 0), given(args, 1), optional(args, 2)
    x = x.T if node.integer("transA", 0) else x
    y = y.T if node.integer("transB", 0) else y
    _bounded(x.size * y.shape[-1])
    checked((x.shape[0], y.shape[1]))
    product = node.number("alpha", 1.0) * (x @ y)
    return (product if bias is None else product + node.number("beta", 1.0) * bias,)


def batch_norm(node: OnnxNode, args: Arguments) -> tuple[Array, Array]:
    """(factor, shift) per channel of a batch normalization in its inference mode."""
    if node.integer("training_mode", 0):
        raise ValueError("it was exported in training mode: call eval() first")
    gamma, beta, mean, variance = (given(args, i) for i in range(1, 5))
    # Attributes are float32: the shortest decimal that rounds to one is the number that was written, as 1e-5.
    epsilon = float(str(np.float32(node.number("epsilon", 1e-5))))
    factor = gamma / np.sqrt(variance + epsilon)
    return np.asarray(factor), np.asarray(beta - mean * factor)


def _batch_norm(node: OnnxNode, args: Arguments) -> tuple[Array, ...]:
    value = given(args, 0)
    factor, shift = (v.reshape(-1, *(1,) * (value.ndim - 2)) for v in batch_norm(node, args))
    return (value * factor + shift,)


def _bounded(work: int) -> None:
    if work > MAX_WORK:
        raise ValueError(f"it needs {work} multiplications")


Kind = Literal["Conv", "Gemm", "MatMul"]
LINEAR: Mapping[str, Operation] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "AveragePool": _pool,
    "GlobalAveragePool": _pool,
    "MaxPool": _pool,
    "GlobalMaxPool": _pool,
}
