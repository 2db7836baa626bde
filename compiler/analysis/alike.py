"""Neurons that no bound can tell apart: equal registers, equal initial states, and the same that can arrive.

Most neurons of a channel are such, so a population is analysed on one of each group.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.arrivals import Arrival
from ranvier.compiler.analysis.intervals import Interval
from ranvier.compiler.ir.arrays import IntArray
from ranvier.compiler.ir.chip import Population


@dataclass(frozen=True, eq=False)
class Alike:
    """The groups of a population's neurons.

    ``group`` (neurons,) is the group of each, ``first`` (groups,) the first neuron of each, in ascending order;
    ``population`` and ``arriving`` (without its sums) consist of these neurons alone.
    """

    group: IntArray
    first: IntArray
    population: Population
    arriving: Arrival

    def everywhere(self, value: Interval) -> Interval:
        """``value`` (groups,) for every neuron."""
        return Interval(value.low[self.group], value.high[self.group])


def alike(population: Population, arriving: Arrival) -> Alike:
    """The groups of ``population`` under what is ``arriving``."""
    told: list[NDArray[Any]] = [
        *population.params.values(),
        *population.initial.values(),
        *_ends(arriving.current),
        arriving.exact,
    ]
    told += [end for share in arriving.trains.values() for end in share]
    group, first = _groups(told, population.size)
    kept = replace(
        population,
        shape=(first.size,),
        params={name: _of(values, first) for name, values in population.params.items()},
        initial={name: _of(values, first) for name, values in population.initial.items()},
        gain=np.array(1.0),
    )
    shares = {period: share[:, first] for period, share in arriving.trains.items()}
    whole, current = (Interval(*(end[first] for end in _ends(i))) for i in (arriving.whole, arriving.current))
    return Alike(group, first, kept, Arrival((), whole, current, arriving.exact[first], shares, arriving.floors))


def _ends(value: Interval) -> tuple[IntArray, IntArray]:
    return value.low, value.high


def _of(values: IntArray, first: IntArray) -> IntArray:
    return values if values.ndim == 0 else values[first]


def _groups(columns: Iterable[NDArray[Any]], neurons: int) -> tuple[IntArray, IntArray]:
    """``group`` and ``first`` of :class:`Alike` for neurons that are equal in all ``columns``, () or (neurons,)."""
    group = np.zeros(neurons, np.int64)
    for column in columns:
        if column.ndim and bool((column != column[0]).any()):
            values, number = np.unique(column, return_inverse=True)
            group = np.unique(group * values.size + number, return_inverse=True)[1]
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    place = np.empty(first.size, np.int64)
    place[np.argsort(first)] = np.arange(first.size)
    return place[group], np.sort(first)
