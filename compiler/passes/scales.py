"""Scales: which multiple of the source's membrane the chip's membrane is, and the exponents of the weights.

A weight w becomes the integer ``w S / (64 * 2**e)``. The candidates for S let the largest weight fall on a level, or
the threshold on its register, and reach so far that large weights are clipped where that pays. Each is judged by the
membrane's mean square error, in units of the threshold: that of the weights, each arrival with its best exponent, plus
that of the threshold's register, plus the drift of states that are truncated toward zero in every step. Where weights
have exponents, S may be doubled with them, which costs nothing but head-room in the states: the smallest S that is
as good as the best is taken, or errs by less than a ten-thousandth of the threshold: small states are worth having.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, IntArray, integers
from ranvier.compiler.ir.linear import Sparse
from ranvier.compiler.ir.moments import Moments
from ranvier.compiler.ir.network import Neurons, Observed
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.passes.arrivals import UNIT, Arrival
from ranvier.compiler.passes.demands import demand
from ranvier.compiler.passes.exponent_groups import groupings, spread
from ranvier.compiler.passes.rounding import membrane_error

PER_OCTAVE = 8
FINE = 4
SMALLEST_CANDIDATE = 0.6
WORK = 2e7
MIN_ROWS = 16
AS_GOOD = 1.02
SMALL_ENOUGH = 1e-8
LONGEST_WINDOW = 100.0
CLIPPING_OCTAVES = {8: 0.5, 7: 0.75, 6: 1.0, 5: 1.25, 4: 1.75, 3: 2.25, 2: 3.0, 1: 4.0}


@dataclass(frozen=True)
class Scaling:
    """The scale S of a population, the exponents of each of its arrivals, and the mean square error expected.

    Exponents are one for all weights of an arrival, (), or one for each of its inputs, (inputs,).
    """

    scale: float
    exponents: tuple[IntArray, ...]
    error: float

    @property
    def steps(self) -> list[FloatArray]:
        """What an integer of each arrival is worth in its inputs' weights, () or (inputs,): ``2**e``."""
        return [np.asarray(2.0**exponents, np.float64) for exponents in self.exponents]

    @property
    def highest(self) -> int:
        """The largest exponent."""
        return max((int(e.max(initial=0)) for e in self.exponents), default=0)

    @property
    def lowest(self) -> int:
        """The smallest exponent."""
        return min((int(e.min(initial=self.highest)) for e in self.exponents), default=0)


