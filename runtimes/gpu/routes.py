"""How each connection's sums are made: which kernel, in which numbers, decided from exact bounds before a run.

The common power of two of a connection's weights is divided out and put back after the sum, so that the even weights
of mixed signs fit 8 bits. With ``largest`` the largest message that a source can send and ``peak`` the largest sum
of absolute weights into a target, no partial sum exceeds ``largest * peak``: below 2**31 the sum of 8-bit products is
exact in int32, below 2**24 the sum of float16 products is exact in float32, else it is made in int32 or int64.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork, ChipSynapse, ConvSynapse, DenseSynapse, Port
from ranvier.compiler.ir.ranges import Interval
from ranvier.runtimes.gpu.ranges import bounds
from ranvier.runtimes.simulator.forms import delivered
from ranvier.runtimes.simulator.merged import merged
from ranvier.runtimes.simulator.plan import Link, Plan

Arithmetic = Literal["int8", "float16", "int32", "int64"]
Values = NDArray[Any]

HALF_EXACT = 2**11  # float16 holds every integer up to here
SINGLE_EXACT = 2**24
INT32_MOST = 2**31 - 1
TENSOR_INNER, TENSOR_OUTPUTS = 8, 8  # smaller products are multiplied and added one by one
SECTION = 128  # targets of one program instance


@dataclass(frozen=True)
class Window:
    """A dense layer or a group of a convolution as one product: the geometry that ``kernels.product`` takes."""

    groups: int
    channels: int
    outputs: int
    frame: tuple[int, int]
    pixels: int
    across: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]
    spread: tuple[int, int]

    @property
    def inner(self) -> int:
        """The number of terms of a sum."""
        return self.channels * self.kernel[0] * self.kernel[1]


@dataclass(frozen=True, eq=False)
class Route:
    """One connection, ready for a kernel.

    ``shift``: the power of two divided out of ``arrays``; ``most`` bounds every sum of what is left; ``careful``: the
    connection's registers may wrap, so every sum goes through them. ``window`` is None for compressed rows.
    """

    link: Link
    sources: int
    targets: int
    arithmetic: Arithmetic
    shift: int
    most: int
    careful: bool
    arrays: Mapping[str, Values]
    window: Window | None

    @property
    def scatters(self) -> bool:
        """Whether the senders' weight rows may be added instead, where few send."""
        return self.window is not None and self.window.pixels == 1 and self.window.inner == self.sources

    @property
    def exact_sum(self) -> Literal["int32", "int64"]:
        """The type of sums outside the tensor cores."""
        return "int32" if self.most <= INT32_MOST else "int64"

    def __str__(self) -> str:
        if self.window is None:
            way = f"compressed rows, sums in {self.arithmetic}"
        elif self.arithmetic in ("int8", "float16"):
            sums = "int32" if self.arithmetic == "int8" else "float32"
            way = f"tensor cores, {self.arithmetic} products summed in {sums}"
        else:
            way = f"multiplied and added in {self.arithmetic}"
        registers = "registers may wrap and are watched" if self.careful else "no register can wrap"
        return f"{self.link.name}: {way}, sums within {self.most} times {2**self.shift}; {registers}"


def routes(chip: ChipNetwork, plan: Plan) -> Mapping[str, Route]:
    """The route of every link of the ``plan`` of ``chip`` by its name."""
    largest, synapses = messages(plan), {c.name: c.synapse for c in merged(chip)}
    return {link.name: _route(link, synapses[link.name], largest[link.source]) for link in plan.links}


def messages(plan: Plan) -> Mapping[str, int]:
    """The largest magnitude that the port and each population can send, whatever arrives."""
    assert isinstance(plan.source, Port)
    found = {plan.source.name: 1 if plan.source.bits == 0 else 2 ** (plan.source.bits - 1) - 1}
    for layer in plan.layers:
        low, high = bounds(layer)[layer.program.spikes]
        found[layer.name] = max(-low, high)
    return found


def current(plan: Plan, layer: str, largest: Mapping[str, int]) -> Interval:
    """What can arrive at ``layer`` in a step, before the register of the sum."""
    most = sum(delivered(link.rule, link.scatter.peak, largest[link.source]) for link in plan.into[layer])
    return -most, most


def _route(link: Link, synapse: ChipSynapse, largest: int) -> Route:
    weights = synapse.weight if isinstance(synapse, (DenseSynapse, ConvSynapse)) else synapse.data
    shift = _common(weights)
    small, bound = weights >> shift, int(link.scatter.peak) * largest
    window = _window(synapse)
    arithmetic = _arithmetic(small, largest, bound >> shift, window)
    careful = largest > link.rule[0]
    return Route(
        link,
        synapse.in_size,
        synapse.out_size,
        arithmetic,
        shift,
        bound >> shift,
        careful,
        _arrays(synapse, small, window),
        window,
    )


def _arrays(synapse: ChipSynapse, weights: Values, window: Window | None) -> Mapping[str, Values]:
    """``weights`` as the kernels read them: (groups, terms, outputs), or compressed rows with their longest."""
    if isinstance(synapse, DenseSynapse):
        return {"weight": np.array(_narrowed(weights).T, order="C")}
    if isinstance(synapse, ConvSynapse):
        assert window is not None
        grouped = _narrowed(weights).reshape(window.groups, window.outputs, window.inner)
        return {"weight": np.array(grouped.transpose(0, 2, 1), order="C")}
    longest = np.maximum.reduceat(np.diff(synapse.indptr), np.arange(0, synapse.out_size, SECTION))
    rows = {"indices": synapse.indices, "start": synapse.indptr, "longest": longest}
    return {"data": _narrowed(weights)} | {name: values.astype(np.int32) for name, values in rows.items()}


def _arithmetic(weights: Values, largest: int, most: int, window: Window | None) -> Arithmetic:
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    tensor = window is not None and window.inner >= TENSOR_INNER and window.outputs >= TENSOR_OUTPUTS
    if tensor and low >= -128 and high <= 127 and largest <= 127 and most <= INT32_MOST:
        return "int8"
    if tensor and max(-low, high, largest) <= HALF_EXACT and most <= SINGLE_EXACT:
        return "float16"
    return "int32" if most <= INT32_MOST else "int64"


def _common(weights: Values) -> int:
    """The largest power of two that divides all ``weights``."""
    bits = int(np.bitwise_or.reduce(np.abs(weights.astype(np.int64)), axis=None)) if weights.size else 0
    return (bits & -bits).bit_length() - 1 if bits else 0


def _narrowed(weights: Values) -> Values:
    for kind in (np.int8, np.int16):
        if weights.size == 0 or (weights.min() >= np.iinfo(kind).min and weights.max() <= np.iinfo(kind).max):
            return weights.astype(kind)
    return weights.astype(np.int32)


def _window(synapse: ChipSynapse) -> Window | None:
    if isinstance(synapse, DenseSynapse):
        one = (1, 1)
        return Window(1, synapse.in_size, synapse.out_size, one, 1, 1, one, one, (0, 0), one)
    if not isinstance(synapse, ConvSynapse):
        return None
    (_, height, width), (outputs, out_height, out_width) = synapse.in_shape, synapse.out_shape
    return Window(
        synapse.groups,
        synapse.weight.shape[1],
        outputs // synapse.groups,
        (height, width),
        out_height * out_width,
        out_width,
        (synapse.weight.shape[2], synapse.weight.shape[3]),
        (synapse.stride[0], synapse.stride[1]),
        (synapse.padding[0][0], synapse.padding[1][0]),
        (synapse.dilation[0], synapse.dilation[1]),
    )
