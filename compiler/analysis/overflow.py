"""Overflow: ranges of every accumulator, state and lossy operation that hold for all inputs.

For each population an inductive box is sought: ranges of its states that contain the initial state and
that no step leaves, whatever arrives. Ranges in the box are bounds for ever, so an operation whose operand stays
within its register there is proved never to lose anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.analysis.intervals import LIMIT, Interval, StepRange, exactly, step_range
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, ChipNetwork, Connection, Population
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.steps import OPS, Op

PLAIN_STEPS = 24
GUESSES = 40
NARROWING = 48
FAR = 2**40


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
    """All bounds of a network, and per population the box of its states."""

    bounds: tuple[Bound, ...]
    states: Mapping[str, Mapping[str, Interval]]

    @property
    def proved(self) -> bool:
        """Whether nothing in the network can ever overflow."""
        return all(bound.proved for bound in self.bounds)

    @property
    def open(self) -> tuple[Bound, ...]:
        """The registers for which that is not proved."""
        return tuple(bound for bound in self.bounds if not bound.proved)


def overflows(chip: ChipNetwork) -> Overflows:
    """Bounds that hold for every input of ``chip``, however long it runs."""
    bounds: list[Bound] = []
    states: dict[str, Mapping[str, Interval]] = {}
    for population in chip.populations:
        current = exactly(np.zeros(population.size, np.int64))
        for connection in chip.into[population.name]:
            total, scaled = _arriving(chip, connection)
            bounds.append(_bound(population.name, connection.name, total, *_fits(connection)))
            current = Interval(current.low + scaled.low, current.high + scaled.high)
        box = inductive_box(population, current)
        result = _step(population, box, current)
        states[population.name] = box
        lossy = [op for op in population.program.ops if OPS[op.kind].lossy]
        bounds += [_bound(population.name, op.result, result.lossy[op.result], *_register(op)) for op in lossy]
    return Overflows(tuple(bounds), states)


def inductive_box(population: Population, current: Interval) -> dict[str, Interval]:
    """Ranges of the states that hold at the start and that no step with any input in ``current`` leaves.

    Plain steps first; then guesses of where the growth ends, as a geometric series from its last two increments;
    ranges for which no guess holds are widened to all integers, which a wrap or clip cuts back to the register.
    """
    box = {name: exactly(np.broadcast_to(v, (population.size,))) for name, v in population.initial.items()}
    grown = box
    for count in range(PLAIN_STEPS + GUESSES):
        before, box = box, grown
        grown = _joined(box, _step(population, box, current).states)
        if _same(grown, box):
            return _narrowed(population, box, current)
        if count >= PLAIN_STEPS and count % 2 == 0:
            grown = _joined(grown, _guessed(before, box, grown))
    grown = {name: _widened(box[name], grown[name]) for name in box}
    while not _same(grown, box):
        box, grown = grown, _joined(grown, _step(population, grown, current).states)
        grown = {name: _widened(box[name], grown[name]) for name in box}
    return _narrowed(population, box, current)


def _narrowed(population: Population, box: dict[str, Interval], current: Interval) -> dict[str, Interval]:
    """The image of an inductive box, joined with the start, is inductive again and no larger."""
    start = {name: exactly(np.broadcast_to(v, (population.size,))) for name, v in population.initial.items()}
    for _ in range(NARROWING):
        smaller = _joined(start, _step(population, box, current).states)
        if _same(smaller, box):
            break
        box = smaller
    return box


def _step(population: Population, box: Mapping[str, Interval], current: Interval) -> StepRange:
    params = {name: np.broadcast_to(v, (population.size,)) for name, v in population.params.items()}
    return step_range(population.program, box, params, current)


def _joined(a: Mapping[str, Interval], b: Mapping[str, Interval]) -> dict[str, Interval]:
    return {name: a[name] | b[name] for name in a}


def _same(a: Mapping[str, Interval], b: Mapping[str, Interval]) -> bool:
    return all(np.array_equal(a[n].low, b[n].low) and np.array_equal(a[n].high, b[n].high) for n in a)


def _guessed(
    before: Mapping[str, Interval], box: Mapping[str, Interval], grown: Mapping[str, Interval]
) -> dict[str, Interval]:
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


def _sent(chip: ChipNetwork, source: str) -> tuple[int, int]:
    """The least and the largest value that ``source`` can send, zero included."""
    node = chip.by_name[source]
    if node.bits == 0:
        return 0, 1
    most = 2 ** (node.bits - 1) - 1
    return -most, most


def _arriving(chip: ChipNetwork, connection: Connection) -> tuple[Interval, Interval]:
    """The accumulator of each target neuron, in any order of summing, and what it delivers."""
    matrix = synapse_matrix(connection.synapse)
    low, high = _sent(chip, connection.source)
    positive = np.asarray(matrix.maximum(0).sum(axis=1)).reshape(-1)
    negative = np.asarray(matrix.minimum(0).sum(axis=1)).reshape(-1)
    total = Interval(positive * low + negative * high, positive * high + negative * low)
    least, most = _accumulator(connection)
    fits = total.inside(least, most)
    wrapped = Interval(np.where(fits, total.low, least), np.where(fits, total.high, most))
    e = connection.exponent
    if e <= 0:
        return total, Interval(wrapped.low >> -e, wrapped.high >> -e)
    fits = wrapped.inside(-(2**31) >> e, (2**31 - 1) >> e)
    shifted = Interval(np.where(fits, wrapped.low << e, -(2**31)), np.where(fits, wrapped.high << e, 2**31 - 1))
    return total, shifted


def _accumulator(connection: Connection) -> tuple[int, int]:
    half = 1 << (ACCUMULATOR_BITS[connection.synapse.kind] - 1)
    return -half, half - 1


def _fits(connection: Connection) -> tuple[int, int]:
    """The sums that neither the accumulator nor the exponent's shift can lose."""
    least, most = _accumulator(connection)
    e = max(connection.exponent, 0)
    return max(least, -(2**31) >> e), min(most, (2**31 - 1) >> e)


def _register(op: Op) -> tuple[int, int]:
    """The operands that a lossy operation passes unchanged."""
    constants = [int(arg) for arg in op.args[1:]]
    if op.kind == "clip":
        return constants[0], constants[1]
    half = 1 << (constants[0] - 1)
    return (-half, half - 1) if op.kind == "wrap" else (1 - half, half)


def _bound(population: str, where: str, operand: Interval, least: int, most: int) -> Bound:
    spare = np.minimum(operand.low - least, most - operand.high)
    low, high = int(operand.low.min()), int(operand.high.max())
    return Bound(population, where, max(low, -LIMIT), min(high, LIMIT), least, most, int(spare.argmin()))