@dataclass(frozen=True, eq=False)
class ScaleSearch:
    """Find the scale of ``population`` with ``arrivals``, at most ``top``; ``max_exponent`` is the target's.

    Where the states were ``seen``, S may be larger than the weights alone ask for. ``groups``: how many exponents an
    arrival may have.
    """

    population: Neurons
    arrivals: tuple[Arrival, ...]
    top: float
    max_exponent: int
    seen: Observed | None = None
    groups: int = 1

    def best(self, rank: int = 0) -> Scaling:
        """The best of all candidates, or the one that has ``rank`` others before it."""
        sampled = self._sampled()
        tried = [sampled.judged(scale) for scale in _unique(sampled.candidates())]
        first = min(tried, key=lambda c: c.error)
        near = [first.scale * 2.0 ** (j / PER_OCTAVE / FINE) for j in range(1 - FINE, FINE)]
        tried += [sampled.judged(scale) for scale in _unique(list(map(sampled.snapped, near)))]
        distinct = list({c.scale: c for c in sorted(tried, key=lambda c: c.error)}.values())
        return self._lifted(sampled, distinct[min(rank, len(distinct) - 1)])

    def fixed(self, scale: float) -> Scaling:
        """The exponents for a scale that is given."""
        return self._sampled().judged(scale)

    def _sampled(self) -> "ScaleSearch":
        return replace(self, arrivals=tuple(map(_sample, self.arrivals)))

    def candidates(self) -> Iterator[float]:
        """Scales up to ``top``: the largest weight on a level, or the threshold on its register."""
        base, clipping = self._reference()
        reach = min(self.top, base * 2.0**clipping)
        peak = max((a.peak for a in self.arrivals), default=0.0)
        if peak == 0:
            yield self.top
            return
        step = max(a.levels.step for a in self.arrivals)
        exponent = max(0, math.ceil(math.log2(max(min(base, self.top) * peak / UNIT, 1.0) / 256)))
        unit = step * 2.0**exponent * UNIT / peak
        largest = math.floor(min(base, self.top) / unit * (1 + 1e-12))
        yield from (unit * n for n in range(largest, max(math.ceil(SMALLEST_CANDIDATE * largest), 1) - 1, -1))
        octaves = round(PER_OCTAVE * (1 + clipping))
        yield from (self.snapped(reach * 2.0 ** (-j / PER_OCTAVE)) for j in range(octaves + 1))

    def snapped(self, scale: float) -> float:
        """The largest scale not above ``scale`` at which a threshold that all neurons share falls on its register."""
        level = np.unique(self.population.model.threshold)
        if not demand(self.population.model).stock or level.size != 1 or not 0 < level[0] < math.inf:
            return min(scale, self.top)
        units = math.floor(min(scale, self.top) * float(level[0]) / UNIT)
        return units * UNIT / float(level[0]) if units > 0 else min(scale, self.top)

    def judged(self, scale: float) -> Scaling:
        """What ``scale`` costs with the best exponent of every arrival."""
        model = self.population.model
        finite = model.threshold[np.isfinite(model.threshold)]
        level = float(np.mean(np.abs(finite))) if np.any(finite) else 1.0
        found = [self._exponents(a, scale) for a in self.arrivals]
        weights = sum(error for _, error in found) / level**2
        register = threshold_error(finite * scale / UNIT) if demand(model).stock else 0.0
        drift = (truncation(model, self.seen) / (scale * level)) ** 2
        return Scaling(float(scale), tuple(e for e, _ in found), weights + register + drift)

    def _lifted(self, sampled: "ScaleSearch", found: Scaling) -> Scaling:
        """``found`` with its scale doubled, and its exponents one higher, as often as it lowers the error."""
        room = self.max_exponent - found.highest
        if self.seen is None or not all(a.exponents for a in self.arrivals) or not self.arrivals:
            return found
        first = -found.lowest if self.groups > 1 else 0
        doubled = [found.scale * 2.0**n for n in range(first, room + 1) if found.scale * 2.0**n <= self.top]
        judged = [sampled.judged(scale) for scale in doubled] or [found]
        least = min(c.error for c in judged)
        return next(c for c in judged if c.error <= max(AS_GOOD * least, SMALL_ENOUGH))

    def _reference(self) -> tuple[float, float]:
        """The scale at which weights just fit without exponents, and by how many octaves it may be exceeded."""
        full = [(UNIT * a.levels.high / a.peak, a) for a in self.arrivals if a.peak > 0 and a.levels.high > 0]
        full += [(UNIT * -a.levels.low / a.peak, a) for a in self.arrivals if a.peak > 0 and a.levels.high <= 0]
        rigid = [pair for pair in full if not pair[1].exponents]
        if not rigid:
            return self._finest(full), 0.0
        scale, tightest = min(rigid, key=lambda pair: pair[0])
        return scale, CLIPPING_OCTAVES[bits_of(tightest)]

    def _finest(self, full: Sequence[tuple[float, Arrival]]) -> float:
        """The scale at which the smallest weights just fit without exponents, the largest with those that there are.

        ``full``: where the largest weights of each arrival fit. Weights are told apart by arrival; with several groups,
        by wire.
        """
        most = max((scale for scale, _ in full), default=UNIT)
        if self.groups == 1 or not full:
            return most
        finest = max(scale * spread(a) for scale, a in full)
        return max(most, min(finest, min(scale for scale, _ in full) * 2.0**self.max_exponent))

    def _exponents(self, a: Arrival, scale: float) -> tuple[IntArray, float]:
        """The exponents with the least error, as few of them as do about as well: clipping large weights may pay."""
        if not a.exponents or a.peak == 0:
            return integers(0), weight_error(a, scale, integers(0))
        span = max(a.levels.high, -a.levels.low if a.sign == "inhibitory" else 0.0)
        whole = math.ceil(math.log2(a.peak * scale / (UNIT * span)) - 1e-9)
        lowest = whole - math.ceil(CLIPPING_OCTAVES[bits_of(a)])
        tried = {min(max(e, 0), self.max_exponent) for e in range(lowest, whole + 1)}
        single = [(integers(e), weight_error(a, scale, integers(e))) for e in sorted(tried, reverse=True)]
        found = [min(single, key=lambda pair: pair[1])]
        highest = min(max(whole, 0), self.max_exponent)
        found += [(e, weight_error(a, scale, e)) for e in groupings(a, scale, highest, self.groups)]
        least = min(error for _, error in found)
        return next((e, error) for e, error in found if error <= AS_GOOD * least)


