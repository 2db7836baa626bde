"""The search keeps its budget, goes on where it ended, and its answer can be compiled again from the artifact."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ranvier
from ranvier import tuning
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.options import options_from
from ranvier.tuning import Budget, Metrics, parse_budget, tune
from ranvier.tuning.plot import draw
from support.apps import small_data, small_network

TRIALS = 12


@pytest.fixture(scope="module")
def found() -> tuning.Tuned:
    return tune(small_network(), "loihi2", *small_data(40), Budget(steps=8), trials=TRIALS)


def test_the_chosen_point_keeps_the_budget_and_beats_no_better_one(found: tuning.Tuned) -> None:
    assert found.chosen.metrics.steps <= 8
    within = [t for t in found.tried if t.metrics.steps <= 8]
    assert found.chosen in within
    assert found.chosen.metrics.accuracy == max(t.metrics.accuracy for t in within)
    assert len(found.tried) > 3


def worth(metrics: Metrics) -> tuple[float, float, float]:
    """What more is better of."""
    assert metrics.memory is not None
    assert metrics.energy is not None
    return metrics.accuracy, -metrics.memory, -metrics.energy


def test_no_point_of_the_front_is_beaten(found: tuning.Tuned) -> None:
    for a in found.pareto:
        for b in found.tried:
            if b.metrics.steps <= 8:
                better, own = worth(b.metrics), worth(a.metrics)
                assert better == own or not all(x >= y for x, y in zip(better, own, strict=True))


def test_it_says_that_state_registers_are_fixed(found: tuning.Tuned) -> None:
    assert found.state_registers == {"u": 24, "v": 24}
    assert found.to_json()["state_registers"] == {"u": 24, "v": 24}


def test_the_same_seed_gives_the_same_search(found: tuning.Tuned) -> None:
    again = tune(small_network(), "loihi2", *small_data(40), Budget(steps=8), trials=TRIALS)
    assert again.chosen == found.chosen
    assert set(again.tried) == set(found.tried)


def test_the_artifact_tells_how_to_compile_the_point_again(found: tuning.Tuned, tmp_path: Path) -> None:
    found.app.save(tmp_path / "tuned.rnv")
    options = options_from(ranvier.open(tmp_path / "tuned.rnv").provenance)
    inputs, _ = small_data(40)
    again = ranvier.compile(
        small_network(), "loihi2", inputs[0::2][:, : found.chosen.point.steps], layer_bits=dict(options.layer_bits),
        rounding=options.rounding, per_channel=options.per_channel, correct_bias=options.correct_bias,
        exponent_groups=options.exponent_groups,
    )  # fmt: skip
    again.save(tmp_path / "again.rnv")
    assert (tmp_path / "again.rnv").read_bytes() == (tmp_path / "tuned.rnv").read_bytes()


def test_what_was_held_out_is_measured_on_samples_that_the_search_never_saw(found: tuning.Tuned) -> None:
    inputs, labels = small_data(40)
    recording = found.app.run(inputs[1::2][:, : found.chosen.point.steps])
    assert found.held_out.accuracy == np.mean(recording.predictions == labels[1::2])
    assert (found.seen, found.unseen) == (20, 20)


def test_a_study_on_disk_is_gone_on_with(tmp_path: Path) -> None:
    study = f"sqlite:///{tmp_path}/search.db"
    calls: list[tuple[int, int]] = []
    first = tune(small_network(), "loihi2", *small_data(24), trials=5, study=study)
    second = tune(
        small_network(), "loihi2", *small_data(24), trials=8, study=study, progress=lambda *at: calls.append(at)
    )
    assert [done for done, _ in calls] == [5, 6, 7]
    assert set(first.tried) <= set(second.tried)


def test_several_processes_share_a_study(tmp_path: Path) -> None:
    study = f"sqlite:///{tmp_path}/search.db"
    found = tune(small_network(), "loihi2", *small_data(24), trials=8, study=study, workers=2)
    alone = tune(small_network(), "loihi2", *small_data(24), trials=8, study=study)
    assert set(alone.tried) == set(found.tried)


def test_a_budget_that_nothing_keeps_is_refused_with_the_nearest() -> None:
    with pytest.raises(RanvierError) as refused:
        tune(small_network(), "loihi2", *small_data(24), parse_budget("memory=1B"), trials=3)
    (problem,) = refused.value.diagnostics
    assert problem.code == "RV881"
    assert "the smallest takes" in problem.message
    with pytest.raises(RanvierError) as refused:
        tune(small_network(), "loihi2", *small_data(24), min_accuracy=1.01, trials=3)
    assert "the best has" in refused.value.diagnostics[0].message


@given(
    st.builds(Budget, *(st.sampled_from([float("inf"), 10.0, 1000.0]) for _ in range(4))),
    st.builds(
        Metrics, st.floats(0, 1), st.none() | st.floats(0, 2000), st.integers(0, 2000), st.none() | st.floats(0, 2000),
        st.integers(1, 2000),
    ),
)  # fmt: skip
def test_a_budget_is_kept_exactly_when_every_limit_is(budget: Budget, metrics: Metrics) -> None:
    pairs = [(getattr(budget, n), getattr(metrics, n)) for n in ("memory", "cores", "energy", "steps")]
    kept = all(limit == float("inf") or (used is not None and used <= limit) for limit, used in pairs)
    assert budget.keeps(metrics) == kept


def test_budgets_as_texts() -> None:
    assert parse_budget("memory=96KiB, cores=4,energy=2uJ,steps=16") == Budget(96 * 1024, 4, 2000, 16)
    assert parse_budget("") == Budget()


@pytest.mark.parametrize(
    "text", ["memory", "memory=", "memory=4 apples", "brain=4", "cores=-1", "cores=0", "memory=1KB,x"]
)
def test_budgets_that_mean_nothing(text: str) -> None:
    with pytest.raises(RanvierError) as refused:
        parse_budget(text)
    assert refused.value.diagnostics[0].code == "RV880"


@pytest.mark.parametrize(
    ("keywords", "code"),
    [
        ({"study": "nosuchdb://x"}, "RV884"),
        ({"study": "sqlite:////no/such/folder/x.db"}, "RV884"),
        ({"workers": 2}, "RV885"),
    ],
)
def test_studies_that_cannot_be_opened(keywords: dict[str, Any], code: str) -> None:
    with pytest.raises(RanvierError) as refused:
        tune(small_network(), "loihi2", *small_data(8), trials=2, **keywords)
    assert refused.value.diagnostics[0].code == code


def test_data_that_cannot_be_halved() -> None:
    inputs, labels = small_data(8)
    for x, y in ((inputs[:3], labels[:3]), (inputs, labels[:5])):
        with pytest.raises(RanvierError) as refused:
            tune(small_network(), "loihi2", x, y, trials=2)
        assert refused.value.diagnostics[0].code == "RV882"


def test_the_picture_is_written_or_refused(found: tuning.Tuned, tmp_path: Path) -> None:
    draw(found, Budget(memory=1000), tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").read_bytes()[:4] == b"\x89PNG"
    for path in (tmp_path / "none" / "pareto.png", tmp_path / "pareto.unknown"):
        with pytest.raises(RanvierError) as refused:
            draw(found, Budget(), path)
        assert refused.value.diagnostics[0].code == "RV886"


def test_the_result_is_plain_json(found: tuning.Tuned) -> None:
    assert json.loads(json.dumps(found.to_json()))["seen"] == 20
