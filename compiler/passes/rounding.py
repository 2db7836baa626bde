"""Rounding weights to levels, by the weight alone or by what the membrane sees of it.

The membrane's mean square error for a weight error d of one neuron is d H d, with H the second moment of the filtered
activity that arrives (``ir/moments.py``). ``nearest`` minimizes every component of d, ``round_output`` the whole form:
a first guess carries each column's error into the columns that are still to come (GPTQ: Frantar et al. 2022,
arXiv:2210.17323), then coordinate descent moves single weights, up or down by any number of levels, as long as the
error falls (the objective of AdaRound: Nagel et al. 2020, arXiv:2004.10568, with its optimum sought directly).
All rows of a layer go through at once.
"""

from collections.abc import Iterator

import numpy as np
from scipy import linalg

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.moments import Moments
from ranvier.compiler.ir.weight_levels import WeightLevels

DAMPING = 1e-3
SWEEPS = 6


def membrane_error(errors: FloatArray, moments: Moments) -> FloatArray:
    """(rows,) mean square error of each row's membrane for weight ``errors`` (rows, inputs)."""
    return np.concatenate([_error(part, *rest) for part, *rest in _groups(errors, moments)])


def round_output(wanted: FloatArray, levels: WeightLevels, moments: Moments) -> FloatArray:
    """Levels for ``wanted`` (rows, inputs), in units of the levels, with a small membrane error.

    No row's error is larger than that of ``levels.nearest(wanted)``.
    """
    if not moments.full:
        return levels.nearest(wanted)
    return np.concatenate([_round_group(part, levels, second) for part, second, _ in _groups(wanted, moments)])


def _groups(rows: FloatArray, moments: Moments) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """The rows of each group with its second moment and filtered mean."""
    count = moments.second.shape[0]
    yield from zip(np.split(rows, count), moments.second, moments.filtered, strict=True)


def _error(errors: FloatArray, second: FloatArray, filtered: FloatArray) -> FloatArray:
    if second.ndim > 1:
        return np.asarray(np.einsum("ri,ri->r", errors @ second, errors))
    varied = (errors**2) @ np.maximum(second - filtered**2, 0.0)
    return np.asarray(varied + (errors @ filtered) ** 2)


def _round_group(wanted: FloatArray, levels: WeightLevels, second: FloatArray) -> FloatArray:
    nearest = levels.nearest(wanted)
    guess = _carry_errors(wanted, levels, second)
    better = _form(guess - wanted, second) < _form(nearest - wanted, second)
    return _descend(np.where(better[:, None], guess, nearest), wanted, levels, second)


def _form(errors: FloatArray, second: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ri,ri->r", errors @ second, errors))


def _carry_errors(wanted: FloatArray, levels: WeightLevels, second: FloatArray) -> FloatArray:
    """Columns rounded from the most active on, each column's error made good in those behind it."""
    size = second.shape[0]
    order = np.argsort(-np.diag(second), kind="stable")
    damped = second[np.ix_(order, order)] + np.eye(size) * (DAMPING * np.mean(np.diag(second)) + 1e-12)
    inverse = linalg.cholesky(linalg.inv(damped), lower=False)
    rest, rounded = wanted[:, order].copy(), np.empty_like(wanted)
    for column in range(size):
        chosen = levels.nearest(rest[:, column])
        rounded[:, order[column]] = chosen
        error = (rest[:, column] - chosen) / inverse[column, column]
        rest[:, column + 1 :] -= error[:, None] * inverse[column, column + 1 :]
    return rounded


def _descend(start: FloatArray, wanted: FloatArray, levels: WeightLevels, second: FloatArray) -> FloatArray:
    """Coordinate descent from ``start``: each weight in turn goes to the level that is best given all others."""
    rounded = start.copy()
    pull = (rounded - wanted) @ second
    for _ in range(SWEEPS):
        moved = False
        for column in np.flatnonzero(np.diag(second) > 0):
            best = levels.nearest(rounded[:, column] - pull[:, column] / second[column, column])
            step = best - rounded[:, column]
            gain = step * (2 * pull[:, column] + step * second[column, column])
            step = np.where(gain < 0, step, 0.0)
            if np.any(step):
                rounded[:, column] += step
                pull += step[:, None] * second[column]
                moved = True
        if not moved:
            break
    return rounded
