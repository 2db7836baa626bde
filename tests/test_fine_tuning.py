"""From an app to a module that can be trained, and back to an app."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ranvier
from ranvier.app import App
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import DenseSynapse
from ranvier.examples.fine_tuning.fine_tune import fine_tune
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


def test_the_example_recovers_the_accuracy_of_the_float_network() -> None:
    result = fine_tune(bits=4, epochs=1)
    assert result.fine_tuned >= result.source - 0.01
    assert result.app.provenance["weight_bits"] == 4
