"""Messages between cores, and what they load on a mesh: the figures that placement makes small.

A spike is one message to each core on which its neuron has synapses, however many connections lead there. A flow is the
number of messages per network step from one core to another: the source neurons on the one that have a synapse on the
other, times their spikes per step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.analysis.resources_blocks import Block, blocks_of
from ranvier.compiler.analysis.resources_synapses import reach, reach_box
from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse
from ranvier.compiler.ir.program import CoreSite, Piece


@dataclass(frozen=True, eq=False)
class Flows:
    """Between different cores: ``sources`` and ``targets`` (pairs,), each pair once, ``messages`` per step."""

    cores: int
    sources: IntArray
    targets: IntArray
    messages: FloatArray


@dataclass(frozen=True)
class MeshLoad:
    """Messages per step: in all between cores, times mesh hops, on the busiest link of a mesh, and between chips.

    Hops and links are 0 where the mesh is unknown.
    """

    messages: float
    hops: float
    busiest_link: float
    between_chips: float


def homes_of(chip: ChipNetwork, pieces: Sequence[Piece]) -> dict[str, IntArray]:
    """Per population, the core of each neuron."""
    homes = {p.name: np.full(p.size, -1, dtype=np.int64) for p in chip.populations}
    for piece in pieces:
        homes[piece.population][piece.start : piece.stop] = piece.core
    return homes


def senders(chip: ChipNetwork, blocks: Sequence[Block]) -> Iterator[tuple[str, IntArray]]:
    """Each source with its neurons, ascending, that have a synapse on the core that holds ``blocks``."""
    found: dict[str, list[IntArray]] = {}
    for block in blocks:
        for connection in chip.into[block.population]:
            found.setdefault(connection.source, []).append(sources_reaching(connection, block))
    for source, parts in found.items():
        yield source, parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


def sources_reaching(connection: Connection, block: Block) -> IntArray:
    """The source neurons, ascending, with a synapse on ``block``; of a convolution, all weights count as nonzero."""
    synapse = connection.synapse
    if isinstance(synapse, ConvSynapse):
        return np.asarray(np.ravel_multi_index(reach_box(synapse, block), synapse.in_shape)).reshape(-1)
    return np.flatnonzero(reach(connection, block))


def flows(chip: ChipNetwork, pieces: Sequence[Piece], rates: Mapping[str, float] | None = None) -> Flows:
    """The flows of a partition whose cores are counted from 0.

    ``rates``: spikes per neuron and step, those of the calibration data if not given, 1 where these are silent about
    a population. Ports are left out: where their messages enter the chip is not known.
    """
    rates = chip.rates if rates is None else rates
    homes, cores = homes_of(chip, pieces), 1 + max(piece.core for piece in pieces)
    found: list[tuple[IntArray, int, FloatArray]] = []
    for core, blocks in blocks_of(chip, pieces).items():
        for source, neurons in senders(chip, blocks):
            if source in homes and neurons.size:
                there, counted = _counted(homes[source][neurons])
                found.append((there, core, counted * rates.get(source, 1.0)))
    return _joined(cores, found)


def _counted(cores: IntArray) -> tuple[IntArray, FloatArray]:
    """Which cores occur, and how often."""
    low = int(cores.min())
    times = np.bincount(cores - low)
    there = np.flatnonzero(times)
    return np.asarray(there + low, dtype=np.int64), times[there].astype(np.float64)


def mesh_load(flow: Flows, sites: Sequence[CoreSite]) -> MeshLoad:
    """What ``flow`` costs where core i is at ``sites[i]``; messages go along x first, then along y, within a chip."""
    chip, x, y = (np.array([getattr(site, name) for site in sites]) for name in ("chip", "x", "y"))
    a, b, sent = flow.sources, flow.targets, flow.messages
    same = chip[a] == chip[b]
    inside = same & (x[a] >= 0) & (x[b] >= 0)
    a, b, carried = a[inside], b[inside], sent[inside]
    hops = np.abs(x[a] - x[b]) + np.abs(y[a] - y[b])
    busiest = max(_busiest(chip[a], y[a], x[a], x[b], carried), _busiest(chip[a], x[b], y[a], y[b], carried))
    return MeshLoad(float(sent.sum()), float((hops * carried).sum()), busiest, float(sent[~same].sum()))


def _busiest(chip: IntArray, lane: IntArray, start: IntArray, stop: IntArray, carried: FloatArray) -> float:
    """The most messages on one link of the rows (or columns) ``lane``, each direction a link of its own."""
    if not start.size:
        return 0.0
    length = int(max(start.max(), stop.max())) + 2
    lanes, lane = np.unique(np.stack([chip, lane]), axis=1, return_inverse=True)
    worst = 0.0
    for begin, end in ((start, stop), (stop, start)):
        onward = begin < end
        change = np.zeros((lanes.shape[1], length))
        np.add.at(change, (lane[onward], begin[onward]), carried[onward])
        np.add.at(change, (lane[onward], end[onward]), -carried[onward])
        worst = max(worst, float(np.cumsum(change, axis=1).max(initial=0.0)))
    return worst


def _joined(cores: int, found: Sequence[tuple[IntArray, int, FloatArray]]) -> Flows:
    if not found:
        none = np.zeros(0, dtype=np.int64)
        return Flows(cores, none, none, np.zeros(0))
    sources = np.concatenate([f[0] for f in found])
    targets = np.repeat([f[1] for f in found], [f[0].size for f in found])
    keys, where = np.unique(sources * cores + targets, return_inverse=True)
    messages = np.bincount(where, weights=np.concatenate([f[2] for f in found]))
    apart = keys // cores != keys % cores
    return Flows(cores, (keys // cores)[apart], (keys % cores)[apart], messages[apart])
