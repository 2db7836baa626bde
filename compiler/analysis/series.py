"""Decays as geometric series over trains of messages that keep a distance, wherever each train begins.

A state that decays by a factor a and gets w from a sender with period p never exceeds ``w / (1 - a**p)``. Where states
feed one another the answer to a single message rises and falls; the worst train is then found by the recurrence
``M(k) = max(M(k+1), h(k) + M(k+p))`` over the ages k of that answer h.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.arrivals import Arrival
from ranvier.compiler.analysis.forms import Form, Forms, around_zero
from ranvier.compiler.analysis.intervals import LIMIT, Interval
from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.steps import INPUT

LONGEST = 4096
ENTRIES = 2**22
FADED = 12.0
SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Filter:
    """States in an order in which each depends on itself and earlier ones only; ``rest`` bounds what is not driven.

    ``kernels`` (states or values, by name) are the coefficients that follow the input.
    """

    kernels: Mapping[str, Mapping[str, FloatArray]]
    rest: Mapping[str, FloatArray]


def series_bounds(
    forms: Forms,
    updates: Mapping[str, str],
    box: Mapping[str, Interval],
    start: Mapping[str, Interval],
    arrival: Arrival,
) -> dict[str, Interval]:
    """Ranges of the states, and of every value of the step that follows the input, for these trains of messages.

    They hold for the neurons in which nothing on the way loses anything, which the caller has to check.
    """
    found = _filter(forms, updates, box, start)
    names = [name for name, form in forms.by_name.items() if form.coefficients and name not in {INPUT, *updates}]
    followed = {name: _restricted(forms.by_name[name], found.kernels, box) for name in names}
    values = {
        **{state: dict(found.kernels[state]) for state in updates},
        **{n: dict(f.coefficients) for n, f in followed.items()},
    }
    driven = _driven(found.kernels, values, arrival) if values else {}
    bounds = {state: _interval(driven[state] + found.rest[state]) for state in updates}
    for name, form in followed.items():
        most = driven[name] + form.constant + _weighted(form.coefficients, found.rest)
        bounds[name] = _interval(np.stack([np.maximum(most[0], form.instead[0]), np.minimum(most[1], form.instead[1])]))
    return bounds


def worst_train(answer: FloatArray, tail: FloatArray, period: int) -> FloatArray:
    """(groups,) the largest sum of ``answer`` (ages, groups) over ages that are at least ``period`` apart.

    ``tail`` bounds that sum for the ages after the last.
    """
    blocks = -(-answer.shape[0] // period)
    padded = np.zeros((blocks * period, answer.shape[1]))
    padded[: answer.shape[0]] = answer
    later = np.tile(tail, (period, 1))
    for block in reversed(range(blocks)):
        taken = padded[block * period : (block + 1) * period] + later
        best = np.maximum.accumulate(taken[::-1], axis=0)[::-1]
        later = np.maximum(best, later[0])
    return np.asarray(later[0])


def _filter(
    forms: Forms, updates: Mapping[str, str], box: Mapping[str, Interval], start: Mapping[str, Interval]
) -> Filter:
    """The states as filters; ``rest`` solves ``r >= a r + what the others rest at`` and covers every restart."""
    kernels: dict[str, Mapping[str, FloatArray]] = {}
    rest: dict[str, FloatArray] = {}
    for state, update in updates.items():
        form = _restricted(forms.by_name[update], {**kernels, state: {}}, box, state)
        zero = np.zeros_like(form.constant)
        others = form.constant + _weighted(form.coefficients, rest)
        kept = 1.0 - form.coefficients.get(state, zero[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            limit = np.where(others == 0, 0.0, others / kept)
        first, again = around_zero(start[state]), form.instead
        most = np.maximum(limit[0], np.maximum(first[0], again[0]))
        rest[state] = np.stack([most, np.minimum(limit[1], np.minimum(first[1], again[1]))])
        kernels[state] = form.coefficients
    return Filter(kernels, rest)


def _restricted(form: Form, known: Mapping[str, object], box: Mapping[str, Interval], own: str = "") -> Form:
    """``form`` with the states that are not ``known``, and its ``own`` where that grows, taken from their box."""
    kept, constant = {}, form.constant
    for name, coefficient in form.coefficients.items():
        follows = np.full(coefficient.size, name == INPUT or name in known)
        if name == own:
            follows &= coefficient <= 1.0
        kept[name] = np.where(follows, coefficient, 0.0)
        if not follows.all():
            constant = constant + np.where(follows, 0.0, coefficient) * around_zero(box[name])
    return Form(kept, constant, form.instead)


def _driven(
    kernels: Mapping[str, Mapping[str, FloatArray]], values: Mapping[str, dict[str, FloatArray]], arrival: Arrival
) -> dict[str, FloatArray]:
    """(2, neurons) most and least that the trains can make of each value."""
    groups, distinct = _distinct([c for kernel in (*kernels.values(), *values.values()) for c in kernel.values()])
    states = {n: {s: c[distinct] for s, c in kernel.items()} for n, kernel in kernels.items()}
    wanted = {n: {s: c[distinct] for s, c in kernel.items()} for n, kernel in values.items()}
    answers, rests, falls = _answers(states, distinct.size)
    found = {name: np.zeros((2, groups.size)) for name in values}
    for name, kernel in wanted.items():
        answer, rest = _answer_of(kernel, answers, rests, distinct.size)
        for period, share in arrival.trains.items():
            spaced = np.where(falls, answer[-1] + rest / period, np.inf)
            gain = worst_train(answer, np.minimum(rest, spaced), period)[groups]
            with np.errstate(invalid="ignore"):
                found[name] = found[name] + np.where(share == 0, 0.0, gain * share)
    return found


def _distinct(coefficients: Sequence[FloatArray]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The group of every neuron, and one neuron of each group: those of a group have equal coefficients."""
    table = np.stack(coefficients)
    if bool((table == table[:, :1]).all()):
        return np.zeros(table.shape[1], np.int64), np.zeros(1, np.int64)
    _, first, group = np.unique(table, axis=1, return_index=True, return_inverse=True)
    return group.reshape(-1), first


