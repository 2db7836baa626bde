"""Amplitudes by their definition, and spike counts that are the rounded activation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.ir.linear import Dense, Scale
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.conversion.amplitudes import Calibration, amplitudes
from ranvier.frontends.conversion.build import ACCUMULATOR, spiking
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.graph import Activation, Entry, Graph
from ranvier.frontends.conversion.normalise import fold_scales
from ranvier.runtimes import reference

RNG = np.random.default_rng(0)


def graph(kind: str = "relu", ceiling: float = np.inf, levels: int = 0) -> Graph:
    """Four channels: the last never rises above zero."""
    first = Dense("fc", np.concatenate([RNG.normal(size=(3, 5)), -np.ones((1, 5))]), np.array([0.1, -0.2, 0.3, -1.0]))
    act = Activation("act", (4,), kind, ceiling, levels)
    last = Dense("out", RNG.normal(size=(3, 4)), RNG.normal(size=3))
    sources = {"fc": ("in",), "act": ("fc",), "out": ("act",)}
    return Graph("g", Entry("in", (5,)), (first, act, last), sources, "out")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.floats(0.2, 3.0))
def test_counts_are_the_rounded_activation_and_scores_their_sum(steps: int, amplitude: float) -> None:
    source, x = graph(), RNG.random((8, 5))
    net = spiking(source, {"act": np.array(amplitude)}, "current", ())
    run = reference.run(net, np.repeat(x[:, None], steps, axis=1), ("spikes",))
    (values,) = Evaluator(source).batches(x)
    exact = steps * values["fc"] / amplitude + 0.5
    counts = np.clip(np.floor(exact), 0, steps)
    clear = np.abs(exact - np.rint(exact)) > 1e-6
    found = run.spikes["act"].sum(axis=1)
    assert (found[clear] == counts[clear]).all()
    last = source.by_name["out"]
    assert isinstance(last, Dense)
    wanted = amplitude * found @ last.weight.T + steps * last.bias
    np.testing.assert_allclose(run.outputs[:, -1], wanted, atol=1e-9)


def test_amplitudes_are_percentiles_per_layer_or_channel_below_the_ceiling() -> None:
    x = RNG.random((500, 5))
    source = graph()
    values = np.concatenate([v["act"] for v in Evaluator(source).batches(x)])
    assert amplitudes(source, x, Calibration(99.0))["act"] == pytest.approx(np.percentile(values, 99.0))
    assert amplitudes(source, x, Calibration(100.0))["act"] == values.max()
    each = amplitudes(source, x, Calibration(99.0, per_channel=True))["act"]
    np.testing.assert_allclose(each[:3], np.percentile(values, 99.0, axis=0)[:3])
    assert each[3] == pytest.approx(np.percentile(values, 99.0))
    cut = graph("clip", 0.05)
    assert amplitudes(cut, x, Calibration(100.0, per_channel=True))["act"].max() == 0.05
    assert amplitudes(graph("quantized", 0.7, 4), x, Calibration(50.0))["act"] == 0.7


def test_neurons_start_at_half_a_threshold_and_the_last_layer_never_fires() -> None:
    net = spiking(graph(), {"act": np.array([1.0, 2.0, 3.0, 4.0])}, "current", ())
    hidden, last = net.populations
    assert isinstance(hidden.model, Lif)
    assert isinstance(last.model, Lif)
    assert (hidden.model.initial * 2 == hidden.model.threshold).all()
    assert hidden.model.reset == "subtract"
    assert np.isinf(last.model.threshold)
    assert (net.readout.node, net.readout.kind) == (ACCUMULATOR, "last_membrane")


def test_scales_fold_into_the_layer_before_them() -> None:
    source = graph()
    norm = Scale("norm", (4,), np.array([0.5, -1.0, 2.0, 3.0]), np.array([0.1, 0.2, 0.3, 0.4]))
    ops = (source.ops[0], norm, *source.ops[1:])
    whole = Graph("g", source.entry, ops, {**source.sources, "norm": ("fc",), "act": ("norm",)}, "out")
    folded = fold_scales(whole)
    assert [op.name for op in folded.ops] == ["fc", "act", "out"]
    x = RNG.random((8, 5))
    np.testing.assert_allclose(Evaluator(folded).outputs(x), Evaluator(whole).outputs(x), atol=1e-12)
