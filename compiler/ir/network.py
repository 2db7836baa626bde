"""The float network: inputs, linear layers and neurons, joined by edges that may carry delays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ranvier.compiler.ir.arrays import FloatArray, Shape, compact, floats, frozen_mapping
from ranvier.compiler.ir.coding import Encoder
from ranvier.compiler.ir.linear import LINEAR, Linear
from ranvier.compiler.ir.neurons import NeuronModel

Coding = Literal["spikes", "current"]
ReadoutKind = Literal["spike_count", "first_spike", "last_membrane", "max_membrane", "sum_membrane"]


@dataclass(frozen=True)
class Payload:
    """Integers on the wire for real values: ``integer = round(real * scale)``, ``bits`` with sign."""

    bits: int
    scale: float


@dataclass(frozen=True)
class Input:
    """Where data enters, one frame of ``shape`` each step.

    ``spikes`` are 0 or 1; ``current`` is any real number, which a chip receives as graded spikes with
    the given ``payload`` (None until it is calibrated). ``encoder`` makes the frames from samples; None: data are
    frames.
    """

    name: str
    shape: Shape
    coding: Coding
    payload: Payload | None = None
    encoder: Encoder | None = None

    @property
    def out_shape(self) -> Shape:
        """Shape of one frame."""
        return self.shape


@dataclass(frozen=True, eq=False)
class Neurons:
    """A population of neurons of one model; ``scale`` and ``latency`` are set by passes.

    ``scale``: membrane units on the chip per unit of the source (0: not chosen yet). ``latency``: the
    chip step at which the population sees what it sees in the source network's step 0 (-1: not known yet).
    ``gain``: factors, of shape ``()`` or ``(neurons,)``, by which passes have multiplied the
    source's membranes in ``model``.
    """

    name: str
    shape: Shape
    model: NeuronModel
    scale: float = 0.0
    latency: int = -1
    gain: FloatArray = field(default_factory=lambda: floats(1.0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", compact(floats(self.gain)))

    @property
    def out_shape(self) -> Shape:
        """Shape of the population."""
        return self.shape


Node = Input | Neurons | Linear


@dataclass(frozen=True)
class Edge:
    """What leaves ``source`` in step t enters ``target`` in step t + delay; edges into one node add up."""

    source: str
    target: str
    delay: int = 0


@dataclass(frozen=True)
class Readout:
    """How the answer is read: from population ``node``, by its spikes or by its membrane before reset.

    The prediction is the argmax over the flattened population of the spike count over all steps (the same as of the
    rate), or of the last, the maximal or the summed membrane; or the neuron whose first spike comes earliest
    ("first_spike", silent neurons last). Ties go to the lowest index.
    """

    node: str
    kind: ReadoutKind = "spike_count"

    @property
    def reads_spikes(self) -> bool:
        """Whether spikes decide, and not the membrane."""
        return self.kind in ("spike_count", "first_spike")


@dataclass(frozen=True)
class Observed:
    """What calibration data did to one population, or what they look like at an input.

    ``peak_current`` and ``peak_membrane``: the largest abs(u) and abs(h), in source units; at an input the
    largest abs(x), twice. ``rate``: nonzero values per neuron and step. ``levels``: at an input, the smallest n up
    to 127 for which all values are whole multiples of peak / n, 0 if there is none.
    """

    peak_current: float
    peak_membrane: float
    rate: float
    levels: int = 0


@dataclass(frozen=True)
class Note:
    """Something assumed, rounded or clipped on the way: it appears in every report."""

    code: str
    place: str
    text: str


@dataclass(frozen=True, eq=False)
class Network:
    """A float network in the source framework's semantics.

    Within one step, zero-delay edges are followed in topological order, as the frameworks do: a spike
    crosses all layers in the step in which it is fired. Loops need a delay of at least one step.
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    readout: Readout
    notes: tuple[Note, ...] = ()
    observed: Mapping[str, Observed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "observed", frozen_mapping(self.observed))

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """The nodes by name."""
        return frozen_mapping({node.name: node for node in self.nodes})

    @cached_property
    def into(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that end at each node, in the order of ``edges``."""
        return frozen_mapping({n.name: tuple(e for e in self.edges if e.target == n.name) for n in self.nodes})

    @cached_property
    def out_of(self) -> Mapping[str, tuple[Edge, ...]]:
        """The edges that start at each node, in the order of ``edges``."""
        return frozen_mapping({n.name: tuple(e for e in self.edges if e.source == n.name) for n in self.nodes})

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The input nodes."""
        return tuple(n for n in self.nodes if isinstance(n, Input))

    @property
    def populations(self) -> tuple[Neurons, ...]:
        """The neuron nodes."""
        return tuple(n for n in self.nodes if isinstance(n, Neurons))

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear nodes."""
        return tuple(n for n in self.nodes if isinstance(n, LINEAR))
