"""A scale for every neuron or output channel, at no cost on the chip: it goes into weights, threshold, bias and reset.

Multiplying a neuron's weights, constants, threshold, reset and start by g > 0 multiplies its membrane by g and leaves
its spikes as they are. So a channel with small weights may use the whole grid beside one with large weights. Not for
populations whose membranes are read as the answer (their order would change), with a floor under the membrane, of
another kind than the leaky integrate-and-fire family, or with synapses of different structure.

A neuron that sends its size (``GradedLif``) must keep its membrane as it is: it multiplies what arrives by 1 / g
instead, in a register of its own. So binary weights with a factor per output are exact.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, floats, size
from ranvier.compiler.ir.linear import Sparse
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import GradedLif, Lif
from ranvier.compiler.passes.arrivals import UNIT, Arrival
from ranvier.compiler.passes.demands import demand
from ranvier.compiler.passes.rounding import membrane_error
from ranvier.compiler.passes.scales import Scaling

GAINS = 2.0 ** (np.arange(-8, 33) / 8)
SMALLEST = 0.5
"""The register by which a neuron multiplies what arrives ends at 2."""
LEVELS = ("threshold", "reset_value", "reset_amount", "initial", "drive", "current_drive")


def channel_gains(
    network: Network, population: Neurons, arrivals: Sequence[Arrival], scaling: Scaling, top: float
) -> FloatArray:
    """(rows,) the factor of each channel that lets its membrane err least, beside ``scaling`` for the population.

    Ones where the population cannot have them. ``top`` is the largest scale that its registers allow.
    """
    if not _eligible(network, population, arrivals):
        return np.ones(1)
    rows = arrivals[0].weights.shape[0]
    tried = [g for g in (_snapped(population, scaling.scale, float(g)) for g in GAINS) if 0 < g <= top / scaling.scale]
    each = [np.full(rows, g) for g in sorted({1.0, *tried})]
    if isinstance(population.model, GradedLif):
        each.append(_filling(arrivals, scaling, top))
    errors = np.stack([_errors(arrivals, scaling, g) for g in each])
    assert errors.shape == (len(each), rows)
    return np.asarray(np.stack(each)[errors.argmin(axis=0), np.arange(rows)])


def _filling(arrivals: Sequence[Arrival], scaling: Scaling, top: float) -> FloatArray:
    """(rows,) the gain at which each row's largest weight meets the grid's end; 1 where that is out of reach."""
    ends = [a.levels.high * UNIT * step / scaling.scale for a, step in zip(arrivals, scaling.steps, strict=True)]
    with np.errstate(divide="ignore"):
        room = [(end / np.abs(a.weights)).min(axis=1) for a, end in zip(arrivals, ends, strict=True)]
    gains = np.min(room, axis=0)
    usable = np.isfinite(gains) & (gains >= SMALLEST) & (gains <= min(GAINS[-1], top / scaling.scale))
    return np.where(usable, gains, 1.0)


def rescaled(
    population: Neurons, arrivals: Sequence[Arrival], judged: Sequence[Arrival], gains: FloatArray
) -> tuple[Neurons, list[Arrival], list[Arrival]]:
    """The population and its arrivals with every channel multiplied by its gain."""
    if np.all(gains == 1.0):
        return population, list(arrivals), list(judged)
    per_neuron = floats(np.repeat(gains, size(population.shape) // gains.size))
    scaled = [
        [
            replace(a, **{name: getattr(a, name) * gains[:, None] for name in ("weights", "source", "aim")})
            for a in given
        ]
        for given in (arrivals, judged)
    ]
    return _with_gains(population, per_neuron), scaled[0], scaled[1]


def _with_gains(population: Neurons, gains: FloatArray) -> Neurons:
    model = population.model
    if isinstance(model, GradedLif):
        return replace(population, model=replace(model, gain=floats(model.gain / gains)))
    scaled = {name: getattr(model, name) * gains for name in LEVELS}
    return replace(population, model=replace(model, **scaled), gain=gains)


def row_gains(before: Neurons, after: Neurons, rows: int) -> FloatArray:
    """(rows, 1) by what the weights of each row were multiplied between two forms of a population."""
    inside = [node.model.gain if isinstance(node.model, GradedLif) else 1.0 for node in (before, after)]
    factors = np.broadcast_to(after.gain / before.gain * inside[0] / inside[1], (size(after.shape),))
    return np.asarray(factors[:: max(1, factors.size // max(rows, 1))][:rows, None])


def _eligible(network: Network, population: Neurons, arrivals: Sequence[Arrival]) -> bool:
    model = population.model
    if not isinstance(model, Lif | GradedLif) or getattr(model, "floor", None) is not None or not arrivals:
        return False
    if network.readout.node == population.name and not network.readout.reads_spikes:
        return False
    rows = {None if isinstance(a.synapse, Sparse) else a.weights.shape[0] for a in arrivals}
    return len(rows) == 1 and None not in rows


def _snapped(population: Neurons, scale: float, gain: float) -> float:
    """The gain next below at which a shared threshold falls on its register."""
    level = np.unique(population.model.threshold)
    if not demand(population.model).stock or level.size != 1 or not np.isfinite(level[0]):
        return gain
    unit = UNIT / (float(level[0]) * scale)
    return float(np.floor(gain / unit * (1 + 1e-12)) * unit)


def _errors(arrivals: Sequence[Arrival], scaling: Scaling, gains: FloatArray) -> FloatArray:
    """(rows,) mean square error of each row's membrane, in source units, if the rows had these gains."""
    total = np.zeros(arrivals[0].weights.shape[0])
    for a, step in zip(arrivals, scaling.steps, strict=True):
        unit = UNIT * np.asarray(step) / (scaling.scale * gains[:, None])
        wanted = a.weights / unit
        total += membrane_error((a.nearest(wanted) - wanted) * unit, a.moments)
    return total
