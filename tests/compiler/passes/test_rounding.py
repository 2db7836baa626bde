"""Levels of narrow weights, and rounding by what the membrane sees."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.moments import Moments, identity
from ranvier.compiler.ir.weight_levels import WeightLevels, weight_levels
from ranvier.compiler.passes.rounding import joint_error, membrane_error, round_jointly, round_output

MODES = ("mixed", "excitatory", "inhibitory")
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, inputs: int, groups: int = 1) -> tuple[np.ndarray, Moments]:
    """Weights of up to four rows a group in units of the levels, and moments of activity with correlations."""
    rng = np.random.default_rng(seed)
    z = (rng.random((groups, 4 * inputs, inputs)) < 0.4) @ rng.random((inputs, inputs))
    second = z.transpose(0, 2, 1) @ z / z.shape[1]
    return rng.normal(0, 100, (groups * 3, inputs)), Moments(z.mean(1), z.mean(1), second, z.mean(1))


@pytest.mark.parametrize(("mode", "bits"), list(itertools.product(MODES, range(1, 9))))
def test_k_bits_are_at_most_two_to_the_k_levels_on_the_chips_grid(mode: str, bits: int) -> None:
    levels = weight_levels(bits, mode)
    reached = np.unique(levels.nearest(np.linspace(-600, 600, 9001)))
    assert len(reached) == levels.count == 2**bits
    low, high = {"mixed": (-256, 254), "excitatory": (0, 255), "inhibitory": (-255, 0)}[mode]
    assert low <= reached.min() <= reached.max() <= high
    assert np.all(np.diff(reached) == levels.step)


def test_binary_and_ternary_weights() -> None:
    assert np.unique(weight_levels(1, "mixed").nearest(np.arange(-300.0, 300))).tolist() == [-128, 128]
    ternary = weight_levels(2, "mixed")
    assert ternary.nearest(np.array([-130.0, -20, 0, 70, 500])).tolist() == [-128, 0, 0, 128, 128]


@given(seeds, st.sampled_from(MODES), st.integers(1, 8))
def test_the_nearest_level_is_the_nearest(seed: int, mode: str, bits: int) -> None:
    levels = weight_levels(bits, mode)
    values = np.random.default_rng(seed).normal(0, 150, 50)
    every = levels.low + levels.step * np.arange(levels.count)
    best = np.abs(values[:, None] - every).min(axis=1)
    np.testing.assert_allclose(np.abs(levels.nearest(values) - values), best, rtol=0, atol=1e-9)


@given(seeds, st.integers(1, 8), st.integers(1, 12), st.integers(1, 3))
def test_output_rounding_is_never_worse_than_nearest(seed: int, bits: int, inputs: int, groups: int) -> None:
    wanted, moments = drawn(seed, inputs, groups)
    levels = weight_levels(bits, "mixed")
    chosen = round_output(wanted, levels, moments)
    ours, plain = (membrane_error(x - wanted, moments) for x in (chosen, levels.nearest(wanted)))
    assert np.all(ours <= plain * (1 + 1e-9) + 1e-9)
    np.testing.assert_array_equal(chosen, levels.nearest(chosen))


def test_output_rounding_is_near_the_best_of_all_where_that_can_be_tried() -> None:
    levels, found, best = WeightLevels(64.0, -128.0, 128.0), [], []
    every = np.array(list(itertools.product(np.arange(-128.0, 129, 64), repeat=4)))
    for seed in range(10):
        wanted, moments = drawn(seed, 4)
        found += list(membrane_error(round_output(wanted, levels, moments) - wanted, moments))
        best += [membrane_error(every - row, moments).min() for row in wanted]
    assert np.all(np.array(found) >= np.array(best) * (1 - 1e-9))
    assert np.mean(found) < 1.5 * np.mean(best)


def test_it_is_better_where_inputs_are_correlated() -> None:
    better = []
    for seed in range(10):
        wanted, moments = drawn(seed, 10)
        levels = weight_levels(3, "mixed")
        ours = membrane_error(round_output(wanted, levels, moments) - wanted, moments)
        better.append(ours.mean() / membrane_error(levels.nearest(wanted) - wanted, moments).mean())
    assert np.mean(better) < 0.7


def test_without_correlations_output_rounding_is_nearest() -> None:
    wanted, _ = drawn(1, 6)
    levels = weight_levels(4, "mixed")
    np.testing.assert_array_equal(round_output(wanted, levels, identity(6, 1, 0.3)), levels.nearest(wanted))


def test_the_error_is_that_of_the_membrane() -> None:
    rng = np.random.default_rng(2)
    z, errors = rng.random((50, 5)), rng.normal(size=(3, 5))
    moments = Moments(z.mean(0)[None], z.mean(0)[None], (z.T @ z / 50)[None], z.mean(0)[None])
    np.testing.assert_allclose(membrane_error(errors, moments), ((errors @ z.T) ** 2).mean(axis=1))
    np.testing.assert_allclose(membrane_error(errors, moments.about_mean()), (errors @ z.T).var(axis=1), atol=1e-12)


@given(seeds, st.integers(2, 8), st.integers(1, 6), st.integers(1, 6))
def test_joint_rounding_is_never_worse_than_each_apart(seed: int, bits: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.random((3, 40, first + second)) * np.repeat([4.0, 1.0], [first, second]) @ rng.random((first + second,) * 2)
    joint = z.transpose(0, 2, 1) @ z / 40
    wanted = [rng.normal(0, 100, (3, n)) for n in (first, second)]
    levels, units = [weight_levels(bits, "mixed"), weight_levels(8, "mixed")], [4.0, 1.0]
    chosen = round_jointly(wanted, levels, units, joint)
    apart = [level.nearest(w) for level, w in zip(levels, wanted, strict=True)]
    ours, plain = (_joint_error(given, wanted, units, joint) for given in (chosen, apart))
    assert np.all(ours <= plain * (1 + 1e-9) + 1e-9)
    for level, integers in zip(levels, chosen, strict=True):
        np.testing.assert_array_equal(integers, level.nearest(integers))


def _joint_error(
    given: list[np.ndarray], wanted: list[np.ndarray], units: list[float], joint: np.ndarray
) -> np.ndarray:
    parts = zip(given, wanted, units, strict=True)
    errors = np.concatenate([(g - w) * unit for g, w, unit in parts], axis=1)
    return np.asarray(np.einsum("ri,rij,rj->r", errors, joint, errors))


def test_two_synapses_make_good_what_each_of_them_lost() -> None:
    wanted = [np.full((1, 1), 16.0), np.full((1, 1), 16.0)]
    chosen = round_jointly(wanted, [weight_levels(4, "mixed")] * 2, [1.0, 1.0], np.ones((1, 2, 2)))
    assert chosen[0][0, 0] + chosen[1][0, 0] == 32.0


@given(seeds, st.integers(2, 4))
def test_groups_are_rounded_as_each_of_them_alone(seed: int, groups: int) -> None:
    wanted, given = drawn(seed, 7, groups)
    levels = weight_levels(4, "mixed")
    alone = [
        round_output(part, levels, Moments(mean[None], mean[None], second[None], mean[None]))
        for part, mean, second in zip(np.split(wanted, groups), given.mean, given.second, strict=True)
    ]
    np.testing.assert_array_equal(round_output(wanted, levels, given), np.concatenate(alone))


@given(seeds, st.integers(1, 9))
def test_an_error_is_never_negative_though_moments_are_rounded(seed: int, inputs: int) -> None:
    rng = np.random.default_rng(seed)
    mean = rng.random((1, inputs)) * 10.0 ** rng.integers(-3, 4)
    second = np.einsum("gi,gj->gij", mean, mean) * (1 + rng.choice([-1e-15, 0, 1e-15], (1, inputs, inputs)))
    constant = Moments(mean, mean, (second + second.transpose(0, 2, 1)) / 2, mean).about_mean()
    errors = rng.normal(size=(5, inputs))
    assert np.all(membrane_error(errors, constant) >= 0)
    assert np.all(joint_error([errors], [1.0], np.repeat(constant.second, 5, axis=0)) >= 0)
