"""What the simulator runs: layers and links in network time, from a chip network or a folded float network.

Chip steps are gone: a link brings what its source sent in network step t to its target in step ``t +
delay``. Layers stand in an order in which links without delay point forward; a link that points backward
bounds the block of steps that may be run layer by layer.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.chip import ChipNetwork, ConvSynapse, Population, Port
from ranvier.compiler.ir.linear import SYNAPSES, Conv
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.steps import StepProgram
from ranvier.runtimes.simulator.emit import lossy
from ranvier.runtimes.simulator.forms import Ends, Scatter, channels_last, chip_scatter, delivered, float_scatter, rule
from ranvier.runtimes.simulator.layouts import Ints, Rule
from ranvier.runtimes.simulator.machine import Kernel, kernel
from ranvier.runtimes.simulator.merged import merged
from ranvier.runtimes.simulator.ranges import UNKNOWN, Traits, traits

Values = NDArray[Any]
NO_RULE: Rule = (2**63 - 1, 64, 0)
MOST_SUM = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Layer:
    """A population: ``params`` (parameters, neurons) and ``initial`` (states, neurons), int64 or float64.

    ``traits`` say how large its numbers can get. The simulator holds neuron ``origin[k]`` at place k: the targets of a
    convolution have channels last.
    """

    name: str
    shape: Shape
    program: StepProgram
    params: Values
    initial: Values
    traits: Traits = UNKNOWN

    origin: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    @cached_property
    def size(self) -> int:
        """Number of neurons."""
        return size(self.shape)

    @cached_property
    def code(self) -> Kernel:
        """The machine code of the neurons."""
        return kernel(self.program, self.traits)

    @cached_property
    def lossy(self) -> tuple[str, ...]:
        """The operations whose overflows are counted."""
        return tuple(op.result for op in lossy(self.program))

    @cached_property
    def ordered(self) -> bool:
        """Whether the simulator holds the neurons as the network numbers them."""
        return bool(np.array_equal(self.origin, np.arange(self.size)))

    @cached_property
    def held(self) -> tuple[Values, Values]:
        """``params`` and ``initial`` as the simulator holds the neurons."""
        if self.ordered:
            return self.params, self.initial
        return np.ascontiguousarray(self.params[:, self.origin]), np.ascontiguousarray(self.initial[:, self.origin])

    @property
    def number(self) -> type[np.int64] | type[np.float64]:
        """The type of states and membranes."""
        return np.int64 if self.program.domain == "int" else np.float64

    @property
    def sends(self) -> type[np.int8] | type[np.int64] | type[np.float64]:
        """The type of what is sent."""
        return self.number if self.program.graded else np.int8


@dataclass(frozen=True, eq=False)
class Link:
    """Synapses from ``source`` to ``target``, ``delay`` in network steps; ``rule`` as the kernels take it."""

    name: str
    source: str
    target: str
    delay: int
    scatter: Scatter
    rule: Rule


@dataclass(frozen=True, eq=False)
class Plan:
    """Layers in running order and the links between them; ``source`` is where data enter.

    ``wide`` names the layers whose links may add up to more than 32 bits hold.
    """

    source: Port | Input
    layers: tuple[Layer, ...]
    links: tuple[Link, ...]
    readout: Readout
    wide: frozenset[str] = frozenset()

    def sums(self, layer: Layer) -> type[np.int32] | type[np.int64] | type[np.float64]:
        """The type in which the input of ``layer`` is summed without loss."""
        exact = np.int64 if layer.name in self.wide else np.int32
        return exact if self.exact else np.float64

    @property
    def exact(self) -> bool:
        """Whether everything is in integers: a chip network, not a float one."""
        return isinstance(self.source, Port)

    @cached_property
    def wires(self) -> Mapping[str, int]:
        """How many wires the source and each layer have."""
        return {self.source.name: size(self.source.shape)} | {layer.name: layer.size for layer in self.layers}

    @cached_property
    def into(self) -> Mapping[str, tuple[Link, ...]]:
        """The links that end at each layer."""
        return {layer.name: tuple(k for k in self.links if k.target == layer.name) for layer in self.layers}

    @cached_property
    def longest_block(self) -> int:
        """The largest number of steps that may be run layer by layer; 0 for any number."""
        position = {layer.name: i for i, layer in enumerate(self.layers)} | {self.source.name: -1}
        backward = [k.delay for k in self.links if position[k.source] >= position[k.target]]
        return min(backward, default=0)


def lower(network: ChipNetwork | Network) -> Plan:
    """The plan of ``network``; raises ``RanvierError`` for a float network that has not been folded.

    Networks are frozen, so a plan is made once and kept for as long as its network is.
    """
    plan = _plans.get(network)
    if plan is None:
        plan = _plans[network] = _lowered(network)
    return plan


_plans: WeakKeyDictionary[ChipNetwork | Network, Plan] = WeakKeyDictionary()


def _lowered(network: ChipNetwork | Network) -> Plan:
    if isinstance(network, ChipNetwork):
        shapes = {c.target: c.synapse.out_shape for c in network.connections if isinstance(c.synapse, ConvSynapse)}
        origins = _origins(network.ports[0], network.populations, shapes)
        links = tuple(_chip_links(network, origins))
        most = {p.name: _most(network, p.name, links) for p in network.populations}
        wide = frozenset(name for name, sum_ in most.items() if sum_ > MOST_SUM)
        layers = [_known(layer, most[layer.name]) for layer in _chip_layers(network, origins)]
        return Plan(network.ports[0], _ordered(layers, links), links, network.readout, wide)
    found = _unfolded(network)
    if found:
        raise RanvierError(found)
    convs = [node for node in network.nodes if isinstance(node, Conv)]
    shapes = {after.target: op.out_shape for op in convs for after in network.out_of[op.name]}
    origins = _origins(network.inputs[0], network.populations, shapes)
    links = tuple(_float_links(network, origins))
    layers = [replace(_float_layer(node), origin=origins[node.name]) for node in network.populations]
    return Plan(network.inputs[0], _ordered(layers, links), links, network.readout)


def _origins(
    source: Port | Input, populations: Sequence[Population | Neurons], shapes: Mapping[str, Shape]
) -> Mapping[str, Ints]:
    """The order in which the simulator holds the wires of the source and of each population.

    ``shapes``: what convolutions reach populations with; their neurons stand with channels last.
    """
    found = {source.name: np.arange(size(source.shape), dtype=np.int64)}
    for p in populations:
        shape = shapes.get(p.name)
        found[p.name] = np.arange(size(p.shape), dtype=np.int64) if shape is None else channels_last(shape)
    return found


def _chip_layers(chip: ChipNetwork, origins: Mapping[str, Ints]) -> list[Layer]:
    return [
        Layer(
            p.name,
            p.shape,
            p.program,
            _table([p.params[name] for name in p.program.params], p.size, np.int64),
            _table([p.initial[state.name] for state in p.program.states], p.size, np.int64),
            origin=origins[p.name],
        )
        for p in chip.populations
    ]


def _known(layer: Layer, most: int) -> Layer:
    """``layer`` with its traits, when its input is at most ``most``."""
    params = {
        name: (int(row.min()), int(row.max())) for name, row in zip(layer.program.params, layer.params, strict=True)
    }
    initial = {
        state.name: (int(row.min()), int(row.max()))
        for state, row in zip(layer.program.states, layer.initial, strict=True)
    }
    return replace(layer, traits=traits(layer.program, params, initial, min(most, MOST_SUM + 1)))


def _chip_links(chip: ChipNetwork, origins: Mapping[str, Ints]) -> list[Link]:
    links = []
    for c in merged(chip):
        delay, scatter = chip.network_delay(c), chip_scatter(c.synapse, Ends(origins[c.source], origins[c.target]))
        assert delay >= 0, f"{c.name} arrives {-delay} steps before it is sent"
        links.append(Link(c.name, c.source, c.target, delay, scatter, rule(c, scatter.peak)))
    return links


def _most(chip: ChipNetwork, target: str, links: Sequence[Link]) -> int:
    """What the links into ``target`` can add up to in one step, from their weights and the senders' messages."""
    bits = {k.name: chip.by_name[k.source].bits for k in links if k.target == target}
    largest = {name: 1 if width == 0 else 2 ** (width - 1) - 1 for name, width in bits.items()}
    return sum(delivered(k.rule, k.scatter.peak, largest[k.name]) for k in links if k.name in largest)


