"""A Hilbert curve over any rectangle: cores that are neighbours in number become neighbours on the mesh."""

from collections.abc import Iterator
from itertools import islice

Point = tuple[int, int]


def hilbert(width: int, height: int, count: int | None = None) -> tuple[Point, ...]:
    """The points of a rectangle, each once, along a Hilbert curve generalised to any sides; the first ``count``.

    Steps go to a neighbour, but for one diagonal step where an odd side leaves no other way. Method: the
    recursive halving of Cerveny's generalised Hilbert curve.
    """
    along, across = ((width, 0), (0, height)) if width >= height else ((0, height), (width, 0))
    return tuple(islice(_curve((0, 0), along, across), count))


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
