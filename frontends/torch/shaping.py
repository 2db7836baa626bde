"""Handlers of functions that move numbers without changing them: views, transpositions, indexing, joining."""

from collections.abc import Sequence
from typing import Any

import torch

from ranvier.frontends.torch import layout
from ranvier.frontends.torch.calls import Call, Result
from ranvier.frontends.torch.capture import tensors
from ranvier.frontends.torch.problems import mixes, not_linear
from ranvier.frontends.torch.values import Fixed, Meaning, Value


def alias(_call: Call, x: Value, *_args: Any, **_kwargs: Any) -> Result:
    """The same numbers."""
    return x


def reshape(call: Call, x: Value, *_args: Any, **_kwargs: Any) -> Result:
    """view, reshape, flatten, unflatten, squeeze: the shape that came out tells all."""
    return layout.reshape(call.ops, x, call.out, call.name("reshape"), call.site)


def permute(call: Call, x: Value, *dims: Any) -> Result:
    """``permute(*dims)`` or ``permute(dims)``."""
    return layout.permute(call.ops, x, _sizes(dims), call.site)


def transpose(call: Call, x: Value, dim0: int, dim1: int) -> Result:
    """Two axes exchanged."""
    order = list(range(len(x.axes)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return layout.permute(call.ops, x, order, call.site)


def movedim(call: Call, x: Value, source: int, destination: int) -> Result:
    """One axis moved."""
    order = list(range(len(x.axes)))
    order.insert(destination % len(order), order.pop(source))
    return layout.permute(call.ops, x, order, call.site)


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


def parts(call: Call, x: Value, _sizes: Any = None, dim: int = 0) -> Result:
    """``split`` and ``chunk``: the sizes that came out tell all."""
    dim %= len(x.axes)
    found, start = [], 0
    for tensor in tensors(call.event.out):
        end = start + tensor.shape[dim]
        found.append(layout.index(call.ops, x, (*[slice(None)] * dim, slice(start, end)), call.site))
        start = end
    return tuple(found)


def transposed_matrix(call: Call, x: Value) -> Result:
    """``mT``: the last two axes exchanged."""
    return transpose(call, x, -2, -1)


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
    return layout.repeat(call.ops, x, _sizes(sizes), (1,), call.site)


def expand(call: Call, x: Value, *sizes: Any) -> Result:
    """Axes of length one stretched."""
    wanted = list(_sizes(sizes))
    before = next(tensors(call.event.args)).shape
    for axis in range(1, len(before) + 1):
        if wanted[-axis] == before[-axis]:
            wanted[-axis] = -1
    return layout.repeat(call.ops, x, wanted, (-1,), call.site)


def stack(call: Call, values: Sequence[Meaning], dim: int = 0) -> Result:
    """Frames along a new axis: time."""
    return layout.stack(_all_values(call, values), dim, call.site)


def cat(call: Call, values: Sequence[Meaning], dim: int = 0) -> Result:
    """Steps or features joined."""
    return layout.concatenate(call.ops, _all_values(call, values), dim, call.site)


def _all_values(call: Call, values: Sequence[Meaning]) -> list[Value]:
    first = next((value for value in values if isinstance(value, Value)), None)
    found = [value if isinstance(value, Value) else _silence(value, first) for value in values]
    if any(value is None for value in found):
        raise not_linear(call.site, "joining signals with constants")
    return [value for value in found if value is not None]


def _silence(value: Meaning, beside: Value | None) -> Value | None:
    """Zeros joined with a signal, as before the first step of a recurrence; None for anything else."""
    if not isinstance(value, torch.Tensor) or beside is None or bool(value.any()) or value.ndim != len(beside.axes):
        return None
    lead = len(beside.axes.rstrip("F"))
    return Value((Fixed(value, tuple(value.shape[lead:])),) * len(beside.frames), beside.axes)


def _sizes(sizes: tuple[Any, ...]) -> list[int]:
    return list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], Sequence) else list(sizes)
