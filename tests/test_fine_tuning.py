"""From an app to a module that can be trained, and back to an app."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ranvier
from ranvier.app import App
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import DenseSynapse
from ranvier.compiler.ir.network import Readout, ReadoutKind
from ranvier.examples.fine_tuning.fine_tune import fine_tune
from ranvier.runtimes import simulator
from ranvier.runtimes.recording import predict
from ranvier.runtimes.trainable.training import scores
from support.apps import small_data, small_network


@pytest.fixture(scope="module")
def app() -> App:
    return ranvier.compile(small_network(), "loihi2", small_data(40)[0], weight_bits=2)


def test_an_untrained_module_is_the_app(app: App) -> None:
    inputs, _ = small_data(40)
    module = ranvier.trainable(app)
    np.testing.assert_array_equal(module(torch.from_numpy(inputs)).detach(), app.run(inputs).outputs)
    again = ranvier.retrained(app, module)
    np.testing.assert_array_equal(again.run(inputs).outputs, app.run(inputs).outputs)
    assert again.report().cores == app.report().cores


def test_training_lowers_the_loss_of_the_deployed_network_and_keeps_to_its_bits(app: App, tmp_path: Path) -> None:
    inputs, labels = small_data(40)
    module = ranvier.trainable(app)
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-2)

    def loss() -> torch.Tensor:
        counts: torch.Tensor = module(torch.from_numpy(inputs)).sum(1)
        return torch.nn.functional.cross_entropy(counts, torch.from_numpy(labels))

    before = loss().item()
    for _ in range(20):
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    better = ranvier.retrained(app, module)
    assert loss().item() < before
    better.save(tmp_path / "better.rnv")
    opened = ranvier.open(tmp_path / "better.rnv")
    np.testing.assert_array_equal(opened.run(inputs).outputs, module(torch.from_numpy(inputs)).detach())
    assert len(str(opened.provenance["fine_tuned_sha256"])) == 64
    for connection in opened.program.chip.connections:
        assert isinstance(connection.synapse, DenseSynapse)
        assert len(np.unique(connection.synapse.weight)) <= 4
    report = ranvier.verify(better, None, (inputs, labels), ("simulator", "oracle"))
    assert report.agrees


def test_a_module_of_another_app_is_refused(app: App) -> None:
    other = ranvier.compile(replace(small_network(out="another")), "loihi2", small_data(40)[0])
    with pytest.raises(RanvierError) as refused:
        ranvier.retrained(other, ranvier.trainable(app))
    assert refused.value.diagnostics[0].code == "RV863"


def thresholds(app: App) -> np.ndarray:
    return app.program.chip.populations[0].params["vth"]


def judged(app: App, inputs: np.ndarray, labels: np.ndarray) -> int:
    return int((app.run(inputs).predictions == labels).sum())


@pytest.fixture(scope="module")
def bent(app: App) -> App:
    """``app`` with one threshold far too low and one far too high."""
    chip = app.program.chip
    cells = replace(chip.populations[0], params={**chip.populations[0].params, "vth": np.array([8, 160, 400])})
    return replace(app, program=replace(app.program, chip=replace(chip, populations=(cells,))))


@pytest.mark.parametrize("with_labels", [False, True])
def test_the_float_network_teaches_what_was_lost(bent: App, with_labels: bool) -> None:
    inputs, labels = small_data(60)
    found = ranvier.fine_tune(bent, inputs, labels if with_labels else None, epochs=8, rate=0.1, trained=["threshold"])
    wanted = bent.program.source
    assert wanted is not None
    target = labels if with_labels else simulator.run(wanted, inputs).predictions
    assert judged(found.app, inputs, target) > judged(bent, inputs, target)
    assert found.history[found.epoch].loss < 0.5 * found.history[0].loss
    assert found.learnt_from + found.kept_apart == len(inputs)
    assert len(str(found.app.provenance["fine_tuned_sha256"])) == 64


def test_labels_that_contradict_the_float_network_count(bent: App) -> None:
    inputs, labels = small_data(20)
    losses = [
        ranvier.fine_tune(bent, inputs, given, epochs=1).history[0].loss for given in (None, labels, (labels + 1) % 3)
    ]
    assert losses[0] < losses[1] < losses[2]


def test_the_same_seed_gives_the_same_integers_whatever_torch_drew_before(bent: App) -> None:
    inputs, labels = small_data(40)
    made = []
    for drawn in range(2):
        torch.manual_seed(drawn)
        made.append(ranvier.fine_tune(bent, inputs, labels, epochs=3, rate=0.05, seed=5))
    assert made[0].history == made[1].history
    np.testing.assert_array_equal(thresholds(made[0].app), thresholds(made[1].app))
    other = ranvier.fine_tune(bent, inputs, labels, epochs=3, rate=0.05, seed=6)
    assert other.history != made[0].history


def test_what_learning_spoils_is_not_taken(app: App) -> None:
    """At a rate that wrecks every weight, the program stays as it was."""
    inputs, labels = small_data(40)
    found = ranvier.fine_tune(app, inputs, labels, epochs=2, rate=0.9, batch=4)
    best = found.history[found.epoch]
    assert best.loss <= found.history[0].loss
    assert best.right >= found.history[0].right
    assert max(h.loss for h in found.history) > found.history[0].loss
    if found.epoch == 0:
        assert found.app is app


@pytest.mark.parametrize("kind", ["spike_count", "first_spike", "last_membrane", "max_membrane", "sum_membrane"])
def test_every_readout_can_be_taught(kind: ReadoutKind) -> None:
    inputs, labels = small_data(30)
    net = small_network()
    net = replace(net, readout=replace(net.readout, kind=kind))
    app = ranvier.compile(net, "loihi2", inputs, weight_bits=2)
    found = ranvier.fine_tune(app, inputs, labels, epochs=2)
    assert np.isfinite([h.loss for h in found.history]).all()
    kept = found.history[0]
    assert 0 <= kept.right <= found.kept_apart == 6


def test_scores_rank_as_the_readout_does() -> None:
    outputs = np.random.default_rng(0).integers(0, 2, (50, 12, 4)).astype(np.float64)
    for kind in ("spike_count", "last_membrane", "max_membrane", "sum_membrane", "first_spike"):
        found = scores(kind, torch.from_numpy(outputs)).numpy()
        answers = predict(Readout("out", kind), outputs)
        np.testing.assert_array_equal(found[np.arange(50), answers], found.max(1))


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"epochs": 0}, "RV410"),
        ({"rate": float("nan")}, "RV410"),
        ({"rate": 0.0}, "RV410"),
        ({"batch": 0}, "RV410"),
        ({"held_out": 1.0}, "RV410"),
        ({"seed": -1}, "RV410"),
        ({"held_out": 0.001}, "RV411"),
        ({"inputs": np.zeros((20, 10, 6))}, "RV412"),
        ({"inputs": np.full((20, 10, 6), np.nan)}, "RV824"),
        ({"inputs": np.zeros((0, 10, 6)), "labels": None}, "RV822"),
        ({"inputs": np.zeros((20, 10, 5))}, "RV821"),
        ({"labels": np.zeros(19)}, "RV811"),
        ({"labels": np.full(20, 0.5)}, "RV812"),
        ({"labels": np.full(20, 7)}, "RV813"),
        ({"trained": ["weights"]}, "RV860"),
    ],
)
def test_bad_input_is_refused(app: App, changed: dict[str, Any], code: str) -> None:
    inputs, labels = small_data(20)
    with pytest.raises(RanvierError) as refused:
        ranvier.fine_tune(app, **{"inputs": inputs, "labels": labels, **changed})
    assert refused.value.diagnostics[0].code == code


def test_a_program_without_its_float_network_is_refused(app: App) -> None:
    inputs, labels = small_data(20)
    alone = replace(app, program=replace(app.program, source=None))
    with pytest.raises(RanvierError) as refused:
        ranvier.fine_tune(alone, inputs, labels)
    assert refused.value.diagnostics[0].code == "RV413"


def test_the_example_recovers_the_accuracy_of_the_float_network() -> None:
    result = fine_tune(bits=4, epochs=1)
    assert result.fine_tuned >= result.source - 0.005
    assert result.app.provenance["weight_bits"] == 4
