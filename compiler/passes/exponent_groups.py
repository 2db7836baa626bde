"""Groups of source wires with a weight exponent each: small weights get finer steps than large ones.

The weights of one source wire share an exponent, those of one layer need not: on Loihi the exponent belongs to the
format of a synapse list, and lists are kept for every source (nengo-loihi 1.1.0, ``Synapse``; the targets' limit on
formats a core is ``synapse_formats``). In the chip network such a layer is one connection for each exponent, with the
synapses of its wires; all of them add up in the same sum. Which exponents, and which wire has which, follows from the
error that each wire alone brings to the membrane, H being the mean square of what the wire sends:

    error(wire, e) = sum over its weights w of H (nearest(w S / (64 * 2**e)) * 64 * 2**e / S - w)**2

A set of exponents costs what every wire costs with the best of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray, IntArray
from ranvier.compiler.ir.linear import Synapse
from ranvier.compiler.ir.network import Network
from ranvier.compiler.passes.arrivals import UNIT, Arrival
from ranvier.compiler.passes.rounding import input_errors
from ranvier.targets.schema import Target

FORMATS = "n_synapse_formats"


def most_groups(target: Target, asked: int, arrivals: Sequence[Arrival]) -> int:
    """How many exponents each of the ``arrivals`` at a population may have, so that a core has formats for all.

    As many as are ``asked`` for where the target's file has no limit of formats; one where none can have several.
    """
    if not any(a.exponents for a in arrivals):
        return 1
    caps = [r.cap.v for r in target.core.resources if r.use == FORMATS]
    return max(1, min([asked, *(cap // len(arrivals) for cap in caps)]))


def groupings(a: Arrival, scale: float, highest: int, most: int) -> Iterator[IntArray]:
    """(inputs,) exponents of the columns of ``a``, of 0 to ``highest``: the best with 2 different ones, .. ``most``."""
    sizes = range(2, min(most, highest + 1) + 1)
    table = _errors(a, scale, highest if sizes else -1)
    for size in sizes:
        sets = np.array(list(combinations(range(len(table)), size)))
        best = sets[table[sets].min(axis=1).sum(axis=1).argmin()]
        yield best[table[best].argmin(axis=0)][a.wires]


def spread(a: Arrival) -> float:
    """How many times larger the largest weight of ``a`` is than that of the wire with the smallest weights."""
    peaks = np.zeros(int(a.wires.max(initial=-1)) + 1)
    np.maximum.at(peaks, a.wires, np.abs(a.weights).max(axis=0, initial=0.0))
    return a.peak / float(peaks.min(where=peaks > 0, initial=a.peak)) if a.peak > 0 else 1.0


def _errors(a: Arrival, scale: float, highest: int) -> FloatArray:
    """(exponents, wires) what the weights of every wire cost with each of the exponents 0 to ``highest``."""
    found = []
    for exponent in range(highest + 1):
        unit = UNIT * 2.0**exponent / scale
        wanted = a.weights / unit
        each = input_errors((a.nearest(wanted) - wanted) * unit, a.moments)
        found.append(np.bincount(a.wires, each))
    return np.array(found)


def in_parts(network: Network, parts: Mapping[str, Sequence[Synapse]]) -> Network:
    """``network`` with each layer that ``parts`` names replaced by what is there, one synapse or several."""
    names = {node.name for node in network.nodes}
    held: dict[str, list[Synapse]] = {}
    for layer, found in parts.items():
        for synapse in found:
            name = synapse.name
            while name != layer and name in names:
                name += "_"
            names.add(name)
            held.setdefault(layer, []).append(synapse if name == synapse.name else replace(synapse, name=name))
    nodes = tuple(part for node in network.nodes for part in held.get(node.name, [node]))
    edges = tuple(
        replace(edge, source=source.name, target=target.name)
        for edge in network.edges
        for source in held.get(edge.source, [network.by_name[edge.source]])
        for target in held.get(edge.target, [network.by_name[edge.target]])
    )
    return replace(network, nodes=nodes, edges=edges)
