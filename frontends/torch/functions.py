"""What torch functions between the layers mean: one handler per function, by its name without underscores.

A handler takes the function's own arguments, tensors replaced by their meanings, and returns the meaning of the
result. Functions without a handler make their result opaque, which is refused only where it matters.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ranvier.compiler.ir.arrays import Shape
from ranvier.frontends.torch import arithmetic, einsum, gates, hosting, layers, pooling, shaping
from ranvier.frontends.torch.binary import rescaled
from ranvier.frontends.torch.calls import Call, Result
from ranvier.frontends.torch.problems import not_linear
from ranvier.frontends.torch.values import Meaning, Value


def matmul(call: Call, x: Meaning, y: Meaning) -> Result:
    """``x @ W`` with a constant matrix, or of two signals."""
    if isinstance(x, Value) and isinstance(y, torch.Tensor) and y.ndim == 2:
        return linear(call, x, y.T)
    if isinstance(x, Value) and isinstance(y, Value):
        return hosting.matrix(call, x, y)
    raise not_linear(call.site, "this matrix product")


def linear(call: Call, x: Value, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Result:
    """``functional.linear``."""
    key = _content(call, weight, bias)
    return call.each(x, lambda name, shape: layers.dense(name, weight, bias, shape), "linear", key)


def convolve(
    call: Call, x: Value, weight: torch.Tensor, bias: torch.Tensor | None = None, *args: Any, **kwargs: Any
) -> Result:
    """``functional.conv1d`` and ``conv2d``."""
    return call.each(x, lambda name, shape: layers.conv(name, weight, bias, shape, *args, **kwargs), "conv", id(weight))


def average_pool(
    call: Call,
    x: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Result:
    """``functional.avg_pool1d`` and ``avg_pool2d``."""
    options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return call.each(x, lambda name, shape: layers.average_pool(name, shape, *options), "avg_pool", str(options))


def adaptive_pool(call: Call, x: Value, output_size: Any) -> Result:
    """``functional.adaptive_avg_pool1d`` and ``2d``."""
    return call.each(
        x, lambda name, shape: layers.adaptive_pool(name, shape, output_size), "avg_pool", str(output_size)
    )


def dropout(call: Call, x: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Result:
    """Nothing, when it is switched off."""
    del p, inplace
    if training:
        raise not_linear(call.site, "dropout that stays on in evaluation (training=self.training is missing)")
    return x


def constant(call: Call, *_args: Any, **_kwargs: Any) -> Result:
    """zeros_like and its kin depend on shapes only."""
    made = call.event.seen
    return made[0] if len(made) == 1 else made


def activation(call: Call, *args: Any, **_kwargs: Any) -> Result:
    """A non-linearity without spikes."""
    raise layers.activation(str(call.site), call.event.name, hosting.helps(call, args))


def transpose_convolve(
    call: Call, x: Value, weight: torch.Tensor, bias: torch.Tensor | None = None, *args: Any, **kwargs: Any
) -> Result:
    """``functional.conv_transpose1d`` and ``conv_transpose2d``."""

    def make(name: str, shape: Shape) -> layers.Ops:
        return layers.conv_transpose(name, weight, bias, shape, layers.Spacing(*args, **kwargs))

    return call.each(x, make, "conv_transpose", id(weight))


def max_pool(call: Call, x: Value, *args: Any, **kwargs: Any) -> Result:
    """``functional.max_pool1d`` and ``2d``."""
    return _relayed(call, x, pooling.max_windows, args, kwargs)


def adaptive_max_pool(call: Call, x: Value, *args: Any, **kwargs: Any) -> Result:
    """``functional.adaptive_max_pool1d`` and ``2d``."""
    return _relayed(call, x, pooling.adaptive_max_windows, args, kwargs)


def _relayed(call: Call, x: Value, windows: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result:
    """The maximum over windows of binary spikes."""
    pooling.check_axes(str(call.site), x.shape, 1 if "1d" in call.event.name else 2)
    spikes, factor = pooling.pooled_spikes(call.ops, x, str(call.site))

    def make(name: str, shape: Shape) -> pooling.Made:
        made: pooling.Made = windows(name, shape, *args, **kwargs)
        return made

    pooled = call.each(spikes, make, "max_pool", str((args, kwargs)))
    return rescaled(call.ops, pooled, factor, call.name("max_pool"))


def _content(call: Call, *constants: torch.Tensor | None) -> str:
    """A key for weights by value: the same numbers may come as a new tensor in each step."""
    digest = hashlib.sha256()
    for constant in constants:
        if constant is not None and not isinstance(constant, torch.Tensor):
            raise not_linear(call.site, "a weight that depends on the input")
        digest.update(b"none" if constant is None else layers.numbers(constant).tobytes())
    return digest.hexdigest()


def _named(handler: Callable[..., Result], names: str) -> dict[str, Callable[..., Result]]:
    return dict.fromkeys(names.split(), handler)


HANDLERS: Mapping[str, Callable[..., Result]] = {
    **_named(
        shaping.alias, "contiguous clone detach to float double cpu requires_grad type type_as data alias positive"
    ),
    **_named(shaping.reshape, "view reshape flatten unflatten view_as reshape_as ravel"),
    **_named(shaping.permute, "permute"),
    **_named(shaping.transpose, "transpose swapaxes swapdims"),
    **_named(shaping.movedim, "movedim moveaxis"),
    **_named(shaping.getitem, "getitem"),
    **_named(shaping.select, "select"),
    **_named(shaping.unbind, "unbind"),
    **_named(shaping.parts, "split chunk split_with_sizes tensor_split"),
    **_named(shaping.transposed_matrix, "mT"),
    **_named(shaping.unsqueeze, "unsqueeze"),
    **_named(shaping.squeeze, "squeeze"),
    **_named(shaping.repeat, "repeat"),
    **_named(shaping.expand, "expand broadcast_to"),
    **_named(shaping.stack, "stack"),
    **_named(shaping.cat, "cat concat concatenate"),
    **_named(arithmetic.plus, "add radd iadd"),
    **_named(arithmetic.minus, "sub isub subtract"),
    **_named(arithmetic.reversed_minus, "rsub"),
    **_named(arithmetic.times, "mul rmul imul multiply"),
    **_named(arithmetic.divide, "div truediv itruediv divide true_divide"),
    **_named(arithmetic.negative, "neg negative"),
    **_named(matmul, "matmul mm bmm"),
    **_named(einsum.einsum, "einsum"),
    **_named(linear, "linear"),
    **_named(convolve, "conv1d conv2d"),
    **_named(average_pool, "avg_pool1d avg_pool2d"),
    **_named(adaptive_pool, "adaptive_avg_pool1d adaptive_avg_pool2d"),
    **_named(dropout, "dropout"),
    **_named(arithmetic.total, "sum"),
    **_named(arithmetic.running_total, "cumsum"),
    **_named(arithmetic.mean, "mean"),
    **_named(arithmetic.maximum, "max amax"),
    **_named(gates.where, "where"),
    **_named(gates.masked_fill, "masked_fill"),
    **_named(gates.invert, "invert logical_not bitwise_not"),
    **_named(constant, "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_tensor"),
    **_named(activation, layers.FUNCTIONAL_ACTIVATIONS),
    **_named(transpose_convolve, "conv_transpose1d conv_transpose2d"),
    **_named(max_pool, "max_pool1d max_pool2d"),
    **_named(adaptive_max_pool, "adaptive_max_pool1d adaptive_max_pool2d"),
}
