"""The linear operations met in a run: each made once, so that equal calls give the same object."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
import torch

from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.linear import Linear, Reshape, Scale, Sparse
from ranvier.compiler.ir.network import Neurons
from ranvier.frontends.torch.capture import Site
from ranvier.frontends.torch.islands import Islands
from ranvier.frontends.torch.values import Apply, Expr


@dataclass(eq=False)
class Operations:
    """A cache of operations by what they do and where.

    ``batch`` is the batch size of the run; ``binary`` names the populations that send only zeros and ones, ``counts``
    those that send whole numbers from 0 to the one that it gives. ``islands``: functions for the host; None where it is
    not to be used. ``real``: whether the input is known to be real numbers.
    """

    batch: int
    made: dict[Hashable, tuple[Linear | Neurons, ...]] = field(default_factory=dict)
    binary: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    islands: Islands | None = None
    real: bool = False

    def once(self, key: Hashable, make: Callable[[], tuple[Linear | Neurons, ...]]) -> tuple[Linear | Neurons, ...]:
        """The operations under ``key``, made at the first call."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def reshape(self, expr: Expr, shape: Shape, name: str) -> Expr:
        """``expr`` under another shape."""
        if expr.shape == shape:
            return expr
        key = ("reshape", name, expr.shape, shape)
        return chain(self.once(key, lambda: (Reshape(name, expr.shape, shape),)), expr)

    def scale(self, expr: Expr, factor: FloatArray, shift: FloatArray, name: str) -> Expr:
        """``factor * expr + shift``, elementwise over the frame."""
        if np.all(factor == 1.0) and not np.any(shift):
            return expr
        key = ("scale", name, expr.shape, factor.tobytes(), shift.tobytes())
        return chain(self.once(key, lambda: (Scale(name, expr.shape, factor, shift),)), expr)

    def place(self, expr: Expr, shape: Shape, axis: int, start: int, name: str) -> Expr:
        """``expr`` as the part of a frame of ``shape`` that begins at ``start`` along ``axis``, zeros elsewhere."""

        def make() -> tuple[Linear, ...]:
            window = [slice(None)] * len(shape)
            window[axis] = slice(start, start + expr.shape[axis])
            rows = np.arange(size(shape)).reshape(shape)[tuple(window)].reshape(-1)
            indptr = np.zeros(size(shape) + 1, dtype=np.int64)
            indptr[rows + 1] = 1
            columns = np.arange(rows.size)
            return (Sparse(name, np.ones(rows.size), columns, np.cumsum(indptr), rows.size, shape),)

        return chain(self.once(("place", name, expr.shape, shape, axis, start), make), expr)


def chain(ops: tuple[Linear | Neurons, ...], expr: Expr) -> Expr:
    """``ops`` applied to ``expr`` one after the other."""
    for op in ops:
        expr = Apply(op, expr)
    return expr


def local_name(site: Site, what: str) -> str:
    """A name for an operation written in ``forward``: the module it is in, and what it does."""
    return f"{site.scope}.{what}" if site.scope else what


def frame_array(constant: torch.Tensor, whole: Shape, axes: str) -> FloatArray | None:
    """``constant`` spread over the features of a tensor of shape ``whole``; None if it differs along other axes.

    Returns shape () when all features share one number, else the flat features.
    """
    if constant.numel() == 1:
        return np.array(float(constant.reshape(())), dtype=np.float64)
    try:
        spread = constant.detach().double().broadcast_to(whole)
    except RuntimeError:
        return None
    for axis, letter in enumerate(axes):
        if letter != "F":
            first = spread.narrow(axis, 0, 1)
            if not torch.equal(first.expand_as(spread), spread):
                return None
            spread = first
    values: FloatArray = spread.numpy().reshape(-1).astype(np.float64)
    return np.array(values[0]) if np.all(values == values[0]) else values
