"""Checked access to the values in one group of a foreign file: presence, type, finiteness, range."""

from dataclasses import dataclass

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, floats, size
from ranvier.frontends.hdf5 import Group

MAX_ELEMENTS = 2**24
MAX_INTEGER = 2**31


@dataclass(frozen=True)
class Fields:
    """The values of ``group``; complaints name ``place`` and carry ``code`` (``size_code`` for sizes) and ``fix``."""

    group: Group
    place: str
    code: str
    size_code: str
    fix: str

    def __contains__(self, name: str) -> bool:
        return name in self.group.values

    def text(self, name: str) -> str | None:
        """The text under ``name``, None when there is none."""
        return self.group.text(name)

    def array(self, name: str, default: float | None = None, infinite: bool = False) -> FloatArray:
        """The real numbers under ``name``; ``default`` where there are none and it is given."""
        value = self.group.values.get(name)
        if value is None and default is not None:
            return floats(default)
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.size == 0:
            raise self.bad(name, "is missing or holds no numbers")
        numbers = floats(value)
        if bool(np.isnan(numbers).any()) or not (infinite or bool(np.isfinite(numbers).all())):
            raise self.bad(name, "holds NaN or infinity")
        return numbers

    def integers(self, name: str, count: int, default: int | None = None, least: int = 0) -> Shape:
        """``count`` whole numbers of at least ``least``; a single one in the file stands for all."""
        values = self.array(name, default).ravel()
        whole = bool(np.all((values == np.rint(values)) & (values >= least) & (values < MAX_INTEGER)))
        if values.size not in (1, count) or not whole:
            raise self.bad(name, f"is {values[:8].tolist()}, not {count} whole numbers of at least {least}")
        return tuple(int(v) for v in np.broadcast_to(values, (count,)))

    def signed(self, name: str, default: int) -> int:
        """One whole number of either sign."""
        values = self.array(name, default).ravel()
        if values.size != 1 or values[0] != np.rint(values[0]) or abs(values[0]) >= MAX_INTEGER:
            raise self.bad(name, f"is {values[:8].tolist()}, not one whole number")
        return int(values[0])

    def shape(self, name: str) -> Shape:
        """A shape of bounded size, each axis at least 1."""
        count = self.array(name).size
        if count > 8:
            raise self.bad(name, f"has {count} axes")
        return self.checked_shape(self.integers(name, count, least=1))

    def checked_shape(self, shape: Shape) -> Shape:
        """``shape`` if every axis is at least 1 and the elements are at most ``MAX_ELEMENTS``."""
        count = 1
        for axis in shape:
            count *= axis
        if not shape or min(shape) < 1 or count > MAX_ELEMENTS:
            text = f"its shape would be {shape}; 1 to {MAX_ELEMENTS} elements can be read"
            fix = "correct the layer's sizes, or split the layer"
            raise error(self.size_code, self.place, text, fix, elements=count)
        return shape

    def bad(self, name: str, why: str) -> RanvierError:
        """Something is wrong with the field ``name``."""
        return error(self.code, self.place, f"its field {name!r} {why}", self.fix)


def mismatch(code: str, place: str, wanted: str, found: Shape) -> RanvierError:
    """What arrives at ``place`` does not fit it."""
    text = f"it takes {wanted}, but {found} ({size(found)} values) arrives"
    fix = "correct the layer's sizes or the edges between the layers"
    return error(code, place, text, fix, arriving=size(found))
