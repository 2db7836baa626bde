import time
from itertools import pairwise
from pathlib import Path

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


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 150))
def test_a_part_of_the_curve_is_its_beginning(width: int, height: int, count: int) -> None:
    assert hilbert(width, height, count) == hilbert(width, height)[:count]


def test_a_mesh_of_a_million_tiles_costs_what_its_cores_do(tmp_path: Path) -> None:
    text = """extends = "loihi1"
        chip.count.v = { cores = 1048576 }
        chip.tiles = { v = { count = 1048576, cores_per_tile = 1 }, src = "own" }
        chip.mesh = { v = [1024, 1024], src = "own" }
        """
    (tmp_path / "wide.toml").write_text(text.replace("        ", ""))
    target, begin = load_target(tmp_path / "wide.toml"), time.process_time()
    placed = Place(target)(pieces(300))
    assert time.process_time() - begin < 1
    assert [(s.chip, s.x, s.y) for s in placed.sites] == [(0, *p) for p in hilbert(1024, 1024, 300)]


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
