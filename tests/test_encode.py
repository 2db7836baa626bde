"""Input coders: what they send, by their definitions; seeds; values they cannot take."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import ranvier
from ranvier import encode

Array = np.ndarray
unit = arrays(np.float64, (3, 2, 4), elements=st.floats(0, 1))
steps = st.integers(1, 20)


@given(unit, steps)
def test_direct_shows_the_sample_in_every_step(x: Array, n: int) -> None:
    frames = encode.direct(x, n)
    assert frames.shape == (3, n, 2, 4)
    assert (frames == x[:, None].astype(np.float32)).all()


def test_rate_draws_as_often_as_the_value_says_and_the_seed_decides() -> None:
    x = np.broadcast_to(np.linspace(0, 1, 5), (200, 5))
    frames = encode.rate(x, 100, seed=4)
    np.testing.assert_allclose(frames.mean(axis=(0, 1)), x[0], atol=0.02)
    assert (frames[..., 0] == 0).all()
    assert (frames[..., 4] == 1).all()
    assert (frames == encode.rate(x, 100, seed=4)).all()
    assert (frames != encode.rate(x, 100, seed=5)).any()


@given(unit, steps)
def test_latency_sends_once_and_larger_values_first(x: Array, n: int) -> None:
    frames = encode.latency(x, n)
    assert (frames.sum(axis=1) == (x > 0)).all()
    when = np.where(x > 0, frames.argmax(axis=1), n)
    flat, times = x.reshape(-1), when.reshape(-1)
    order = np.argsort(-flat)
    assert (np.diff(times[order]) >= 0).all()
    assert (np.abs((n - 1) * (1 - x) - when)[x > 0] <= 0.5).all()


@given(arrays(np.float64, (2, 12, 3), elements=st.floats(-1, 1)), st.sampled_from([0.25, 0.5, 3.0]))
def test_delta_follows_the_signal(x: Array, threshold: float) -> None:
    sent = encode.delta(x, threshold)
    assert sent.shape == (2, 12, 2, 3)
    assert (sent.sum(axis=2) <= 1).all()
    followed = threshold * np.cumsum(sent[:, :, 0] - sent[:, :, 1], axis=1)
    before = np.concatenate([np.zeros((2, 1, 3)), followed[:, :-1]], axis=1)
    assert ((sent[:, :, 0] == 1) == (x - before >= threshold)).all()
    assert ((sent[:, :, 1] == 1) == (before - x >= threshold)).all()


def test_delta_reaches_a_constant_signal() -> None:
    x = np.full((1, 20, 1), 0.9)
    sent = encode.delta(x, 0.25)
    assert sent[0, :, 0, 0].sum() == 3
    assert sent[0, :, 1].sum() == 0


@given(unit, st.integers(1, 10))
def test_phase_sends_binary_digits(x: Array, bits: int) -> None:
    frames = encode.phase(x, 2 * bits, bits)
    weights = 2.0 ** -(1 + np.arange(2 * bits) % bits)
    value = np.tensordot(frames, weights, axes=(1, 0)) / 2
    np.testing.assert_allclose(value, np.rint(x * (2**bits - 1)) / 2**bits, atol=1e-6)


@given(unit)
def test_burst_counts_and_distances_follow_the_value(x: Array) -> None:
    frames = encode.burst(x, 40, longest=5, gap=2)
    assert (frames.sum(axis=1) == np.rint(5 * x)).all()
    for i in np.ndindex(x.shape):
        times = np.flatnonzero(frames[(i[0], slice(None), *i[1:])])
        assert (np.diff(times) == 1 + np.rint(2 * (1 - x[i]))).all()
        assert not times.size or times[0] == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: encode.rate(np.array([[2.0]]), 4),
        lambda: encode.latency(np.array([[-0.1]]), 4),
        lambda: encode.direct(np.array([[np.nan]]), 4),
        lambda: encode.direct(np.zeros((0, 3)), 4),
        lambda: encode.direct(np.array([["a"]]), 4),
        lambda: encode.direct(np.array([[1.0]]), 0),
        lambda: encode.phase(np.array([[1.0]]), 4, bits=0),
        lambda: encode.burst(np.array([[1.0]]), 4, longest=0),
        lambda: encode.delta(np.zeros((2, 3)), 0.1),
        lambda: encode.delta(np.zeros((2, 3, 1)), 0.0),
    ],
)
def test_values_that_a_coder_cannot_take_are_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(ranvier.RanvierError, match="RV669"):
        call()
