"""Where spikes go: messages, mesh hops and chip crossings of each source, for a placed program."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.analysis.resources_blocks import blocks_of
from ranvier.compiler.analysis.resources_synapses import BoolArray, reach
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import CoreSite, Placement


@dataclass(frozen=True, eq=False)
class Traffic:
    """What one spike of each neuron of a source causes; all arrays are (neurons,).

    ``messages``: one per connection and destination core; ``east_west`` and ``north_south`` mesh hops by X-Y
    routing within a chip (0 where the mesh is unknown); ``between_chips`` messages that leave their chip.
    A port's spikes come from outside and have messages only.
    """

    messages: IntArray
    east_west: IntArray
    north_south: IntArray
    between_chips: IntArray


def traffic(chip: ChipNetwork, placement: Placement) -> Mapping[str, Traffic]:
    """The traffic of every port and population."""
    sites = {site.core: site for site in placement.sites}
    homes = _homes(chip, placement)
    found = {name: _Count.of(size) for name, size in _sizes(chip).items()}
    for core, blocks in blocks_of(chip, placement.pieces).items():
        for block in blocks:
            for connection in chip.into[block.population]:
                touched = reach(connection, block)
                found[connection.source].add(touched, homes.get(connection.source), sites[core], sites)
    return {name: count.done() for name, count in found.items()}


def cut_size(chip: ChipNetwork, placement: Placement) -> int:
    """km1: the number of (axon, core) pairs off the axon's own core, ports left out; less is better."""
    homes, pairs = _homes(chip, placement), 0
    for core, blocks in blocks_of(chip, placement.pieces).items():
        for block in blocks:
            for connection in chip.into[block.population]:
                home = homes.get(connection.source)
                if home is not None:
                    pairs += int(np.count_nonzero(reach(connection, block) & (home != core)))
    return pairs


def mean(values: IntArray) -> float:
    """Average over neurons; 0 for none."""
    return float(np.mean(values)) if values.size else 0.0


def _sizes(chip: ChipNetwork) -> dict[str, int]:
    return {name: int(np.prod(node.shape)) for name, node in chip.by_name.items()}


def _homes(chip: ChipNetwork, placement: Placement) -> dict[str, IntArray]:
    """Per population, the core of each neuron."""
    homes = {p.name: np.full(p.size, -1, dtype=np.int64) for p in chip.populations}
    for piece in placement.pieces:
        homes[piece.population][piece.start : piece.stop] = piece.core
    return homes


@dataclass
class _Count:
    messages: IntArray
    east_west: IntArray
    north_south: IntArray
    between_chips: IntArray

    @staticmethod
    def of(size: int) -> "_Count":
        return _Count(*(np.zeros(size, dtype=np.int64) for _ in range(4)))

    def add(
        self,
        touched: BoolArray,
        home: IntArray | None,
        goal: CoreSite,
        sites: Mapping[int, CoreSite],
    ) -> None:
        self.messages += touched
        if home is None:
            return
        for core in np.unique(home[touched]):
            origin, here = sites[int(core)], touched & (home == core)
            if origin.chip != goal.chip:
                self.between_chips += here
            elif origin.x >= 0 and goal.x >= 0:
                self.east_west += here * abs(origin.x - goal.x)
                self.north_south += here * abs(origin.y - goal.y)

    def done(self) -> Traffic:
        return Traffic(self.messages, self.east_west, self.north_south, self.between_chips)
