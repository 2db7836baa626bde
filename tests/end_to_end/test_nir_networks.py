"""Published NIR networks on real recordings: every reading gives the accuracy that its authors' tools give."""

from typing import Any

import numpy as np
import pytest

from ranvier.compiler.pipeline import prepare
from ranvier.data import load_data
from ranvier.frontends.nir import load_nir
from ranvier.runtimes import reference, simulator
from support.data import test_data


@pytest.mark.parametrize(
    ("reading", "correct"),
    [
        ({"reset": "value", "max_spikes": 1}, 100),
        ({"reset": "subtract", "max_spikes": 1}, 97),
        ({"floor": -1.0}, 96),
        ({}, 100),
    ],
    ids=["reset-to-zero", "single-spike-subtract", "multi-spike-floor", "multi-spike"],
)
def test_nmnist_convolutions(reading: dict[str, Any], correct: int) -> None:
    network = prepare(load_nir(test_data("nir_paper", "cnn_sinabs.nir"), preset="sinabs", **reading))
    data = load_data(test_data("nmnist", "nmnist_test100.npz"), bin_us=1000, steps=300)
    assert data.labels is not None
    assert int((simulator.run(network, data.inputs).predictions == data.labels).sum()) == correct


def test_the_nmnist_convolutions_step_as_the_reference_executor_says() -> None:
    network = load_nir(test_data("nir_paper", "cnn_sinabs.nir"), preset="sinabs")
    inputs = load_data(test_data("nmnist", "nmnist_test100.npz"), bin_us=1000, steps=120).inputs[:3]
    plain, fast = reference.run(network, inputs), simulator.run(prepare(network), inputs)
    np.testing.assert_array_equal(plain.outputs, fast.outputs)
    assert plain.outputs.any()


@pytest.mark.parametrize(
    ("file", "reset", "correct"),
    [
        ("braille_noDelay_bias_zero", "value", 96.37),
        ("braille_noDelay_bias_zero", "subtract", 93.26),
        ("braille_noDelay_noBias_subtract", "subtract", 97.32),
        ("braille_noDelay_noBias_subtract", "value", 96.98),
    ],
)
def test_recurrent_braille_networks(file: str, reset: Any, correct: float) -> None:
    network = load_nir(test_data("nir_paper", "braille", f"{file}.nir"), preset="snntorch", reset=reset)
    with np.load(test_data("braille", "braille7_unique.npz")) as held:
        shape, labels = held["shape"], held["y"]
        inputs = np.unpackbits(held["x_bits"])[: np.prod(shape)].reshape(shape)
    accuracy = 100 * float((reference.run(network, inputs).predictions == labels).mean())
    assert round(accuracy, 2) == correct


@pytest.mark.parametrize(
    ("file", "options"), [("norse", {"dt": 1e-4, "reset": "value"}), ("rockpool", {"preset": "rockpool"})]
)
def test_a_single_neuron_follows_the_exporters_own_trace(file: str, options: dict[str, Any]) -> None:
    network = load_nir(test_data("nir_paper", "lif", f"lif_{file}.nir"), **options)
    entering, membrane, spikes = np.loadtxt(test_data("nir_paper", "lif", f"lif_{file}.csv"), delimiter=",").T
    recording = reference.run(network, entering[None, :, None], record=("states",))
    name = network.populations[0].name
    np.testing.assert_array_equal(recording.outputs.ravel(), spikes)
    np.testing.assert_allclose(recording.states[name]["v"].ravel(), membrane, atol=1e-7)
    assert spikes.sum() == 4
