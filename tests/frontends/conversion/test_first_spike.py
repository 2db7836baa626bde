"""Values as times of first spikes: exactly the ReLU network, by the neurons' own dynamics too."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Conv, Dense, Reshape, Scale
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.first_spike import first_spike_network
from ranvier.frontends.conversion.graph import Activation, Entry, Graph, MaxPool, Op

Array = np.ndarray
RNG = np.random.default_rng(0)


def chain(entry: tuple[int, ...], *ops: Op) -> Graph:
    names = ("in", *(op.name for op in ops))
    return Graph("g", Entry("in", entry), ops, {op.name: (names[i],) for i, op in enumerate(ops)}, names[-1])


def perceptron(*widths: int) -> Graph:
    ops: list[Op] = []
    for i, (n, m) in enumerate(pairwise(widths)):
        if i:
            ops.append(Activation(f"relu{i}", (n,)))
        ops.append(Dense(f"fc{i}", RNG.normal(size=(m, n)) / np.sqrt(n), 0.1 * RNG.normal(size=m)))
    return chain((widths[0],), *ops)


def convolutional() -> Graph:
    """Batch norm behind the activation, before a padded convolution and before a pool; some factors are negative."""
    factor, shift = np.array([1.5, -0.7, 0.4]), np.array([0.3, 0.9, -0.2])
    same = ((1, 1), (1, 1))
    return chain(
        (2, 8, 8),
        Conv("c1", RNG.normal(size=(3, 2, 3, 3)), (2, 8, 8), RNG.normal(size=3), padding=same),
        Activation("r1", (3, 8, 8)),
        Scale("b1", (3, 8, 8), factor, shift),
        Conv("c2", RNG.normal(size=(3, 3, 3, 3)), (3, 8, 8), RNG.normal(size=3), padding=same),
        Activation("r2", (3, 8, 8), "clip", 6.0),
        Scale("b2", (3, 8, 8), -factor, shift),
        MaxPool("p", (3, 8, 8), (2, 2), (2, 2), ((0, 0), (0, 0))),
        Reshape("flat", (3, 4, 4), (48,)),
        Dense("fc", RNG.normal(size=(5, 48))),
    )


@pytest.mark.parametrize("make", [lambda: perceptron(20, 64, 64, 10), convolutional])
def test_first_spikes_give_the_values_of_the_network(make: Callable[[], Graph]) -> None:
    graph = make()
    x = RNG.random((200, *graph.entry.shape))
    run = first_spike_network(graph, x).run(x)
    assert run.early == 0
    np.testing.assert_allclose(run.scores, Evaluator(graph).outputs(x), rtol=0, atol=1e-9)
    assert 0.05 < run.spikes_per_neuron < 0.95


def test_finer_time_comes_nearer() -> None:
    graph, x = perceptron(20, 64, 64, 10), RNG.random((500, 20))
    net, wanted = first_spike_network(graph, x), Evaluator(graph).outputs(x)
    off = [float(np.abs(net.run(x, bits).scores - wanted).mean()) for bits in (4, 6, 8, 10)]
    assert all(finer < coarse / 2 for coarse, finer in pairwise(off))
    assert (net.run(x, 10).scores.argmax(1) == wanted.argmax(1)).mean() > 0.98


def test_an_integrating_neuron_fires_at_these_times() -> None:
    graph, x = perceptron(6, 9, 4), RNG.random((20, 6))
    net = first_spike_network(graph, x)
    found = net.run(x).times["relu1"]
    entry, window = net.windows["in"], net.windows["relu1"]
    fc = graph.by_name["fc0"]
    assert isinstance(fc, Dense)
    assert fc.bias is not None
    sent = entry.end - (x - entry.offset) / entry.unit
    weight, bias = fc.weight * entry.unit, fc.bias + entry.offset * fc.weight.sum(axis=1)
    charged = np.einsum("ij,sj->si", weight, window.start - sent)  # every source has fired when the window starts
    own_slope = 1.0 - weight.sum(axis=1)
    threshold = (window.end - window.start) - bias
    fires = window.start + (threshold - charged) / (weight.sum(axis=1) + own_slope)
    np.testing.assert_allclose(np.where(fires < window.end, fires, np.inf), found, atol=1e-9)


def test_times_are_rounded_to_the_nearest_tick() -> None:
    graph = perceptron(6, 9, 4)
    x = RNG.integers(0, 16, (50, 6)) / 15
    net = first_spike_network(graph, np.array([[0.0, 1.0] * 3, *x]))
    exact, rounded = net.run(x).times["relu1"], net.run(x, 4).times["relu1"]
    window = net.windows["relu1"]
    ends = [np.where(np.isfinite(t), t, window.end) for t in (exact, rounded)]
    assert np.abs(ends[0] - ends[1]).max() <= (window.end - window.start) / 15 / 2 + 1e-9


def test_a_window_starts_when_all_sources_have_ended() -> None:
    graph = chain((3,), Dense("a", np.eye(3)), Activation("r1", (3,)), Dense("b", np.eye(3)), Activation("r2", (3,)))
    graph = replace(graph, sources={**graph.sources, "r2": ("b", "in")})
    x = RNG.random((20, 3))
    net = first_spike_network(replace(graph, ops=(*graph.ops, Dense("c", np.eye(3))),
                                      sources={**graph.sources, "c": ("r2",)}, output="c"), x)  # fmt: skip
    assert net.windows["r1"].start == net.windows["in"].end
    assert net.windows["r2"].start == net.windows["r1"].end
    np.testing.assert_allclose(net.run(x).scores, 2 * x, atol=1e-9)


def test_values_beyond_the_window_fire_at_its_start_and_are_counted() -> None:
    graph, x = perceptron(4, 8, 3), RNG.random((50, 4))
    net = first_spike_network(graph, x, margin=0.0)
    assert net.run(x).early == 0
    assert net.run(5 * x).early > 0


def test_staircases_uncalibrated_networks_and_wrong_bits_are_refused() -> None:
    graph = chain((2,), Dense("fc", np.eye(2)), Activation("q", (2,), "quantized", 1.0, 4), Dense("out", np.eye(2)))
    with pytest.raises(RanvierError, match="RV676 q"):
        first_spike_network(graph, np.ones((1, 2)))
    with pytest.raises(RanvierError, match="RV664"):
        first_spike_network(graph, None)
    with pytest.raises(RanvierError, match="RV676 bits"):
        first_spike_network(perceptron(2, 2, 2), np.ones((1, 2))).run(np.ones((1, 2)), bits=0)
