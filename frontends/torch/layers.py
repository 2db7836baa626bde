"""torch.nn layers, and their functional forms, as linear operations on one frame."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Linear, Pool, Scale, Sparse
from ranvier.frontends.torch import pooling
from ranvier.frontends.torch.problems import HOST, unsupported_option

Ops = tuple[Linear, ...]
ALIASES = frozenset(
    {"Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"}
)
FUNCTIONAL_ACTIVATIONS = (
    "relu relu6 leaky_relu elu selu celu gelu silu mish hardswish hardtanh sigmoid tanh softplus prelu rrelu "
    "hardsigmoid clamp_min threshold"
)


def numbers(tensor: torch.Tensor) -> FloatArray:
    """A parameter as float64."""
    values: FloatArray = tensor.detach().double().cpu().numpy()
    return values


def dense(name: str, weight: torch.Tensor, bias: torch.Tensor | None, shape: Shape) -> Ops:
    """``W x + b`` on a flat frame, or on each token of a frame (..., tokens, features)."""
    if shape[-1] != weight.shape[1]:
        raise unsupported_option(
            name,
            f"the linear layer gets frames of shape {list(shape)} instead of {weight.shape[1]} features.",
            "Flatten the features before it with flatten(1).",
        )
    offsets = None if bias is None else numbers(bias)
    if len(shape) == 1:
        return (Dense(name, numbers(weight), offsets),)
    return _per_token(name, numbers(weight), offsets, shape)


def _per_token(name: str, weight: FloatArray, bias: FloatArray | None, shape: Shape) -> Ops:
    """The same weights for every token, as a matrix: their block once for each."""
    tokens, (outputs, inputs) = size(shape[:-1]), weight.shape
    columns = np.arange(tokens)[:, None, None] * inputs + np.arange(inputs)[None, None, :]
    columns = np.broadcast_to(columns, (tokens, outputs, inputs)).reshape(-1)
    rows = np.arange(tokens * outputs + 1) * inputs
    matrix = Sparse(name, np.tile(weight.reshape(-1), tokens), columns, rows, tokens * inputs, (*shape[:-1], outputs))
    if bias is None:
        return (matrix,)
    return matrix, Scale(f"{name}.bias", matrix.out_shape, np.array(1.0), np.tile(bias, tokens))


def conv(
    name: str,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Shape,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Ops:
    """A cross-correlation over one or two spatial axes."""
    axes = weight.ndim - 2
    if len(shape) != axes + 1:
        raise unsupported_option(
            name,
            f"the convolution gets frames of shape {list(shape)} instead of (channels, {axes} spatial axes).",
            "Give it an input with batch and channel axes.",
        )
    dilations = _spread(dilation, axes)
    pads = _padding(padding, tuple(weight.shape[2:]), dilations)
    offsets = None if bias is None else numbers(bias)
    return (Conv(name, numbers(weight), shape, offsets, _spread(stride, axes), pads, dilations, groups),)


@dataclass(frozen=True)
class Spacing:
    """The options of a transposed convolution, in torch's order."""

    stride: int | Sequence[int] = 1
    padding: int | Sequence[int] = 0
    output_padding: int | Sequence[int] = 0
    groups: int = 1
    dilation: int | Sequence[int] = 1


def conv_transpose(
    name: str, weight: torch.Tensor, bias: torch.Tensor | None, shape: Shape, spacing: Spacing = Spacing()
) -> Ops:
    """A transposed convolution over one or two spatial axes."""
    axes = weight.ndim - 2
    if len(shape) != axes + 1:
        text = f"the transposed convolution gets frames of shape {list(shape)} instead of (channels, {axes} axes)."
        raise unsupported_option(name, text, "Give it an input with batch and channel axes.")
    offsets = None if bias is None else numbers(bias)
    stride, padding = _spread(spacing.stride, axes), _spread(spacing.padding, axes)
    extra, dilation = _spread(spacing.output_padding, axes), _spread(spacing.dilation, axes)
    return (ConvTranspose(name, numbers(weight), shape, offsets, stride, padding, extra, dilation, spacing.groups),)


