"""Read-only arrays for frozen dataclasses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Array = NDArray[np.float64] | NDArray[np.int64]
Shape = tuple[int, ...]

K = TypeVar("K")
V = TypeVar("V")
A = TypeVar("A", NDArray[np.float64], NDArray[np.int64])


def floats(values: ArrayLike) -> FloatArray:
    """A read-only, contiguous float64 copy-if-needed of ``values``."""
    array = np.asarray(values)
    assert array.dtype.kind in "iubf", "real numbers expected"
    return _locked(np.array(array, dtype=np.float64, order="C"))


def integers(values: ArrayLike) -> IntArray:
    """A read-only, contiguous int64 array of ``values``, which must be whole numbers."""
    array = np.asarray(values)
    assert array.dtype.kind in "iubf", "whole numbers expected"
    assert bool(np.all((array < 2.0**62) & (array > -(2.0**62)))), "whole numbers below 2**62 expected"
    whole = np.array(array, dtype=np.int64, order="C")
    assert array.dtype.kind in "iub" or bool(np.all(whole == array)), "whole numbers expected"
    return _locked(whole)


def compact(values: A) -> A:
    """``values`` as a scalar array when all its entries are equal, else unchanged."""
    if values.ndim and values.size and bool(np.all(values == values.flat[0])):
        return _locked(np.array(values.flat[0]))
    return values


def frozen_mapping(mapping: Mapping[K, V]) -> Mapping[K, V]:
    """A read-only view of a copy of ``mapping``."""
    return MappingProxyType(dict(mapping))


def size(shape: Shape) -> int:
    """The number of elements of ``shape``."""
    return int(np.prod(shape, dtype=np.int64)) if shape else 1


def _locked(array: A) -> A:
    array.setflags(write=False)
    return array
