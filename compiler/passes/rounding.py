"""Rounding weights to levels, by the weight alone or by what the membrane sees of it.

The membrane's mean square error for a weight error d of one neuron is d H d, with H the second moment of the filtered
activity that arrives (``ir/moments.py``). ``nearest`` minimizes every component of d, ``round_output`` the whole form:
a first guess carries each column's error into the columns that are still to come (GPTQ: Frantar et al. 2022,
arXiv:2210.17323), then coordinate descent moves single weights, up or down by any number of levels, as long as the
error falls (the objective of AdaRound: Nagel et al. 2020, arXiv:2004.10568, with its optimum sought directly).
All rows of a layer go through at once.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.moments import Moments
from ranvier.compiler.ir.weight_levels import WeightLevels

DAMPING = 1e-3
FLOOR = 1e-6
SWEEPS = 6


def membrane_error(errors: FloatArray, moments: Moments) -> FloatArray:
    """(rows,) mean square error of each row's membrane for weight ``errors`` (rows, inputs)."""
    return np.concatenate([_error(part, *rest) for part, *rest in _groups(errors, moments)])


def round_jointly(
    wanted: Sequence[FloatArray], levels: Sequence[WeightLevels], units: Sequence[float], second: FloatArray
) -> list[FloatArray]:
    """``round_output`` for all that arrives at one population: what one synapse's rounding does, others make good.

    ``wanted``: for each, (rows, inputs); ``units``: what a level of each is worth to the membrane; ``second``: (rows,
    all inputs, all inputs).
    """
    counts = [w.shape[1] for w in wanted]
    unit = np.repeat(units, counts)
    columns = [level for level, count in zip(levels, counts, strict=True) for _ in range(count)]
    found = _rounded(np.concatenate(wanted, axis=1)[:, None], columns, second * unit[:, None] * unit)
    return np.split(found[:, 0], np.cumsum(counts)[:-1], axis=1)


def round_output(wanted: FloatArray, levels: WeightLevels, moments: Moments) -> FloatArray:
    """Levels for ``wanted`` (rows, inputs), in units of the levels, with a small membrane error.

    No row's error is larger than that of ``levels.nearest(wanted)``.
    """
    if not moments.full:
        return levels.nearest(wanted)
    grouped = wanted.reshape(len(moments.second), -1, wanted.shape[1])
    return _rounded(grouped, [levels] * wanted.shape[1], moments.second).reshape(wanted.shape)


def _rounded(wanted: FloatArray, levels: Sequence[WeightLevels], second: FloatArray) -> FloatArray:
    """Levels for ``wanted`` (groups, rows, inputs), those of each input, with ``second`` (groups, inputs, inputs)."""
    nearest = np.stack([level.nearest(wanted[..., n]) for n, level in enumerate(levels)], axis=-1)
    guess = _carry_errors(wanted, levels, second)
    better = _form(guess - wanted, second) < _form(nearest - wanted, second)
    return _descend(np.where(better[..., None], guess, nearest), wanted, levels, second)


def _groups(rows: FloatArray, moments: Moments) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """The rows of each group with its second moment and filtered mean."""
    count = moments.second.shape[0]
    yield from zip(np.split(rows, count), moments.second, moments.filtered, strict=True)


def _error(errors: FloatArray, second: FloatArray, filtered: FloatArray) -> FloatArray:
    if second.ndim > 1:
        return np.asarray(np.einsum("ri,ri->r", errors @ second, errors))
    varied = (errors**2) @ np.maximum(second - filtered**2, 0.0)
    return np.asarray(varied + (errors @ filtered) ** 2)


def _form(errors: FloatArray, second: FloatArray) -> FloatArray:
    """(groups, rows) d H d of every row."""
    return np.asarray(np.einsum("gri,gri->gr", errors @ second, errors))


def _carry_errors(wanted: FloatArray, levels: Sequence[WeightLevels], second: FloatArray) -> FloatArray:
    """Columns rounded from the most active on, each column's error made good in those behind it.

    All groups at once: ``wanted`` (groups, rows, inputs), ``second`` (groups, inputs, inputs).
    """
    size = second.shape[-1]
    active = np.einsum("gii->gi", second)
    order = np.argsort(-active, axis=1, kind="stable")
    damped = second + np.eye(size) * (DAMPING * active.mean(axis=1)[:, None, None] + 1e-12)
    ordered = np.take_along_axis(np.take_along_axis(damped, order[:, :, None], 1), order[:, None, :], 2)
    lower = _inverse_root(ordered)
    rest = np.take_along_axis(wanted, order[:, None, :], 2)
    rounded, distinct = np.empty_like(rest), levels if len(set(levels)) > 1 else levels[:1]
    for column in range(size):
        rounded[..., column] = _nearest(rest[..., column], distinct, order[:, column])
        error = (rest[..., column] - rounded[..., column]) / lower[:, column, column, None]
        rest[..., column + 1 :] -= error[..., None] * lower[:, None, column + 1 :, column]
    return np.take_along_axis(rounded, np.argsort(order, axis=1)[:, None, :], 2)


def _inverse_root(second: FloatArray) -> FloatArray:
    """Lower triangular L with ``L L' = inverse of second``, for (groups, n, n).

    Moments that are joint over several senders, or less their mean, may miss being positive by rounding: then
    eigenvalues are raised to ``FLOOR`` of the largest.
    """
    try:
        return np.asarray(np.linalg.cholesky(np.linalg.inv(second)))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(0.5 * (second + second.transpose(0, 2, 1)))
        raised = np.maximum(values, FLOOR * np.abs(values).max(axis=1, keepdims=True) + 1e-300)
        inverse = (vectors / raised[:, None, :]) @ vectors.transpose(0, 2, 1)
        return np.asarray(np.linalg.cholesky(0.5 * (inverse + inverse.transpose(0, 2, 1))))


def _nearest(values: FloatArray, levels: Sequence[WeightLevels], which: NDArray[np.int64]) -> FloatArray:
    """``values`` (groups, rows) at the levels of that input which each group has at this place; one for all."""
    if len(levels) == 1:
        return levels[0].nearest(values)
    return np.stack([levels[int(n)].nearest(row) for row, n in zip(values, which, strict=True)])


def _descend(start: FloatArray, wanted: FloatArray, levels: Sequence[WeightLevels], second: FloatArray) -> FloatArray:
    """Coordinate descent from ``start``: each weight in turn goes to the level that is best given all others."""
    rounded, active = start.copy(), np.einsum("gii->gi", second)
    pull = (rounded - wanted) @ second
    for _ in range(SWEEPS):
        moved = False
        for column in np.flatnonzero(np.any(active > 0, axis=0)):
            square = active[:, column, None]
            best = levels[int(column)].nearest(
                rounded[..., column] - pull[..., column] / np.where(square > 0, square, 1.0)
            )
            step = best - rounded[..., column]
            gain = step * (2 * pull[..., column] + step * square)
            step = np.where((gain < 0) & (square > 0), step, 0.0)
            if np.any(step):
                rounded[..., column] += step
                pull += step[..., None] * second[:, None, column]
                moved = True
        if not moved:
            break
    return rounded
