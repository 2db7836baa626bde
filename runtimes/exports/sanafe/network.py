"""The placed network in SANA-FE's words: groups of neurons, edges between groups, and the core of every neuron.

Every population is a group. The input is a group for each core that its spikes reach. A connection is a ``dense``
hyperedge where every weight is there, else a ``sparse`` one; convolutions are written out. Weights, shifted by the
exponent of their connection, are integers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, Connection, Population
from ranvier.compiler.ir.matrix import Matrix, synapse_matrix
from ranvier.compiler.ir.program import CoreSite, Placement
from ranvier.runtimes.exports.sanafe.architecture import DENDRITE, HOST_SOMA, SOMA, Costs
from ranvier.runtimes.exports.sanafe.neurons import Neurons

Address = tuple[int, int]
MOST_SYNAPSES = 2**23
"""More are not written out: SANA-FE loads about 90,000 a second."""


@dataclass(frozen=True, eq=False)
class Mapped:
    """A program on SANA-FE's chip, whose synapses are stored in ``formats`` by population."""

    chip: ChipNetwork
    placement: Placement
    costs: Costs
    formats: Mapping[str, str]

    @cached_property
    def addresses(self) -> Mapping[str, NDArray[np.int64]]:
        """(neurons, 2) tile, and core within the tile, by population."""
        offsets = _offsets(self.placement.sites)
        found = {p.name: np.zeros((p.size, 2), np.int64) for p in self.chip.populations}
        sites = {site.core: site for site in self.placement.sites}
        for piece in self.placement.pieces:
            site = sites[piece.core]
            found[piece.population][piece.start : piece.stop] = self.costs.tile(site.x, site.y), offsets[piece.core]
        return found

    @cached_property
    def hosts(self) -> Mapping[Address, int]:
        """The cores that input spikes reach, by tile and core, and the core on that tile from which they come."""
        fed = [c.target for c in self.chip.connections if c.source == self.chip.ports[0].name]
        reached = sorted({(int(t), int(c)) for name in fed for t, c in self.addresses[name]})
        tiles = [tile for tile, _ in reached]
        return {at: self.costs.cores + n - tiles.index(at[0]) for n, at in enumerate(reached)}

    @cached_property
    def names(self) -> Mapping[str, str]:
        """The group of every population and, by ``input@tile.core``, of every copy of the input."""
        copies = [_copy(self.chip.ports[0].name, at) for at in self.hosts]
        return _safe([*(p.name for p in self.chip.populations), *copies])

    def copies(self) -> Iterator[tuple[Address, str]]:
        """The cores that input spikes reach, and the name of the input's group for each."""
        for at in self.hosts:
            yield at, self.names[_copy(self.chip.ports[0].name, at)]


def described(mapped: Mapped, neurons: Mapping[str, Neurons], spikes: NDArray[np.int64] | None) -> Iterator[str]:
    """The lines of the network file; ``spikes`` (steps, neurons) enter at the input, none where not given."""
    chip = mapped.chip
    yield f"# {chip.name}, group by layer: {', '.join(f'{g} = {n}' for n, g in mapped.names.items())}"
    yield "network:"
    yield "  name: network"
    yield "  groups:"
    for _, name in mapped.copies():
        yield from _input(name, size(chip.ports[0].shape), spikes)
    for p in chip.populations:
        yield from _group(mapped.names[p.name], p, neurons[p.name])
    yield "  edges:"
    edges = [line for connection in chip.connections for line in _edges(mapped, connection)]
    yield from edges or ["    []"]
    yield "mappings:"
    yield from _mappings(mapped)


def weights(connection: Connection) -> Matrix | None:
    """(targets, sources) integer weights with the exponent applied; None where a negative one cuts bits off."""
    matrix = synapse_matrix(connection.synapse)
    if connection.exponent >= 0:
        return matrix * (1 << connection.exponent)
    unit = 1 << -connection.exponent
    if np.any(matrix.data % unit):
        return None
    matrix.data //= unit
    return matrix


def _copy(port: str, at: Address) -> str:
    return f"{port}@{at[0]}.{at[1]}"


def _offsets(sites: Iterable[CoreSite]) -> dict[int, int]:
    """The place of each core on its tile, in the order of the cores' numbers."""
    found: dict[int, int] = {}
    taken: dict[tuple[int, int], int] = {}
    for site in sorted(sites, key=lambda site: site.core):
        found[site.core] = taken.get((site.x, site.y), 0)
        taken[site.x, site.y] = found[site.core] + 1
    return found


