"""The example of graded spikes and binary weights: trained, folded, deployed in one bit a weight."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import ranvier
from ranvier.app import App
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import DenseSynapse
from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.models import realised
from ranvier.examples.graded_spikes.network import Graded, Net, as_graded, shown, trained
from ranvier.frontends.torch.normalised import behind_batch_norm
from ranvier.runtimes.reference import run
from support.lava_networks import assert_lava_agrees

TRAINED, TESTED = 1200, 400


class Case:
    """The trained network, what it answers, its import, and data."""

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        images = images.astype(np.float32) / 16
        self.module: Net = trained(images[:TRAINED], labels[:TRAINED])
        frames, self.labels = shown(images[TRAINED : TRAINED + TESTED]), labels[TRAINED : TRAINED + TESTED]
        with torch.no_grad():
            self.answers = self.module(frames).argmax(1).numpy()
        self.inputs: Any = frames.numpy().swapaxes(0, 1)
        self.calibration: Any = shown(images[:100]).numpy().swapaxes(0, 1)
        self.network = ranvier.load(self.module, sample=frames[:, :2])


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def test_the_import_answers_as_the_module(case: Case) -> None:
    np.testing.assert_array_equal(run(case.network, case.inputs).predictions, case.answers)
    assert np.mean(case.answers == case.labels) > 0.9


def deployed(case: Case, bits: int, target: str = "loihi2") -> App:
    """The network with hidden layers of so many bits a weight."""
    last = {"fc3": 8}
    return ranvier.compile(case.network, target, case.calibration, weight_bits=bits, layer_bits=last, per_channel=True)


def test_deployed_with_one_bit_a_weight_within_a_point(case: Case) -> None:
    accuracy = float(np.mean(case.answers == case.labels))
    for bits in (8, 1):
        app = deployed(case, bits)
        found = app.run(case.inputs)
        assert not found.overflows
        assert np.mean(found.predictions == case.labels) > accuracy - 0.01
        np.testing.assert_array_equal(found.outputs, app.run(case.inputs, runtime="oracle").outputs)
    for connection in deployed(case, 1).program.chip.connections[:2]:
        assert isinstance(connection.synapse, DenseSynapse)
        assert set(np.unique(connection.synapse.weight)) == {-128, 128}


@pytest.mark.parametrize(("target", "share"), [("generic", 0.4), ("loihi2", 1.0)])
def test_synaptic_memory_falls_where_the_chip_has_narrow_weights(case: Case, target: str, share: float) -> None:
    """Two levels of both signs take two bits on ``generic``; Loihi 2 has no published format of less than 8."""
    hidden = [
        sum(f.bytes for f in deployed(case, bits, target).report().formats if f.name != "fc3.linear") for bits in (8, 1)
    ]
    assert hidden[1] == pytest.approx(share * hidden[0], rel=0.25)


@pytest.mark.usefixtures("lava")
def test_lava_gives_the_same_messages_and_states(case: Case) -> None:
    assert_lava_agrees(deployed(case, 1).program.chip, case.inputs[:3])


@pytest.mark.parametrize("compared_only", [False, True])
def test_a_folded_batch_norm_errs_by_less_than_1e_5(compared_only: bool) -> None:
    rng = np.random.default_rng(0)
    norm = nn.BatchNorm1d(6).double().eval()
    norm.running_mean = torch.from_numpy(rng.normal(0, 1, 6))
    norm.running_var = torch.from_numpy(rng.uniform(0.1, 2, 6))
    norm.weight.data, norm.bias.data = (torch.from_numpy(rng.uniform(0.2, 1, 6)) for _ in range(2))
    keep = rng.uniform(0, 1, 6)
    plain = ranvier.GradedLif(keep_membrane=keep, threshold=np.array(0.7))
    folded = behind_batch_norm(plain, norm, (6,), compared_only)
    form, r = realised(folded), np.zeros((1, 6))
    states: Any = {"v": r}
    for x in rng.normal(0.5, 1, (200, 1, 6)):
        h = keep * r + x
        with torch.no_grad():
            normal = norm(torch.from_numpy(h)).numpy()
        v = h if compared_only else normal
        sent = np.where(normal >= 0.7, v, 0)
        r = v - sent
        result = step(form.program, states, form.params, x)
        states = result.states
        np.testing.assert_allclose(result.spikes, sent, atol=1e-5)
        np.testing.assert_allclose(result.states["v"], r, atol=1e-5)


def test_a_factor_that_turns_the_comparison_round_is_refused() -> None:
    norm = nn.BatchNorm1d(2).eval()
    norm.weight.data[1] = -0.5
    with pytest.raises(RanvierError, match="RV249"):
        behind_batch_norm(ranvier.GradedLif(), norm, (2,), compared_only=True)


def test_a_layer_that_keeps_nothing_is_said_to_be_a_rectifier() -> None:
    neuron = Graded(3).eval()
    neuron.keep.data.zero_()
    nodes = ranvier.load(Two(neuron), sample=torch.rand(5, 1, 4))
    notes = ranvier.compile(nodes, "loihi2", np.random.default_rng(0).random((3, 5, 4))).program.chip.notes
    assert [n.place for n in notes if n.code == "RV626"] == ["n"]
    assert not np.any(as_graded(neuron).keep_membrane)


class Two(nn.Module):
    """One layer of graded spikes, read out."""

    def __init__(self, neuron: Graded) -> None:
        super().__init__()
        self.fc, self.n = nn.Linear(4, 3), neuron

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        r, out = x.new_zeros(x.shape[1], 3), []
        for frame in x:
            s, r = self.n(self.fc(frame), r)
            out.append(s)
        return torch.stack(out)
