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

Kept = NDArray[np.bool_]

DAMPING = 1e-3
FLOOR = 1e-6
SWEEPS = 6


def membrane_error(errors: FloatArray, moments: Moments) -> FloatArray:
    """(rows,) mean square error of each row's membrane for weight ``errors`` (rows, inputs)."""
    return np.concatenate([_error(part, *rest) for part, *rest in _groups(errors, moments)])


def round_jointly(
    wanted: Sequence[FloatArray],
    levels: Sequence[WeightLevels],
    units: Sequence[float | FloatArray],
    second: FloatArray,
    kept: Sequence[Kept] | None = None,
) -> list[FloatArray]:
    """``round_output`` for all that arrives at one population: what one synapse's rounding does, others make good.

    ``wanted``: for each, (rows, inputs); ``units``: what a level of each is worth to the membrane, () or (inputs,);
    ``second``: (rows, all inputs, all inputs); ``kept``: which weights may be other than zero.
    """
    counts = [w.shape[1] for w in wanted]
    unit = _each(units, counts)
    columns = [level for level, count in zip(levels, counts, strict=True) for _ in range(count)]
    whole = np.concatenate(wanted, axis=1)
    mask = np.ones(whole.shape, np.bool_) if kept is None else np.concatenate(kept, axis=1)
    found = _rounded(whole[:, None], columns, second * unit[:, None] * unit, mask[:, None])
    return np.split(found[:, 0], np.cumsum(counts)[:-1], axis=1)


def joint_error(errors: Sequence[FloatArray], units: Sequence[float | FloatArray], second: FloatArray) -> FloatArray:
    """(rows,) mean square error of each row's membrane for weight ``errors``; the rest as in ``round_jointly``."""
    each = np.concatenate(errors, axis=1) * _each(units, [e.shape[1] for e in errors])
    return _form(each[:, None], second)[:, 0]


def _each(units: Sequence[float | FloatArray], counts: Sequence[int]) -> FloatArray:
    """The unit of every input, ``counts`` of them from each synapse."""
    return np.concatenate([np.broadcast_to(u, n) for u, n in zip(units, counts, strict=True)])


def input_errors(errors: FloatArray, moments: Moments) -> FloatArray:
    """(inputs,) mean square error of the rows' membranes, in all, for the ``errors`` of each input's weights alone."""
    return np.asarray(sum((part**2).sum(axis=0) * _squares(second) for part, second, _ in _groups(errors, moments)))


def round_output(wanted: FloatArray, levels: WeightLevels, moments: Moments, kept: Kept | None = None) -> FloatArray:
    """Levels for ``wanted`` (rows, inputs), in units of the levels, with a small membrane error.

    No row's error is larger than that of ``levels.nearest(wanted)``. ``kept`` (rows, inputs): which weights may be
    other than zero; the others' errors are made good by these.
    """
    mask = np.ones(wanted.shape, np.bool_) if kept is None else kept
    if not moments.full:
        return np.where(mask, levels.nearest(wanted), 0.0)
    shape = (len(moments.second), -1, wanted.shape[1])
    columns = [levels] * wanted.shape[1]
    return _rounded(wanted.reshape(shape), columns, moments.second, mask.reshape(shape)).reshape(wanted.shape)


def _rounded(wanted: FloatArray, levels: Sequence[WeightLevels], second: FloatArray, kept: Kept) -> FloatArray:
    """Levels for ``wanted`` (groups, rows, inputs), those of each input, with ``second`` (groups, inputs, inputs).

    Zero where they are not ``kept`` (groups, rows, inputs).
    """
    nearest: FloatArray = np.asarray(kept, np.float64) * np.stack(
        [level.nearest(wanted[..., n]) for n, level in enumerate(levels)], axis=-1
    )
    if np.array_equal(nearest, wanted):
        return nearest
    guess = _carry_errors(wanted, levels, second, kept)
    better = _form(guess - wanted, second) < _form(nearest - wanted, second)
    return _descend(np.where(better[..., None], guess, nearest), wanted, levels, second, kept)


def _groups(rows: FloatArray, moments: Moments) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """The rows of each group with its second moment and filtered mean."""
    count = moments.second.shape[0]
    yield from zip(np.split(rows, count), moments.second, moments.filtered, strict=True)


def _squares(second: FloatArray) -> FloatArray:
    """(inputs,) the mean square of each input, from the moments of one group."""
    return np.asarray(np.diagonal(second) if second.ndim > 1 else second)


def _error(errors: FloatArray, second: FloatArray, filtered: FloatArray) -> FloatArray:
    if second.ndim > 1:
        return np.asarray(_form(errors[None], second[None])[0])
    varied = (errors**2) @ np.maximum(second - filtered**2, 0.0)
    return np.asarray(varied + (errors @ filtered) ** 2)


def _form(errors: FloatArray, second: FloatArray) -> FloatArray:
    """(groups, rows) d H d of every row, at least 0: H is positive semidefinite, its entries are rounded."""
    return np.asarray(np.maximum(np.einsum("gri,gri->gr", errors @ second, errors), 0.0))


def _carry_errors(wanted: FloatArray, levels: Sequence[WeightLevels], second: FloatArray, kept: Kept) -> FloatArray:
    """Columns rounded from the most active on, each column's error made good in those behind it.

    All groups at once: ``wanted`` and ``kept`` (groups, rows, inputs), ``second`` (groups, inputs, inputs).
    """
    size = second.shape[-1]
    active = np.einsum("gii->gi", second)
    order = np.argsort(-active, axis=1, kind="stable")
    damped = second + np.eye(size) * (DAMPING * active.mean(axis=1)[:, None, None] + 1e-12)
    ordered = np.take_along_axis(np.take_along_axis(damped, order[:, :, None], 1), order[:, None, :], 2)
    lower = _inverse_root(ordered)
    rest = np.take_along_axis(wanted, order[:, None, :], 2)
    allowed = np.take_along_axis(kept, order[:, None, :], 2)
    rounded, distinct = np.empty_like(rest), levels if len(set(levels)) > 1 else levels[:1]
    for column in range(size):
        rounded[..., column] = allowed[..., column] * _nearest(rest[..., column], distinct, order[:, column])
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


def _descend(
    start: FloatArray, wanted: FloatArray, levels: Sequence[WeightLevels], second: FloatArray, kept: Kept
) -> FloatArray:
    """Coordinate descent from ``start``: each weight ``kept`` goes to the level that is best beside the others."""
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
            step = np.where((gain < 0) & (square > 0) & kept[..., column], step, 0.0)
            if np.any(step):
                rounded[..., column] += step
                pull += step[..., None] * second[:, None, column]
                moved = True
        if not moved:
            break
    return rounded
