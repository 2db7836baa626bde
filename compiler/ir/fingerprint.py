"""One number for the values in a file, by which it shows whether any of them was changed."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Value = NDArray[Any] | str | tuple[str, ...]


def fingerprint(values: Mapping[str, Value]) -> str:
    """The SHA-256 of ``values`` by name: type, shape and content of every one, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(values):
        value = values[name]
        if isinstance(value, np.ndarray):
            little = np.asarray(value, dtype=value.dtype.newbyteorder("<"))
            parts = (little.dtype.str, repr(tuple(little.shape)), little.tobytes().hex())
        else:
            parts = ("text", repr((value,) if isinstance(value, str) else tuple(value)), "")
        for part in (name, *parts):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
