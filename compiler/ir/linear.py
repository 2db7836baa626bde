"""Linear layers of a network: what lies between neurons. All of them are affine maps of flat vectors."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, IntArray, Shape, floats, integers, size

SignMode = Literal["mixed", "excitatory", "inhibitory"]


@dataclass(frozen=True)
class Grid:
    """How integer weights stand for real ones: ``real = integer * 2**exponent * 64 / scale``.

    ``scale`` is that of the receiving neurons: membrane units of the chip per unit of the source,
    divided by the scale of the sender's payload when that is graded. ``bits``: the width of a weight. ``part_of``: the
    layer that these weights are some columns of, where the columns of one layer have several exponents; else empty.
    """

    scale: float
    exponent: int
    sign: SignMode
    bits: int = 8
    part_of: str = ""


@dataclass(frozen=True, eq=False)
class Dense:
    """``y = W x + b``; ``weight`` (outputs, inputs), ``bias`` (outputs,) or None; x in C order if it has a shape."""

    name: str
    weight: FloatArray
    bias: FloatArray | None = None
    grid: Grid | None = None

    def __post_init__(self) -> None:
        _freeze(self)

    @property
    def in_size(self) -> int:
        """Length of the flat input."""
        return int(self.weight.shape[1])

    @property
    def out_shape(self) -> Shape:
        """Shape of the output."""
        return (self.weight.shape[0],)


@dataclass(frozen=True, eq=False)
class Sparse:
    """``y = M x`` with M (outputs, inputs) in compressed rows: ``data``, ``indices``, ``indptr``."""

    name: str
    data: FloatArray
    indices: IntArray
    indptr: IntArray
    in_size: int
    out_shape: Shape
    grid: Grid | None = None

    def __post_init__(self) -> None:
        for name, cast in (("data", floats), ("indices", integers), ("indptr", integers)):
            object.__setattr__(self, name, cast(getattr(self, name)))


@dataclass(frozen=True, eq=False)
class _Kernels:
    """What a convolution and its transpose share: kernels that slide over the spatial axes of ``in_shape``."""

    name: str
    weight: FloatArray
    in_shape: Shape
    bias: FloatArray | None = None
    stride: Shape = (1, 1)

    def __post_init__(self) -> None:
        _freeze(self)

    @property
    def in_size(self) -> int:
        """Length of the flat input."""
        return size(self.in_shape)

    @property
    def kernel(self) -> Shape:
        """Spatial shape of the kernel."""
        return tuple(self.weight.shape[2:])


@dataclass(frozen=True, eq=False)
class Conv(_Kernels):
    """Cross-correlation as in torch, over one or two spatial axes.

    ``weight`` (out channels, in channels / groups, *kernel), ``bias`` (out channels,) or None,
    ``in_shape`` (in channels, *spatial); ``padding`` gives (before, after) zeros per axis.
    """

    padding: tuple[tuple[int, int], ...] = ((0, 0), (0, 0))
    dilation: Shape = (1, 1)
    groups: int = 1
    grid: Grid | None = None

    @property
    def out_shape(self) -> Shape:
        """(out channels, *spatial), each ``floor((n + pad - dilation (k - 1) - 1) / stride) + 1``."""
        return (self.weight.shape[0], *windows(self.in_shape[1:], self.kernel, self))


@dataclass(frozen=True, eq=False)
class ConvTranspose(_Kernels):
    """Transposed convolution as in torch, over one or two spatial axes: the transpose of a ``Conv``'s matrix.

    ``weight`` (in channels, out channels / groups, *kernel), ``bias`` (out channels,) or None, ``in_shape``
    (in channels, *spatial). ``padding`` per axis is cut from both ends of the result, ``output_padding`` is added to
    its far end.
    """

    padding: Shape = (0, 0)
    output_padding: Shape = (0, 0)
    dilation: Shape = (1, 1)
    groups: int = 1

    @property
    def out_shape(self) -> Shape:
        """(out channels, *spatial), each ``(n - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1``."""
        sizes = zip(self.in_shape[1:], self.stride, self.padding, strict=True)
        rest = zip(self.dilation, self.kernel, self.output_padding, strict=True)
        spatial = ((n - 1) * s - 2 * p + d * (k - 1) + o + 1 for (n, s, p), (d, k, o) in zip(sizes, rest, strict=True))
        return (self.weight.shape[1] * self.groups, *spatial)


@dataclass(frozen=True, eq=False)
class Pool:
    """Sum or average over windows of each channel; padding counts as zeros in the average."""

    name: str
    kind: Literal["sum", "average"]
    in_shape: Shape
    kernel: Shape
    stride: Shape
    padding: tuple[tuple[int, int], ...]

    @property
    def dilation(self) -> Shape:
        """Windows are dense: ones."""
        return (1,) * len(self.kernel)

    @property
    def in_size(self) -> int:
        """Length of the flat input."""
        return size(self.in_shape)

    @property
    def out_shape(self) -> Shape:
        """(channels, *spatial)."""
        return (self.in_shape[0], *windows(self.in_shape[1:], self.kernel, self))


@dataclass(frozen=True, eq=False)
class Scale:
    """``y = factor * x + shift`` per channel (first axis) or per element: folded batch norm, NIR Scale.

    ``factor`` and ``shift`` have shape ``()``, ``(channels,)`` or the size of ``shape``.
    """

    name: str
    shape: Shape
    factor: FloatArray
    shift: FloatArray

    def __post_init__(self) -> None:
        for name in ("factor", "shift"):
            object.__setattr__(self, name, floats(getattr(self, name)))

    @property
    def in_size(self) -> int:
        """Length of the flat input."""
        return size(self.shape)

    @property
    def out_shape(self) -> Shape:
        """Unchanged."""
        return self.shape

    def per_element(self, values: FloatArray) -> FloatArray:
        """``factor`` or ``shift`` spread over the flat elements."""
        if values.ndim == 1 and values.size == self.shape[0] and len(self.shape) > 1:
            return np.repeat(values, size(self.shape[1:]))
        return np.broadcast_to(values.reshape(-1), (self.in_size,)) if values.size == 1 else values.reshape(-1)


@dataclass(frozen=True, eq=False)
class Reshape:
    """The same elements, in C order, under another shape (flatten, unflatten)."""

    name: str
    in_shape: Shape
    out_shape: Shape

    @property
    def in_size(self) -> int:
        """Length of the flat input."""
        return size(self.in_shape)


Linear = Dense | Sparse | Conv | ConvTranspose | Pool | Scale | Reshape
Synapse = Dense | Sparse | Conv
LINEAR = (Dense, Sparse, Conv, ConvTranspose, Pool, Scale, Reshape)
SYNAPSES = (Dense, Sparse, Conv)


class Sliding(Protocol):
    """How a window moves: along each axis by ``stride`` over the padded input, its elements ``dilation`` apart."""

    @property
    def stride(self) -> Shape:
        """Along each axis."""

    @property
    def padding(self) -> tuple[tuple[int, int], ...]:
        """(before, after) along each axis."""

    @property
    def dilation(self) -> Shape:
        """Along each axis."""


def windows(spatial: Shape, kernel: Shape, op: Sliding) -> Shape:
    """How many windows fit along each axis: ``floor((n + pad - dilation (k - 1) - 1) / stride) + 1``."""
    axes = zip(spatial, kernel, op.stride, op.padding, op.dilation, strict=True)
    return tuple((n + lo + hi - d * (k - 1) - 1) // s + 1 for n, k, s, (lo, hi), d in axes)


def _freeze(op: Dense | _Kernels) -> None:
    object.__setattr__(op, "weight", floats(op.weight))
    if op.bias is not None:
        object.__setattr__(op, "bias", floats(op.bias))
