"""What can arrive at a population: sums of its connections in a step, and how densely messages can follow each other.

A sender's messages are a train: values in a range, and at least ``period`` steps from one to the next. In a single
step all senders may fire at once; over many steps each adds no more than its train allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.boxes import Box, evaluate
from ranvier.compiler.analysis.intervals import Interval, exactly
from ranvier.compiler.analysis.spread import spread
from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, SUM_BITS, ChipNetwork, Connection, Population, Port

PERIODS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
"""Periods told apart; others count as the next smaller one, which is sound."""


@dataclass(frozen=True, eq=False)
class Trains:
    """What each wire of a node can send: ``values``, zero included, and the ``period`` (wires,) in steps."""

    values: Interval
    period: IntArray


@dataclass(frozen=True, eq=False)
class Sum:
    """The accumulator of ``connection`` before its register: ``total``; ``delivered`` is what the target gets of it."""

    connection: Connection
    total: Interval
    delivered: Interval


@dataclass(frozen=True, eq=False)
class Arrival:
    """All that arrives at a population.

    ``sums`` by connection; ``whole`` adds up what they deliver, ``current`` is that behind its 32-bit register.
    ``trains`` splits it by the senders' period: (2, neurons), the most and the least that all senders with this
    period can add in one step. ``exact`` (neurons,) says where no register can lose anything, and ``floors`` how much
    the floors of negative exponents can take in one step.
    """

    sums: tuple[Sum, ...]
    whole: Interval
    current: Interval
    exact: NDArray[np.bool_]
    trains: Mapping[int, FloatArray] = field(default_factory=dict)
    floors: float = 0.0


def any_train(node: Port | Population) -> Trains:
    """The trains of a node of which nothing is known but the width of its messages."""
    wires = node.size if isinstance(node, Population) else int(np.prod(node.shape))
    most = 1 if node.bits == 0 else 2 ** (node.bits - 1) - 1
    low = np.full(wires, 0 if node.bits == 0 else -most)
    return Trains(Interval(low, np.full(wires, most)), np.ones(wires, np.int64))


def trains(population: Population, box: Box, current: Interval) -> Trains:
    """The trains of ``population``: its messages in ``box``, and the steps it needs from one spike to the next.

    The steps after a spike are run on intervals until a spike is possible again: that covers refractory times as well
    as resets from which the largest possible input takes several steps to the threshold.
    """
    most = any_train(population).values
    sent = evaluate(population, box, current).result().spikes
    values = Interval(np.minimum(np.maximum(sent.low, most.low), 0), np.maximum(np.minimum(sent.high, most.high), 0))
    return Trains(values, _periods(population, box, current))


def _periods(population: Population, box: Box, current: Interval) -> IntArray:
    period = np.ones(population.size, np.int64)
    if population.program.graded:
        return period
    after = evaluate(population, box, current).after_spike()
    fires = np.logical_and.reduce([value.low <= value.high for value in after.values()])
    states = {
        n: Interval(np.where(fires, v.low, box[n].low), np.where(fires, v.high, box[n].high)) for n, v in after.items()
    }
    quiet = np.ones(population.size, np.bool_)
    for _ in range(1, PERIODS[-1]):
        found = evaluate(population, states, current).result()
        quiet &= (found.spikes.high == 0) | ~fires
        if not (quiet & fires).any():
            break
        period += quiet
        states = dict(found.states)
    return np.where(fires, period, PERIODS[-1])


def arrival(chip: ChipNetwork, population: Population, sent: Mapping[str, Trains]) -> Arrival:
    """What can arrive at ``population`` when every node sends what ``sent`` says."""
    nothing = exactly(np.zeros(population.size, np.int64))
    sums, whole, by_period, floors = [], nothing, dict[int, FloatArray](), 0.0
    exact = np.ones(population.size, np.bool_)
    for connection in chip.into[population.name]:
        source = sent[connection.source]
        found = _sum(connection, spread(connection.synapse, source.values))
        sums.append(found)
        exact &= found.total.inside(*fitting(connection))
        whole = Interval(whole.low + found.delivered.low, whole.high + found.delivered.high)
        floors += float(connection.exponent < 0 and bool((found.total.low < 0).any()))
        kept = np.array(PERIODS)[np.searchsorted(PERIODS, source.period, side="right") - 1]
        for period in np.unique(kept).tolist():
            here = kept == period
            part = Interval(np.where(here, source.values.low, 0), np.where(here, source.values.high, 0))
            ends = found.total if here.all() else spread(connection.synapse, part)
            share = np.stack([ends.high, ends.low]) * 2.0**connection.exponent
            by_period[period] = by_period.get(period, np.zeros(share.shape)) + share
    half = 1 << (SUM_BITS - 1)
    fits = whole.inside(-half, half - 1)
    current = Interval(np.where(fits, whole.low, -half), np.where(fits, whole.high, half - 1))
    return Arrival(tuple(sums), whole, current, exact & fits, by_period, floors)


def fitting(connection: Connection) -> tuple[int, int]:
    """The sums that neither the accumulator nor the exponent's shift can lose."""
    least, most = _accumulator(connection)
    e = max(connection.exponent, 0)
    return max(least, -(2**31) >> e), min(most, (2**31 - 1) >> e)


def _sum(connection: Connection, total: Interval) -> Sum:
    least, most = _accumulator(connection)
    fits = total.inside(least, most)
    wrapped = Interval(np.where(fits, total.low, least), np.where(fits, total.high, most))
    e = connection.exponent
    if e <= 0:
        return Sum(connection, total, Interval(wrapped.low >> -e, wrapped.high >> -e))
    fits = wrapped.inside(-(2**31) >> e, (2**31 - 1) >> e)
    low, high = np.where(fits, wrapped.low << e, -(2**31)), np.where(fits, wrapped.high << e, 2**31 - 1)
    return Sum(connection, total, Interval(low, high))


def _accumulator(connection: Connection) -> tuple[int, int]:
    half = 1 << (ACCUMULATOR_BITS[connection.synapse.kind] - 1)
    return -half, half - 1
