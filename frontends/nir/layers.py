"""NIR's linear nodes as layers of the network, their shapes inferred from what arrives.

The types in the file are not used: nir's own inference takes a kernel's height for both axes.
Conventions are torch's (cross-correlation, floor of partial windows, padding counted in averages).
"""

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, IntArray, Shape, floats, integers, size
from ranvier.compiler.ir.linear import Conv, Dense, Linear, Pool, Reshape, Scale
from ranvier.frontends.fields import mismatch
from ranvier.frontends.nir.graph import RawNode

MAX_SYNAPSES = 2**28
Padding = tuple[tuple[int, int], ...]


def layer(node: RawNode, arriving: Shape) -> Linear:
    """The layer that ``node`` is for input of shape ``arriving``. Raises ``RanvierError``."""
    if node.type in ("Affine", "Linear"):
        return _dense(node, arriving)
    if node.type in ("Conv1d", "Conv2d"):
        return _conv(node, arriving, 1 if node.type == "Conv1d" else 2)
    if node.type in ("SumPool2d", "AvgPool2d"):
        return _pool(node, arriving)
    if node.type == "Scale":
        return _scale(node, arriving)
    if node.type == "Flatten":
        return Reshape(node.name, arriving, _flattened(node, arriving))
    return Reshape(node.name, arriving, arriving)


def delay_steps(node: RawNode, dt: float | None) -> IntArray:
    """The delays of a ``Delay`` node in steps, whole numbers: one for all its elements, or one for each."""
    delays = node.fields.array("delay").ravel()
    steps = delays / dt if dt else delays
    bad = (delays < 0) | (np.abs(steps - np.rint(steps)) > 1e-3) | (steps > 2**20)
    if bool(bad.any()):
        first = int(np.argmax(bad))
        raise error(
            "RV112",
            node.place,
            f"a delay of {delays[first]} is {steps[first]:.6g} steps of dt = {dt}, not a whole number",
            "choose a delay that is a multiple of dt",
            steps=float(steps[first]),
        )
    whole = integers(np.rint(steps))
    return whole[:1] if bool((whole == whole[0]).all()) else whole


def _dense(node: RawNode, arriving: Shape) -> Dense:
    weight = node.fields.array("weight")
    if weight.ndim != 2:
        raise _bad(node, f"its weight has shape {weight.shape}, not (outputs, inputs)", "use one matrix per node")
    if weight.shape[1] != size(arriving):
        raise mismatch("RV107", node.place, f"{weight.shape[1]} values", arriving)
    bias = node.fields.array("bias").ravel() if node.type == "Affine" else None
    return Dense(node.name, weight, _bias(node, bias, weight.shape[0]))


def _conv(node: RawNode, arriving: Shape, axes: int) -> Conv:
    weight = node.fields.array("weight")
    if weight.ndim != axes + 2:
        raise _bad(node, f"its weight has shape {weight.shape}, not {axes + 2} axes", "export the convolution again")
    groups = node.fields.integers("groups", 1, 1, least=1)[0]
    channels = weight.shape[1] * groups
    if weight.shape[0] % groups:
        raise _bad(node, f"{weight.shape[0]} channels do not divide into {groups} groups", "correct groups")
    shape = _image(node, arriving, channels, axes)
    stride, dilation = (
        node.fields.integers("stride", axes, 1, least=1),
        node.fields.integers("dilation", axes, 1, least=1),
    )
    kernel = weight.shape[2:]
    padding = _padding(node, kernel, stride, dilation)
    _check_windows(node, shape, kernel, stride, padding, dilation)
    bias = node.fields.array("bias", 0.0).ravel()
    found = _bias(
        node, bias if bias.size > 1 or weight.shape[0] == 1 else floats([bias[0]] * weight.shape[0]), weight.shape[0]
    )
    return Conv(node.name, weight, shape, found, stride, padding, dilation, groups)


