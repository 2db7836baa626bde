"""Gives each core of a program its chip and its place on the mesh.

Cores are numbered in the order of the layers, so neighbours in number talk to each other. They start chip by chip,
on a chip whose mesh is known along a Hilbert curve. With the network at hand, swaps then make the spike-weighted hops
and the messages between chips few (``mapping.swaps``). Where nobody has published the mesh, coordinates are -1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import TYPE_CHECKING

from ranvier.compiler.analysis.flows import Flows, flows
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import CoreSite, Piece, Placement
from ranvier.compiler.passes.mapping.curve import hilbert
from ranvier.compiler.passes.mapping.effort import NORMAL, Effort, Progress, silent
from ranvier.compiler.passes.mapping.swaps import Costs, Site, Swaps

if TYPE_CHECKING:
    from ranvier.targets.schema import Target

__all__ = ["Place", "hilbert"]
# Mesh hops that a message between chips counts for, where the target does not say how much narrower those links are.
_CROSSING = 30.0
# So many sites are offered to the cores at most, the first ones along the curves: a mesh may be of any size.
_FREE, _FREE_PER_CORE = 1024, 4


@dataclass(frozen=True)
class Place:
    """The pass: pieces with core numbers in, the same pieces with a site for each core out."""

    target: "Target"
    effort: Effort = NORMAL
    seed: int = 0
    progress: Progress = field(default=silent, compare=False)

    def __call__(self, pieces: Sequence[Piece], chip: ChipNetwork | None = None) -> Placement:
        """The placement; without ``chip`` cores lie in the order of their numbers. Equal input gives equal output."""
        cores = sorted({piece.core for piece in pieces})
        sites = self._sites(len(cores))
        order: Sequence[int] = range(len(cores))
        if chip is not None and len(cores) > 1 and len(set(sites)) > 1:
            assert cores == list(range(len(cores))), "cores are counted from 0 without gaps"
            order = self._refined(flows(chip, pieces), sites)
        return Placement(tuple(pieces), tuple(CoreSite(c, *sites[i]) for c, i in zip(cores, order, strict=True)))

    def _refined(self, flow: Flows, sites: Sequence[Site]) -> Sequence[int]:
        ratio, hops = self.target.chip.onchip_over_interchip_bandwidth, self._hops()
        costs = Costs(*hops, float(ratio.v) if ratio else _CROSSING)
        return [int(i) for i in Swaps(costs, self.effort, self.seed, self.progress)(flow, sites)]

    def _hops(self) -> tuple[float, float]:
        """The costs of a hop east or west and of one north or south, in the proportion of their energies."""
        for basis in self.target.energy.bases.values():
            hop = basis.hop_pj.v
            if hop.ew:
                return 1.0, hop.ns / hop.ew
        return 1.0, 1.0

    def _sites(self, cores: int) -> list[Site]:
        """The sites of as many chips as ``cores`` need, along the curve of each chip; few of the free ones."""
        size, most = self.target.cores_per_chip, _FREE + _FREE_PER_CORE * cores
        path, per_tile = self._path(min(size, most))
        places = islice(product(range(-(-cores // size)), range(size)), most)
        return [(chip, *(path[place // per_tile] if path else (-1, -1))) for chip, place in places]

    def _path(self, places: int) -> tuple[tuple[tuple[int, int], ...], int]:
        mesh, tiles = self.target.chip.mesh.known(), self.target.chip.tiles
        if not (mesh and tiles):
            return (), 1
        per_tile = tiles.v.cores_per_tile
        return hilbert(*mesh, count=-(-places // per_tile)), per_tile
