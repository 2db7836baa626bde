"""Overflow: ranges of every accumulator, state and lossy operation that hold for all inputs.

For each population an inductive box is sought: ranges of its states that contain the initial state and
that no step leaves, whatever arrives (``boxes.py``); the rates at which senders can fire (``arrivals.py``) narrow it
(``series.py``). Ranges in the box are bounds for ever, so an operation whose operand stays within its register there
is proved never to lose anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.analysis.alike import Alike, alike
from ranvier.compiler.analysis.arrivals import Arrival, Trains, any_train, arrival, fitting, trains
from ranvier.compiler.analysis.boxes import Box, evaluate, inductive_box, initial_box, narrowed
from ranvier.compiler.analysis.forms import forms
from ranvier.compiler.analysis.intervals import LIMIT, Interval
from ranvier.compiler.analysis.series import series_bounds
from ranvier.compiler.ir.chip import SUM_BITS, ChipNetwork, Population
from ranvier.compiler.ir.ranges import REGISTERS
from ranvier.compiler.ir.steps import INPUT, OPS, Op


@dataclass(frozen=True)
class Bound:
    """The operand of one register over all neurons: ``low`` to ``high`` always hold; it loses nothing within
    ``least`` to ``most``. ``neuron`` is the one that comes closest to the edge, or passes it furthest.
    """

    population: str
    where: str
    low: int
    high: int
    least: int
    most: int
    neuron: int

    @property
    def proved(self) -> bool:
        """Whether no input can make this register wrap or clip."""
        return self.least <= self.low and self.high <= self.most


@dataclass(frozen=True, eq=False)
class Overflows:
    """All bounds of a network, per population the box of its states, and by node what it can send."""

    bounds: tuple[Bound, ...]
    states: Mapping[str, Mapping[str, Interval]]
    sent: Mapping[str, Trains]

    @property
    def proved(self) -> bool:
        """Whether nothing in the network can ever overflow."""
        return all(bound.proved for bound in self.bounds)

    @property
    def open(self) -> tuple[Bound, ...]:
        """The registers for which that is not proved."""
        return tuple(bound for bound in self.bounds if not bound.proved)


def overflows(chip: ChipNetwork) -> Overflows:
    """Bounds that hold for every input of ``chip``, however long it runs.

    Populations are taken in the order of their latencies, each with what its senders were found to be able to send;
    where one hears a later one, all are taken twice, because the first time the later one is taken to send anything.
    """
    sent = {name: any_train(node) for name, node in chip.by_name.items()}
    ordered = sorted(chip.populations, key=lambda population: population.latency)
    place = {population.name: index for index, population in enumerate(ordered)}
    loops = any(place.get(c.source, -1) >= place[c.target] for c in chip.connections)
    found: dict[str, _Bounded] = {}
    for population in ordered * (2 if loops else 1):
        arriving = arrival(chip, population, sent)
        found[population.name] = bounded = _bounded(arriving, alike(population, arriving))
        sent[population.name] = bounded.sent
    bounds = tuple(bound for population in chip.populations for bound in found[population.name].bounds)
    return Overflows(bounds, {name: bounded.states for name, bounded in found.items()}, sent)


def accumulator_bounds(chip: ChipNetwork) -> dict[str, int]:
    """The largest magnitude that the sum of each connection can have in one step, and each population's sum of all that
    its connections deliver, by name, from the weights and the widths of the messages.

    A float32 sum is exact below 2**24 in whatever order it is made, an int32 sum below 2**31.
    """
    sent = {name: any_train(node) for name, node in chip.by_name.items()}
    found: dict[str, int] = {}
    for population in chip.populations:
        arriving = arrival(chip, population, sent)
        found |= {part.connection.name: _magnitude(part.total) for part in arriving.sums}
        found[population.name] = _magnitude(arriving.whole)
    return found


@dataclass(frozen=True, eq=False)
class _Bounded:
    """The bounds of one population, its box of states and what it can send."""

    bounds: tuple[Bound, ...]
    states: Mapping[str, Interval]
    sent: Trains


def _bounded(arriving: Arrival, groups: Alike) -> _Bounded:
    population, current = groups.population, groups.arriving.current
    box: Box = inductive_box(population, current)
    known = _rated(population, box, groups.arriving) if set(arriving.trains) - {1} else {}
    if known:
        box = narrowed(population, box, current, known)
    result = evaluate(population, box, current).result()
    name, half = population.name, 1 << (SUM_BITS - 1)
    bounds = [_bound(name, s.connection.name, s.total, *fitting(s.connection)) for s in arriving.sums]
    if len(arriving.sums) > 1:
        bounds.append(_bound(name, INPUT, arriving.whole, -half, half - 1))
    for op in (op for op in population.program.ops if OPS[op.kind].lossy):
        operand, value = str(op.args[0]), result.lossy[op.result]
        value = value & known[operand] if operand in known else value
        bounds.append(_bound(name, op.result, groups.everywhere(value), *_register(op)))
    states = {state: groups.everywhere(value) for state, value in box.items()}
    sent = trains(population, box, current)
    return _Bounded(tuple(bounds), states, Trains(groups.everywhere(sent.values), sent.period[groups.group]))


def _rated(population: Population, box: Box, arriving: Arrival) -> dict[str, Interval]:
    """Ranges of states and values that follow from the rates of what arrives, where nothing on the way can wrap."""
    evaluation = evaluate(population, box, arriving.current)
    read = forms(evaluation, arriving.floors)
    found = series_bounds(read, dict(population.program.updates), box, initial_box(population), arriving)
    holds = arriving.exact
    for op in (op for op in population.program.ops if op.result in read.wraps):
        operand = str(op.args[0])
        range_ = evaluation.held[operand] & found[operand] if operand in found else evaluation.held[operand]
        holds = holds & range_.inside(*_register(op))
    free = np.full(population.size, 2 * LIMIT)
    return {n: Interval(np.where(holds, r.low, -free), np.where(holds, r.high, free)) for n, r in found.items()}


def _magnitude(total: Interval) -> int:
    return int(max(-total.low.min(initial=0), total.high.max(initial=0)))


def _register(op: Op) -> tuple[int, int]:
    """The operands that a lossy operation passes unchanged."""
    return REGISTERS[op.kind](*map(int, op.args[1:]))


def _bound(population: str, where: str, operand: Interval, least: int, most: int) -> Bound:
    spare = np.minimum(operand.low - least, most - operand.high)
    low, high = int(operand.low.min()), int(operand.high.max())
    return Bound(population, where, max(low, -LIMIT), min(high, LIMIT), least, most, int(spare.argmin()))
