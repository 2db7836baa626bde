"""Integers of few levels, a few bits each: how an artifact stores weights of 1 to 4 bits.

An array whose values are ``low + step * k`` with ``k < 2**bits`` is stored as the bits of all k, the first element in
the highest bits of the first byte, and low, step, bits and its shape beside it. Weights -128 and 128 take one bit.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
MOST_BITS: Final = 4
FEWEST: Final = 64
"""Elements from which packing saves more than its own numbers take."""
MOST: Final = 2**28
"""Elements up to which an array is packed: what a small file says of itself cannot fill the memory."""
LEVELS: Final = "#levels"


def packed(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """``arrays`` with every int32 array of few levels in packed form; ``unpacked`` gives the same arrays back."""
    found: Arrays = {}
    for key, values in arrays.items():
        levels = _levels(values)
        if levels is None:
            found[key] = values
            continue
        low, step, bits = levels
        index = ((values.reshape(-1).astype(np.int64) - low) // step).astype(np.uint8)
        planes = np.unpackbits(index[:, None], axis=1)[:, 8 - bits :]
        found[key] = np.packbits(planes.reshape(-1))
        found[key + LEVELS] = np.array([low, step, bits, *values.shape], np.int64)
    return found


def unpacked(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """The arrays that were ``packed``; raises ``ValueError`` where the numbers beside one contradict it."""
    found: Arrays = {}
    for key, values in arrays.items():
        if not key.endswith(LEVELS):
            levels = arrays.get(key + LEVELS)
            found[key] = values if levels is None else _opened(key, values, levels)
        elif key.removesuffix(LEVELS) not in arrays:
            raise ValueError(f"{key} has no array")
    return found


def _levels(values: NDArray[Any]) -> tuple[int, int, int] | None:
    """(low, step, bits) of the levels of ``values``; None where packing does not pay."""
    if values.dtype != np.int32 or not FEWEST <= values.size <= MOST:
        return None
    levels = np.unique(values).astype(np.int64)
    step = int(np.gcd.reduce(np.diff(levels))) if levels.size > 1 else 1
    bits = max(int((levels[-1] - levels[0]) // step).bit_length(), 1)
    return (int(levels[0]), step, bits) if bits <= MOST_BITS else None


def _opened(key: str, data: NDArray[Any], levels: NDArray[Any]) -> NDArray[Any]:
    if data.dtype != np.uint8 or data.ndim != 1 or levels.dtype != np.int64 or levels.ndim != 1 or levels.size < 3:
        raise ValueError(f"{key} is not packed as its levels say")
    low, step, bits, *shape = levels.tolist()
    count = 1
    for extent in shape:
        count *= extent
    whole = 1 <= bits <= MOST_BITS and all(n >= 1 for n in shape) and count <= MOST
    if not whole or data.size != -(-count * bits // 8):
        raise ValueError(f"{key} is not packed as its levels say")
    planes = np.unpackbits(data, count=count * bits).reshape(count, bits)
    index = np.packbits(planes, axis=1)[:, 0] >> (8 - bits)
    largest = low + step * (2**bits - 1)
    if not -(2**31) <= min(low, largest) <= max(low, largest) < 2**31:
        raise ValueError(f"{key} has levels beyond 32 bits")
    return np.asarray(np.int32(low) + np.int32(step) * index.astype(np.int32)).reshape(shape)
