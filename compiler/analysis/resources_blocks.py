"""Blocks: the share of one population that one core gets, a box of its neurons or several ranges of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from ranvier.compiler.ir.arrays import IntArray, Shape
from ranvier.compiler.ir.chip import ChipNetwork, ConvSynapse, Population
from ranvier.compiler.ir.program import Piece

Interval = tuple[int, int]


@dataclass(frozen=True)
class Block:
    """Neurons of ``population`` in a half-open ``box`` of ``shape``.

    The shape is that of the population, (channels, height, width), where a convolution ends in it, and flat
    otherwise; neurons count in C order. Of a flat population a block may be several ranges: ``runs``, ascending and
    apart, of which ``box`` is the hull; () where the hull is full.
    """

    population: str
    shape: Shape
    box: tuple[Interval, ...]
    runs: tuple[Interval, ...] = ()

    @property
    def size(self) -> int:
        """Number of neurons."""
        if self.runs:
            return sum(stop - start for start, stop in self.runs)
        return prod(stop - start for start, stop in self.box)

    @property
    def whole(self) -> bool:
        """Whether the block is the whole population."""
        return self.size == prod(self.shape)

    def indices(self) -> IntArray:
        """The neurons' flat indices, ascending."""
        if self.runs:
            return np.concatenate([np.arange(start, stop) for start, stop in self.runs])
        axes = np.ix_(*(np.arange(start, stop) for start, stop in self.box))
        return np.asarray(np.ravel_multi_index(axes, self.shape), dtype=np.int64).reshape(-1)

    def ranges(self) -> tuple[Interval, ...]:
        """The same neurons as the fewest contiguous ranges."""
        if self.runs or len(self.box) == 1:
            return self.runs or self.box
        indices = self.indices()
        breaks = np.flatnonzero(np.diff(indices) != 1) + 1
        starts = indices[np.concatenate([[0], breaks])]
        stops = indices[np.concatenate([breaks - 1, [indices.size - 1]])] + 1
        return tuple((int(start), int(stop)) for start, stop in zip(starts, stops, strict=True))


def block_shape(chip: ChipNetwork, population: Population) -> Shape:
    """The axes along which a population is cut: channels, rows and columns if a convolution ends in it."""
    convs = [c.synapse for c in chip.into[population.name] if isinstance(c.synapse, ConvSynapse)]
    return convs[0].out_shape if convs else (population.size,)


def splits(shape: Shape, parts: int) -> Iterator[tuple[int, ...]]:
    """All ways to cut ``shape`` into ``parts`` boxes: parts per axis; columns only where rows are used up."""
    if len(shape) == 1:
        if parts <= shape[0]:
            yield (parts,)
        return
    channels, height, width = shape
    for by_channel in range(1, min(channels, parts) + 1):
        if parts % by_channel:
            continue
        rest = parts // by_channel
        if rest <= height:
            yield (by_channel, rest, 1)
        elif rest % height == 0 and rest // height <= width:
            yield (by_channel, height, rest // height)


def cut(population: str, shape: Shape, counts: tuple[int, ...]) -> tuple[Block, ...]:
    """Balanced boxes in C order: ``counts`` parts along each axis, lengths differing by one at most."""
    edges = [[n * i // k for i in range(k + 1)] for n, k in zip(shape, counts, strict=True)]
    blocks = []
    for position in np.ndindex(*counts):
        box = tuple((edge[i], edge[i + 1]) for edge, i in zip(edges, position, strict=True))
        blocks.append(Block(population, shape, box))
    return tuple(blocks)


def neuron_block(population: str, shape: Shape, neuron: int) -> Block:
    """The block of a single neuron, given by its flat index."""
    position = np.unravel_index(neuron, shape)
    return Block(population, shape, tuple((int(i), int(i) + 1) for i in position))


def blocks_of(chip: ChipNetwork, pieces: Iterable[Piece]) -> dict[int, tuple[Block, ...]]:
    """The blocks on each core, from its pieces: one per population, of a convolution the smallest box round them."""
    found: dict[int, dict[str, list[Interval]]] = {}
    for piece in pieces:
        found.setdefault(piece.core, {}).setdefault(piece.population, []).append((piece.start, piece.stop))
    return {
        core: tuple(_bounding_block(chip, name, ranges) for name, ranges in found[core].items())
        for core in sorted(found)
    }


def _bounding_block(chip: ChipNetwork, name: str, ranges: list[Interval]) -> Block:
    population = chip.by_name[name]
    assert isinstance(population, Population), "ports lie on no core"
    shape = block_shape(chip, population)
    if len(shape) == 1:
        return ranges_block(name, shape, ranges)
    positions = np.unravel_index(np.concatenate([np.arange(a, b) for a, b in ranges]), shape)
    return Block(name, shape, tuple((int(axis.min()), int(axis.max()) + 1) for axis in positions))


def ranges_block(population: str, shape: Shape, ranges: Iterable[Interval]) -> Block:
    """The block of a flat population that holds ``ranges``, which do not overlap."""
    joined: list[Interval] = []
    for start, stop in sorted(ranges):
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    hull = (joined[0][0], joined[-1][1])
    return Block(population, shape, (hull,), tuple(joined) if len(joined) > 1 else ())
