"""The search keeps the budget, scores nothing beyond it, finds the best there is, and goes on where it stopped."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.search import SPACES, Architecture, Found, Settings, Skeleton, search
from ranvier.search import assess as assessing
from ranvier.search.memory import certainly_over, network, resources
from ranvier.search.modules import CellNet
from ranvier.search.run import STRATEGIES, Strategy
from ranvier.search.space import Cell, smallest
from ranvier.tuning.budget import Budget
from ranvier.tuning.points import Metrics

TINY = Skeleton((1, 4, 4), 2, (1, 2), 2, steps=1)
SPACE = SPACES["small"]
IMAGES = np.random.default_rng(0).random((6, 1, 4, 4), dtype=np.float32)


def counted(architecture: Architecture, *_rest: object) -> Metrics:
    return Metrics(0.0, float(architecture.closed_form_bytes(8, 24)), 1, None, architecture.skeleton.steps)


def marks(architecture: Architecture, *_rest: object) -> float:
    """A score that is easy to compute and hard to guess."""
    first, second = architecture.ids
    return math.sin(first * 12.9898 + second * 78.233)


@cache
def needed(architecture: Architecture) -> float:
    """The bytes that the search counts."""
    memory = resources(architecture, "loihi2").memory
    assert memory is not None
    return memory


@cache
def report(architecture: Architecture) -> Metrics:
    """What ``ranvier.compile`` reports for weights that were drawn, by the public way."""
    net = network(CellNet(architecture), architecture)
    app = ranvier.compile(net, "loihi2", IMAGES[:, None].repeat(3, axis=1), effort="quick")
    return Metrics(0.0, app.report().memory_bytes, app.report().cores, None, architecture.skeleton.steps)


def half() -> Budget:
    """Between the smallest network and the largest, by the closed form."""
    cell = SPACE.decode(SPACE.size - 1)
    ends = smallest(SPACE, TINY), Architecture(SPACE, TINY, (cell, cell))
    return Budget(memory=sum(counted(a).memory or 0 for a in ends) / 2)


@pytest.fixture
def by_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assessing, "resources", counted)
    monkeypatch.setattr(assessing, "_score", marks)


def look(budget: Budget, **choices: Any) -> Found:
    return search(IMAGES, SPACE, TINY, budget, "loihi2", Settings(**choices))


@given(st.floats(0.0, 1.0), st.sampled_from(STRATEGIES), st.integers(0, 99))
@settings(max_examples=2)
def test_never_over_the_budget(share: float, strategy: Strategy, seed: int) -> None:
    cell = SPACE.decode(SPACE.size - 1)
    least, most = needed(smallest(SPACE, TINY)), needed(Architecture(SPACE, TINY, (cell, cell)))
    budget = Budget(memory=least + share * (most - least))
    found = look(budget, strategy=strategy, trials=3, seed=seed)
    for candidate in found.looked_at:
        again = report(candidate.architecture)
        assert candidate.used is None or (candidate.used.memory or 0) >= (again.memory or 0)
        assert candidate.score is None or budget.keeps(again)
    assert found.best.used is not None
    assert budget.keeps(found.best.used)
    assert found.scored == sum(c.score is not None for c in found.looked_at)


@given(st.tuples(*(st.sampled_from(list(SPACES["snasnet"].cells())),) * 2))
@settings(max_examples=3)
def test_the_quick_refusal_refuses_nothing_that_fits(cells: tuple[Cell, Cell]) -> None:
    architecture = Architecture(SPACES["snasnet"], TINY, cells)
    memory = needed(architecture)
    assert not certainly_over(architecture, Budget(memory=memory), 8)
    assert certainly_over(architecture, Budget(memory=architecture.weights - 1), 8)


@pytest.mark.usefixtures("by_formula")
def test_greedy_finds_the_best_of_each_cell() -> None:
    budget = half()
    found = look(budget, trials=2 * SPACE.size)
    cells, best = list(SPACE.cells()), smallest(SPACE, TINY)
    for place in (0, 1):
        tried = [replace(best, cells=(cell, best.cells[1]) if place == 0 else (best.cells[0], cell)) for cell in cells]
        best = max([best, *(a for a in tried if budget.keeps(counted(a)))], key=marks)
    assert found.best.architecture == best
    assert any(c.score is None for c in found.looked_at)
    assert all(budget.keeps(counted(c.architecture)) for c in found.looked_at if c.score is not None)


@pytest.mark.usefixtures("by_formula")
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_interrupted_search_ends_as_if_it_had_not_been(strategy: Strategy, tmp_path: Path) -> None:
    budget, choices = half(), {"strategy": strategy, "trials": 14, "seed": 3}
    whole = look(budget, **choices)
    study = f"sqlite:///{tmp_path}/parts.db"

    def interrupt(done: int, _total: int) -> None:
        if done in (5, 11):
            raise KeyboardInterrupt

    for _ in range(3):
        try:
            search(IMAGES, SPACE, TINY, budget, "loihi2", Settings(**choices, study=study), interrupt)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            continue
    parts = look(budget, **choices, study=study)
    assert parts.resumed > 5
    assert parts.best.architecture == whole.best.architecture
    assert {c.architecture for c in parts.looked_at} == {c.architecture for c in whole.looked_at}
    again = look(budget, **choices, study=study)
    assert (again.scored, again.resumed) == (0, len(whole.looked_at))
    assert again.best == parts.best


@pytest.mark.usefixtures("by_formula")
def test_searches_of_other_budgets_share_nothing(tmp_path: Path) -> None:
    study = f"sqlite:///{tmp_path}/one.db"
    look(Budget(memory=9000), trials=6, study=study)
    assert look(Budget(memory=8000), trials=6, study=study).resumed == 0
    assert look(Budget(memory=9000), trials=6, study=study).resumed > 0


def test_processes_change_the_time_alone() -> None:
    budget = Budget(memory=1e6)
    alone, together = (look(budget, trials=4, strategy="random", workers=n) for n in (1, 2))
    assert [c.architecture for c in alone.looked_at] == [c.architecture for c in together.looked_at]
    assert [c.score for c in alone.looked_at] == pytest.approx([c.score for c in together.looked_at])


@pytest.mark.parametrize(
    ("budget", "images", "code"),
    [
        (Budget(memory=10), IMAGES, "RV582"),
        (Budget(memory=600), IMAGES, "RV582"),
        (Budget(steps=0.5), IMAGES, "RV582"),
        (Budget(energy=5.0), IMAGES, "RV589"),
        (Budget(), IMAGES[0], "RV583"),
        (Budget(), IMAGES[:1], "RV583"),
        (Budget(), IMAGES[:, :, :3], "RV583"),
        (Budget(), IMAGES.astype(str), "RV583"),
        (Budget(), IMAGES[:, None].repeat(2, axis=1), "RV583"),
        (Budget(), IMAGES[:, None, None], "RV583"),
        (Budget(), IMAGES * np.nan, "RV583"),
    ],
)
def test_what_cannot_be_searched_is_refused(budget: Budget, images: np.ndarray, code: str) -> None:
    with pytest.raises(RanvierError, match=code):
        search(images, SPACE, TINY, budget, settings=Settings(trials=2))


@pytest.mark.usefixtures("by_formula")
def test_frames_are_searched_as_images_are_and_are_other_data(tmp_path: Path) -> None:
    study, choices = f"sqlite:///{tmp_path}/one.db", {"trials": 6, "strategy": "random"}
    images = look(half(), study=study, **choices)
    frames = search(IMAGES[:, None], SPACE, TINY, half(), "loihi2", Settings(study=study, **choices))  # type: ignore[arg-type]
    assert frames.resumed == 0
    assert frames.best == images.best


def test_unknown_targets_are_refused() -> None:
    with pytest.raises(RanvierError) as refused:
        search(IMAGES, SPACE, TINY, Budget(), "loihi9")
    assert "loihi9" in str(refused.value)


@pytest.mark.parametrize(
    "wrong", [{"strategy": "genetic"}, {"trials": 0}, {"workers": 0}, {"weight_bits": 9}, {"weight_bits": 0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RanvierError, match="RV588"):
        Settings(**wrong)


@pytest.mark.usefixtures("by_formula")
def test_a_study_that_cannot_be_opened_is_said() -> None:
    with pytest.raises(RanvierError, match="RV884"):
        look(Budget(), trials=2, study="sqlite:////nowhere/at/all.db")
