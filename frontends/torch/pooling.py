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
from ranvier.compiler.ir.arrays import Shape, floats, size
from ranvier.compiler.ir.linear import Conv, Linear, Reshape, Scale, Sparse
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Input, Network, Neurons
from ranvier.compiler.ir.neurons import Lif, NeuronModel
from ranvier.frontends.torch.operations import Operations
from ranvier.frontends.torch.problems import unsupported_option
from ranvier.frontends.torch.values import Apply, Expr, Leaf, Sum, Value

Made = tuple[Linear | Neurons, ...]
FIX = (
    "Pool the spikes of the neurons, one a step each (max_pool(lif(conv(x))) in place of lif(max_pool(conv(x)))), "
    "or replace it by AvgPool of the same size or a convolution with a stride, and train again for a few epochs."
)


def binary(model: NeuronModel) -> bool:
    """Whether neurons of ``model`` send nothing but zeros and ones."""
    return not realised(model).program.graded


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


def unscaled(ops: Operations, value: Value, place: str) -> tuple[Value, float]:
    """``value`` as zeros and ones times a positive factor; raises ``RanvierError`` (RV182) where it is not."""
    found = [_spikes(ops, frame, place) for frame in value.frames]
    factors = {factor for _, factor in found}
    if len(factors) > 1:
        raise refused(place, "spikes of different height in different steps")
    return Value(tuple(expr for expr, _ in found), value.axes), factors.pop()


def rescaled(ops: Operations, value: Value, factor: float, name: str) -> Value:
    """``factor * value``."""
    frames = (ops.scale(frame, floats(factor), floats(0.0), f"{name}.height") for frame in value.frames)
    return Value(tuple(frames), value.axes)


def refused(place: str, what: str) -> RanvierError:
    """The maximum of other things than binary spikes."""
    text = f"the maximum of {what} is neither a weighted sum nor a spike; only the maximum of binary spikes can be had."
    return error("RV182", place, text, FIX)


def check_pooled_inputs(network: Network) -> None:
    """Refuse (RV364) relays that the input reaches without neurons in between, where it is not spikes."""
    real = {port.name for port in network.inputs if port.coding != "spikes"}
    for node in network.populations:
        if node.model is RELAY and real & _senders(network, node.name):
            raise error(
                "RV364",
                node.name,
                "it takes the maximum of input values, and the input is real numbers.",
                "Give a sample of zeros and ones or coding='spikes' where the data are binary; else move the pooling "
                "behind the first neurons, or into the preparation of the data.",
            )


def _senders(network: Network, name: str) -> set[str]:
    """Inputs and populations that lead to ``name`` through linear layers alone."""
    found: set[str] = set()
    for edge in network.into[name]:
        source = network.by_name[edge.source]
        found |= {source.name} if isinstance(source, Input | Neurons) else _senders(network, source.name)
    return found


RELAY = Lif(keep_membrane=floats(0.0), threshold=floats(0.5))


def _relays(name: str, windows: Conv | Sparse) -> Made:
    return windows, Neurons(name, windows.out_shape, RELAY)


def _spikes(ops: Operations, expr: Expr, place: str) -> tuple[Expr, float]:
    """``expr`` without its positive factor, and the factor."""
    if isinstance(expr, Leaf) and (expr.output == "input" or (expr.output == "spikes" and expr.source in ops.binary)):
        return expr, 1.0
    if isinstance(expr, Leaf):
        raise refused(place, f"the {expr.output} of {expr.source}" + ", several a step" * (expr.output == "spikes"))
    if isinstance(expr, Apply) and isinstance(expr.op, Neurons):
        return expr, 1.0
    if isinstance(expr, Apply) and isinstance(expr.op, Reshape):
        inner, factor = _spikes(ops, expr.arg, place)
        return Apply(expr.op, inner), factor
    if isinstance(expr, Apply) and isinstance(expr.op, Scale):
        scale = expr.op
        if scale.factor.size == 1 and scale.factor.item() > 0 and not np.any(scale.shift):
            inner, factor = _spikes(ops, expr.arg, place)
            return inner, factor * scale.factor.item()
    if isinstance(expr, Sum) and _side_by_side(expr):
        parts = [(term, _spikes(ops, term.arg, place)) for term in expr.terms if isinstance(term, Apply)]
        if len({factor for _, (_, factor) in parts}) == 1:
            return Sum(tuple(Apply(t.op, inner) for t, (inner, _) in parts), expr.shape), parts[0][1][1]
    what = f"what {expr.op.name} gives" if isinstance(expr, Apply) else "a sum of spikes"
    raise refused(place, what)


def _side_by_side(total: Sum) -> bool:
    """Whether the terms are parts of one frame that do not overlap, as concatenation makes them."""
    taken = np.zeros(size(total.shape))
    for term in total.terms:
        if not isinstance(term, Apply) or not isinstance(term.op, Sparse) or not bool(np.all(term.op.data == 1.0)):
            return False
        taken += np.diff(term.op.indptr)
    return bool(np.all(taken <= 1))


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
