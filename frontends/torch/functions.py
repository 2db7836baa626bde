"""What torch functions between the layers mean: one handler per function, by its name without underscores.

A handler takes the function's own arguments, tensors replaced by their meanings, and returns the meaning of the
result. Functions without a handler make their result opaque, which is refused only where it matters.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.linear import Linear
from ranvier.frontends.torch import layers, layout
from ranvier.frontends.torch.capture import Event, Site, tensors
from ranvier.frontends.torch.operations import Operations, chain, frame_array, local_name
from ranvier.frontends.torch.problems import mixes, not_linear
from ranvier.frontends.torch.values import Meaning, Reduced, Value, add

Result = Meaning | tuple[Meaning, ...]


@dataclass(frozen=True, eq=False)
class Call:
    """One function call: the cache of operations, where it stands, and the shape it gave."""

    ops: Operations
    event: Event

    @property
    def site(self) -> Site:
        """Where the call stands."""
        return self.event.site

    @property
    def out(self) -> Shape:
        """Shape of the (first) result."""
        return tuple(next(tensors(self.event.out)).shape)

    def name(self, what: str) -> str:
        """A name for an operation made here."""
        return local_name(self.site, what)

    def each(self, value: Value, make: Callable[[str, Shape], tuple[Linear, ...]], what: str, key: Any = None) -> Value:
        """Operations applied to every frame; features last, one frame axis before them."""
        name = self.name(what)
        made = self.ops.once(
            (what, self.site.file, self.site.offset, self.site.line, value.shape, key), lambda: make(name, value.shape)
        )
        frames = tuple(chain(made, frame) for frame in value.frames)
        lead = value.axes.rstrip("F")
        if "F" in lead:
            raise mixes(self.site, f"{what} with time or batch behind the features")
        return Value(frames, lead + "F" * len(frames[0].shape))


def alias(_call: Call, x: Value, *_args: Any, **_kwargs: Any) -> Result:
    """The same numbers."""
    return x


def reshape(call: Call, x: Value, *_args: Any, **_kwargs: Any) -> Result:
    """view, reshape, flatten, unflatten, squeeze: the shape that came out tells all."""
    return layout.reshape(call.ops, x, call.out, call.name("reshape"), call.site)


def permute(call: Call, x: Value, *dims: Any) -> Result:
    """``permute(*dims)`` or ``permute(dims)``."""
    return layout.permute(x, _sizes(dims), call.site)


def transpose(call: Call, x: Value, dim0: int, dim1: int) -> Result:
    """Two axes exchanged."""
    order = list(range(len(x.axes)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return layout.permute(x, order, call.site)


def movedim(call: Call, x: Value, source: int, destination: int) -> Result:
    """One axis moved."""
    order = list(range(len(x.axes)))
    order.insert(destination % len(order), order.pop(source))
    return layout.permute(x, order, call.site)


def getitem(call: Call, x: Value, key: Any) -> Result:
    """``x[key]``."""
    return layout.index(call.ops, x, key, call.site)


def select(call: Call, x: Value, dim: int, index: int) -> Result:
    """One position of an axis."""
    return layout.index(call.ops, x, (*[slice(None)] * (dim % len(x.axes)), index), call.site)


def unbind(call: Call, x: Value, dim: int = 0) -> Result:
    """All positions of an axis."""
    dim %= len(x.axes)
    count = len(call.event.out)
    return tuple(layout.index(call.ops, x, (*[slice(None)] * dim, i), call.site) for i in range(count))


def unsqueeze(call: Call, x: Value, dim: int) -> Result:
    """A new axis."""
    return layout.unsqueeze(call.ops, x, dim, call.site)


def squeeze(call: Call, x: Value, *_dim: Any) -> Result:
    """Axes of length one dropped: features by reshape, others as they are."""
    if "U" in x.axes:
        x = Value(x.frames, x.axes.replace("U", ""))
    if x.axes.startswith("T") and len(x.frames) == 1:
        raise mixes(call.site, "squeeze with a single step")
    return layout.reshape(call.ops, x, call.out, call.name("reshape"), call.site)


def repeat(call: Call, x: Value, *sizes: Any) -> Result:
    """Copies along axes."""
    return layout.repeat(x, _sizes(sizes), (1,), call.site)


def expand(call: Call, x: Value, *sizes: Any) -> Result:
    """Axes of length one stretched."""
    wanted = list(_sizes(sizes))
    before = [t.shape for t in tensors(call.event.args)][0]
    for axis in range(1, len(before) + 1):
        if wanted[-axis] == before[-axis]:
            wanted[-axis] = -1
    return layout.repeat(x, wanted, (-1,), call.site)


def stack(call: Call, values: Sequence[Meaning], dim: int = 0) -> Result:
    """Frames along a new axis: time."""
    return layout.stack(_all_values(call, values), dim, call.site)


def cat(call: Call, values: Sequence[Meaning], dim: int = 0) -> Result:
    """Steps or features joined."""
    return layout.concatenate(call.ops, _all_values(call, values), dim, call.site)


def plus(call: Call, x: Meaning | float, y: Meaning | float, alpha: float = 1.0) -> Result:
    """``x + alpha y``."""
    if not isinstance(x, Value):
        return _affine(call, y, alpha, x, "add")
    if not isinstance(y, Value):
        return _affine(call, x, 1.0, _times(y, alpha), "add")
    x, y = _aligned(call, x, y)
    scaled = _affine(call, y, alpha, 0.0, "add")
    frames = zip(x.frames, scaled.frames, strict=True)
    return Value(tuple(add(pair) for pair in frames), x.axes)


def minus(call: Call, x: Meaning | float, y: Meaning | float, alpha: float = 1.0) -> Result:
    """``x - alpha y``."""
    return plus(call, x, y, -alpha)


def reversed_minus(call: Call, x: Meaning | float, y: Meaning | float, alpha: float = 1.0) -> Result:
    """``y - alpha x``."""
    return plus(call, y, x, -alpha)


def times(call: Call, x: Meaning | float, y: Meaning | float) -> Result:
    """A constant factor."""
    if isinstance(x, Value) and isinstance(y, Value):
        raise not_linear(call.site, "the product of two signals")
    value, factor = (x, y) if isinstance(x, Value) else (y, x)
    return _affine(call, value, factor, 0.0, "scale")


def divide(call: Call, x: Meaning | float, y: Meaning | float) -> Result:
    """A constant divisor."""
    if isinstance(y, Value):
        raise not_linear(call.site, "a division by a signal")
    return _affine(call, x, 1.0 / y, 0.0, "scale")  # type: ignore[operator]


def negative(call: Call, x: Value) -> Result:
    """``-x``."""
    return _affine(call, x, -1.0, 0.0, "scale")


def matmul(call: Call, x: Value, y: Meaning) -> Result:
    """``x @ W`` with a constant matrix."""
    if not isinstance(x, Value) or not isinstance(y, torch.Tensor) or y.ndim != 2:
        raise not_linear(call.site, "this matrix product")
    return linear(call, x, y.T)


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


def dropout(call: Call, x: Value, _p: float = 0.5, training: bool = True, _inplace: bool = False) -> Result:
    """Nothing, when it is switched off."""
    if training:
        raise not_linear(call.site, "dropout that stays on in evaluation (training=self.training is missing)")
    return x


def total(call: Call, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Result:
    """``sum``: over time for a readout, over all spatial axes as pooling."""
    return _reduce(call, x, dim, keepdim, "sum")


def mean(call: Call, x: Value, dim: Any = None, keepdim: bool = False, **_: Any) -> Result:
    """``mean``, likewise."""
    return _reduce(call, x, dim, keepdim, "mean")


def maximum(call: Call, x: Value, dim: Any = None, keepdim: bool = False) -> Result:
    """``max`` and ``amax`` over time."""
    if _axis_letters(x, dim) != "T" or keepdim:
        raise not_linear(call.site, "a maximum")
    return Value((Reduced("max", x.frames, x.shape),), x.axes.replace("T", ""))


def constant(call: Call, *_args: Any, **_kwargs: Any) -> Result:
    """zeros_like and its kin depend on shapes only."""
    made = tuple(tensors(call.event.out))
    return made[0] if len(made) == 1 else made


def activation(call: Call, *_args: Any, **_kwargs: Any) -> Result:
    """A non-linearity without spikes."""
    raise layers.activation(str(call.site), call.event.name)


def max_pool(call: Call, *_args: Any, **_kwargs: Any) -> Result:
    """A maximum over space."""
    raise layers.max_pool(str(call.site), call.event.name)


def _content(call: Call, *constants: torch.Tensor | None) -> str:
    """A key for weights by value: the same numbers may come as a new tensor in each step."""
    digest = hashlib.sha256()
    for constant in constants:
        if constant is not None and not isinstance(constant, torch.Tensor):
            raise not_linear(call.site, "a weight that depends on the input")
        digest.update(b"none" if constant is None else layers.numbers(constant).tobytes())
    return digest.hexdigest()


def _reduce(call: Call, x: Value, dim: Any, keepdim: bool, kind: Any) -> Value:
    letters = _axis_letters(x, dim)
    if letters == "T" and not keepdim:
        return Value((Reduced(kind, x.frames, x.shape),), x.axes.replace("T", ""))
    spatial = len(x.shape) - 1
    if letters != "F" * spatial or spatial == 0 or 1 in [d + spatial + 1 for d in _dims(x, dim)]:
        raise not_linear(call.site, f"{kind} over these axes")
    divisor = 1 if kind == "sum" else None

    def make(name: str, shape: Shape) -> tuple[Linear, ...]:
        return layers.average_pool(name, shape, shape[1:], divisor=divisor)

    pooled = call.each(x, make, "pool", kind)
    return layout.reshape(call.ops, pooled, call.out, call.name("reshape"), call.site)


def _dims(x: Value, dim: Any) -> tuple[int, ...]:
    """The axes as negative numbers."""
    dims = range(len(x.axes)) if dim is None else dim if isinstance(dim, Sequence) else (dim,)
    return tuple(d % len(x.axes) - len(x.axes) for d in dims)


def _axis_letters(x: Value, dim: Any) -> str:
    return "".join(x.axes[d] for d in _dims(x, dim))


def _affine(call: Call, value: Any, factor: Any, shift: Any, what: str) -> Value:
    """``factor * value + shift`` with constants."""
    assert isinstance(value, Value)
    whole = call.out
    factors, shifts = (frame_array(torch.as_tensor(c), whole, value.axes) for c in (factor, shift))
    if factors is None or shifts is None or len(whole) != len(value.axes):
        raise not_linear(call.site, "arithmetic with a constant that differs between samples or steps")
    name = call.name(what)
    return Value(tuple(call.ops.scale(frame, factors, shifts, name) for frame in value.frames), value.axes)


def _aligned(call: Call, x: Value, y: Value) -> tuple[Value, Value]:
    """Two values with equal axes; a single frame is repeated along a leading time axis."""
    if x.axes == "T" + y.axes:
        y = Value(y.frames * len(x.frames), x.axes)
    elif y.axes == "T" + x.axes:
        x = Value(x.frames * len(y.frames), y.axes)
    if x.axes != y.axes or x.shape != y.shape or len(x.frames) != len(y.frames):
        raise mixes(call.site, f"adding frames of shapes {list(x.shape)} and {list(y.shape)}")
    return x, y


def _all_values(call: Call, values: Sequence[Meaning]) -> list[Value]:
    found = [value for value in values if isinstance(value, Value)]
    if not found or len(found) != len(values):
        raise not_linear(call.site, "joining signals with constants")
    return found


def _times(value: Any, factor: float) -> Any:
    return value if factor == 1.0 else value * factor


def _sizes(sizes: tuple[Any, ...]) -> list[int]:
    return list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], Sequence) else list(sizes)


def _named(handler: Callable[..., Result], names: str) -> dict[str, Callable[..., Result]]:
    return dict.fromkeys(names.split(), handler)


HANDLERS: Mapping[str, Callable[..., Result]] = {
    **_named(alias, "contiguous clone detach to float double cpu requires_grad type type_as data alias positive"),
    **_named(reshape, "view reshape flatten unflatten view_as reshape_as ravel"),
    **_named(permute, "permute"),
    **_named(transpose, "transpose swapaxes swapdims"),
    **_named(movedim, "movedim moveaxis"),
    **_named(getitem, "getitem"),
    **_named(select, "select"),
    **_named(unbind, "unbind"),
    **_named(unsqueeze, "unsqueeze"),
    **_named(squeeze, "squeeze"),
    **_named(repeat, "repeat"),
    **_named(expand, "expand broadcast_to"),
    **_named(stack, "stack"),
    **_named(cat, "cat concat concatenate"),
    **_named(plus, "add radd iadd"),
    **_named(minus, "sub isub subtract"),
    **_named(reversed_minus, "rsub"),
    **_named(times, "mul rmul imul multiply"),
    **_named(divide, "div truediv itruediv divide true_divide"),
    **_named(negative, "neg negative"),
    **_named(matmul, "matmul mm"),
    **_named(linear, "linear"),
    **_named(convolve, "conv1d conv2d"),
    **_named(average_pool, "avg_pool1d avg_pool2d"),
    **_named(adaptive_pool, "adaptive_avg_pool1d adaptive_avg_pool2d"),
    **_named(dropout, "dropout"),
    **_named(total, "sum"),
    **_named(mean, "mean"),
    **_named(maximum, "max amax"),
    **_named(constant, "zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty new_tensor"),
    **_named(activation, " ".join(layers.FUNCTIONAL_ACTIVATIONS)),
    **_named(max_pool, "max_pool1d max_pool2d adaptive_max_pool1d adaptive_max_pool2d"),
}