def weight_error(a: Arrival, scale: float, exponents: IntArray) -> float:
    """Mean square membrane error of a neuron, in source units, when the weights of ``a`` go to the nearest level."""
    unit = UNIT * 2.0**exponents / scale
    wanted = a.weights / unit
    errors = membrane_error((a.nearest(wanted) - wanted) * unit, a.moments)
    return float(np.mean(errors)) if errors.size else 0.0


def bits_of(a: Arrival) -> int:
    """The width that the levels of ``a`` stand for."""
    return max(1, math.ceil(math.log2(a.levels.count)))


def threshold_error(mantissa: FloatArray) -> float:
    """Squared relative error of rounding threshold mantissas; zero where they land exactly."""
    if mantissa.size == 0:
        return 0.0
    return float(np.mean(((np.rint(mantissa) - mantissa) / np.maximum(np.abs(mantissa), 1.0)) ** 2))


def truncation(model: Any, seen: Observed | None) -> float:
    """How far truncation toward zero, half a unit a step and state, and rounded constants move a membrane."""
    if not isinstance(model, Lif):
        return 0.0
    keep = float(np.mean(model.keep_membrane))
    if model.reset == "value" and seen is not None:
        keep *= 1.0 - min(seen.rate, 1.0)
    window = min(1.0 / max(1.0 - keep, 1e-9), LONGEST_WINDOW)
    slow = float(np.mean(model.keep_current))
    current = 0.5 / max(1.0 - slow, 1.0 / LONGEST_WINDOW) if 0 < slow < 1 else 0.0
    membrane = 0.5 if 0 < float(np.mean(model.keep_membrane)) < 1 else 0.0
    constant = 0.25 if np.any(model.drive) or np.any(model.current_drive) else 0.0
    return window * (current + membrane + constant)


def largest(limit: float, values: Sequence[FloatArray]) -> float:
    """The largest scale at which all finite ``values`` stay within ``limit``."""
    peaks = [float(np.abs(v[np.isfinite(v)]).max(initial=0.0)) for v in map(np.atleast_1d, values)]
    return limit / max(peaks) if max(peaks) > 0 else math.inf


def _sample(a: Arrival) -> Arrival:
    """``a`` with as many of its rows as can be judged many times in a moment."""
    groups, inputs = a.moments.second.shape[:2]
    if isinstance(a.synapse, Sparse) or groups > 1:
        return a
    rows = max(MIN_ROWS, int(WORK / inputs**2)) if a.moments.full else max(MIN_ROWS, int(WORK / inputs))
    step = max(1, -(-a.weights.shape[0] // rows))
    return replace(a, weights=a.weights[::step], kept=a.kept[::step]) if step > 1 else a


def _unique(scales: Iterator[float] | Sequence[float]) -> list[float]:
    return list(dict.fromkeys(s for s in scales if s > 0))


def centred(a: Arrival) -> Arrival:
    """``a`` judged without the mean of its error."""
    moments: Moments = a.moments.about_mean()
    return replace(a, moments=moments)
