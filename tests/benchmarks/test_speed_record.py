"""Statistics, the record's form, goals and the page: everything that turns times into statements."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.speed import page
from benchmarks.speed.goals import GOALS, evaluate
from benchmarks.speed.record import fastest, load, microseconds, problems, ratio, save
from benchmarks.speed.statistics import fit_power, number, spread
from hypothesis import given
from hypothesis import strategies as st

from support.speed_records import record, row


@given(st.floats(-2, 3), st.floats(1e-3, 1e3), st.integers(2, 8))
def test_a_power_law_is_found_again(exponent: float, factor: float, points: int) -> None:
    x = 2.0 ** np.arange(points)
    law = fit_power(x.tolist(), (factor * x**exponent).tolist())
    assert law.exponent == pytest.approx(exponent, abs=1e-6)
    assert law.at(3.0) == pytest.approx(factor * 3.0**exponent, rel=1e-6)
    assert law.r2 == pytest.approx(1.0, abs=1e-6) or abs(exponent) < 1e-6


def test_scatter_lowers_r2() -> None:
    assert fit_power([1, 2, 4, 8], [1, 20, 2, 30]).r2 < 0.7


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (99.94, "99.9"), (3.14159, "3.14"), (0.12345, "0.1235"), (0, "0.0000")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_spread_is_half_the_range_over_the_median() -> None:
    assert spread([9, 10, 13]) == pytest.approx(0.2)


def test_the_median_counts_and_not_the_mean() -> None:
    found = row("Ranvier", 1.0, batch=1, samples=2, steps=5, seconds=[1.0, 2.0, 90.0])
    assert microseconds(found) == pytest.approx(2e6 / 10)


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    made = record(row("Ranvier", 5.0), row("Norse", 30.0))
    save(made, tmp_path / "r.json")
    assert load(tmp_path / "r.json") == json.loads(json.dumps(made))
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


SPOILED: dict[str, Callable[[Any], Any]] = {
    "record has no rows": lambda r: r.pop("rows"),
    "record.rows[0].seconds is no list": lambda r: r["rows"][0].update(seconds=1.0),
    "record.checks[0].passed is no bool": lambda r: r["checks"][0].update(passed=1),
    "record.machine has no load": lambda r: r["machine"].pop("load"),
    "record.rows[0].batch is no int": lambda r: r["rows"][0].update(batch=True),
    "schema 99, not 1": lambda r: r.update(schema=99),
}


@pytest.mark.parametrize("text", SPOILED)
def test_a_spoiled_record_is_refused(text: str, tmp_path: Path) -> None:
    made = copy.deepcopy(record(row("Ranvier", 5.0)))
    SPOILED[text](made)
    (tmp_path / "r.json").write_text(json.dumps(made))
    with pytest.raises(ValueError, match=text.replace("[", r"\[").replace("]", r"\]")):
        load(tmp_path / "r.json")


def test_a_whole_number_may_stand_for_a_real_one() -> None:
    made = record(row("Ranvier", 5.0))
    made["seconds"] = 3
    assert problems(made) == []


def test_ratios_need_right_answers_on_both_sides() -> None:
    rows = row("Ranvier", 5.0), row("Norse", 30.0)
    assert ratio(record(*rows), "mlp 10%", "Norse", "Ranvier", 256) == pytest.approx(6.0)
    assert ratio(record(*rows, wrong=("Norse",)), "mlp 10%", "Norse", "Ranvier", 256) is None
    assert ratio(record(*rows, wrong=("Ranvier",)), "mlp 10%", "Norse", "Ranvier", 256) is None
    assert ratio(record(*rows), "mlp 10%", "Norse", "Ranvier", 1) is None


def test_a_wrong_peer_is_not_the_fastest() -> None:
    made = record(row("Norse", 1.0), row("Sinabs", 2.0), row("snnTorch", 3.0), wrong=("Norse",))
    assert fastest(made, "mlp 10%", ("Norse", "Sinabs", "snnTorch"), 256) == "Sinabs"


def verdicts(*rows: dict[str, Any], **measures: float) -> dict[str, str]:
    """Goal and verdict."""
    made = record(*rows)
    made["measures"] = measures
    return {o.goal.name: o.verdict for o in evaluate(made) if o.found is not None}


def test_goals_are_met_at_their_bound_and_not_below() -> None:
    name = next(g.name for g in GOALS if g.name.startswith("nengo"))
    assert verdicts(row("Ranvier", 2.0), row("nengo-loihi", 1001.0)) == {name: "met"}
    assert verdicts(row("Ranvier", 2.0), row("nengo-loihi", 999.0)) == {name: "not met"}
    assert set(verdicts(neuron_update_share=0.5).values()) == {"met"}


def test_the_fastest_framework_is_the_one_to_beat() -> None:
    made = record(row("Ranvier", 2.0), row("Norse", 30.0), row("Sinabs", 8.0))
    (found,) = [o for o in evaluate(made) if o.found is not None]
    assert found.found is not None
    assert (found.found.against, found.verdict) == ("Sinabs", "not met")
    assert found.found.value == pytest.approx(4.0)


def test_more_threads_are_compared_with_one() -> None:
    found = verdicts(row("Ranvier", 10.0), row("Ranvier, 2 threads", 5.0, threads=2))
    assert found == {"two threads against one, MLP, batch 256": "met"}


def test_shares_are_read_from_the_measures() -> None:
    assert set(verdicts(neuron_update_share=0.4).values()) == {"not met"}
    assert set(verdicts(gpu_scan_share=0.71).values()) == {"met"}


def test_without_a_gpu_its_goals_are_open() -> None:
    open_goals = [o.goal.name for o in evaluate(record()) if o.verdict == "not measured"]
    assert len(open_goals) == len(GOALS)


def test_the_page_says_what_the_record_says(tmp_path: Path) -> None:
    rows = row("Ranvier", 5.0), row("Norse", 30.0, extrapolated=True), row("Lava fixed_pt", 6000.0)
    made = record(*rows, wrong=("Lava fixed_pt",))
    made["absent"] = [{"workload": "mlp 10%", "peer": "Ranvier, GPU", "reason": "not measured: no NVIDIA GPU"}]
    law = {"law": "steps", "unit": "steps", "x": [1.0, 2.0], "seconds": [0.1, 0.2]}
    made["growth"] = [law | {"exponent": 1.0, "factor": 0.1, "r2": 1.0}]
    page.write(made, tmp_path)
    text = (tmp_path / page.PAGE).read_text()
    assert "| Norse | ~30.0 | 6.00x | 10% | 1,000 values equal |" in text
    assert "WRONG: 1 differ" in text
    assert "Answers that were not right, whose times therefore do not count: Lava fixed_pt on mlp 10%." in text
    assert "Ranvier, GPU: not measured: no NVIDIA GPU" in text
    assert "| steps | 1 to 2 steps | 1.00 | 1.000 | 200 |" in text
    assert "6.00x (Norse) | met" in text
    drawn = {p.name for p in tmp_path.glob("*.svg")}
    assert drawn == {name for name in drawn if f"({name})" in text}
    assert len(drawn) == 2


def test_limits_written_by_hand_stand_between_goals_and_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "LIMITS", tmp_path / "limits.md")
    before = page.text(record(row("Ranvier", 5.0)))
    (tmp_path / "limits.md").write_text("## Limits\n\nThe memory.\n")
    after = page.text(record(row("Ranvier", 5.0)))
    assert after.index("## Goals") < after.index("## Limits") < after.index("## Speed")
    assert after.replace("## Limits\n\nThe memory.\n\n", "") == before


def test_the_page_is_the_same_each_time(tmp_path: Path) -> None:
    made = record(row("Ranvier", 5.0), row("Norse", 30.0))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        page.write(made, tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
