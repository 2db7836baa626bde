"""The arithmetic of populations on any part of their neurons, equal to that of the whole.

A float network sums like ``runtimes/reference.py``, a chip network like ``runtimes/oracle.py``: each neuron's sum is
made of the same terms in the same order whichever neurons are computed with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, SUM_BITS, ChipNetwork, ConvSynapse, DenseSynapse, SparseSynapse
from ranvier.compiler.ir.interpret import step, wrap
from ranvier.compiler.ir.matrix import Matrix, linear_matrix, synapse_matrix
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.steps import StepProgram
from ranvier.compiler.schedule.networks import Path, Population, chip_populations, populations_of
from ranvier.targets.hierarchies import Precision

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Synapse:
    """What arrives from ``source``: ``matrix`` (targets, sources); in chip networks shifted by ``exponent``."""

    path: Path
    matrix: Matrix
    exponent: int = 0

    @property
    def weights(self) -> Values:
        """The weights as they are stored."""
        synapse = self.path.synapse
        return np.asarray(synapse.data if hasattr(synapse, "data") else synapse.weight)

    def arriving(self, rows: Matrix, sent: Values) -> Values:
        """``rows`` of the matrix times ``sent`` (samples, sources), in the accumulator of a chip network."""
        total = np.asarray((rows @ sent.T).T)
        synapse = self.path.synapse
        if not isinstance(synapse, DenseSynapse | SparseSynapse | ConvSynapse):
            return total
        wrapped = wrap(total, ACCUMULATOR_BITS[synapse.kind])
        return wrap(wrapped << self.exponent, SUM_BITS) if self.exponent > 0 else wrapped >> -self.exponent


@dataclass(frozen=True, eq=False)
class Cell:
    """A population that can be computed in parts; ``layer`` says what of it is kept between steps."""

    layer: Population
    program: StepProgram
    params: Mapping[str, Values]
    initial: Mapping[str, Values]
    synapses: tuple[Synapse, ...]

    @property
    def number(self) -> type[np.int64] | type[np.float64]:
        """What it computes in."""
        return np.float64 if self.program.domain == "float" else np.int64

    def start(self, neurons: Values, samples: int) -> dict[str, Values]:
        """The initial states of ``neurons``, (samples, neurons) each."""
        return {
            name: np.broadcast_to(_part(np.asarray(value, self.number), neurons), (samples, neurons.size))
            for name, value in self.initial.items()
        }

    def advance(
        self, neurons: Values, states: Mapping[str, Values], arriving: list[Values], samples: int
    ) -> tuple[Values, Values, dict[str, Values]]:
        """What ``neurons`` send, their membranes before reset, and their new states."""
        total = np.zeros((samples, neurons.size), self.number)
        for values in arriving:
            total = total + values
        current = total if self.program.domain == "float" else _integers(total)
        params = {name: _part(np.asarray(value), neurons) for name, value in self.params.items()}
        result = step(self.program, states, params, current)
        wide = (samples, neurons.size)
        new = {name: np.broadcast_to(value, wide).copy() for name, value in result.states.items()}
        sent = np.broadcast_to(np.asarray(result.spikes, self.number), wide).copy()
        return sent, np.broadcast_to(result.membrane, wide).copy(), new


def _integers(total: Values) -> Values:
    return np.rint(total).astype(np.int64) if total.dtype.kind == "f" else wrap(total, SUM_BITS)


def _part(values: Values, neurons: Values) -> Values:
    return values[neurons] if values.ndim else values


def cells(network: Network | ChipNetwork, precision: Precision) -> dict[str, Cell]:
    """The populations of a folded network or of a chip network by name."""
    if isinstance(network, ChipNetwork):
        return _chip_cells(network)
    found = {}
    for node, layer in zip(network.populations, populations_of(network, precision), strict=True):
        made = realised(node.model)
        synapses = tuple(Synapse(path, _float_matrix(path)) for path in layer.paths)
        found[node.name] = Cell(layer, made.program, made.params, made.initial, synapses)
    return found


def _float_matrix(path: Path) -> Matrix:
    synapse = path.synapse
    assert not isinstance(synapse, DenseSynapse | SparseSynapse | ConvSynapse)
    return linear_matrix(synapse)


def _chip_cells(chip: ChipNetwork) -> dict[str, Cell]:
    found = {}
    for p, layer in zip(chip.populations, chip_populations(chip), strict=True):
        synapses = tuple(
            Synapse(path, synapse_matrix(c.synapse), c.exponent)
            for path, c in zip(layer.paths, chip.into[p.name], strict=True)
        )
        found[p.name] = Cell(layer, p.program, p.params, p.initial, synapses)
        assert size(p.shape) == p.size
    return found
