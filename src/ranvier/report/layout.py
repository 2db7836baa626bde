"""Where the cores of a program are drawn: chips beside each other, tiles on their meshes, cores within their tile.

Both drawing libraries take the same two lists of edges and one matrix of cells; gaps between tiles and chips are rows
and columns of their own, which stay empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.program import CoreSite, Placement

CHIP_GAP, TILE_GAP, CORE_GAP = 0.9, 0.12, 0.03
BANDS = 5
"""Rows of a core's cell, which several layers share by their neurons."""
MOST_BANDED = 1024
"""Above so many cores a cell has one row."""
WIDE = 1.6
"""Width over height that a drawing of many chips should have."""
MOST_CORES = 4096
"""Above it, a cell is a chip."""
Span = tuple[float, float, float, float]
"""Left, right, lower and upper edge."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One direction: the ``edges`` of columns, and the first column of a place (chip, tile, part)."""

    edges: tuple[float, ...]
    column: Mapping[tuple[int, int, int], int]
    bands: int = 1

    def ends(self, chip: int, tile: int | None = None) -> tuple[float, float]:
        """The edges of a chip, or of one of its tiles."""
        held = [c for (n, t, _), c in self.column.items() if n == chip and tile in (None, t)]
        return self.edges[min(held)], self.edges[max(held) + self.bands]


@dataclass(frozen=True, eq=False)
class Layout:
    """A drawing of units (cores, or chips where there are very many).

    ``places``: the matrix cell (row, column) of each unit. ``frames``: the span of each chip, by its number.
    ``meshed``: tiles lie where the target says; otherwise in the order of their numbers.
    """

    unit: str
    x: Axis
    y: Axis
    places: Mapping[int, tuple[int, int]]
    frames: Mapping[int, Span]
    meshed: bool

    @property
    def bands(self) -> int:
        """Rows of each cell, the first one lowest."""
        return self.y.bands

    def matrix(self, values: Mapping[int, Sequence[float]]) -> NDArray[np.float64]:
        """(rows, columns) the values of the units, one for each band, NaN where there is none."""
        found = np.full((len(self.y.edges) - 1, len(self.x.edges) - 1), np.nan)
        for unit, bands in values.items():
            row, column = self.places[unit]
            found[row : row + self.bands, column] = bands
        return found

    def cell(self, unit: int) -> Span:
        """The edges of a unit's cell."""
        row, column = self.places[unit]
        x, y = self.x.edges, self.y.edges
        return x[column], x[column + 1], y[row], y[row + self.bands]

    def tile_centre(self, chip: int, tile: tuple[int, int]) -> tuple[float, float]:
        """The middle of a tile of a chip whose frame is known."""
        left, _, lower, _ = self.frames[chip]
        return left + tile[0] * (1 + TILE_GAP) + 0.5, lower + tile[1] * (1 + TILE_GAP) + 0.5


def layout(placement: Placement, tiles: bool = False) -> Layout:
    """The drawing of all cores of ``placement``; with ``tiles``, one cell per tile where meshes are known.

    A unit is a core number; a tile goes by its lowest core, a chip by its number.
    """
    sites = sorted(placement.sites, key=lambda site: site.core)
    if len(sites) > MOST_CORES:
        return _of_chips(sorted({site.chip for site in sites}))
    meshed = all(site.x >= 0 for site in sites)
    spots = sites if meshed else _in_order(sites)
    parts = _parts(spots)
    per_tile = 1 if tiles or not meshed else max(part for part in parts.values()) + 1
    side = ceil(sqrt(per_tile))
    chips = sorted({site.chip for site in spots})
    size = (max(site.x for site in spots) + 1, max(site.y for site in spots) + 1)
    across = max(1, min(len(chips), round(sqrt(len(chips) * WIDE * size[1] / size[0]))))
    down = ceil(len(chips) / across)
    bands = 1 if tiles or len(sites) > MOST_BANDED else BANDS
    x, y = _axis(across, size[0], side), _axis(down, size[1], ceil(per_tile / side), bands)
    where = {chip: (n % across, down - 1 - n // across) for n, chip in enumerate(chips)}
    places = {}
    for site in spots:
        part = parts[site.core]
        if not tiles or part == 0:
            (cx, cy), within = where[site.chip], 0 if tiles else part
            places[site.core] = (y.column[cy, site.y, within // side], x.column[cx, site.x, within % side])
    frames = {chip: (*x.ends(cx), *y.ends(cy)) for chip, (cx, cy) in where.items()}
    return Layout("core", x, y, places, frames, meshed)


def tile_of(placement: Placement) -> dict[int, int]:
    """The lowest core of each core's tile; the core itself where meshes are not known."""
    lowest: dict[tuple[int, int, int], int] = {}
    found = {}
    for site in sorted(placement.sites, key=lambda site: site.core):
        alone = site.core if site.x < 0 else lowest.setdefault((site.chip, site.x, site.y), site.core)
        found[site.core] = alone
    return found


def _of_chips(chips: Sequence[int]) -> Layout:
    """Every chip as one cell, in the order of their numbers."""
    across = ceil(sqrt(len(chips) * WIDE))
    down = ceil(len(chips) / across)
    x, y = _axis(1, across, 1), _axis(1, down, 1)
    places = {chip: (down - 1 - n // across, n % across) for n, chip in enumerate(chips)}
    return Layout("chip", x, y, {c: (y.column[0, r, 0], x.column[0, k, 0]) for c, (r, k) in places.items()}, {}, False)


def _in_order(sites: Sequence[CoreSite]) -> list[CoreSite]:
    """The cores of each chip in rows, from the top, in the order of their numbers."""
    most = max(sum(site.chip == chip for site in sites) for chip in {site.chip for site in sites})
    across = ceil(sqrt(most * WIDE))
    down, seen, found = ceil(most / across), dict[int, int](), []
    for site in sites:
        n = seen.get(site.chip, 0)
        seen[site.chip] = n + 1
        found.append(CoreSite(site.core, site.chip, n % across, down - 1 - n // across))
    return found


def _parts(sites: Sequence[CoreSite]) -> dict[int, int]:
    """Which of the cores on its tile each core is."""
    seen: dict[tuple[int, int, int], int] = {}
    found = {}
    for site in sites:
        tile = (site.chip, site.x, site.y)
        found[site.core] = seen.get(tile, 0)
        seen[tile] = found[site.core] + 1
    return found


def _axis(chips: int, tiles: int, parts: int, bands: int = 1) -> Axis:
    """Columns of equal tiles, each of ``parts`` and those of ``bands``, with gaps between."""
    widths: list[float] = []
    column = {}
    for chip in range(chips):
        widths += [CHIP_GAP] if chip else []
        for tile in range(tiles):
            widths += [TILE_GAP] if tile else []
            for part in range(parts):
                widths += [CORE_GAP] if part else []
                column[chip, tile, part] = len(widths)
                widths += [(1 - CORE_GAP * (parts - 1)) / parts / bands] * bands
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    return Axis(tuple(float(edge) for edge in edges), column, bands)