def _float_layer(node: Neurons) -> Layer:
    """A population in float64, or in integers where the source gives its neurons as chip registers."""
    made, neurons = realised(node.model), size(node.shape)
    number = np.int64 if made.program.domain == "int" else np.float64
    params = _table([made.params[name] for name in made.program.params], neurons, number)
    initial = _table([made.initial[state.name] for state in made.program.states], neurons, number)
    return Layer(node.name, node.shape, made.program, params, initial)


def _float_links(network: Network, origins: Mapping[str, Ints]) -> list[Link]:
    links: list[Link] = []
    for op in (node for node in network.nodes if isinstance(node, SYNAPSES)):
        for before, after in itertools.product(network.into[op.name], network.out_of[op.name]):
            scatter = float_scatter(op, Ends(origins[before.source], origins[after.target]))
            links.append(Link(op.name, before.source, after.target, before.delay + after.delay, scatter, NO_RULE))
    return links


def _unfolded(network: Network) -> list[Diagnostic]:
    """What keeps a float network from being run: nodes and edges that folding would have removed."""
    found = {}
    for node in network.nodes:
        bias = getattr(node, "bias", None)
        if not isinstance(node, (Input, Neurons, *SYNAPSES)):
            found[node.name] = f"it is a {type(node).__name__} layer"
        elif bias is not None and bool(np.any(bias)):
            found[node.name] = "its bias is not part of its neurons' drive"
    found |= {e.target: f"what comes from {e.source} is not synapses between neurons" for e in _loose(network)}
    fix = "run the passes canonicalize and fold first, or use ranvier.runtimes.reference, which takes any network"
    return [Diagnostic("RV830", name, f"the simulator cannot run {name}: {why}", fix) for name, why in found.items()]


def _loose(network: Network) -> list[Edge]:
    """Edges that do not join a synapse layer with neurons or the input."""
    return [
        e
        for e in network.edges
        if isinstance(network.by_name[e.source], SYNAPSES) == isinstance(network.by_name[e.target], SYNAPSES)
    ]


def _ordered(layers: Sequence[Layer], links: Sequence[Link]) -> tuple[Layer, ...]:
    """``layers`` so that links without delay point forward, else as they stand."""
    waiting = {layer.name: layer for layer in layers}
    ordered: list[Layer] = []
    while waiting:
        held = {k.target for k in links if k.delay == 0 and k.source in waiting}
        ready = next((name for name in waiting if name not in held), None)
        assert ready is not None, f"a loop without delay through {', '.join(waiting)}"
        ordered.append(waiting.pop(ready))
    return tuple(ordered)


def _table(rows: Sequence[Any], neurons: int, number: type[np.int64] | type[np.float64]) -> Values:
    table = np.empty((len(rows), neurons), number)
    for row, value in zip(table, rows, strict=True):
        row[:] = value
    return table
