"""Moments are what a membrane without threshold sees, and fitting goes by them."""

import numpy as np
import pytest

from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.matrix import linear_matrix
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.options import Options
from ranvier.compiler.pipeline import lower, prepare
from ranvier.fitting import distance, fit
from ranvier.runtimes import reference, simulator
from ranvier.runtimes.moments import moments
from ranvier.runtimes.observe import measure
from ranvier.targets.load import load_target

LOIHI2 = load_target("loihi2")


def chained(reset: str = "subtract") -> Network:
    """Two dense layers of leaky neurons."""
    rng = np.random.default_rng(1)
    model = Lif(keep_membrane=0.9, threshold=1.0, reset=reset)  # type: ignore[arg-type]
    nodes = (
        Input("input", (12,), "spikes"), Dense("a", rng.normal(0.1, 0.4, (10, 12))), Neurons("h", (10,), model),
        Dense("b", rng.normal(0.1, 0.5, (4, 10))), Neurons("out", (4,), model),
    )  # fmt: skip
    edges = (Edge("input", "a"), Edge("a", "h"), Edge("h", "b"), Edge("b", "out"))
    return prepare(Network("chained", nodes, edges, Readout("out")))


def spikes(samples: int = 6, steps: int = 50) -> np.ndarray:
    return (np.random.default_rng(2).random((samples, steps, 12)) < 0.3).astype(np.int8)


def test_the_quadratic_form_is_the_mean_square_membrane() -> None:
    dense = Dense("d", np.random.default_rng(3).normal(size=(3, 12)))
    model = Lif(keep_current=0.5, keep_membrane=0.875, threshold=np.inf, reset="none")
    nodes = (Input("input", (12,), "spikes"), dense, Neurons("n", (3,), model))
    network = prepare(Network("n", nodes, (Edge("input", "d"), Edge("d", "n")), Readout("n")))
    inputs = spikes()
    sent = {"input": inputs.astype(np.float32), "n": np.zeros((*inputs.shape[:2], 3), np.float32)}
    found = moments(network, sent, {})["d"]
    membrane = reference.run(network, inputs, ("membrane",)).membrane["n"]
    expected = (membrane**2).mean(axis=(0, 1))
    got = np.einsum("ri,ij,rj->r", dense.weight, found.second[0], dense.weight)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    np.testing.assert_allclose(found.mean[0], inputs.mean(axis=(0, 1)), rtol=1e-5)


def test_patches_of_a_convolution_are_what_its_kernel_meets() -> None:
    rng = np.random.default_rng(4)
    conv = Conv("c", rng.normal(size=(4, 1, 2, 2)), (2, 5, 5), None, (2, 1), ((1, 0), (0, 1)), (1, 2), 2)
    model = Lif(keep_membrane=0.0, threshold=np.inf, reset="none")
    nodes = (Input("input", (2, 5, 5), "spikes"), conv, Neurons("n", conv.out_shape, model))
    network = prepare(Network("n", nodes, (Edge("input", "c"), Edge("c", "n")), Readout("n")))
    frames = (rng.random((1, 60, 50)) < 0.4).astype(np.float32)
    found = moments(network, {"input": frames, "n": np.zeros((1, 60, 1), np.float32)}, {})["c"]
    given = (linear_matrix(conv) @ frames[0].T).reshape(4, -1)
    second = np.einsum("gri,gij,grj->gr", conv.weight.reshape(2, 2, 4), found.second, conv.weight.reshape(2, 2, 4))
    np.testing.assert_allclose(second.reshape(-1), (given**2).mean(axis=1), rtol=0.15)


def test_a_sender_that_lost_half_its_spikes_asks_for_twice_the_weight() -> None:
    network, rng = chained(), np.random.default_rng(5)
    full = (rng.random((6, 200, 10)) < 0.5).astype(np.float32)
    sent = {"input": np.zeros((6, 200, 12), np.float32), "h": 2 * full, "out": np.zeros((6, 200, 4), np.float32)}
    found = moments(network, sent, {"h": full})["b"]
    weights = network.by_name["b"].weight  # type: ignore[union-attr]
    np.testing.assert_allclose(found.align(weights), 2 * weights, rtol=0.2, atol=0.1)
    np.testing.assert_allclose(found.wanted_mean, 2 * found.mean)


@pytest.mark.parametrize("kind", ["spike_count", "first_spike", "last_membrane", "max_membrane", "sum_membrane"])
def test_the_distance_is_zero_only_for_the_same_answers(kind: str) -> None:
    answers = (np.random.default_rng(6).random((5, 20, 3)) < 0.3).astype(float)
    readout = Readout("n", kind)  # type: ignore[arg-type]
    assert distance(readout, answers, answers) == 0
    assert distance(readout, answers, np.roll(answers, 1, axis=2)) > 0


def test_fitting_is_nearer_to_the_float_network_than_plain_rounding() -> None:
    network, inputs = chained(), spikes()
    measured = measure(network, inputs)
    far = {}
    for rounding in ("nearest", "output"):
        chip = fit(network, LOIHI2, measured, Options(weight_bits=3, rounding=rounding))  # type: ignore[arg-type]
        far[rounding] = distance(network.readout, measured.outputs, simulator.run(chip, inputs).outputs)
    assert far["output"] < far["nearest"]


def test_without_data_there_is_nothing_to_fit_by() -> None:
    network = chained()
    options = Options(weight_bits=4, rounding="output")
    ours, plain = fit(network, LOIHI2, None, options), lower(network, LOIHI2, None, options)
    for a, b in zip(ours.connections, plain.connections, strict=True):
        np.testing.assert_array_equal(a.synapse.weight, b.synapse.weight)
