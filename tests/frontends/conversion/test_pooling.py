"""Maxima computed by sums and rectifiers equal maxima, whatever surrounds them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Conv, Reshape
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.graph import Activation, Entry, Graph, MaxPool, Op
from ranvier.frontends.conversion.pooling import averages, exact_maxima


def pooled(
    spatial: tuple[int, ...], pool: tuple[int, int, int], conv: tuple[int, int, int, int], order: str, kind: str
) -> Graph:
    """Entry, convolution, then activation and max pool in the given order; ``conv``: kernel, stride, pad, dilation."""
    axes, rng = len(spatial), np.random.default_rng(0)
    kernel, stride, padding, dilation = conv
    weight = rng.normal(size=(3, 2, *(kernel,) * axes))
    pads = ((padding, padding),) * axes
    first = Conv("conv", weight, (2, *spatial), rng.normal(size=3), (stride,) * axes, pads, (dilation,) * axes)
    size, step, border = pool
    ops: list[Op] = [first]
    for part in order:
        shape = ops[-1].out_shape
        if part == "m":
            ops.append(MaxPool("pool", shape, (size,) * axes, (step,) * axes, ((border, border),) * axes))
        else:
            ops.append(Activation("act", shape, kind, 0.8 if kind != "relu" else np.inf, 4))
    names = ("in", *(op.name for op in ops))
    read = {op.name: (names[i],) for i, op in enumerate(ops)}
    return Graph("g", Entry("in", (2, *spatial)), tuple(ops), read, names[-1])


shapes = st.one_of(st.tuples(st.integers(9, 12)), st.tuples(st.integers(9, 12), st.integers(9, 12)))
convs = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.integers(1, 2))
pools = st.sampled_from([(2, 2, 0), (3, 2, 0), (2, 1, 0), (3, 3, 0), (3, 2, 1), (1, 1, 0), (2, 3, 0)])


@settings(max_examples=60, deadline=None)
@given(shapes, pools, convs, st.sampled_from(["am", "ma", "m"]), st.sampled_from(["relu", "clip", "quantized"]))
def test_rectifiers_compute_the_same_maxima(
    spatial: tuple[int, ...], pool: tuple[int, int, int], conv: tuple[int, int, int, int], order: str, kind: str
) -> None:
    graph = pooled(spatial, pool if order != "m" else (*pool[:2], 0), conv, order, kind)
    exact = exact_maxima(graph)
    assert not any(isinstance(op, MaxPool) for op in exact.ops)
    x = np.random.default_rng(7).normal(size=(3, 2, *spatial))
    found, wanted = Evaluator(exact).outputs(x), Evaluator(graph).outputs(x)
    if kind == "quantized" and order != "m":  # a sum in another order may fall on the other side of a step
        assert np.mean(np.abs(found - wanted) > 1e-9) < 0.01
    else:
        np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_a_window_costs_as_many_neurons_as_the_activations_it_replaces_and_keeps_kernels_shared() -> None:
    graph = pooled((8, 8), (2, 2, 0), (3, 1, 1, 1), "am", "relu")
    exact = exact_maxima(graph)
    assert sum(a.in_size for a in exact.activations) == sum(a.in_size for a in graph.activations) == 3 * 8 * 8
    linear = [op for op in exact.ops if not isinstance(op, Activation)]
    convs = [op for op in linear if isinstance(op, Conv)]
    assert len(convs) == 4
    assert all(op.weight.shape == (3, 2, 4, 4) and op.stride == (2, 2) for op in convs)


def test_values_that_something_else_reads_stay_and_are_compared_themselves() -> None:
    graph = pooled((8, 8), (2, 1, 0), (3, 1, 1, 1), "am", "relu")
    ops = (*graph.ops, Reshape("crop", (3, 7, 7), (147,)), Reshape("all", (3, 8, 8), (192,)))
    sources = {**graph.sources, "crop": ("pool",), "all": ("act",)}
    for output in ("crop", "all"):
        both = replace(graph, ops=ops, sources=sources, output=output)
        x = np.random.default_rng(7).normal(size=(2, 2, 8, 8))
        np.testing.assert_allclose(Evaluator(exact_maxima(both)).outputs(x), Evaluator(both).outputs(x), atol=1e-9)


def test_padding_of_values_below_zero_is_refused() -> None:
    with pytest.raises(RanvierError, match="RV662 pool"):
        exact_maxima(pooled((9, 9), (3, 2, 1), (3, 1, 1, 1), "m", "relu"))


def test_averages_are_another_network() -> None:
    graph = pooled((8, 8), (2, 2, 0), (3, 1, 1, 1), "am", "relu")
    x = np.random.default_rng(7).normal(size=(2, 2, 8, 8))
    found, wanted = Evaluator(averages(graph)).outputs(x), Evaluator(graph).outputs(x)
    assert (found <= wanted + 1e-12).all()
    assert (found < wanted - 1e-6).any()