def _safe(names: Sequence[str]) -> dict[str, str]:
    """Names without the characters that SANA-FE reads as addresses; numbered where they would be the same."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = base = re.sub(r"\W", "_", name, flags=re.ASCII) or "group"
        number = 2
        while plain in taken:
            plain, number = f"{base}_{number}", number + 1
        taken.add(plain)
        found[name] = plain
    return found


def _input(name: str, neurons: int, spikes: NDArray[np.int64] | None) -> Iterator[str]:
    yield f"    - name: {name}"
    yield "      attributes: [log_spikes: true]"
    yield "      neurons:"
    if spikes is None:
        yield f"        - 0..{neurons - 1}: []"
        return
    for n in range(neurons):
        yield f"        - {n}: [soma: {{spikes: [{','.join(map(str, spikes[:, n].tolist()))}]}}]"


def _group(name: str, population: Population, neurons: Neurons) -> Iterator[str]:
    shared = {k: v[0] for k, v in neurons.attributes.items() if len(set(v)) == 1}
    yield f"    - name: {name}"
    yield f"      attributes: [log_spikes: true, soma: {{reset_mode: hard, force_update: true, {_values(shared)}}}]"
    yield "      neurons:"
    own = [key for key in neurons.attributes if key not in shared]
    rows = list(zip(*(neurons.attributes[key] for key in own), strict=True)) or [()] * population.size
    for row, run in groupby(range(population.size), lambda n: rows[n]):
        numbers = list(run)
        inner = f"soma: {{{_values(dict(zip(own, row, strict=True)))}}}" if own else ""
        yield f"        - {numbers[0]}..{numbers[-1]}: [{inner}]"


def _values(values: Mapping[str, float]) -> str:
    return ", ".join(f"{key}: {int(v) if v == int(v) else repr(v)}" for key, v in values.items())


def _edges(mapped: Mapped, connection: Connection) -> Iterator[str]:
    matrix, target = weights(connection), mapped.names[connection.target]
    assert matrix is not None
    if connection.source != mapped.chip.ports[0].name:
        yield from _edge(mapped.names[connection.source], target, matrix)
        return
    coo, addresses = matrix.tocoo(), mapped.addresses[connection.target]
    for at, name in mapped.copies():
        there = np.all(addresses == at, axis=1)
        kept = there[coo.row]
        if there.all():
            yield from _edge(name, target, matrix)
        elif kept.any():
            yield from _sparse(name, target, coo.row[kept], coo.col[kept], coo.data[kept])


def _edge(source: str, target: str, matrix: Matrix) -> Iterator[str]:
    if matrix.nnz == matrix.shape[0] * matrix.shape[1]:
        yield f"    - {source} -> {target}: [type: dense, weight: [{_list(matrix.toarray().T.reshape(-1))}]]"
    elif matrix.nnz:
        coo = matrix.tocoo()
        yield from _sparse(source, target, coo.row, coo.col, coo.data)


def _sparse(
    source: str, target: str, rows: NDArray[np.int64], columns: NDArray[np.int64], data: NDArray[np.int64]
) -> Iterator[str]:
    pairs = ",".join(f"[{c},{r}]" for c, r in zip(columns.tolist(), rows.tolist(), strict=True))
    yield f"    - {source} -> {target}: [type: sparse, source_target_pairs: [{pairs}], weight: [{_list(data)}]]"


def _list(values: NDArray[np.int64]) -> str:
    return ",".join(map(str, values.tolist()))


def _mappings(mapped: Mapped) -> Iterator[str]:
    for at, name in mapped.copies():
        for n in range(size(mapped.chip.ports[0].shape)):
            units = f'synapse: none, dendrite: {DENDRITE}, soma: "{HOST_SOMA}[{n}]"'
            yield f"  - {name}.{n}: [core: {at[0]}.{mapped.hosts[at]}, {units}]"
    for p in mapped.chip.populations:
        units = f"synapse: {mapped.formats[p.name]}, dendrite: {DENDRITE}, soma: {SOMA}"
        address = mapped.addresses[p.name]
        for (tile, core), run in groupby(range(p.size), lambda n: (int(address[n, 0]), int(address[n, 1]))):  # noqa: B023
            numbers = list(run)
            yield f"  - {mapped.names[p.name]}.{numbers[0]}..{numbers[-1]}: [core: {tile}.{core}, {units}]"
