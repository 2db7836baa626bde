"""Spiking transformers, trained on digits: imported, compiled, simulated, run in Lava, spike for spike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import ranvier
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import GradedLif
from support.lava_networks import assert_lava_agrees
from support.transformers import Transformer, shown, trained

TRAINED, TESTED, EPOCHS = 1200, 300, 8
KINDS = {
    "spike-driven, two blocks": (True, 2, False),
    "Spikformer block": (False, 1, False),
    "products over time": (False, 1, True),
}
Values = NDArray[Any]


class Case:
    """A trained network, what it answers on images that it has not seen, and its import."""

    def __init__(self, driven: bool, blocks: int, summed: bool) -> None:
        images, self.labels = load_digits(return_X_y=True)
        images = images.astype(np.float32) / 16.0
        self.summed, seen = summed, (images[:TRAINED], self.labels[:TRAINED])
        self.module: Transformer = trained(driven, blocks, seen, EPOCHS, summed)
        tested = shown(images[TRAINED : TRAINED + TESTED])
        with torch.no_grad():
            self.spikes: Values = self.module(tested).numpy().swapaxes(0, 1)
        self.inputs: Values = tested.numpy().swapaxes(0, 1)
        self.calibration: Values = shown(images[:64]).numpy().swapaxes(0, 1)
        self.labels = self.labels[TRAINED : TRAINED + TESTED]
        self.network: Network = ranvier.load(self.module, sample=tested[:, :1])


@pytest.fixture(scope="module", params=KINDS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*KINDS[request.param])


def test_equal_to_torch_spike_for_spike_and_deployed_within_a_point(case: Case, tmp_path: Path) -> None:
    app = ranvier.compile(case.network, "loihi2", calibrate=case.calibration)
    app.save(tmp_path / "transformer.rnv")
    found = ranvier.verify(ranvier.open(tmp_path / "transformer.rnv"), case.network, (case.inputs, case.labels))
    accuracy = float(np.mean(case.spikes.sum(1).argmax(1) == case.labels))
    assert found.float_accuracy is not None
    assert found.accuracy is not None
    assert found.float_accuracy == pytest.approx(accuracy)
    assert accuracy > 0.85
    assert found.accuracy > accuracy - 0.01
    assert not found.overflows


def test_the_float_network_is_the_module(case: Case) -> None:
    from ranvier.runtimes.reference import run  # noqa: PLC0415 - the oracle of this test alone

    np.testing.assert_array_equal(run(case.network, case.inputs[:60]).outputs, case.spikes[:60])


def test_all_products_are_synapses_and_neurons(case: Case) -> None:
    gates = [p.name for p in case.network.populations if isinstance(p.model, GradedLif)]
    relays = [p.name for p in case.network.populations if p.name.rpartition(".")[2].startswith("both")]
    assert len(relays) == (0 if case.summed else 1 if gates else 4)
    assert [d for d in ranvier.check(case.network, "loihi2") if d.severity == "error"] == []


@pytest.mark.usefixtures("lava")
def test_lava_gives_the_same_spikes_and_states(case: Case) -> None:
    chip = ranvier.compile(case.network, "loihi2", calibrate=case.calibration).program.chip
    assert_lava_agrees(chip, case.inputs[:2])


def test_a_chip_without_graded_spikes_refuses_the_gates_only(case: Case) -> None:
    refused = [d for d in ranvier.check(case.network, "loihi1") if d.severity == "error"]
    gates = [p.name for p in case.network.populations if isinstance(p.model, GradedLif)]
    assert {d.place for d in refused if d.code == "RV620"} == set(gates)
