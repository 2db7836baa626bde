"""NIR files (``.nir``) of float networks and of compiled programs.

| file | holds |
|---|---|
| ``readers.py`` | what each program that reads NIR makes of it |
| ``neurons.py`` | neurons as NIR's equations |
| ``layers.py`` | linear layers as NIR's nodes |
| ``graph.py`` | the graph: names, shapes, delays, loops |
| ``carry.py`` | the network itself, exactly, in the metadata |
| ``file.py`` | the file, whole or not at all, and signed |
| ``equations.py`` | a compiled program's integers as a network of equations |
| ``deployed.py`` | compiled programs, placement and registers beside them |
"""

from dataclasses import replace
from pathlib import Path

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.network import Input, Network, Note
from ranvier.compiler.ir.verify import check_network
from ranvier.runtimes.exports.nir.carry import carried
from ranvier.runtimes.exports.nir.deployed import export_nir_program
from ranvier.runtimes.exports.nir.file import write
from ranvier.runtimes.exports.nir.graph import Graph, suffix_checked
from ranvier.runtimes.exports.nir.readers import READERS, Reader, ReaderName

__all__ = ["READERS", "ReaderName", "export_nir", "export_nir_program"]


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
    names = tuple(Input(node.name, (1,), "spikes") for node in network.nodes)
    write(file, graph, carried(replace(network, nodes=names), {}))
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
