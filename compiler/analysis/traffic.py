"""Where spikes go: messages, mesh hops and chip crossings of each source, for a placed program."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.analysis.flows import MeshLoad, flows, homes_of, mesh_load, senders
from ranvier.compiler.analysis.resources_blocks import blocks_of
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import Placement


@dataclass(frozen=True, eq=False)
class Traffic:
    """What one spike of each neuron of a source causes; all arrays are (neurons,).

    ``messages``: one for each core on which it has synapses; ``east_west`` and ``north_south`` mesh hops by X-Y
    routing within a chip (0 where the mesh is unknown); ``between_chips`` messages that leave their chip.
    A port's spikes come from outside and have messages only.
    """

    messages: IntArray
    east_west: IntArray
    north_south: IntArray
    between_chips: IntArray


def traffic(chip: ChipNetwork, placement: Placement) -> Mapping[str, Traffic]:
    """The traffic of every port and population."""
    homes = homes_of(chip, placement.pieces)
    where = np.full((1 + max((site.core for site in placement.sites), default=0), 3), -1)
    for site in placement.sites:
        where[site.core] = (site.chip, site.x, site.y)
    found = {name: _nothing(int(np.prod(node.shape))) for name, node in chip.by_name.items()}
    for core, blocks in blocks_of(chip, placement.pieces).items():
        for source, neurons in senders(chip, blocks):
            _add(found[source], neurons, homes.get(source), where, core)
    return found


def load(chip: ChipNetwork, placement: Placement, rates: Mapping[str, float] | None = None) -> MeshLoad:
    """Messages per step between cores, their hops, the busiest link, and those between chips.

    ``rates``: spikes per neuron and step by population; those of the calibration data where not given, else 1.
    """
    return mesh_load(flows(chip, placement.pieces, rates), sorted(placement.sites, key=lambda site: site.core))


def cut_size(chip: ChipNetwork, placement: Placement) -> int:
    """km1: the number of (axon, core) pairs off the axon's own core, ports left out; less is better."""
    homes, pairs = homes_of(chip, placement.pieces), 0
    for core, blocks in blocks_of(chip, placement.pieces).items():
        for source, neurons in senders(chip, blocks):
            if source in homes:
                pairs += int(np.count_nonzero(homes[source][neurons] != core))
    return pairs


def mean(values: IntArray) -> float:
    """Average over neurons; 0 for none."""
    return float(np.mean(values)) if values.size else 0.0


def _nothing(size: int) -> Traffic:
    return Traffic(*(np.zeros(size, dtype=np.int64) for _ in range(4)))


def _add(sum_: Traffic, reached: IntArray, home: IntArray | None, where: IntArray, core: int) -> None:
    sum_.messages[reached] += 1
    if home is None:
        return
    origin, goal = where[home[reached]], where[core]
    same = origin[:, 0] == goal[0]
    known = same & (origin[:, 1] >= 0) & (goal[1] >= 0)
    sum_.between_chips[reached] += ~same
    sum_.east_west[reached] += known * np.abs(origin[:, 1] - goal[1])
    sum_.north_south[reached] += known * np.abs(origin[:, 2] - goal[2])
