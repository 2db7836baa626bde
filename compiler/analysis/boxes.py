"""Boxes of states: ranges that contain the initial state and that no step leaves, whatever arrives."""

from collections.abc import Mapping

import numpy as np

from ranvier.compiler.analysis.intervals import Evaluation, Interval, exactly
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import Population

PLAIN_STEPS = 24
GUESSES = 40
NARROWING = 48
FAR = 2**40
Box = Mapping[str, Interval]


def inductive_box(population: Population, current: Interval) -> dict[str, Interval]:
    """Ranges of the states that hold at the start and that no step with any input in ``current`` leaves.

    Plain steps first; then guesses of where the growth ends, as a geometric series from its last two increments;
    ranges for which no guess holds are widened to all integers, which a wrap or clip cuts back to the register.
    """
    box = initial_box(population)
    grown = box
    for count in range(PLAIN_STEPS + GUESSES):
        before, box = box, grown
        grown = _joined(box, evaluate(population, box, current).result().states)
        if _same(grown, box):
            return narrowed(population, box, current, {})
        if count >= PLAIN_STEPS and count % 2 == 0:
            grown = _joined(grown, _guessed(before, box, grown))
    grown = {name: _widened(box[name], grown[name]) for name in box}
    while not _same(grown, box):
        box, grown = grown, _joined(grown, evaluate(population, grown, current).result().states)
        grown = {name: _widened(box[name], grown[name]) for name in box}
    return narrowed(population, box, current, {})


def narrowed(population: Population, box: Box, current: Interval, known: Box) -> dict[str, Interval]:
    """A box no larger than ``box``, given ranges of some states that are ``known`` to hold in every step.

    The image of an inductive box, joined with the start, is inductive again; so it is when cut to what is known.
    """
    start = initial_box(population)
    tight = _cut(box, known)
    for _ in range(NARROWING):
        smaller = _cut(_joined(start, evaluate(population, tight, current).result().states), known)
        if _same(smaller, tight):
            break
        tight = smaller
    return tight


def initial_box(population: Population) -> dict[str, Interval]:
    """The states before the first step."""
    return {name: exactly(np.broadcast_to(v, (population.size,))) for name, v in population.initial.items()}


def evaluate(population: Population, box: Box, current: Interval) -> Evaluation:
    """One step of ``population`` from any state in ``box`` with any input in ``current``."""
    params = {name: np.broadcast_to(v, (population.size,)) for name, v in population.params.items()}
    return Evaluation(population.program, box, params, current)


def _cut(box: Box, known: Box) -> dict[str, Interval]:
    return {name: value & known[name] if name in known else value for name, value in box.items()}


def _joined(a: Box, b: Box) -> dict[str, Interval]:
    return {name: a[name] | b[name] for name in a}


def _same(a: Box, b: Box) -> bool:
    return all(np.array_equal(a[n].low, b[n].low) and np.array_equal(a[n].high, b[n].high) for n in a)


def _guessed(before: Box, box: Box, grown: Box) -> dict[str, Interval]:
    """Where each end would come to rest if its growth went on as a geometric series, with a little to spare."""
    return {
        name: Interval(
            -_limit(-before[name].low, -box[name].low, -grown[name].low),
            _limit(before[name].high, box[name].high, grown[name].high),
        )
        for name in box
    }


def _limit(first: IntArray, second: IntArray, third: IntArray) -> IntArray:
    last, earlier = (third - second).astype(np.float64), np.maximum(second - first, 1).astype(np.float64)
    ratio = np.clip(last / earlier, 0.0, 1.0 - 1e-5)
    rest = np.where(last > 0, last * ratio / (1.0 - ratio) + 2.0, 0.0)
    return np.minimum(third + np.minimum(np.ceil(rest), FAR).astype(np.int64), np.maximum(third, FAR))


def _widened(box: Interval, grown: Interval) -> Interval:
    low = np.where(grown.low < box.low, -FAR, grown.low)
    return Interval(low, np.where(grown.high > box.high, FAR, grown.high))
