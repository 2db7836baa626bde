"""Cuts a population into the blocks that cost the whole network the fewest cores.

A cut is a number of parts along each axis: ranges of neurons, or boxes of channels, rows and columns where a
convolution ends in the population. Its cost is its number of blocks, and the blocks that it adds to its sources:
each (source neuron, block) pair is one message of every spike and one or two of the output slots of the source's core,
of which a core has few. Among equal costs the cut with the fewest such pairs wins. Cuts are tried in this order;
the first that keeps every limit is taken.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from ranvier.compiler.analysis.resources import usages
from ranvier.compiler.analysis.resources_blocks import Block, block_shape, cut, neuron_block
from ranvier.compiler.analysis.resources_synapses import axon_slots, fan_in, reach_length
from ranvier.compiler.ir.arrays import IntArray, Shape
from ranvier.compiler.ir.chip import Connection, ConvSynapse, Population
from ranvier.compiler.passes.mapping.loads import Loads, Slots

# Counters that do not shrink in proportion when a population is cut, so that they give no lower bound.
_NOT_ADDITIVE = re.compile(r"n_in_lists|_profiles|n_synapse_formats")
Counts = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Cutter:
    """Cuts of the populations of one network; what was computed once is kept."""

    loads: Loads
    _worst: dict[str, tuple[int, int]] = field(default_factory=dict)
    _least: dict[str, int] = field(default_factory=dict)

    def cut(self, population: Population, slots: Slots, fewest: int) -> tuple[Block, ...]:
        """At least ``fewest`` blocks that fit one core each; if there are none, single neurons that do not fit.

        ``slots``: the output slots that every neuron is known to need so far.
        """
        shape = block_shape(self.loads.mapper.chip, population)
        worst = self.worst_neurons(population, shape, slots)
        if not self.loads.all_fit(worst, slots):
            return worst
        for counts in self._ranked(population, shape, slots, max(fewest, self.least(population, shape, slots))):
            blocks = cut(population.name, shape, counts)
            if self.loads.all_fit(blocks, slots):
                return blocks
        return cut(population.name, shape, shape)

    def least(self, population: Population, shape: Shape, slots: Slots) -> int:
        """A lower bound on the number of blocks, from what only divides when a population is cut."""
        (whole,) = cut(population.name, shape, (1,) * len(shape))
        demand = self.loads.block(whole, slots)
        found = [u for u in usages(demand, self.loads.mapper.target) if u.hard and not _NOT_ADDITIVE.search(u.use)]
        bounds = [ceil(u.used / u.limit) for u in found]
        most = self.loads.max_neurons
        bounds.append(ceil(demand.neurons / most) if most else 1)
        return max(1, min(population.size, max(bounds)))

    def worst_neurons(self, population: Population, shape: Shape, slots: Slots) -> tuple[Block, ...]:
        """The neurons most likely not to fit: with the largest fan-in, with the most output slots."""
        if population.name not in self._worst:
            incoming = self.loads.mapper.chip.into[population.name]
            fan = sum((fan_in(c.synapse) for c in incoming), np.zeros(population.size, dtype=np.int64))
            self._worst[population.name] = (int(np.argmax(fan)), 0)
        picks = {self._worst[population.name][0], int(np.argmax(slots[population.name]))}
        return tuple(neuron_block(population.name, shape, neuron) for neuron in sorted(picks))

    def _ranked(self, population: Population, shape: Shape, slots: Slots, fewest: int) -> Iterator[Counts]:
        """Counts of at least ``fewest`` parts whose largest block may fit, by rising cost."""
        options = [distinct_lengths(n) for n in shape]
        if len(shape) == 1:
            (parts,) = options
            parts = np.append(fewest, parts[parts > fewest])
            first = bisect_left(parts, True, key=lambda k: self._middle_fits(population.name, shape, (int(k),)))
            yield from ((int(k),) for k in parts[first:])
            return
        table = np.stack([a.reshape(-1) for a in np.meshgrid(*options, indexing="ij")], axis=1)
        table = table[table.prod(axis=1) >= fewest]
        cores, pairs = self._costs(population, shape, slots, table, options)
        order = np.lexsort((*table.T, pairs, cores))
        too_long: list[IntArray] = []
        for row in table[order]:
            lengths = -(-np.asarray(shape) // row)
            if any(np.all(lengths >= failed) for failed in too_long):
                continue
            counts = tuple(int(k) for k in row)
            if self._middle_fits(population.name, shape, counts):
                yield counts
            else:
                too_long.append(lengths)

    def _middle_fits(self, population: str, shape: Shape, counts: Counts) -> bool:
        return self.loads.fits(self.loads.mapper.demand(_middle(population, shape, counts)))

    def _costs(
        self, population: Population, shape: Shape, slots: Slots, table: IntArray, options: Sequence[IntArray]
    ) -> tuple[IntArray, IntArray]:
        """(cuts,) cores that each cut costs, its sources' included, and its (source neuron, block) pairs."""
        cores, pairs = table.prod(axis=1), np.zeros(len(table), dtype=np.int64)
        added: dict[str, IntArray] = {}
        for connection in self.loads.mapper.chip.into[population.name]:
            reached, axons = _reached(connection, shape, table, options)
            prices = {a: axon_slots(connection, self.loads.mapper.target, a) for a in np.unique(axons).tolist()}
            paid = reached * np.array([prices[a] for a in axons.tolist()], dtype=np.int64)
            pairs = pairs + reached
            added[connection.source] = added.get(connection.source, 0) + paid
        for source, paid in added.items():
            cores = cores + self._growth(source, slots, paid)
        return cores, pairs

    def _growth(self, source: str, slots: Slots, paid: IntArray) -> IntArray:
        """(cuts,) blocks that ``source`` needs beyond its least because of its output slots."""
        node, limit = self.loads.mapper.chip.by_name[source], self.loads.slots_of_a_core
        if limit is None or not isinstance(node, Population):
            return np.zeros_like(paid)
        if source not in self._least:
            nothing = {source: np.zeros(node.size, dtype=np.int64)}
            self._least[source] = self.least(node, block_shape(self.loads.mapper.chip, node), nothing)
        needed = -(-(int(slots[source].sum()) + paid) // limit)
        return np.maximum(0, needed - self._least[source])


def distinct_lengths(n: int) -> IntArray:
    """For each length that the longest of k balanced parts can have, the least such k."""
    parts = np.arange(1, n + 1)
    _, first = np.unique(-(-n // parts), return_index=True)
    return np.sort(parts[first])


def _middle(population: str, shape: Shape, counts: Counts) -> Block:
    """A longest block of a cut, in the middle, where it has the most sources."""
    box = []
    for n, k in zip(shape, counts, strict=True):
        outwards = ((k // 2 + (-1) ** i * ((i + 1) // 2)) % k for i in range(2 * k))
        box.append(next(e for i in outwards if (e := (n * i // k, n * (i + 1) // k))[1] - e[0] == -(-n // k)))
    return Block(population, shape, tuple(box))


def _reached(
    connection: Connection, shape: Shape, table: IntArray, options: Sequence[IntArray]
) -> tuple[IntArray, IntArray]:
    """(cuts,) (source, block) pairs of a connection, and input axons of a typical block."""
    synapse = connection.synapse
    if not isinstance(synapse, ConvSynapse):
        # Sources of a range are not known without looking; ranges share few, so pairs grow with the parts.
        parts = table.prod(axis=1)
        return synapse.in_size * parts, np.full(len(table), synapse.in_size)
    sums: list[Mapping[int, int]] = [
        {k: sum(reach_length(synapse, axis, (n * i // k, n * (i + 1) // k)) for i in range(k)) for k in ks.tolist()}
        for axis, (n, ks) in enumerate(zip(shape, options, strict=True))
    ]
    per_axis = [np.array([found[k] for k in table[:, axis].tolist()]) for axis, found in enumerate(sums)]
    pixels = -(-per_axis[1] // table[:, 1]) * -(-per_axis[2] // table[:, 2])
    return per_axis[0] * per_axis[1] * per_axis[2], pixels
