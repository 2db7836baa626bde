"""What arrays do to their column sums in every step: cells that go on drifting, noise, converters of a few bits.

The noise of a sum is that of its cells, each drawn by itself: normal, with the variance ``sum of variance[i] s[i]**2``.
It is drawn for the sum at once, which has the same distribution.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.chip import ChipNetwork, ChipSynapse, Connection, ConvSynapse, DenseSynapse
from ranvier.compiler.ir.matrix import Matrix, conv_matrix
from ranvier.runtimes import oracle
from ranvier.runtimes.perturb.network import Perturbed, in_units
from ranvier.runtimes.recording import Recording, Records

Ints = NDArray[np.int64]
Ranges = Mapping[str, int]
"""The largest absolute sum, in levels, that the converters of each connection can tell."""


def run(
    made: Perturbed, inputs: NDArray[Any], record: Records = (), ranges: Ranges | None = None, first: int = 0
) -> Recording:
    """Run ``made`` on ``inputs`` (samples, steps, *shape) with all that changes from step to step.

    ``ranges`` are those of the converters, which are left out without; ``first`` is the number of the first sample, so
    that samples may be run in any batches. Integers all through: the oracle runs it, with this in place of its sums.
    """
    return oracle.run(made.network, inputs, record, _Reading(made, ranges or {}, first))


def largest_sums(chip: ChipNetwork, inputs: NDArray[Any]) -> Ranges:
    """The largest absolute sum of every connection of ``chip`` on ``inputs``: what converters are set to."""
    seen: dict[str, int] = {}

    def watch(connection: Connection, _step: int, _values: Ints, total: Ints) -> Ints:
        seen[connection.name] = max(seen.get(connection.name, 1), int(np.abs(total).max(initial=0)))
        return total

    oracle.run(chip, inputs, (), watch)
    return seen


class _Reading:
    """The sums of a run as its arrays give them: what the oracle asks in every step."""

    def __init__(self, made: Perturbed, ranges: Ranges, first: int) -> None:
        self.made, self.ranges, self.first = made, ranges, first
        self.noise = {c.name: _noise(made, c) for c in made.network.connections}
        drift = made.device.drift
        self.drifts = bool(drift.in_run is not None and drift.in_run.v and drift.law != "none" and made.strength.drift)

    def __call__(self, connection: Connection, step: int, values: Ints, total: Ints) -> Ints:
        """What arrives instead of ``total``, the sums (samples, targets) of ``values`` (samples, sources)."""
        name = connection.name
        if name not in self.made.cells or step < 0 or not values.any():
            return total
        if self.drifts:
            total = self._drifted(connection, step, values)
        variance = self.noise[name]
        if variance is not None:
            total = total + self._noise(name, step, np.asarray((variance @ (values.astype(np.float64) ** 2).T).T))
        return self._converted(name, total)

    def _drifted(self, connection: Connection, step: int, values: Ints) -> Ints:
        name, seconds = connection.name, step * self.made.device.timing.step_s.v
        now = in_units(self.made.cells[name].weights(seconds), self.made.fine[name]).astype(np.int64)
        return np.asarray((matrix_of(connection.synapse, now) @ values.T).T)

    def _noise(self, name: str, step: int, variance: NDArray[np.float64]) -> Ints:
        samples = range(self.first, self.first + len(variance))
        drawn = self.made.key.normals("read", name, variance.shape[1], samples, step)
        return np.asarray(np.rint(drawn * np.sqrt(variance) * 2.0 ** self.made.fine[name]), np.int64)

    def _converted(self, name: str, total: Ints) -> Ints:
        converter = self.made.device.converter
        if converter is None or not self.made.strength.converter or name not in self.ranges:
            return total
        return converted(total, converter.bits.v, self.ranges[name] << self.made.fine[name])


def converted(total: Ints, bits: int, most: int) -> Ints:
    """``total`` as a converter of ``bits`` gives it that reaches from -most to most: the nearest of its levels.

    ``step n``, rounded to whole units, with ``n = clip(rint(total / step), -N, N)``, ``N = 2**(bits - 1) - 1`` and
    ``step = most / N``: within its reach off by at most half a step and half a unit.
    """
    levels = 2 ** (bits - 1) - 1
    step = most / levels
    return np.asarray(np.rint(np.clip(np.rint(total / step), -levels, levels) * step), np.int64)


def matrix_of(synapse: ChipSynapse, values: NDArray[Any]) -> Matrix:
    """(targets, sources) matrix of ``values``, one for each weight that ``synapse`` holds."""
    if isinstance(synapse, DenseSynapse):
        return sparse.csr_array(values.reshape(synapse.weight.shape))
    if isinstance(synapse, ConvSynapse):
        s = synapse
        where = _taken(s.weight.shape, s.in_shape, s.out_shape, s.stride, s.padding, s.dilation, s.groups)
        return sparse.csr_array((values[where.data - 1], where.indices, where.indptr), shape=where.shape)
    return sparse.csr_array((values, synapse.indices, synapse.indptr), shape=(synapse.out_size, synapse.in_size))


@lru_cache(maxsize=64)
def _taken(kernels: Shape, *windows: Any) -> Matrix:
    """The matrix of a convolution with the number of the weight, from 1, in place of each weight."""
    return conv_matrix(1 + np.arange(size(kernels)).reshape(kernels), *windows)


def _noise(made: Perturbed, connection: Connection) -> Matrix | None:
    cells = made.cells.get(connection.name)
    if cells is None:
        return None
    variance = cells.variance()
    return matrix_of(connection.synapse, variance) if variance.any() else None
