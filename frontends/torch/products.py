"""Products of two spike trains: each element fires where both do, which a neuron without memory computes.

Where one side counts spikes, as the product of two others does, a gate lets its number pass. A matrix product is a sum
of such elements: ``(x y)_ij = sum_k x_ik and y_kj``. Attention without softmax consists of them (Zhou et al.,
Spikformer, ICLR 2023; Yao et al., Spike-driven Transformer, NeurIPS 2023); the synapses between stay fixed, so that a
chip without products of signals computes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.network import Neurons
from ranvier.frontends.torch import features
from ranvier.frontends.torch.binary import BOTH, NotBinaryError, counted, gate, rescaled
from ranvier.frontends.torch.calls import Call
from ranvier.frontends.torch.features import Places
from ranvier.frontends.torch.problems import HOST, mixes
from ranvier.frontends.torch.values import Apply, Value, add, sendable

MOST = 2**22
"""Neurons of one product; beyond, no chip holds it and the import takes minutes."""


@dataclass(frozen=True, eq=False)
class _Factor:
    """One side of a product: whole numbers up to ``most``, times ``scale``."""

    value: Value
    scale: float
    most: int

    def taken(self, call: Call, places: Places, side: str) -> Value:
        """The elements at ``places``."""
        return features.gathered(call.ops, self.value, places, call.name(side))


def elementwise(call: Call, x: Value, y: Value) -> Value:
    """``x * y`` of spikes, or of counts and spikes, features broadcast; ``NotBinaryError`` where they are neither."""
    sides = [_Factor(*counted(call.ops, value)) for value in alike(call, x, y)]
    at = np.broadcast_arrays(*(features.places(side.value.shape) for side in sides))
    return rescaled(call.ops, _pairs(call, sides, at), sides[0].scale * sides[1].scale, call.name("product"))


def matrix(call: Call, x: Value, y: Value) -> Value:
    """``x @ y`` over the last two feature axes, those before broadcast; RV248 where the host has to compute it."""
    x, y = alike(call, x, y)
    if len(x.shape) < 2 or len(y.shape) < 2:
        raise mixes(call.site, f"a matrix product of frames of shapes {list(x.shape)} and {list(y.shape)}")
    try:
        sides = [_Factor(*counted(call.ops, value)) for value in (x, y)]
        rows, columns = features.places(x.shape), features.places(y.shape).swapaxes(-1, -2)
        at = np.broadcast_arrays(rows[..., :, None, :], columns[..., None, :, :])
        pairs = _pairs(call, sides, at)
    except NotBinaryError as found:
        raise _cut(call, found.what, sendable(x, y)) from None
    total = features.summed(call.ops, pairs, (len(pairs.shape) - 1,), False, False, call.name("matmul.sum"))
    return rescaled(call.ops, total, sides[0].scale * sides[1].scale, call.name("matmul"))


def _pairs(call: Call, sides: Sequence[_Factor], at: Sequence[Places]) -> Value:
    """A relay for each pair of elements, of ``sides[0]`` at ``at[0]`` and of ``sides[1]`` at ``at[1]``."""
    shape: Shape = tuple(at[0].shape)
    check_size(str(call.site), at[0].size)
    few, many = sorted(range(2), key=lambda side: sides[side].most)
    if sides[few].most > 1:
        raise NotBinaryError(f"a count of up to {sides[few].most}, as the other side is, up to {sides[many].most}")
    parts = [s.taken(call, places, name) for s, places, name in zip(sides, at, ("left", "right"), strict=True)]
    model = BOTH if sides[many].most == 1 else gate(sides[many].most)
    if model is not BOTH:
        parts[few] = rescaled(call.ops, parts[few], float(model.threshold), call.name("opening"))
    name = call.name("both" if model is BOTH else "gate")
    relay = call.ops.once(("pairs", name, shape, sides[many].most), lambda: (Neurons(name, shape, model),))[0]
    frames = zip(parts[0].frames, parts[1].frames, strict=True)
    return Value(tuple(Apply(relay, add(pair)) for pair in frames), parts[0].axes)


def check_size(place: str, neurons: int) -> None:
    """Refuse (RV247) a product of more elements than ``MOST``."""
    if neurons > MOST:
        text = f"this product of spike trains takes {neurons} neurons, one for each pair of elements"
        fix = "take attention whose products are elementwise (spike-driven), fewer tokens or narrower heads"
        raise error("RV247", place, text, fix, neurons=neurons)


def alike(call: Call, x: Value, y: Value) -> tuple[Value, Value]:
    """Both with as many frames and the same axes before the features."""
    if "T" not in x.axes and len(x.frames) == 1 and y.axes.startswith("T"):
        x = Value(x.frames * len(y.frames), "T" + x.axes)
    if "T" not in y.axes and len(y.frames) == 1 and x.axes.startswith("T"):
        y = Value(y.frames * len(x.frames), "T" + y.axes)
    if x.axes.rstrip("F") != y.axes.rstrip("F") or len(x.frames) != len(y.frames):
        raise mixes(call.site, f"a product of frames of shapes {list(x.shape)} and {list(y.shape)}")
    return x, y


def _cut(call: Call, what: str, host: bool) -> RanvierError:
    return error(
        "RV248",
        str(call.site),
        f"a product of two signals needs spikes of one height on one side at least, and one is {what}.",
        "Cut the network here: compute this product on the host and import what stands before and behind it, or take "
        "spike-driven attention (elementwise products, sums of tokens, neurons), which a chip computes. The product of "
        f"two spike trains summed over time is ranvier.IncrementalMatMul.{HOST * host}",
    )
