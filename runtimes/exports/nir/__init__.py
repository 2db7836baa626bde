"""NIR files (``.nir``) of float networks.

| file | holds |
|---|---|
| ``readers.py`` | what each program that reads NIR makes of it |
| ``neurons.py`` | neurons as NIR's equations |
| ``layers.py`` | linear layers as NIR's nodes |
| ``graph.py`` | the graph: names, shapes, delays, loops |
| ``carry.py`` | the network itself, exactly, in the metadata |
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.fingerprint import Value, fingerprint
from ranvier.compiler.ir.network import Input, Network, Note
from ranvier.compiler.ir.verify import check_network
from ranvier.runtimes.exports.nir.carry import carried
from ranvier.runtimes.exports.nir.graph import Graph, suffix_checked
from ranvier.runtimes.exports.nir.readers import READERS, Reader, ReaderName

__all__ = ["READERS", "ReaderName", "export_nir"]


def export_nir(
    network: Network,
    path: str | Path,
    *,
    reader: ReaderName = "spec",
    dt: float | None = None,
    portable: bool = False,
) -> tuple[Note, ...]:
    """Write the float ``network`` as the NIR file ``path``; the notes say what its reader makes different (RV686).

    ``reader`` is who will read it: ``spec`` (programs that follow NIR's definitions) or the importer of
    ``snntorch``, ``norse``, ``spikingjelly``, ``sinabs``; each takes other steps, resets and units, and the file is
    written so that its steps are the network's. ``dt``: seconds per step (NIR's own default is 1e-4). Whatever
    NIR cannot say travels in metadata, so that ``ranvier.load`` gives back this very network. With
    ``portable`` a file that its reader would run differently is refused.

    Raises ``RanvierError``: RV680 (path), RV681 (dt), RV682 to RV685 (what NIR cannot hold), and with ``portable``
    RV686 for everything that the reader makes different.
    """
    file, chosen = suffix_checked(path), _reader(reader)
    step = _step(dt, reader, chosen)
    latent = any(population.latency >= 0 for population in network.populations)
    check_network(network, "retimed" if latent else "imported")
    graph = Graph(network, chosen, step)
    graph.build()
    if portable and graph.losses:
        raise RanvierError([replace(loss, message=f"for {reader}: {loss.message}") for loss in graph.losses])
    _write(file, graph)
    different = [Note(loss.code, loss.place, f"{reader} reads it differently: {loss.message}") for loss in graph.losses]
    return (*different, *graph.hints)


def _reader(name: str) -> Reader:
    if name not in READERS:
        raise error("RV681", "option reader", f"{name!r} is no reader", f"use one of {', '.join(READERS)}")
    return READERS[name]


def _step(dt: float | None, name: str, reader: Reader) -> float:
    if dt is None:
        return reader.dt
    if not 0 < dt < 1e6:
        raise error("RV681", "option dt", f"{dt!r} is no length of a time step", "give seconds per step, e.g. 1e-3")
    if reader.fixed_dt and dt != reader.dt:
        text = f"{name} takes every file to have steps of {reader.dt:g}, and cannot be told another length"
        raise error("RV681", "option dt", text, "leave dt out", dt=dt)
    return dt


def _write(path: Path, graph: Graph) -> None:
    """Write the file whole or not at all, with the fingerprint of what other programs may change in it."""
    import nir  # noqa: PLC0415 - spares the start what only this export needs

    network = graph.network
    names = tuple(Input(node.name, (1,), "spikes") for node in network.nodes)
    outline = carried(replace(network, nodes=names), {})
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
