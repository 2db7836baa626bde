from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.program import CoreSite, Piece
from ranvier.compiler.passes.place import Place, hilbert
from ranvier.targets.load import load_target

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")


def pieces(cores: int) -> tuple[Piece, ...]:
    return tuple(Piece("p", i, i + 1, i) for i in range(cores))


@given(st.integers(1, 20), st.integers(1, 20))
def test_the_curve_visits_every_point_once_and_hardly_jumps(width: int, height: int) -> None:
    path = hilbert(width, height)
    assert sorted(path) == [(x, y) for x in range(width) for y in range(height)]
    steps = [abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in pairwise(path)]
    assert sum(step - 1 for step in steps) <= 1
    assert all(step <= 2 for step in steps)


def test_neighbours_in_number_stay_near() -> None:
    path = hilbert(16, 16)
    # Any 16 tiles in a row of the curve lie in a box far smaller than a row of the mesh is long.
    for start in range(0, 256, 16):
        part = path[start : start + 16]
        assert max(x for x, _ in part) - min(x for x, _ in part) <= 3
        assert max(y for _, y in part) - min(y for _, y in part) <= 3


def test_loihi1_fills_tiles_of_four_along_the_curve_and_chips_in_turn() -> None:
    placed = Place(LOIHI1)(pieces(130))
    assert placed.pieces == pieces(130)
    assert (placed.cores, placed.chips) == (130, 2)
    path = hilbert(8, 4)
    assert [(s.x, s.y) for s in placed.sites[:128]] == [path[core // 4] for core in range(128)]
    assert placed.sites[128] == CoreSite(128, 1, *path[0])
    assert placed == Place(LOIHI1)(pieces(130))


def test_loihi2_has_chips_of_120_and_an_unknown_mesh() -> None:
    placed = Place(LOIHI2)(pieces(241))
    assert [s.chip for s in placed.sites] == [0] * 120 + [1] * 120 + [2]
    assert {(s.x, s.y) for s in placed.sites} == {(-1, -1)}