def average_pool(
    name: str,
    shape: Shape,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int | None = None,
) -> Ops:
    """The average over windows; as a sum with factors where padding does not count or the divisor is given."""
    axes = len(shape) - 1
    kernels, pads = _spread(kernel, axes), _spread(padding, axes)
    strides = kernels if stride is None or stride == [] else _spread(stride, axes)
    both = tuple((p, p) for p in pads)
    if ceil_mode and _ceil_matters(shape[1:], kernels, strides, pads):
        raise unsupported_option(
            name,
            f"ceil_mode=True makes windows that hang over the edge of frames of shape {list(shape)}.",
            "Pad the input so that the windows fit, or set ceil_mode=False and train again.",
        )
    if divisor is None and (count_include_pad or not any(pads)):
        return (Pool(name, "average", shape, kernels, strides, both),)
    total = Pool(name, "sum", shape, kernels, strides, both)
    factor = 1.0 / _window_sizes(total) if divisor is None else np.array(1.0 / divisor)
    if divisor == 1:
        return (total,)
    return (total, Scale(f"{name}.divide", total.out_shape, factor, np.array(0.0)))


def adaptive_pool(name: str, shape: Shape, target: int | Sequence[int | None] | None) -> Ops:
    """An adaptive average; windows of unequal size become a sparse matrix."""
    spatial, goal = shape[1:], pooling.adaptive_goal(shape, target)
    if any(n % t for n, t in zip(spatial, goal, strict=True)):
        return (pooling.adaptive_windows(name, shape, goal, average=True),)
    kernel = tuple(n // t for n, t in zip(spatial, goal, strict=True))
    return (Pool(name, "average", shape, kernel, kernel, ((0, 0),) * len(spatial)),)


def normalising(m: nn.Module, name: str) -> tuple[FloatArray, FloatArray]:
    """What a batch norm does in evaluation, ``factor x + shift`` per channel, in float64; RV184 without statistics.

    ``factor = weight / sqrt(var + eps)``, ``shift = bias - mean * factor``.
    """
    assert isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))
    if m.running_mean is None or m.running_var is None:
        raise unsupported_option(
            name,
            "track_running_stats=False normalises by the batch at hand, also in evaluation.",
            "Train with running statistics, which are folded into the weights.",
        )
    scale = numbers(m.weight) if m.affine else np.ones(m.num_features)
    factor = scale / np.sqrt(numbers(m.running_var) + m.eps)
    shift = -numbers(m.running_mean) * factor
    return factor, shift + numbers(m.bias) if m.affine else shift


def _linear(m: nn.Module, name: str, shape: Shape) -> Ops:
    assert isinstance(m, nn.Linear)
    return dense(name, m.weight, m.bias, shape)


def _convolution(m: nn.Module, name: str, shape: Shape) -> Ops:
    assert isinstance(m, (nn.Conv1d, nn.Conv2d))
    if m.padding_mode != "zeros" and any(_flat(m._reversed_padding_repeated_twice)):
        raise unsupported_option(
            name,
            f"padding_mode={m.padding_mode!r} fills the border with other than zeros.",
            "Use padding_mode='zeros'.",
        )
    return conv(name, m.weight, m.bias, shape, m.stride, m.padding, m.dilation, m.groups)


def _transposed(m: nn.Module, name: str, shape: Shape) -> Ops:
    assert isinstance(m, (nn.ConvTranspose1d, nn.ConvTranspose2d))
    assert not isinstance(m.padding, str)
    return conv_transpose(
        name, m.weight, m.bias, shape, Spacing(m.stride, m.padding, m.output_padding, m.groups, m.dilation)
    )


def _average(m: nn.Module, name: str, shape: Shape) -> Ops:
    assert isinstance(m, (nn.AvgPool1d, nn.AvgPool2d))
    divisor = getattr(m, "divisor_override", None)
    return average_pool(name, shape, m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad, divisor)


def _adaptive(m: nn.Module, name: str, shape: Shape) -> Ops:
    assert isinstance(m, (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d))
    return adaptive_pool(name, shape, m.output_size)


def _normalise(m: nn.Module, name: str, shape: Shape) -> Ops:
    return (Scale(name, shape, *normalising(m, name)),)


