"""Equalize: channels of neurons that send numbers are rescaled so that weights before and behind use the grid alike.

If every level of channel c of a sigma-delta population is multiplied by s > 0, with the weights into it, what it
sends is multiplied by s too, and the weights behind it divided by s give the same network: its activations
are linear or rectified. With r1 and r2 the largest weights into and out of a channel, s = sqrt(r2 / r1) makes both
ranges equal (cross-layer equalization: Nagel et al. 2019, arXiv:1906.04721).

Nothing like it is free for neurons that send spikes: a spike has no size to be rescaled. What can be rescaled there is
the membrane, which ``per_channel`` does. Left as they are: the readout, populations in loops or with sparse synapses.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, size
from ranvier.compiler.ir.linear import Conv, Dense, Synapse
from ranvier.compiler.ir.models import levels
from ranvier.compiler.ir.network import Network, Neurons, Node
from ranvier.compiler.ir.neurons import SigmaDelta
from ranvier.compiler.passes.arrivals import incoming


class Equalize:
    """The pass: float network to an equivalent one with equalized channels."""

    def __call__(self, network: Network) -> Network:
        """``network`` with every population equalized that can be."""
        for population in network.populations:
            behind = [network.by_name[edge.target] for edge in network.out_of[population.name]]
            before = incoming(network, population.name)
            if _can(network, population, before, behind):
                network = _equalized(network, population, before, [s for s in behind if isinstance(s, Dense | Conv)])
        return network


def behind_equalized(network: Network) -> frozenset[str]:
    """The synapses whose senders ``Equalize`` rescales, so that what was measured of these no longer holds."""
    found: set[str] = set()
    for p in network.populations:
        behind = [edge.target for edge in network.out_of[p.name]]
        if _can(network, p, incoming(network, p.name), [network.by_name[name] for name in behind]):
            found.update(behind)
    return frozenset(found)


def _can(network: Network, population: Neurons, before: Sequence[Synapse], behind: Sequence[Node]) -> bool:
    loop = {s.name for s in before} & {s.name for s in behind}
    plain = all(isinstance(s, Dense | Conv) for s in (*before, *behind)) and before and behind
    free = network.readout.node != population.name and not loop
    return bool(isinstance(population.model, SigmaDelta) and plain and free)


def _equalized(
    network: Network, population: Neurons, before: Sequence[Synapse], behind: Sequence[Dense | Conv]
) -> Network:
    channels = population.shape[0]
    into = np.max([_row_peaks(s, channels) for s in before if isinstance(s, Dense | Conv)], axis=0)
    out_of = np.max([_column_peaks(s, channels) for s in behind], axis=0)
    used = (into > 0) & (out_of > 0)
    factors = np.where(used, np.sqrt(np.where(used, out_of, 1.0) / np.where(used, into, 1.0)), 1.0)
    if np.any(used):
        factors = np.where(used, factors / np.exp(np.log(factors[used]).mean()), 1.0)
    per_neuron = np.repeat(factors, size(population.shape) // channels)
    model = replace(
        population.model, **{n: getattr(population.model, n) * per_neuron for n in levels(population.model)}
    )
    changed: dict[str, Node] = {population.name: replace(population, model=model, gain=population.gain * per_neuron)}
    changed |= {s.name: replace(s, weight=_by_row(s, factors)) for s in before if isinstance(s, Dense | Conv)}
    changed |= {s.name: replace(s, weight=_by_column(s, 1.0 / factors)) for s in behind}
    observed = dict(network.observed)
    if population.name in observed:
        seen, top = observed[population.name], float(factors.max())
        membrane, current = seen.peak_membrane * top, seen.peak_current * top
        observed[population.name] = replace(seen, peak_membrane=membrane, peak_current=current)
    return replace(network, nodes=tuple(changed.get(n.name, n) for n in network.nodes), observed=observed)


def _row_peaks(synapse: Dense | Conv, channels: int) -> FloatArray:
    """(channels,) largest abs weight into each channel."""
    return np.asarray(np.abs(synapse.weight).reshape(channels, -1).max(axis=1))


def _column_peaks(synapse: Dense | Conv, channels: int) -> FloatArray:
    """(channels,) largest abs weight out of each channel."""
    if isinstance(synapse, Dense):
        return np.asarray(np.abs(synapse.weight).reshape(synapse.weight.shape[0], channels, -1).max(axis=(0, 2)))
    grouped = np.abs(synapse.weight).reshape(synapse.groups, -1, synapse.weight.shape[1], size(synapse.kernel))
    return np.asarray(grouped.max(axis=(1, 3)).reshape(channels))


def _by_row(synapse: Dense | Conv, factors: FloatArray) -> FloatArray:
    """The weights with each output channel multiplied by its factor."""
    rows = np.repeat(factors, synapse.weight.shape[0] // factors.size)
    return np.asarray(synapse.weight * rows.reshape(-1, *(1,) * (synapse.weight.ndim - 1)))


def _by_column(synapse: Dense | Conv, factors: FloatArray) -> FloatArray:
    """The weights with each input channel multiplied by its factor."""
    if isinstance(synapse, Dense):
        return np.asarray(synapse.weight * np.repeat(factors, synapse.weight.shape[1] // factors.size))
    per_out = synapse.weight.shape[0] // synapse.groups
    by_group = np.repeat(factors.reshape(synapse.groups, -1), per_out, axis=0)
    return np.asarray(synapse.weight * by_group[:, :, None, None])
