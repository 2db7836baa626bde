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
from ranvier.runtimes.moments import joint_moments, moments
from ranvier.runtimes.observe import measure
from ranvier.targets.load import load_target

LOIHI2 = load_target("loihi2")


def chained(reset: str = "subtract") -> Network:
    """Two dense layers of leaky neurons."""
    rng = np.random.default_rng(1)
    model = Lif(keep_membrane=0.9, threshold=1.0, reset=reset)
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
    response = np.cumsum(0.875 ** np.arange(50)).mean()
    np.testing.assert_allclose(found.mean[0], found.filtered[0] * 0.5 / response, rtol=1e-5)


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
    weights = network.by_name["b"].weight
    np.testing.assert_allclose(found.align(weights), 2 * weights, rtol=0.2, atol=0.1)
    np.testing.assert_allclose(found.wanted_mean, 2 * found.mean, rtol=2e-3)


@pytest.mark.parametrize("kind", ["spike_count", "first_spike", "last_membrane", "max_membrane", "sum_membrane"])
def test_the_distance_is_zero_only_for_the_same_answers(kind: str) -> None:
    answers = (np.random.default_rng(6).random((5, 20, 3)) < 0.3).astype(float)
    readout = Readout("n", kind)
    assert distance(readout, answers, answers) == 0
    assert distance(readout, answers, np.roll(answers, 1, axis=2)) > 0


def test_fitting_is_nearer_to_the_float_network_than_plain_rounding() -> None:
    network, inputs = chained(), spikes()
    measured = measure(network, inputs)
    far = {}
    for rounding in ("nearest", "output"):
        chip = fit(network, LOIHI2, measured, Options(weight_bits=3, rounding=rounding))
        far[rounding] = distance(network.readout, measured.outputs, simulator.run(chip, inputs).outputs)
    assert far["output"] < far["nearest"]


def test_without_data_there_is_nothing_to_fit_by() -> None:
    network = chained()
    options = Options(weight_bits=4, rounding="output")
    ours, plain = fit(network, LOIHI2, None, options), lower(network, LOIHI2, None, options)
    for a, b in zip(ours.connections, plain.connections, strict=True):
        np.testing.assert_array_equal(a.synapse.weight, b.synapse.weight)


def test_steps_near_the_threshold_count_more() -> None:
    network, rng = chained(), np.random.default_rng(7)
    sent = {"input": np.zeros((6, 200, 12), np.float32), "h": np.zeros((6, 200, 10), np.float32)}
    sent |= {"out": np.zeros((6, 200, 4), np.float32)}
    sent["input"][:, :100, 0] = 1
    sent["input"][:, 100:, 1] = 1
    margins = rng.normal(0, 0.1, (6, 200, 10)).astype(np.float16)
    margins[:, 100:] = -50
    second = moments(network, sent, {}, {"h": margins}, 1.0)["a"].second
    assert second.shape == (10, 12, 12)
    assert np.all(second[:, 0, 0] > 100 * second[:, 1, 1])
    alike = moments(network, sent, {}, {"h": margins}, 0.0)["a"].second
    np.testing.assert_allclose(alike, np.broadcast_to(moments(network, sent, {})["a"].second, alike.shape), rtol=1e-4)


def test_a_channel_of_a_convolution_goes_by_its_own_margins() -> None:
    rng = np.random.default_rng(8)
    conv = Conv("c", rng.normal(size=(2, 1, 1, 1)), (1, 4, 4))
    nodes = (Input("input", (1, 4, 4), "spikes"), conv, Neurons("n", conv.out_shape, Lif(keep_membrane=0.0)))
    network = prepare(Network("n", nodes, (Edge("input", "c"), Edge("c", "n")), Readout("n")))
    frames = np.zeros((1, 200, 16), np.float32)
    frames[:, :, :8] = 1
    margins = np.zeros((1, 200, 32), np.float16)
    margins[:, :, 8:16] = -50
    margins[:, :, 16:24] = -50
    second = moments(network, {"input": frames, "n": np.zeros((1, 200, 32))}, {}, {"n": margins}, 1.0)["c"].second
    assert second[0, 0, 0] > 0.95
    assert second[1, 0, 0] < 0.05


def test_joint_moments_hold_those_of_every_synapse() -> None:
    rng, model = np.random.default_rng(9), Lif(keep_membrane=0.5)
    nodes = (
        Input("input", (5,), "spikes"), Dense("a", rng.normal(size=(3, 5))), Dense("r", rng.normal(size=(3, 3))),
        Neurons("h", (3,), model),
    )  # fmt: skip
    edges = (Edge("input", "a"), Edge("a", "h"), Edge("h", "r", 1), Edge("r", "h"))
    network = prepare(Network("n", nodes, edges, Readout("h")))
    sent = {"input": (rng.random((4, 60, 5)) < 0.4).astype(np.float32)}
    sent["h"] = (rng.random((4, 60, 3)) < 0.2).astype(np.float32)
    margins = {"h": rng.normal(size=(4, 60, 3)).astype(np.float16)}
    joint = joint_moments(network, sent, {}, margins, 1.0)
    each = moments(network, sent, {}, margins, 1.0)
    order = [edge.source for edge in network.into["h"]]
    first = each[order[0]].second
    np.testing.assert_allclose(joint["h"][:, : first.shape[1], : first.shape[1]], first, rtol=1e-5)
    last = each[order[1]].second
    np.testing.assert_allclose(joint["h"][:, first.shape[1] :, first.shape[1] :], last, rtol=1e-5)
