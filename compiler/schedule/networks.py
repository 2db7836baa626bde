"""Ranvier networks as workloads: one layer per population of a folded network or of a chip network.

Columns are the last axis of a population's shape; a flat population has one. What is kept from step to step are the
states that the neurons really carry (``analysis/carried.py``). A chip network says its own bits; for a float network
they are those of the target's operands (``Precision``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import networkx as nx
import numpy as np

from ranvier.compiler.analysis.carried import carried
from ranvier.compiler.analysis.states import membrane_read
from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import IntArray, Shape, frozen_mapping, size
from ranvier.compiler.ir.chip import ChipNetwork, ConvSynapse, DenseSynapse, SparseSynapse
from ranvier.compiler.ir.linear import SYNAPSES, Conv, Dense, Sparse
from ranvier.compiler.ir.models import FORMS, realised
from ranvier.compiler.ir.network import Input, Network
from ranvier.compiler.ir.neurons import Lif, NeuronModel
from ranvier.compiler.schedule.workload import Columns, Kernel, Layer, Operand, Source, Workload, whole, window
from ranvier.targets.hierarchies import Precision

AnySynapse = Dense | Sparse | Conv | DenseSynapse | SparseSynapse | ConvSynapse
DENSE: Final[Mapping[str, float]] = frozen_mapping({})
"""Nothing is known to be zero."""
UNLIMITED_SPIKES = 8
"""Bits for the spikes of a neuron that may fire any number of times in a step."""


@dataclass(frozen=True, eq=False)
class Path:
    """A synapse from ``source``, ``delay`` network steps late; ``bits`` of one weight."""

    source: str
    delay: int
    synapse: AnySynapse
    bits: int


@dataclass(frozen=True, eq=False)
class Population:
    """A population as a layer: its shape, bits that it sends, the states that it keeps with their bits, its paths."""

    name: str
    shape: Shape
    bits: int
    states: Mapping[str, int]
    paths: tuple[Path, ...]


def width_of(shape: Shape) -> int:
    """Columns of a population: its last axis, 1 where it is flat."""
    return shape[-1] if len(shape) > 1 else 1


def network_workload(
    network: Network, steps: int, precision: Precision, density: Mapping[str, float] = DENSE
) -> Workload:
    """The folded ``network`` over ``steps`` steps, with operands as wide as ``precision`` says.

    ``density``: the share of what each input and population sends that is not zero; those not named are dense.

    Raises ``RanvierError`` RV536 for networks that have not been folded.
    """
    unfolded = [op.name for op in network.linears if not isinstance(op, SYNAPSES)]
    if unfolded:
        raise error("RV536", unfolded[0], "the network has not been folded", "prepare it first: pipeline.prepare")
    sources = [Source(n.name, width_of(n.shape), size(n.shape) // width_of(n.shape), _entering(n, precision))
               for n in network.inputs]  # fmt: skip
    return _workload(network.name, steps, sources, populations_of(network, precision), network.readout.node, density)


def chip_workload(chip: ChipNetwork, steps: int, density: Mapping[str, float] = DENSE) -> Workload:
    """The integer network ``chip`` over ``steps`` steps, with its own bits; ``density`` as in ``network_workload``."""
    sources = [Source(p.name, width_of(p.shape), size(p.shape) // width_of(p.shape), max(p.bits, 1))
               for p in chip.ports]  # fmt: skip
    return _workload(chip.name, steps, sources, chip_populations(chip), chip.readout.node, density)


def populations_of(network: Network, precision: Precision) -> tuple[Population, ...]:
    """The populations of a folded float network."""
    found = []
    for node in network.populations:
        made = realised(node.model)
        kept = carried(made.program, made.params, membrane_read(network, node.name))
        states = {s.name: precision.state for s in made.program.states if s.name in kept}
        paths = tuple(_path(network, edge.source, edge.delay, precision) for edge in network.into[node.name])
        found.append(Population(node.name, node.shape, sent_bits(node.model), states, paths))
    return tuple(found)


def chip_populations(chip: ChipNetwork) -> tuple[Population, ...]:
    """The populations of a chip network, delays in network steps."""
    found = []
    for p in chip.populations:
        kept = carried(p.program, p.params, membrane_read(chip, p.name))
        states = {s.name: s.bits for s in p.program.states if s.name in kept}
        paths = tuple(Path(c.source, chip.network_delay(c), c.synapse, c.bits) for c in chip.into[p.name])
        found.append(Population(p.name, p.shape, max(p.bits, 1), states, paths))
    return tuple(found)


def sent_bits(model: NeuronModel) -> int:
    """Bits of what a neuron sends in a step: 1 for a spike, more for several or for numbers."""
    if isinstance(model, Lif):
        most = model.max_spikes
    elif type(model) in FORMS:
        form = FORMS[type(model)]
        _, message = form.message(model)
        if message:
            return message
        most = form.most(model)
    else:
        most = 1
    return most.bit_length() if most else UNLIMITED_SPIKES


def _entering(node: Input, precision: Precision) -> int:
    if node.coding == "spikes":
        return 1
    return precision.input if node.payload is None else node.payload.bits


def _path(network: Network, name: str, delay: int, precision: Precision) -> Path:
    synapse = network.by_name[name]
    assert isinstance(synapse, SYNAPSES)
    (entering,) = network.into[name]
    return Path(entering.source, entering.delay + delay, synapse, precision.weight)


def _workload(
    name: str, steps: int, sources: Sequence[Source], populations: Sequence[Population], answer: str,
    density: Mapping[str, float],
) -> Workload:  # fmt: skip
    widths = {s.name: s.width for s in sources} | {p.name: width_of(p.shape) for p in populations}
    bits = {s.name: s.bits for s in sources} | {p.name: p.bits for p in populations}
    layers = [_layer(p, widths, bits, density) for p in _ordered(populations)]
    blocks: list[list[str]] = []
    for before, layer in zip([None, *layers], layers, strict=False):
        if before is None or before.width != layer.width:
            blocks.append([])
        blocks[-1].append(layer.name)
    columns = tuple(widths[block[0]] for block in blocks)
    return Workload(name, steps, tuple(sources), tuple(layers), tuple(map(tuple, blocks)), columns, (answer,))


def _ordered(populations: Sequence[Population]) -> list[Population]:
    """``populations`` so that what is read without delay comes first, otherwise in their order."""
    place = {p.name: n for n, p in enumerate(populations)}
    graph = nx.DiGraph()
    graph.add_nodes_from(place)
    graph.add_edges_from(
        (path.source, p.name) for p in populations for path in p.paths if path.delay == 0 and path.source in place
    )
    order = nx.lexicographical_topological_sort(graph, key=lambda n: place[n])
    return [populations[place[name]] for name in order]


def _layer(p: Population, widths: Mapping[str, int], bits: Mapping[str, int], density: Mapping[str, float]) -> Layer:
    width, neurons = width_of(p.shape), size(p.shape)
    operands = tuple(Operand(q.source, columns_read(q.synapse, width, widths[q.source]), q.delay) for q in p.paths)
    kernels = tuple(
        replace(_kernel(q.synapse, neurons, width, bits[q.source]), density=density.get(q.source, 1.0)) for q in p.paths
    )
    weights = sum(stored_weights(q.synapse) * q.bits for q in p.paths)
    return Layer(p.name, width, neurons // width, p.bits, sum(p.states.values()), weights, operands, kernels,
                 max((q.bits for q in p.paths), default=8))  # fmt: skip


def stored_weights(synapse: AnySynapse) -> int:
    """How many weights are stored: a convolution's kernels once, a sparse synapse's nonzero entries."""
    return int((synapse.data if isinstance(synapse, Sparse | SparseSynapse) else synapse.weight).size)


def columns_read(synapse: AnySynapse, width: int, source_width: int) -> Columns:
    """For every column of the target the columns of the source that ``synapse`` reads for it."""
    if isinstance(synapse, Conv | ConvSynapse) and (synapse.out_shape[-1], synapse.in_shape[-1]) == (
        width,
        source_width,
    ):
        before = synapse.padding[-1][0]
        return window(width, source_width, synapse.weight.shape[-1], synapse.stride[-1], before, synapse.dilation[-1])
    if isinstance(synapse, Sparse | SparseSynapse):
        return _columns_of_entries(synapse.indices, synapse.indptr, width, source_width)
    return whole(width, source_width)


def _columns_of_entries(indices: IntArray, indptr: IntArray, width: int, source_width: int) -> Columns:
    low, high = np.full(width, source_width, np.int64), np.zeros(width, np.int64)
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    np.minimum.at(low, rows % width, indices % source_width)
    np.maximum.at(high, rows % width, indices % source_width + 1)
    return tuple((int(min(a, b)), int(b)) for a, b in zip(low, high, strict=True))


def _kernel(synapse: AnySynapse, neurons: int, width: int, input_bits: int) -> Kernel:
    if isinstance(synapse, Conv | ConvSynapse) and synapse.out_shape[-1] == width:
        outputs, inputs, *kernel = synapse.weight.shape
        return Kernel(outputs, inputs, synapse.out_shape[-2], (kernel[-2], kernel[-1]), synapse.stride[-1], input_bits)
    entries = stored_weights(synapse)
    if isinstance(synapse, Conv | ConvSynapse):
        entries = neurons * size(synapse.weight.shape[1:])
    return Kernel(neurons // width, max(-(-entries // neurons), 1), 1, input_bits=input_bits)