def _bias(node: RawNode, bias: FloatArray | None, outputs: int) -> FloatArray | None:
    if bias is not None and bias.size != outputs:
        raise _bad(node, f"it has {bias.size} biases for {outputs} outputs", "export the layer again")
    return bias if bias is not None and bool((bias != 0).any()) else None


def _image(node: RawNode, arriving: Shape, channels: int, axes: int) -> Shape:
    """(channels, *spatial) of what arrives; a flat vector takes its spatial shape from the file."""
    if len(arriving) == axes + 1 and arriving[0] == channels:
        return arriving
    if len(arriving) == 1 and "input_shape" in node.fields:
        shape = (channels, *node.fields.integers("input_shape", axes, least=1))
        if size(node.fields.checked_shape(shape)) == size(arriving):
            return shape
    raise mismatch("RV107", node.place, f"{channels} channels of {axes} axes each", arriving)


def _padding(node: RawNode, kernel: Shape, stride: Shape, dilation: Shape) -> Padding:
    text = node.fields.text("padding")
    if text is None:
        return tuple((p, p) for p in node.fields.integers("padding", len(kernel), 0))
    if text == "valid":
        return ((0, 0),) * len(kernel)
    if text != "same" or any(s != 1 for s in stride):
        raise _bad(
            node,
            f"padding {text!r} with stride {stride} has no meaning",
            "use numbers, 'valid', or 'same' with stride 1",
        )
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def _pool(node: RawNode, arriving: Shape) -> Pool:
    kernel = node.fields.integers("kernel_size", 2, least=1)
    stride = node.fields.integers("stride", 2, least=1)
    padding = tuple((p, p) for p in node.fields.integers("padding", 2, 0))
    if len(arriving) != 3:
        raise mismatch("RV107", node.place, "(channels, height, width)", arriving)
    _check_windows(node, arriving, kernel, stride, padding, (1, 1))
    return Pool(node.name, "sum" if node.type == "SumPool2d" else "average", arriving, kernel, stride, padding)


def _check_windows(
    node: RawNode, shape: Shape, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape
) -> None:
    """Refuse kernels larger than the padded input, padding beyond the kernel, and unrolled giants."""
    outputs = 1
    for n, k, s, (lo, hi), d in zip(shape[1:], kernel, stride, padding, dilation, strict=True):
        span = d * (k - 1) + 1
        if span > n + lo + hi or lo >= span or hi >= span:
            raise _bad(
                node,
                f"a kernel spanning {span} with padding {(lo, hi)} does not fit {n} inputs along an axis",
                "correct kernel, padding and dilation",
            )
        outputs *= (n + lo + hi - span) // s + 1
    node.fields.checked_shape((outputs,))
    if outputs * size(kernel) > MAX_SYNAPSES:
        raise _bad(node, f"it has {outputs * size(kernel)} synapses per pair of channels", "use a smaller layer")


def _scale(node: RawNode, arriving: Shape) -> Scale:
    factor = node.fields.array("scale")
    if factor.size not in (1, size(arriving)):
        per_channel = factor.ndim == len(arriving) and factor.shape[0] == factor.size == arriving[0]
        if not per_channel:
            raise mismatch("RV107", node.place, f"values of shape {factor.shape}", arriving)
    return Scale(node.name, arriving, factor.reshape(()) if factor.size == 1 else factor.ravel(), floats(0.0))


def _flattened(node: RawNode, arriving: Shape) -> Shape:
    first, last = node.fields.signed("start_dim", 1), node.fields.signed("end_dim", -1)
    count = len(arriving)
    start, end = (d + count if d < 0 else d for d in (first, last))
    if not 0 <= start <= end < count:
        raise _bad(
            node,
            f"axes {first} to {last} do not exist in {arriving}",
            "correct start_dim and end_dim; there is no batch axis",
        )
    return (*arriving[:start], size(arriving[start : end + 1]), *arriving[end + 1 :])


def _bad(node: RawNode, why: str, fix: str) -> RanvierError:
    return error("RV108", node.place, why, fix)
