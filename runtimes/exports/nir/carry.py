"""What NIR cannot say, in the metadata of a node: Ranvier reads it back, other programs pass it by.

Under names that start with ``ranvier.``: the text form of the object, in pieces, and its tensors, each either
the name of the node's field that holds just these values, or stored beside it. Nothing is stored twice.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.text import dump

PIECE = 250
"""Characters per piece of text: at most 1000 bytes, a size that readers of foreign files accept."""
KINDS = ("float64", "int64", "int32")
"""The types of tensors in IR objects."""


def carried(value: object, fields: Mapping[str, object]) -> dict[str, Any]:
    """The metadata that hold ``value``, an IR object, beside a node with these ``fields``."""
    text, tensors = dump(value)
    numbers: dict[str, list[NDArray[Any]]] = {kind: [] for kind in KINDS}
    rows = []
    for path, tensor in tensors.items():
        kind = str(tensor.dtype)
        field = _holder(tensor, fields)
        if not field:
            numbers[kind].append(tensor.ravel())
        rows.append("\t".join((kind, ",".join(map(str, tensor.shape)), field, path)))
    metadata: dict[str, Any] = {"ranvier.text": pieces_of(text)}
    if rows:
        metadata["ranvier.tensors"] = _bytes(rows)
    for kind, held in numbers.items():
        flat = np.concatenate(held) if held else np.zeros(0)
        if flat.size:
            metadata[f"ranvier.{kind}"] = flat
    return metadata


def pieces_of(text: str) -> NDArray[Any]:
    """``text`` as metadata hold it."""
    return _bytes([text[i : i + PIECE] for i in range(0, len(text), PIECE)])


def _holder(tensor: NDArray[Any], fields: Mapping[str, object]) -> str:
    """The field that holds the same numbers in the same shape, "" if there is none."""
    if not tensor.ndim:
        return ""
    for name, field in fields.items():
        alike = isinstance(field, np.ndarray) and field.dtype.kind == "f" and field.shape == tensor.shape
        if alike and np.array_equal(np.asarray(field).astype(tensor.dtype), tensor):
            return name
    return ""


def _bytes(texts: list[str]) -> NDArray[Any]:
    return np.array([text.encode() for text in texts])
