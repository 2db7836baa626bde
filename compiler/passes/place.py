"""Gives each core of a program its chip and its place on the mesh.

Cores are numbered in the order of the layers, so neighbours in number talk to each other. Chips are filled one
after the other; on a chip whose mesh is known, tiles are taken along a Hilbert curve, which keeps neighbours in
number neighbours on the mesh. On a mesh that nobody has published, coordinates stay unknown (-1).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ranvier.compiler.ir.program import CoreSite, Piece, Placement

if TYPE_CHECKING:
    from ranvier.targets.schema import Target

Point = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """The pass: pieces with core numbers in, the same pieces with a site for each core out."""

    target: "Target"

    def __call__(self, pieces: Sequence[Piece]) -> Placement:
        """The placement; the same pieces always give the same one."""
        cores = sorted({piece.core for piece in pieces})
        path, per_tile = self._path()
        sites = []
        for core in cores:
            chip, place = divmod(core, self.target.cores_per_chip)
            x, y = path[place // per_tile] if path else (-1, -1)
            sites.append(CoreSite(core, chip, x, y))
        return Placement(tuple(pieces), tuple(sites))

    def _path(self) -> tuple[tuple[Point, ...], int]:
        mesh, tiles = self.target.chip.mesh.known(), self.target.chip.tiles
        return (hilbert(*mesh), tiles.v.cores_per_tile) if mesh and tiles else ((), 1)


def hilbert(width: int, height: int) -> tuple[Point, ...]:
    """Every point of a rectangle once, along a Hilbert curve generalised to any sides.

    Steps go to a neighbour, but for one diagonal step where an odd side leaves no other way. Method: the
    recursive halving of Cerveny's generalised Hilbert curve.
    """
    if width >= height:
        return tuple(_curve((0, 0), (width, 0), (0, height)))
    return tuple(_curve((0, 0), (0, height), (width, 0)))


def _curve(start: Point, along: Point, across: Point) -> Iterator[Point]:
    """The curve over the box spanned from ``start`` by the side ``along``, where it ends, and ``across``."""
    length, breadth = abs(sum(along)), abs(sum(across))
    step, side = _unit(along), _unit(across)
    if breadth == 1 or length == 1:
        unit, count = (step, length) if breadth == 1 else (side, breadth)
        yield from (_move(start, unit, i) for i in range(count))
        return
    if 2 * length > 3 * breadth:
        first = _half(along, step)
        yield from _curve(start, first, across)
        yield from _curve(_move(start, first), _rest(along, first), across)
        return
    first, half = _half(across, side), (along[0] // 2, along[1] // 2)
    yield from _curve(start, first, half)
    yield from _curve(_move(start, first), along, _rest(across, first))
    corner = _move(_move(_move(start, along), step, -1), _move(first, side, -1))
    back = _rest(along, half)
    yield from _curve(corner, (-first[0], -first[1]), (-back[0], -back[1]))


def _unit(vector: Point) -> Point:
    return ((vector[0] > 0) - (vector[0] < 0), (vector[1] > 0) - (vector[1] < 0))


def _move(point: Point, by: Point, times: int = 1) -> Point:
    return (point[0] + times * by[0], point[1] + times * by[1])


def _rest(whole: Point, part: Point) -> Point:
    return (whole[0] - part[0], whole[1] - part[1])


def _half(vector: Point, unit: Point) -> Point:
    """About half of the vector, of even length if there is room: the parts then join without a gap."""
    half = (vector[0] // 2, vector[1] // 2)
    return _move(half, unit) if sum(half) % 2 and abs(sum(vector)) > 2 else half
