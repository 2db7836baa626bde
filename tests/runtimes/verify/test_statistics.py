"""Interval and test against published values, scipy, and their own definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ranvier.runtimes.verify.statistics import Paired, mcnemar, paired, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 20_000), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_equals_scipy(trials, data, confidence):
    successes = data.draw(st.integers(0, trials))
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson(successes, trials, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_stays_within_0_and_1_at_the_ends():
    assert wilson(0, 7)[0] == 0.0
    assert wilson(7, 7)[1] == 1.0


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_two_sided_binomial_test(b, c):
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_by_hand_and_without_overflow():
    """Five against none: 2 / 32; a coin that falls 5000 to 4000 in 9000 throws is far beyond any float power."""
    assert mcnemar(5, 0) == 2 / 32
    assert mcnemar(3, 3) == 1.0
    assert 0.0 < mcnemar(5000, 4000) < 1e-20


def test_paired_counts_each_cell():
    first = np.array([True, True, True, False, False, True])
    second = np.array([True, False, False, True, False, False])
    counts = paired(first, second)
    assert counts == Paired(both=1, only_float=3, only_deployed=1, neither=1)
    assert counts.p_value == mcnemar(3, 1)
    assert counts.to_json()["p_value"] == pytest.approx(0.625)
