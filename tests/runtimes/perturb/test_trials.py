"""Many chips: the mean falls as errors grow, equal keys give equal curves, and what is asked wrongly is refused."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.perturbed import draw
from ranvier.runtimes.perturb import trials
from ranvier.runtimes.perturb.results import point
from ranvier.runtimes.perturb.trials import Perturbing, robustness

KEYS = 24


def classifier() -> tuple[ChipNetwork, NDArray[Any], NDArray[Any]]:
    """Ten patterns of 40 wires, a neuron for each, and noisy samples (120, 12, 40) of them with labels."""
    rng = np.random.default_rng(3)
    patterns = rng.integers(0, 2, (10, 40))
    params = {name: np.array(value) for name, value in (("du", 4095), ("dv", 400), ("vth", 700), ("bias", 0))}
    initial = {"u": np.array(0), "v": np.array(0)}
    layer = Population("answer", (10,), chip_lif(Features()), params, initial, 1)
    weight = (np.where(patterns, 100, -100) & ~1).astype(np.int32)
    synapses = Connection("fc", "input", "answer", DenseSynapse(weight), 0, "mixed", 0)
    chip = ChipNetwork("patterns", "loihi2", (Port("input", (40,)),), (layer,), (synapses,), Readout("answer"))
    labels = rng.integers(0, 10, 120)
    frames = (rng.random((120, 12, 40)) < 0.1 + 0.3 * patterns[labels][:, None]).astype(np.int8)
    return chip, frames, labels


@pytest.fixture(scope="module", params=["pcm", "memristor", "stuck"])
def found(request):
    return robustness(*classifier(), Perturbing(request.param, KEYS))


@pytest.mark.parametrize("device", ["pcm", "memristor", "stuck"])
def test_the_mean_falls_as_errors_grow(device, monkeypatch):
    """Far beyond what the devices are: this classifier forgives much."""
    factors = (0.25, 0.5, 1.0, 2.0) if device == "stuck" else (4.0, 8.0, 16.0, 32.0)
    monkeypatch.setattr(trials, "FACTORS", factors)
    monkeypatch.setattr(trials, "ALONE", {})
    monkeypatch.setattr(trials, "TIMES", ())
    noise = robustness(*classifier(), Perturbing(device, KEYS)).curves[0]
    means = [p.accuracy for p in noise.points]
    assert all(len(p.values) == KEYS >= 20 for p in noise.points)
    assert np.all(np.diff([1.0, *means]) < 0)
    assert means[-1] < (0.95 if device == "stuck" else 0.8)


def test_intervals_hold_the_mean_and_chips_differ(found):
    for curve in found.curves:
        for p in curve.points:
            assert p.interval[0] <= p.accuracy <= p.interval[1]
            assert p.chips[0] <= np.median(p.values) <= p.chips[1]
            assert p.accuracy == pytest.approx(np.mean(p.values))
    strongest = found.curves[0].points[-1]
    assert len(set(strongest.values)) > 1


def test_curves_are_those_of_the_device(found):
    names = {c.name for c in found.curves}
    assert [p.x for p in found.curves[0].points] == list(trials.FACTORS)
    assert names == ({"noise", "effects"} if found.device == "stuck" else {"noise", "time", "effects"})
    effects = [p.label for p in found.curves[-1].points]
    assert (
        effects
        == {
            "pcm": ["write noise", "read noise", "drift", "converter"],
            "memristor": ["write noise", "read noise", "levels", "converter"],
            "stuck": ["stuck cells"],
        }[found.device]
    )
    assert all("(" in source for source in found.sources)


def test_the_result_is_plain_data(found):
    read = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert read["trials"] == KEYS
    assert [c["name"] for c in read["curves"]] == [c.name for c in found.curves]
    assert len(read["curves"][0]["points"][0]["values"]) == KEYS


def test_equal_seeds_give_equal_curves_and_others_other_ones():
    chip, frames, labels = classifier()
    first, again, other = (robustness(chip, frames, labels, Perturbing("stuck", 6, seed)) for seed in (5, 5, 6))
    assert first == again
    assert replace(other, seed=5) != first


def test_samples_that_are_run_in_many_batches_are_answered_the_same(monkeypatch):
    monkeypatch.setattr(trials, "FACTORS", (16.0,))
    monkeypatch.setattr(trials, "ALONE", {})
    monkeypatch.setattr(trials, "TIMES", ())
    whole = robustness(*classifier(), Perturbing("pcm", 3))
    monkeypatch.setattr(trials, "BATCH_BYTES", 100_000)
    assert len(list(trials._batches(*classifier()[:2]))) > 5
    assert robustness(*classifier(), Perturbing("pcm", 3)).to_json() == whole.to_json()


def test_without_labels_answers_are_held_against_the_unperturbed_ones():
    chip, frames, _ = classifier()
    found = robustness(chip, frames, None, Perturbing("stuck", 4))
    assert found.accuracy is None
    same = [p.same for p in found.curves[0].points]
    assert all(p.accuracy is None and p.values for p in found.curves[0].points)
    assert 1 > same[0] > same[-1]


def test_the_interval_of_a_mean_is_students():
    values = np.array([0.8, 0.9, 0.85, 0.75])
    made = point("x", 1.0, values, values)
    half = 3.182446305284263 * values.std(ddof=1) / 2
    assert made.interval == pytest.approx((values.mean() - half, values.mean() + half))
    assert point("x", 1.0, values[:1], values[:1]).interval == (0.0, 1.0)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Perturbing("pcm", 0), "RV554"),
        (Perturbing("pcm", 10**6), "RV554"),
        (Perturbing("flash", 1), "RV550"),
        (Perturbing("pcm", 1, 0, -1.0), "RV552"),
        (Perturbing("pcm", 1, -1), "RV553"),
    ],
)
def test_what_is_asked_wrongly_is_refused(asked, code):
    with pytest.raises(RanvierError) as caught:
        robustness(*classifier(), asked)
    assert caught.value.diagnostics[0].code == code


def test_data_and_labels_are_checked():
    chip, frames, labels = classifier()
    with pytest.raises(RanvierError, match="RV821"):
        robustness(chip, frames[:, :, :5], labels, Perturbing("stuck", 1))
    with pytest.raises(RanvierError, match="labels"):
        robustness(chip, frames, labels[:5], Perturbing("stuck", 1))


def test_the_picture_is_drawn_the_same_each_time(found, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        draw(found, tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert text.startswith("<?xml")
    assert found.device in text
    with pytest.raises(RanvierError, match="RV556"):
        draw(found, tmp_path / "absent" / "a.svg")