def _answers(
    states: Mapping[str, Mapping[str, FloatArray]], groups: int
) -> tuple[dict[str, FloatArray], dict[str, FloatArray], NDArray[np.bool_]]:
    """Of each state: the answer (ages, groups) to a message of 1, the sum of it over all later ages.

    And whether all fall from the last age on: the system is monotone, so it falls for ever once all states fall.
    """
    ages = _ages(states, groups)
    answers = {state: np.zeros((ages, groups)) for state in states}
    for state, kernel in states.items():
        answers[state][0] = kernel.get(INPUT, 0.0)
    for age in range(1, ages):
        for state, kernel in states.items():
            answers[state][age] = _weighted(kernel, {s: answer[age - 1] for s, answer in answers.items()})
    rests: dict[str, FloatArray] = {}
    falls = np.ones(groups, np.bool_)
    for state, kernel in states.items():
        own = kernel.get(state, np.zeros(groups))
        total = _weighted(kernel, {s: answers[s][-1] + rest for s, rest in rests.items()}) + own * answers[state][-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            rests[state] = np.where(total == 0, 0.0, total / (1.0 - own))
        falls &= answers[state][-1] <= answers[state][-2]
    return answers, rests, falls


def _answer_of(
    kernel: Mapping[str, FloatArray], answers: Mapping[str, FloatArray], rests: Mapping[str, FloatArray], groups: int
) -> tuple[FloatArray, FloatArray]:
    """The answer of a value to a message of 1, and its sum over all later ages; it follows the states by one step."""
    ages = max((states.shape[0] for states in answers.values()), default=0)
    answer = np.zeros((ages + 1, groups))
    answer[0] = kernel.get(INPUT, 0.0)
    for state, coefficient in kernel.items():
        if state != INPUT:
            answer[1:] += coefficient * answers[state]
    return answer, _weighted(kernel, rests)


def _weighted(kernel: Mapping[str, FloatArray], values: Mapping[str, FloatArray]) -> FloatArray:
    """The sum of the states' ``values`` by their coefficients; 0 times infinity is 0. Other states count nothing."""
    total = np.zeros(())
    for state, coefficient in kernel.items():
        if state in values:
            with np.errstate(invalid="ignore"):
                total = total + np.where(coefficient == 0, 0.0, coefficient * values[state])
    return total


def _ages(states: Mapping[str, Mapping[str, FloatArray]], groups: int) -> int:
    """As many ages as the slowest state needs to fade, within reason."""
    slowest = max(
        (float(kernel[s][kernel[s] < 1.0].max(initial=0.0)) for s, kernel in states.items() if s in kernel), default=0.0
    )
    return int(np.clip(FADED / (1.0 - slowest), 4, max(4, min(LONGEST, ENTRIES // groups))))


def _interval(ends: FloatArray) -> Interval:
    """The integers between the least and the most, with room for rounding in floats."""
    high = np.minimum(np.floor(np.minimum(ends[0], LIMIT) * (1.0 + SLACK) + SLACK), LIMIT)
    low = np.maximum(np.ceil(np.maximum(ends[1], -LIMIT) * (1.0 + SLACK) - SLACK), -LIMIT)
    return Interval(low.astype(np.int64), high.astype(np.int64))
