"""Reshapes, transpositions, indexing and stacking: which axis is time, batch and features afterwards."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.frontends.torch import features
from ranvier.frontends.torch.capture import Site
from ranvier.frontends.torch.operations import Operations, local_name
from ranvier.frontends.torch.problems import mixes
from ranvier.frontends.torch.values import Value, add

REGROUPED = {"TB": ("TB", "M"), "BT": ("BT", "N"), "M": ("M", "TB"), "N": ("N", "BT")}


def reshape(ops: Operations, value: Value, out: Shape, name: str, site: Site) -> Value:
    """Any view, flatten, unflatten or squeeze: the axes before the features stay, merge or part."""
    lead = value.axes.rstrip("F")
    if lead.endswith("FT") and out[-1] == len(value.frames):
        inner = reshape(ops, Value(value.frames, lead[:-1]), out[:-1], name, site)
        return Value(inner.frames, inner.axes + "T")
    if "F" in lead:
        raise mixes(site, f"a reshape of a tensor with axes {_spelled(value.axes)}")
    bare = lead.replace("U", "")
    for candidate in REGROUPED.get(bare, (bare,)):
        for units in ("U", "") if "U" in lead else ("",):
            axes = units + candidate
            sizes = tuple(axis_size(ops, value, letter) for letter in axes)
            rest = out[len(sizes) :]
            if out[: len(sizes)] == sizes and size(rest) == size(value.shape):
                frames = tuple(ops.reshape(frame, rest, name) for frame in value.frames)
                return Value(frames, axes + "F" * len(rest))
    raise mixes(site, f"a reshape of axes {_spelled(value.axes)} to {list(out)}")


def axis_size(ops: Operations, value: Value, letter: str) -> int:
    """The length of an axis that is not a feature axis."""
    steps = len(value.frames)
    return {"B": ops.batch, "T": steps, "U": 1, "M": steps * ops.batch, "N": steps * ops.batch}[letter]


def permute(ops: Operations, value: Value, order: Sequence[int], site: Site) -> Value:
    """Axes in another order."""
    order = [axis % len(value.axes) for axis in order]
    own = [axis for axis, letter in enumerate(value.axes) if letter == "F"]
    mine = [own.index(axis) for axis in order if value.axes[axis] == "F"]
    moved = features.gathered(ops, value, features.places(value.shape).transpose(mine), local_name(site, "permute"))
    return Value(moved.frames, "".join(value.axes[axis] for axis in order))


def index(ops: Operations, value: Value, key: Any, site: Site) -> Value:
    """``tensor[key]``: picks steps, keeps the rest."""
    parts = list(key) if isinstance(key, tuple) else [key]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(value.axes) - used)
    else:
        parts += [slice(None)] * (len(value.axes) - used)
    axis = 0
    for part in parts:
        if part is None:
            value = unsqueeze(ops, value, axis, site)
            axis += 1
        elif isinstance(part, slice) and part == slice(None):
            axis += 1
        else:
            value, kept = _pick(ops, value, axis, part, site)
            axis += kept
    return value


def _pick(ops: Operations, value: Value, axis: int, part: Any, site: Site) -> tuple[Value, int]:
    letter, without = value.axes[axis], value.axes[:axis] + value.axes[axis + 1 :]
    if isinstance(part, torch.Tensor) and part.numel() == 1 and not part.is_floating_point():
        part = int(part)
    if letter == "U" and isinstance(part, int):
        return Value(value.frames, without), 0
    if letter == "T" and isinstance(part, int):
        return Value((value.frames[part],), without), 0
    if letter == "T" and isinstance(part, slice) and value.frames[part]:
        return Value(value.frames[part], value.axes), 1
    if letter == "F" and isinstance(part, (int, slice)):
        return _pick_features(ops, value, axis, part, site)
    raise mixes(site, f"indexing the axis {_spelled(letter)}")


def _pick_features(ops: Operations, value: Value, axis: int, part: int | slice, site: Site) -> tuple[Value, int]:
    """Some of the features; a single one keeps an axis of length one where it would leave a frame without any."""
    at = (slice(None),) * value.axes[:axis].count("F")
    taken = features.places(value.shape)[(*at, part)]
    if taken.ndim == 0 or taken.size == 0:
        raise mixes(site, "a frame with a single number or none")
    return features.gathered(ops, value, taken, local_name(site, "pick")), taken.ndim - len(value.shape) + 1


def unsqueeze(ops: Operations, value: Value, axis: int, site: Site) -> Value:
    """A new axis of length one: a feature axis behind the first feature axis, else a possible time axis."""
    axis %= len(value.axes) + 1
    if "F" not in value.axes[:axis] and value.axes[:axis] != value.axes.rstrip("F"):
        return Value(value.frames, value.axes[:axis] + "U" + value.axes[axis:])
    if value.axes[axis:].strip("F"):
        raise mixes(site, "a new axis between features and other axes")
    at = axis - len(value.axes.rstrip("F"))
    shape = (*value.shape[:at], 1, *value.shape[at:])
    frames = tuple(ops.reshape(frame, shape, local_name(site, "unsqueeze")) for frame in value.frames)
    return Value(frames, value.axes + "F")


def repeat(ops: Operations, value: Value, sizes: Sequence[int], keep: tuple[int, ...], site: Site) -> Value:
    """``repeat`` or ``expand``: features, and an axis of length one that becomes time; ``keep``: without effect."""
    axes = "U" * (len(sizes) - len(value.axes)) + value.axes
    frames = value.frames
    for axis, times in enumerate(sizes):
        if times in keep:
            continue
        if axes[axis] == "F" and times > 0:
            feature = axes[:axis].count("F")
            taken = np.concatenate([features.places(frames[0].shape)] * times, feature)
            frames = features.gathered(ops, Value(frames, axes), taken, local_name(site, "repeat")).frames
            continue
        if axes[axis] == "U" and not value.timed:
            frames, axes = value.frames * max(times, 1), axes[:axis] + "T" + axes[axis + 1 :]
        elif axes[axis] != "U" or times != 1:
            raise mixes(site, f"repeating the axis {_spelled(axes[axis])} {times} times")
    return Value(frames, axes)


def stack(values: Sequence[Value], dim: int, site: Site) -> Value:
    """Frames along a new time axis."""
    first = values[0]
    if any(v.timed or v.axes != first.axes for v in values):
        raise mixes(site, "stacking tensors that are not single steps")
    dim %= len(first.axes) + 1
    return Value(tuple(v.frames[0] for v in values), first.axes[:dim] + "T" + first.axes[dim:])


def concatenate(ops: Operations, values: Sequence[Value], dim: int, site: Site) -> Value:
    """Steps one after the other, or features side by side (each part placed into zeros, then added)."""
    first = values[0]
    dim %= len(first.axes)
    letter = first.axes[dim]
    if any(v.axes != first.axes for v in values):
        raise mixes(site, "concatenating tensors with different axes")
    if letter in "UT":
        frames = tuple(frame for v in values for frame in v.frames)
        return Value(frames, first.axes[:dim] + "T" + first.axes[dim + 1 :])
    if letter != "F" or len({len(v.frames) for v in values}) > 1:
        raise mixes(site, f"concatenating along the axis {_spelled(letter)}")
    axis = first.axes[:dim].count("F")
    widths = [v.shape[axis] for v in values]
    shape = (*first.shape[:axis], sum(widths), *first.shape[axis + 1 :])
    name = local_name(site, "cat")
    steps = range(len(first.frames))
    starts = [sum(widths[:i]) for i in range(len(widths))]
    placed = [
        tuple(ops.place(v.frames[t], shape, axis, start, name) for v, start in zip(values, starts, strict=True))
        for t in steps
    ]
    return Value(tuple(add(parts) for parts in placed), first.axes)


def _spelled(axes: str) -> str:
    names = {"T": "time", "B": "batch", "M": "time*batch", "N": "batch*time", "U": "1", "F": "feature"}
    return "(" + ", ".join(names[letter] for letter in axes) + ")"
