"""Networks with functions between their layers that no chip of fixed synapses computes: the host does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ranvier.compiler.ir.arrays import FloatArray, Shape, frozen_mapping, size
from ranvier.compiler.ir.linear import Linear
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Note, Readout

HostKind = Literal[
    "softmax",
    "silu",
    "gelu",
    "sigmoid",
    "tanh",
    "relu",
    "exp",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "layer_norm",
    "rms_norm",
    "product",
    "quotient",
    "matrix_product",
]


@dataclass(frozen=True, eq=False)
class HostFunction:
    """A function of what arrives in one step, computed in float64 by the host.

    ``in_shapes``: its arguments. They arrive flattened, one after the other, as one frame of ``in_size`` numbers;
    edges into it add up, as everywhere. ``options`` are numbers (``axis``, ``eps``), ``constants`` arrays (``weight``,
    ``bias``); ``host_functions.py`` says which a kind takes, and what it computes.
    """

    name: str
    kind: HostKind
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    options: Mapping[str, float] = field(default_factory=dict)
    constants: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", frozen_mapping(self.options))
        object.__setattr__(self, "constants", frozen_mapping(self.constants))

    @property
    def in_size(self) -> int:
        """Numbers that arrive in a step."""
        return sum(size(shape) for shape in self.in_shapes)


HostedNode = Node | HostFunction


@dataclass(frozen=True, eq=False)
class HostedNetwork:
    """A float network with host functions among its nodes, as it was imported; the pass ``cut`` divides it.

    Time and edges are those of :class:`~ranvier.compiler.ir.network.Network`. The readout may be a host function, whose
    answer is the argmax of the sum over all steps ("spike_count").
    """

    name: str
    nodes: tuple[HostedNode, ...]
    edges: tuple[Edge, ...]
    readout: Readout
    notes: tuple[Note, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, HostedNode]:
        """The nodes by name."""
        return frozen_mapping({node.name: node for node in self.nodes})

    @cached_property
    def into(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that end at each node, in the order of ``edges``."""
        return frozen_mapping({n.name: tuple(e for e in self.edges if e.target == n.name) for n in self.nodes})

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The input nodes."""
        return tuple(n for n in self.nodes if isinstance(n, Input))

    @cached_property
    def out_of(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that start at each node, in the order of ``edges``."""
        return frozen_mapping({n.name: tuple(e for e in self.edges if e.source == n.name) for n in self.nodes})

    @property
    def populations(self) -> tuple[Neurons, ...]:
        """The neuron nodes."""
        return tuple(n for n in self.nodes if isinstance(n, Neurons))

    @property
    def functions(self) -> tuple[HostFunction, ...]:
        """The host functions: the cut points."""
        return tuple(n for n in self.nodes if isinstance(n, HostFunction))


@dataclass(frozen=True)
class Crossing:
    """What ``source`` (an input, a population, a host function) sends into another part: a frame of ``shape``.

    ``scale``: what is sent is divided by it, so that it lies within -1..1 in the other part's input; 1 for spikes.
    """

    source: str
    shape: Shape
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class ChipPart:
    """Populations that run on the chip as a network of their own.

    Its one input takes the frames of ``takes``, flattened, one after the other; inside, each is picked out again and
    multiplied by its scale. ``gives``: the populations whose messages other parts or the readout need.
    """

    network: Network
    takes: tuple[Crossing, ...]
    gives: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class HostPart:
    """Host functions, and the linear layers that stand before them: ``nodes`` in the order in which they are computed.

    ``takes`` names who sends what from other parts; edges and delays as in the network. ``gives``: the functions whose
    values other parts or the readout need.
    """

    nodes: tuple[HostFunction | Linear, ...]
    edges: tuple[Edge, ...]
    takes: tuple[Crossing, ...]
    gives: tuple[str, ...]


Part = ChipPart | HostPart


@dataclass(frozen=True, eq=False)
class Parts:
    """A hosted network cut at its host functions: ``parts`` in the order in which they run, each on whole trains."""

    name: str
    source: Input
    parts: tuple[Part, ...]
    readout: Readout
    notes: tuple[Note, ...] = ()

    @property
    def named(self) -> tuple[tuple[str, Part], ...]:
        """The parts with their names, ``part1`` and so on in the order in which they run."""
        return tuple((f"part{number}", part) for number, part in enumerate(self.parts, 1))

    @property
    def chips(self) -> tuple[ChipPart, ...]:
        """The parts that spike."""
        return tuple(p for p in self.parts if isinstance(p, ChipPart))
