"""A workload under a schedule as flat arrays, for the compiled parts: layers, what they read, and tiles.

Nodes are the sources, then the layers. Tiles are the units that are held, moved and freed: the weights of a layer
(one tile), its state (one tile a column tile), and what a node sends (one tile a column tile and step).
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.schedule.choices import Rules, Schedule, fuse_ids
from ranvier.compiler.schedule.workload import Columns, Layer, Workload, tile_starts

Ints = NDArray[np.int64]


class Role(IntEnum):
    """What a tile is to the layer that uses it."""

    INPUT = 0
    WEIGHT = 1
    OUTPUT = 2
    STATE = 3


class Nodes(NamedTuple):
    """Arrays by node: ``tiles`` of its map, whether it is ``batched``, its ``fuse`` number, bits, its first tiles.

    ``weight``: bits of the weights (0: none), ``state``: whether it has one between steps that is held as a tile;
    ``answers``: whether its output leaves the chip. ``weight_tile``, ``state_tile``, ``output_tile``: first tile ids.
    """

    tiles: Ints
    batched: Ints
    fuse: Ints
    weight: Ints
    state: Ints
    answers: Ints
    weight_tile: Ints
    state_tile: Ints
    output_tile: Ints


class Edges(NamedTuple):
    """Arrays by edge, those into one node together and there by source: source, delay, and tiles of the source read.

    ``first[e]`` the first edge of node e (one longer than the nodes); ``low``, ``high`` from ``window[e]`` on: for each
    tile of the target the half-open range of source tiles.
    """

    first: Ints
    source: Ints
    delay: Ints
    window: Ints
    low: Ints
    high: Ints


class Tiles(NamedTuple):
    """Arrays by tile: its bits, the node it belongs to, its role there, and whether DRAM holds it from the start."""

    bits: Ints
    node: Ints
    role: Ints
    stored: Ints


@dataclass(frozen=True, eq=False)
class Tables:
    """All arrays of a workload under a schedule; ``sources`` many nodes come first, then the layers."""

    steps: int
    sources: int
    nodes: Nodes
    edges: Edges
    tiles: Tiles


def tables(workload: Workload, schedule: Schedule, rules: Rules) -> Tables:
    """The arrays of ``workload`` under ``schedule``."""
    count = len(workload.sources)
    cut = _cuts(workload, schedule)
    nodes, tiles = _nodes(workload, schedule, rules, cut)
    return Tables(workload.steps, count, nodes, _edges(workload, cut), tiles)


def tiles_of(workload: Workload, schedule: Schedule) -> dict[str, int]:
    """Into how many tiles the map of every source and layer is cut."""
    return {name: len(starts) - 1 for name, starts in _cuts(workload, schedule).items()}


def _cuts(workload: Workload, schedule: Schedule) -> dict[str, tuple[int, ...]]:
    """The first column of every tile of every node; a source is cut as finely as what reads it."""
    wanted = {
        layer.name: min(layer.width, workload.columns[b] if schedule[b].fused else 1)
        for layer in workload.layers
        for b in (workload.block_of[layer.name],)
    }
    for source in workload.sources:
        readers = [wanted[layer.name] for layer in workload.layers for o in layer.operands if o.source == source.name]
        wanted[source.name] = min(source.width, max(readers, default=1))
    widths = {node.name: node.width for node in workload.nodes}
    return {name: tile_starts(widths[name], tiles) for name, tiles in wanted.items()}


def _nodes(
    workload: Workload, schedule: Schedule, rules: Rules, cut: dict[str, tuple[int, ...]]
) -> tuple[Nodes, Tiles]:
    everything = workload.nodes
    stacks = fuse_ids(schedule) if rules.barriers else (0,) * len(schedule)
    rows, parts, used = [], [], 0
    for index, node in enumerate(everything):
        columns = np.diff(cut[node.name]) * node.column
        layer = node if isinstance(node, Layer) else None
        block = -1 if layer is None else workload.block_of[node.name]
        batched = layer is not None and schedule[block].batched
        kept = layer is not None and layer.stateful and (not batched or rules.state_io == "charged")
        weight = 0 if layer is None else layer.weight_bits
        sizes = (
            np.full(1 if weight else 0, weight, np.int64),
            columns * layer.state_bits if layer is not None and kept else columns[:0],
            np.tile(columns * node.bits, workload.steps),
        )
        starts = used + np.cumsum([0, *(len(s) for s in sizes)])
        used = int(starts[3])
        rows.append((len(columns), batched, stacks[block] if layer else 0, weight, kept,
                     node.name in workload.answers, *starts[:3]))  # fmt: skip
        stored = (True, rules.state_io == "charged", layer is None)
        for role, bits, there in zip((Role.WEIGHT, Role.STATE, Role.OUTPUT), sizes, stored, strict=True):
            parts.append(np.stack([bits, *(np.full_like(bits, value) for value in (index, role, there))]))
    return Nodes(*np.array(rows, np.int64).T.copy()), Tiles(*np.concatenate(parts, axis=1))


def _edges(workload: Workload, cut: dict[str, tuple[int, ...]]) -> Edges:
    index = {node.name: i for i, node in enumerate(workload.nodes)}
    first, source, delay, starts = [0] * (len(workload.sources) + 1), [], [], [0]
    low, high = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for layer in workload.layers:
        for operand in sorted(layer.operands, key=lambda o: index[o.source]):
            source.append(index[operand.source])
            delay.append(operand.delay)
            below, above = _tiles_read(operand.columns, cut[layer.name], cut[operand.source])
            starts.append(starts[-1] + len(below))
            low.append(below)
            high.append(above)
        first.append(len(source))
    columns = (first, source, delay, starts[:-1], np.concatenate(low), np.concatenate(high))
    return Edges(*(np.array(column, np.int64) for column in columns))


def _tiles_read(columns: Columns, here: tuple[int, ...], there: tuple[int, ...]) -> tuple[Ints, Ints]:
    """For each tile of the target, cut at ``here``, the half-open range of tiles of the source, cut at ``there``."""
    ranges, nowhere = np.array(columns, np.int64), there[-1]
    empty = ranges[:, 0] >= ranges[:, 1]
    low = np.minimum.reduceat(np.where(empty, nowhere, ranges[:, 0]), here[:-1])
    high = np.maximum.reduceat(np.where(empty, 0, ranges[:, 1]), here[:-1])
    read = low < high
    below, above = np.searchsorted(there, low, "right") - 1, np.searchsorted(there, high, "left")
    return np.where(read, below, 0), np.where(read, above, 0)
