"""Checked access to what a NIR node holds: every value's presence, type, finiteness and size."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, floats, size
from ranvier.frontends.hdf5 import Group

MAX_ELEMENTS = 2**24
MAX_INTEGER = 2**31


@dataclass(frozen=True)
class RawNode:
    """One node as the file has it: its dotted ``name``, its NIR ``type``, its values and its metadata."""

    name: str
    type: str
    fields: Group
    metadata: Mapping[str, str | float]

    @property
    def place(self) -> str:
        """How diagnostics call this node."""
        return f"node {self.name} ({self.type})"

    def array(self, name: str, default: float | None = None, infinite: bool = False) -> FloatArray:
        """The real numbers under ``name``; ``default`` where there are none and it is given."""
        value = self.fields.values.get(name)
        if value is None and default is not None:
            return floats(default)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.size == 0:
            raise self._bad(name, "is missing or holds no numbers")
        numbers = floats(value)
        if bool(np.isnan(numbers).any()) or not (infinite or bool(np.isfinite(numbers).all())):
            raise self._bad(name, "holds NaN or infinity")
        return numbers

    def integers(self, name: str, count: int, default: int | None = None, least: int = 0) -> Shape:
        """``count`` whole numbers of at least ``least``; a single one in the file stands for all."""
        values = self.array(name, default).ravel()
        whole = bool(np.all((values == np.rint(values)) & (values >= least) & (values < MAX_INTEGER)))
        if values.size not in (1, count) or not whole:
            raise self._bad(name, f"is {values[:8].tolist()}, not {count} whole numbers of at least {least}")
        return tuple(int(v) for v in np.broadcast_to(values, (count,)))

    def signed(self, name: str, default: int) -> int:
        """One whole number of either sign."""
        values = self.array(name, default).ravel()
        if values.size != 1 or values[0] != np.rint(values[0]) or abs(values[0]) >= MAX_INTEGER:
            raise self._bad(name, f"is {values[:8].tolist()}, not one whole number")
        return int(values[0])

    def shape(self, name: str) -> Shape:
        """A shape of bounded size, each axis at least 1."""
        values = self.array(name).ravel()
        found = self.integers(name, values.size, least=1)
        return checked_shape(found, self)

    def _bad(self, name: str, why: str) -> RanvierError:
        return error(
            "RV103", self.place, f"its field {name!r} {why}", "export the network again with a current nir package"
        )


def checked_shape(shape: Shape, node: RawNode) -> Shape:
    """``shape`` if every axis is at least 1 and the elements are at most ``MAX_ELEMENTS``."""
    count = 1
    for axis in shape:
        count *= axis
    if not shape or min(shape) < 1 or count > MAX_ELEMENTS:
        raise error(
            "RV109",
            node.place,
            f"its shape would be {shape}; 1 to {MAX_ELEMENTS} elements can be read",
            "correct the layer's sizes, or split the layer",
            elements=count,
        )
    return shape


def mismatch(node: RawNode, wanted: str, found: Shape) -> RanvierError:
    """What arrives at ``node`` does not fit it."""
    return error(
        "RV107",
        node.place,
        f"it takes {wanted}, but {found} ({size(found)} values) arrives",
        "correct the layer's sizes or the edges between the layers",
        arriving=size(found),
    )
