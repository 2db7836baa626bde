"""The file of a NIR graph: written whole or not at all, and signed, so that changes by other programs show."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.fingerprint import Value, fingerprint
from ranvier.runtimes.exports.nir.graph import Graph


def write(path: Path, graph: Graph, outline: Mapping[str, Any]) -> None:
    """Write the file whole or not at all, with the fingerprint of what other programs may change in it.

    ``outline`` is the metadata of the graph, beside its time step. Raises ``RanvierError`` RV680.
    """
    import nir  # noqa: PLC0415 - spares the start what only this export needs

    made = nir.NIRGraph(graph.nodes, graph.edges, metadata={"dt": graph.dt, **outline}, type_check=False)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        os.close(handle)
    except OSError as failed:
        raise error("RV680", str(path), f"it cannot be written: {failed.strerror}", "choose another folder") from None
    try:
        nir.write(temporary, made)
        _sign(temporary)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _sign(path: str) -> None:
    import h5py  # noqa: PLC0415 - spares the start what only this export needs

    with h5py.File(path, "r+") as file:
        values: dict[str, Value] = {}
        file["node"].visititems(_collector(values))
        file["node"]["metadata"].create_dataset("ranvier.sha256", data=fingerprint(values), dtype=h5py.string_dtype())


def _collector(values: dict[str, Value]) -> Callable[[str, Any], None]:
    """What puts every dataset outside metadata into ``values``, as readers of foreign files see it."""
    import h5py  # noqa: PLC0415 - spares the start what only this export needs

    def collect(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or "metadata" in name.split("/"):
            return
        if h5py.check_string_dtype(item.dtype) is None:
            values[name] = np.asarray(item[()])
            return
        texts = tuple(text.decode() for text in np.asarray(item[()], dtype=object).ravel())
        values[name] = texts[0] if item.shape == () else texts

    return collect