LAYERS: Mapping[str, Callable[[nn.Module, str, Shape], Ops]] = {
    "torch.nn.modules.linear.Linear": _linear,
    "torch.nn.modules.conv.Conv1d": _convolution,
    "torch.nn.modules.conv.Conv2d": _convolution,
    "torch.nn.modules.conv.ConvTranspose1d": _transposed,
    "torch.nn.modules.conv.ConvTranspose2d": _transposed,
    "torch.nn.modules.pooling.AvgPool1d": _average,
    "torch.nn.modules.pooling.AvgPool2d": _average,
    "torch.nn.modules.pooling.AdaptiveAvgPool1d": _adaptive,
    "torch.nn.modules.pooling.AdaptiveAvgPool2d": _adaptive,
    "torch.nn.modules.batchnorm.BatchNorm1d": _normalise,
    "torch.nn.modules.batchnorm.BatchNorm2d": _normalise,
}
HOSTED = frozenset(
    {
        *(f"torch.nn.modules.activation.{name}" for name in ("Softmax", "SiLU", "GELU", "Sigmoid", "Tanh", "ReLU")),
        "torch.nn.modules.normalization.LayerNorm",
        "torch.nn.modules.normalization.RMSNorm",
    }
)
"""Layers that the host can compute."""
RESHAPES = frozenset({"torch.nn.modules.flatten.Flatten", "torch.nn.modules.flatten.Unflatten"})


def is_layer(module: nn.Module) -> bool:
    """Whether ``module`` is a torch.nn layer, to be taken as a whole, and not a container of others."""
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
    return type(module).__module__.startswith("torch.nn.modules.") and not isinstance(module, containers)


def refusal(module: nn.Module, name: str, path: str) -> RanvierError | None:
    """Why the torch.nn layer at ``path``, as ``module`` is one, cannot be part of a network, or None if it can."""
    kind = type(module).__name__
    if path in LAYERS or path in pooling.LAYERS or path in RESHAPES or kind in ALIASES:
        return None
    if "MaxPool" in kind:
        return pooling.refused(name, f"the windows of {kind}")
    if type(module).__module__ == "torch.nn.modules.activation" and kind != "MultiheadAttention":
        return activation(name, kind, path in HOSTED)
    return error(
        "RV183",
        name,
        f"{kind} has no counterpart in a network of spikes and weighted sums.",
        "Supported are Linear, Conv1d, Conv2d, their transposes, average pooling, max pooling of spikes, BatchNorm1d, "
        "BatchNorm2d, Flatten, Dropout, Identity, and the neurons of snnTorch, SpikingJelly, Norse, Sinabs, Rockpool "
        "and SLAYER that docs/support.md lists; replace the layer and train again."
        f"{HOST * (path in HOSTED)}",
    )


def activation(place: str, kind: str, host: bool = False) -> RanvierError:
    """An activation function is not a spiking neuron; ``host``: the host can compute it."""
    return error(
        "RV181",
        place,
        f"{kind} is an activation function of a conventional network, not a spiking neuron.",
        "Remove it (the neurons are the non-linearity), or replace it by a spiking neuron such as snntorch.Leaky and "
        f"train again.{HOST * host}",
    )


def _padding(padding: str | int | Sequence[int], kernel: Shape, dilation: Shape) -> tuple[tuple[int, int], ...]:
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    assert not isinstance(padding, str)
    return tuple((p, p) for p in _spread(padding, len(kernel)))


def _spread(value: int | Sequence[int], axes: int) -> Shape:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def _flat(value: int | Sequence[int]) -> Shape:
    return (value,) if isinstance(value, int) else tuple(value)


def _ceil_matters(spatial: Shape, kernel: Shape, stride: Shape, pads: Shape) -> bool:
    """Whether rounding up adds a window (torch drops one that would start in the padding behind the input)."""
    for n, k, s, p in zip(spatial, kernel, stride, pads, strict=True):
        rest = (n + 2 * p - k) % s
        last = ((n + 2 * p - k) // s + 1) * s
        if rest and last < n + p:
            return True
    return False


def _window_sizes(pool: Pool) -> FloatArray:
    """How many real pixels each window covers, flat over the output of ``pool``."""
    per_axis = []
    outputs = pool.out_shape[1:]
    axes = zip(pool.in_shape[1:], pool.kernel, pool.stride, pool.padding, outputs, strict=True)
    for n, k, s, (lo, _), count in axes:
        starts = np.arange(count) * s - lo
        per_axis.append(np.minimum(starts + k, n) - np.maximum(starts, 0))
    sizes = per_axis[0] if len(per_axis) == 1 else np.multiply.outer(per_axis[0], per_axis[1])
    return np.tile(sizes.reshape(-1), pool.in_shape[0]).astype(np.float64)
