"""Fewer messages between cores for convolutions: patches of consecutive layers share a core.

A group is a chain of consecutive layers that are all cut by the same grid of channels, rows and columns; core i holds
block i of every layer. The messages of a connection are the (source neuron, block) pairs, less, inside a group, those
whose source lies in the block of the same number. Both are products over the three axes, so that every grid is
evaluated at once::

    messages = rate * (S0[a] * S1[b] * S2[c] - inside * O0[a] * O1[b] * O2[c])
    S[k] = sum over i < k of |reach_i|,  O[k] = sum over i < k of |reach_i and own_i|

A source that reaches a core by several connections sends one message there; grids are compared by counting these
apart, which is never too few, and the result is counted exactly.

Which layers become groups is the shortest path over the chain (dynamic programming from the last layer to the first).
A group takes no more cores than its layers had for themselves; the whole is checked against every limit, and groups
on cores that break one are taken back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ranvier.compiler.analysis.flows import sources_reaching
from ranvier.compiler.analysis.resources_blocks import Block, block_shape, cut
from ranvier.compiler.analysis.resources_synapses import reach, reach_box
from ranvier.compiler.ir.arrays import FloatArray, IntArray, Shape
from ranvier.compiler.ir.chip import Connection, ConvSynapse, Population
from ranvier.compiler.passes.mapping.cutting import distinct_lengths
from ranvier.compiler.passes.mapping.effort import Progress
from ranvier.compiler.passes.mapping.loads import Loads, Slots

Cores = Sequence[Sequence[Block]]
Counts = tuple[int, ...]
# Layers in a group, and grids that are tried for one.
_MOST_LAYERS, _MOST_TRIES = 4, 24
# Networks on more cores are cut so finely that a core has no room for a second layer.
_MOST_CORES = 20_000
_RETREATS = 6


@dataclass(frozen=True)
class Group:
    """Consecutive populations ``names`` cut alike into ``counts`` parts along each axis, for ``cost`` messages."""

    names: tuple[str, ...]
    counts: Counts
    cost: float


@dataclass(frozen=True, eq=False)
class Fusion:
    """Fuses layers of one network; what was computed once is kept."""

    loads: Loads
    slots: Slots
    progress: Progress
    _sums: dict[tuple[str, int, int], tuple[int, int]] = field(default_factory=dict)

    def __call__(self, cores: Cores) -> Cores:
        """Cores with at most as many messages between them, no more of them, each limit kept as it was."""
        chip = self.loads.mapper.chip
        if not 1 < len(cores) <= _MOST_CORES or not any(isinstance(c.synapse, ConvSynapse) for c in chip.connections):
            return cores
        groups, doubtful = self._groups(cores), len(self._faulty(cores, doubtful=True))
        for _ in range(_RETREATS):
            found = self._applied(cores, groups)
            faulty = self._faulty(found) or self._faulty(found, doubtful=True)[doubtful:]
            if not faulty:
                return found if self.messages(found) < self.messages(cores) else cores
            names = {block.population for number in faulty for block in found[number]}
            near = names | {c.target for c in chip.connections if c.source in names}
            kept = [group for group in groups if not near & set(group.names)]
            if len(kept) == len(groups):
                return cores
            groups = kept
        return cores

    def messages(self, cores: Cores) -> float:
        """Messages between cores per step; ports left out."""
        return sum(self._sent(core) for core in cores)

    def _sent(self, core: Sequence[Block]) -> float:
        """Messages to one core."""
        there, found = {block.population: block for block in core}, 0.0
        ends: dict[str, list[tuple[Connection, Block]]] = {}
        for block in core:
            for connection in self._inner(block.population):
                ends.setdefault(connection.source, []).append((connection, block))
        for source, linked in ends.items():
            found += self._rate(linked[0][0]) * _off_core(linked, there.get(source))
        return found

    def _groups(self, cores: Cores) -> list[Group]:
        """The groups on the shortest path over the chain of populations."""
        populations = self.loads.mapper.chip.populations
        alone = self._costs_alone(cores)
        best: list[tuple[float, list[Group]]] = [(0.0, [])]
        for first in reversed(range(len(populations))):
            cost, groups = best[0]
            options = [(cost + alone[populations[first].name], groups)]
            for names in self._chains(first):
                group = self._group(names, cores, sum(alone[name] for name in names))
                if group is not None:
                    after = best[len(names) - 1]
                    options.append((after[0] + group.cost, [group, *after[1]]))
            best.insert(0, min(options, key=lambda option: option[0]))
            self.progress("fuse layers", 1 - first / len(populations))
        return best[0][1]

    def _costs_alone(self, cores: Cores) -> dict[str, float]:
        found = dict.fromkeys((p.name for p in self.loads.mapper.chip.populations), 0.0)
        for core in cores:
            for block in core:
                others = [b for b in core if b is not block]
                found[block.population] += self._sent(core) - self._sent(others) if others else self._sent(core)
        return found

    def _chains(self, first: int) -> Iterator[tuple[str, ...]]:
        """The chains of two layers and more that start with a population: each sends to the next by a convolution."""
        populations = self.loads.mapper.chip.populations
        names = [populations[first].name]
        if len(self._shape(names[0])) == 1:
            return
        for population in populations[first + 1 : first + _MOST_LAYERS]:
            linked = [c for c in self._inner(population.name) if c.source == names[-1]]
            if not any(_fits_shapes(c, self._shape(c.source)) for c in linked):
                return
            names.append(population.name)
            yield tuple(names)

    def _group(self, names: tuple[str, ...], cores: Cores, below: float) -> Group | None:
        """The grid with the fewest messages that keeps every limit, None if there is none with fewer than ``below``."""
        most = sum(all(block.population in names for block in core) for core in cores)
        shapes = [self._shape(name) for name in names]
        options = [distinct_lengths(min(axis)) for axis in zip(*shapes, strict=True)]
        table = np.stack([a.reshape(-1) for a in np.meshgrid(*options, indexing="ij")], axis=1)
        largest = sum(np.prod(-(-np.array(shape) // table), axis=1) for shape in shapes)
        table = table[(largest <= self._room(shapes)) & (table.prod(axis=1) <= most)]
        costs = self._costs(names, table)
        table, costs = table[costs < below], costs[costs < below]
        too_long: list[IntArray] = []
        for row in np.lexsort((*table.T, table.prod(axis=1), costs))[: 20 * _MOST_TRIES]:
            lengths = -(-np.asarray(shapes[0]) // table[row])
            if any(np.all(lengths >= failed) for failed in too_long):
                continue
            counts = tuple(int(k) for k in table[row])
            if self._legal(self._columns(names, counts)):
                return Group(names, counts, float(costs[row]))
            too_long.append(lengths)
            if len(too_long) >= _MOST_TRIES:
                break
        return None

    def _room(self, shapes: Sequence[Shape]) -> int:
        """Neurons that a core may hold."""
        rules = self.loads.mapper.target.core.resources
        limits = [r.cap.v for r in rules if r.use in ("n_neurons", "n_compartments") and r.enforce == "error"]
        limits += [self.loads.max_neurons] if self.loads.max_neurons else []
        return min(limits, default=sum(prod(shape) for shape in shapes))

    def _costs(self, names: tuple[str, ...], table: IntArray) -> FloatArray:
        """(grids,) messages into the populations ``names`` when all are cut by the same grid."""
        found = np.zeros(len(table))
        for name in names:
            for connection in self._inner(name):
                inside = connection.source in names and _fits_shapes(connection, self._shape(connection.source))
                if not isinstance(connection.synapse, ConvSynapse):
                    found += self._rate(connection) * connection.synapse.in_size * table.prod(axis=1)
                    continue
                sums = [
                    np.array([self._sum(connection, axis, k) for k in table[:, axis].tolist()]).reshape(-1, 2)
                    for axis in range(3)
                ]
                reached, own = (np.prod([s[:, i] for s in sums], axis=0, dtype=np.float64) for i in (0, 1))
                found += self._rate(connection) * (reached - inside * own)
        return found

    def _sum(self, connection: Connection, axis: int, parts: int) -> tuple[int, int]:
        """S and O of the module's text, for ``parts`` parts along ``axis``."""
        key = (connection.name, axis, parts)
        if key not in self._sums:
            synapse = connection.synapse
            assert isinstance(synapse, ConvSynapse)
            reached = own = 0
            for i in range(parts):
                box = [(0, n) for n in synapse.out_shape]
                n, m = synapse.out_shape[axis], synapse.in_shape[axis]
                box[axis] = (n * i // parts, n * (i + 1) // parts)
                there = _axes(synapse, Block(connection.target, synapse.out_shape, tuple(box)))[axis]
                reached += there.size
                own += _overlap(there, (m * i // parts, m * (i + 1) // parts))
            self._sums[key] = (reached, own)
        return self._sums[key]

    def _columns(self, names: tuple[str, ...], counts: Counts) -> list[list[Block]]:
        """The blocks of each core of a group."""
        return [list(blocks) for blocks in zip(*(cut(n, self._shape(n), counts) for n in names), strict=True)]

    def _legal(self, columns: Cores) -> bool:
        """Whether every core keeps all limits, with the output slots of the first cut; a middle one first."""
        middle = columns[len(columns) // 2]
        return all(self.loads.comfortable(self.loads.core(core, self.slots)) for core in (middle, *columns))

    def _applied(self, cores: Cores, groups: Sequence[Group]) -> list[list[Block]]:
        """The cores with the populations of each group taken off theirs and put on the group's own."""
        group_of = {name: group for group in groups for name in group.names}
        found: list[list[Block]] = []
        done: set[str] = set()
        for core in cores:
            for block in core:
                group = group_of.get(block.population)
                if group is not None and group.names[0] not in done:
                    done.add(group.names[0])
                    found += self._columns(group.names, group.counts)
            if rest := [block for block in core if block.population not in group_of]:
                found.append(rest)
        return found

    def _faulty(self, cores: Cores, *, doubtful: bool = False) -> list[int]:
        """The cores that break a hard limit or, if asked, a doubtful one."""
        slots = self.loads.mapper.out_slots(block for core in cores for block in core)
        verdicts = [self.loads.verdict(self.loads.core(core, slots)) for core in cores]
        return [i for i, v in enumerate(verdicts) if not (v.comfortable if doubtful else v.fits)]

    def _inner(self, name: str) -> list[Connection]:
        """The connections from populations that end in ``name``."""
        by_name = self.loads.mapper.chip.by_name
        return [c for c in self.loads.mapper.chip.into[name] if isinstance(by_name[c.source], Population)]

    def _rate(self, connection: Connection) -> float:
        return float(self.loads.mapper.chip.rates.get(connection.source, 1.0))

    def _shape(self, name: str) -> Shape:
        population = self.loads.mapper.chip.by_name[name]
        assert isinstance(population, Population)
        return block_shape(self.loads.mapper.chip, population)


def _off_core(linked: Sequence[tuple[Connection, Block]], own: Block | None) -> int:
    """Neurons of one source on other cores that reach a core by its connections; ``own``: those on it."""
    if len(linked) > 1:
        every = np.unique(np.concatenate([sources_reaching(connection, block) for connection, block in linked]))
        return every.size - (0 if own is None else int(np.isin(every, own.indices()).sum()))
    ((connection, block),) = linked
    if not isinstance(connection.synapse, ConvSynapse):
        there = reach(connection, block)
        return int(there.sum()) - (0 if own is None else int(there[own.indices()].sum()))
    axes = _axes(connection.synapse, block)
    if own is None:
        return prod(axis.size for axis in axes)
    if own.shape == connection.synapse.in_shape:
        return prod(axis.size for axis in axes) - prod(map(_overlap, axes, own.box))
    away = np.ones(prod(own.shape), dtype=bool)
    away[own.indices()] = False
    return int(away.reshape(connection.synapse.in_shape)[reach_box(connection.synapse, block)].sum())


def _axes(synapse: ConvSynapse, block: Block) -> tuple[IntArray, ...]:
    """Along each axis, the sources that reach ``block``."""
    return tuple(axis.reshape(-1) for axis in reach_box(synapse, block))


def _overlap(reached: IntArray, own: tuple[int, int]) -> int:
    """How many of ``reached``, ascending, lie in the half-open interval ``own``."""
    first, last = np.searchsorted(reached, own)
    return int(last - first)


def _fits_shapes(connection: Connection, shape: Shape) -> bool:
    """Whether the connection is a convolution that sees its source along the axes by which the source is cut."""
    return isinstance(connection.synapse, ConvSynapse) and connection.synapse.in_shape == shape
