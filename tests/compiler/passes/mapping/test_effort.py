"""How long the search for a mapping may take."""

import time
from dataclasses import replace

import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.passes.mapping.effort import NORMAL, Effort


def test_the_names_differ_in_moves_and_normal_is_the_default() -> None:
    quick, normal, thorough = (Effort.named(name) for name in ("quick", "normal", "thorough"))
    assert normal == NORMAL
    assert quick.moves < normal.moves < thorough.moves
    assert {quick.seconds, normal.seconds, thorough.seconds} == {None}


@pytest.mark.parametrize("text", ["fast", "", "-1", "nan", "inf", "1e9"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(RanvierError, match="RV524 effort: ") as caught:
        Effort.named(text)
    assert "write --effort" in caught.value.diagnostics[0].fix


def test_rounds_share_out_all_moves_once() -> None:
    rounds = list(Effort(moves=7).rounds(101, most=10**6))
    assert sum(moves for _, _, moves in rounds) == 707
    assert [start for start, _, _ in rounds] == [0.0, *(stop for _, stop, _ in rounds[:-1])]
    assert rounds[-1][1] == 1.0
    assert sum(moves for _, _, moves in Effort(moves=7).rounds(101, most=50)) == 50


@pytest.mark.parametrize("effort", [Effort(moves=7), Effort.named("600")])
def test_the_search_ends_at_the_next_round_once_it_is_stopped(effort: Effort) -> None:
    asked = iter([False, False, True])
    assert len(list(replace(effort, stop=lambda: next(asked)).rounds(10, most=10**9))) == 2
    assert replace(effort, stop=lambda: True) == effort


def test_seconds_end_the_search() -> None:
    begin = time.perf_counter()
    shares = []
    for start, _, _ in Effort.named("0.2").rounds(10, most=10**9):
        time.sleep(0.01)
        shares.append(start)
    assert 0.15 < time.perf_counter() - begin < 5
    assert shares == sorted(shares)
    assert len(list(Effort.named("0").rounds(10, most=10**9))) == 1
