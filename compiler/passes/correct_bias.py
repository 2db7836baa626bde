"""Bias correction: the mean shift that rounded weights give a membrane, taken back by the neuron's constant.

With w x* the mean input in the source and w' x that on the chip (rounded weights, and what quantized senders send),
the input has moved by w' x - w x*; behind a synaptic current that keeps a, by that over 1 - a. The neuron's constant
becomes smaller by as much (Nagel et al. 2019, arXiv:1906.04721, for activations; here for spikes). What rounding
minimizes is then the error about its mean.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, size
from ranvier.compiler.ir.linear import Sparse
from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.passes.arrivals import UNIT, Arrival
from ranvier.compiler.passes.scales import Scaling


def corrects(population: Neurons) -> bool:
    """Whether ``population`` has a constant that can take a shift back: all of the leaky integrate-and-fire family."""
    model = population.model
    return isinstance(model, Lif) and bool(np.all(model.keep_current < 1))


def correct_bias(
    population: Neurons, arrivals: Sequence[Arrival], rounded: Sequence[FloatArray], scaling: Scaling
) -> Neurons:
    """``population`` whose constant takes back the mean shift of its ``rounded`` weights."""
    model = population.model
    assert isinstance(model, Lif)
    shift = np.zeros(size(population.shape))
    for a, integers, step in zip(arrivals, rounded, scaling.steps, strict=True):
        if not isinstance(a.synapse, Sparse):
            real = integers * (UNIT * step / scaling.scale)
            moved = _means(real, a.moments.mean) - _means(a.source, a.moments.wanted_mean)
            shift += np.repeat(moved, shift.size // moved.size)
    if not np.any(shift):
        return population
    return replace(population, model=replace(model, drive=model.drive - shift / (1.0 - model.keep_current)))


def _means(weights: FloatArray, mean: FloatArray) -> FloatArray:
    """(rows,) the mean input that inputs of this ``mean`` give each row."""
    groups = zip(np.split(weights, mean.shape[0]), mean, strict=True)
    return np.concatenate([part @ inputs for part, inputs in groups])
