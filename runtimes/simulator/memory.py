"""Arrays that begin at a cache line, so that a vector of 64 bytes lies in one line and not in two."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LINE = 64  # bytes


def aligned(shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros of ``shape`` and ``dtype`` that begins at a cache line."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    memory = np.zeros(count + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + count].view(kind).reshape(shape)
