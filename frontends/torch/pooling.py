"""Maximal and adaptive pooling: the largest of zeros and ones is one where any is, which a relay neuron computes.

``max(s_1, ..., s_n)`` of binary spikes is ``sum(s_i) > 1/2``: a neuron without memory, weights 1, threshold 1/2.
It takes no step of the network's time (on the chip one more step of latency), for any kernel, overlap and padding
(torch pads a maximum with minus infinity, which here is silence). The maximum of anything else, of weighted sums or
of spike counts, is no such neuron and is refused.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.linear import Conv, Linear, Sparse
from ranvier.compiler.ir.network import Neurons
from ranvier.frontends.torch.binary import ANY, NotBinaryError, unscaled
from ranvier.frontends.torch.operations import Operations
from ranvier.frontends.torch.problems import unsupported_option
from ranvier.frontends.torch.values import Value

Made = tuple[Linear | Neurons, ...]
FIX = (
    "Pool the spikes of the neurons, one a step each (max_pool(lif(conv(x))) in place of lif(max_pool(conv(x)))), "
    "or replace it by AvgPool of the same size or a convolution with a stride, and train again for a few epochs."
)


def max_windows(
    name: str,
    shape: Shape,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Made:
    """Relays over windows as ``torch.nn.MaxPool`` lays them."""
    axes = len(shape) - 1
    _no_indices(name, return_indices)
    kernels, dilations, pads = (_spread(values, axes) for values in (kernel, dilation, padding))
    strides = _spread(stride, axes) if stride or stride == 0 else kernels
    both = []
    for n, k, s, p, d in zip(shape[1:], kernels, strides, pads, dilations, strict=True):
        span = d * (k - 1) + 1
        count = (n + 2 * p - span) // s + 1
        if ceil_mode and (n + 2 * p - span) % s and count * s < n + p:
            count += 1
        both.append((p, max(p, (count - 1) * s + span - n - p)))
    ones = np.ones((shape[0], 1, *kernels))
    return _relays(name, Conv(f"{name}.windows", ones, shape, None, strides, tuple(both), dilations, shape[0]))


def adaptive_max_windows(name: str, shape: Shape, target: Any, return_indices: bool = False) -> Made:
    """Relays over the windows of adaptive pooling."""
    _no_indices(name, return_indices)
    return _relays(name, adaptive_windows(f"{name}.windows", shape, adaptive_goal(shape, target)))


def adaptive_goal(shape: Shape, target: int | Sequence[int | None] | None) -> Shape:
    """The spatial output shape of adaptive pooling; None keeps an axis."""
    asked = tuple(target) if isinstance(target, Sequence) else (target,) * (len(shape) - 1)
    return tuple(n if t is None else t for n, t in zip(shape[1:], asked, strict=True))


def adaptive_windows(name: str, shape: Shape, goal: Shape, average: bool = False) -> Sparse:
    """Sums (or averages) over the windows of adaptive pooling: ``floor(i n / m)`` to ``ceil((i + 1) n / m)``."""
    spans = [[slice(i * n // m, -(-(i + 1) * n // m)) for i in range(m)] for n, m in zip(shape[1:], goal, strict=True)]
    places = np.arange(size(shape)).reshape(shape)
    windows = [places[c][at].reshape(-1) for c in range(shape[0]) for at in itertools.product(*spans)]
    lengths = np.array([window.size for window in windows])
    data = np.repeat(1.0 / lengths, lengths) if average else np.ones(int(lengths.sum()))
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return Sparse(name, data, np.concatenate(windows), indptr, size(shape), (shape[0], *goal))


def pooled_spikes(ops: Operations, value: Value, place: str) -> tuple[Value, float]:
    """``value`` as zeros and ones times a positive factor; raises ``RanvierError`` (RV182) where it is not."""
    try:
        return unscaled(ops, value)
    except NotBinaryError as found:
        raise refused(place, found.what) from None


def refused(place: str, what: str) -> RanvierError:
    """The maximum of other things than binary spikes."""
    text = f"the maximum of {what} is neither a weighted sum nor a spike; only the maximum of binary spikes can be had."
    return error("RV182", place, text, FIX)


def _relays(name: str, windows: Conv | Sparse) -> Made:
    return windows, Neurons(name, windows.out_shape, ANY)


def check_axes(place: str, shape: Shape, axes: int) -> None:
    """Refuse (RV184) frames without a channel axis: torch would take the batch for the channels."""
    if len(shape) != axes + 1:
        text = f"the pooling gets frames of shape {list(shape)} instead of (channels, {axes} spatial axes)."
        raise unsupported_option(place, text, "Give it an input with batch and channel axes.")


def _no_indices(name: str, asked: bool) -> None:
    if asked:
        raise unsupported_option(name, "return_indices=True asks where the maximum is.", "Use return_indices=False.")


def _spread(value: int | Sequence[int], axes: int) -> Shape:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def _max(m: nn.Module, name: str, shape: Shape) -> Made:
    assert isinstance(m, (nn.MaxPool1d, nn.MaxPool2d))
    check_axes(name, shape, 1 if isinstance(m, nn.MaxPool1d) else 2)
    return max_windows(name, shape, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices)


def _adaptive(m: nn.Module, name: str, shape: Shape) -> Made:
    assert isinstance(m, (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d))
    check_axes(name, shape, 1 if isinstance(m, nn.AdaptiveMaxPool1d) else 2)
    return adaptive_max_windows(name, shape, m.output_size, m.return_indices)


LAYERS: Mapping[str, Callable[[nn.Module, str, Shape], Made]] = {
    "torch.nn.modules.pooling.MaxPool1d": _max,
    "torch.nn.modules.pooling.MaxPool2d": _max,
    "torch.nn.modules.pooling.AdaptiveMaxPool1d": _adaptive,
    "torch.nn.modules.pooling.AdaptiveMaxPool2d": _adaptive,
}
