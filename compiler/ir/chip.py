"""The chip network: integers only, each population a step program, each connection one time step.

Meaning, in chip steps counted from 0 (the runtimes all equal this):

* Input frame i is on the wires in chip step i.
* What a source sends in chip step t enters its target's input ``a`` in chip step ``t + 1 + delay``.
* A connection delivers ``a = scaled(W s)``: the integer sum of ``weight * sent value``; a convolution
  wraps it to 24 bits, the others to 32; then ``<< exponent`` (wrapped to 32 bits), or, for a negative exponent,
  a floor shift of the sum. Contributions of several connections add up, and the whole wraps to 32 bits.
* A population with latency L runs network step i in chip step L + i, starting from its initial state;
  before its first and after its last network step it is silent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import FloatArray, IntArray, Shape, compact, floats, frozen_mapping, integers, size
from ranvier.compiler.ir.coding import Encoder
from ranvier.compiler.ir.linear import SignMode
from ranvier.compiler.ir.network import Note, Readout
from ranvier.compiler.ir.steps import StepProgram

ACCUMULATOR_BITS: Mapping[str, int] = {"dense": 32, "sparse": 32, "conv": 24}
SUM_BITS = 32
Weights = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class DenseSynapse:
    """All to all: ``weight`` (targets, sources) int32, flat C order on both sides."""

    weight: Weights
    kind: Literal["dense"] = "dense"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _weights(self.weight))

    @property
    def in_size(self) -> int:
        """Number of source wires."""
        return int(self.weight.shape[1])

    @property
    def out_size(self) -> int:
        """Number of target neurons."""
        return int(self.weight.shape[0])


@dataclass(frozen=True, eq=False)
class SparseSynapse:
    """Compressed rows over targets: ``data`` int32, ``indices`` source wires, ``indptr`` (targets + 1,)."""

    data: Weights
    indices: IntArray
    indptr: IntArray
    in_size: int
    kind: Literal["sparse"] = "sparse"

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", _weights(self.data))
        object.__setattr__(self, "indices", integers(self.indices))
        object.__setattr__(self, "indptr", integers(self.indptr))

    @property
    def out_size(self) -> int:
        """Number of target neurons."""
        return self.indptr.size - 1


@dataclass(frozen=True, eq=False)
class ConvSynapse:
    """Cross-correlation over two axes, as torch's conv2d.

    ``weight`` (out channels, in channels / groups, kernel h, kernel w) int32; ``in_shape`` and
    ``out_shape`` (channels, height, width); ``padding`` ((top, bottom), (left, right)) zeros.
    """

    weight: Weights
    in_shape: Shape
    out_shape: Shape
    stride: Shape
    padding: tuple[tuple[int, int], ...]
    dilation: Shape
    groups: int
    kind: Literal["conv"] = "conv"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _weights(self.weight))

    @property
    def in_size(self) -> int:
        """Number of source wires."""
        return size(self.in_shape)

    @property
    def out_size(self) -> int:
        """Number of target neurons."""
        return size(self.out_shape)


ChipSynapse = DenseSynapse | SparseSynapse | ConvSynapse


@dataclass(frozen=True)
class Port:
    """Where data enters: ``shape`` of a frame; ``bits`` 0 for spikes (0 or 1), else the signed payload width.

    Real input x becomes ``clip(round(x * scale), -2**(bits-1)+1, 2**(bits-1)-1)``. ``encoder`` says how the host makes
    frames from samples; None: data are frames. Executors take frames.
    """

    name: str
    shape: Shape
    bits: int = 0
    scale: float = 1.0
    encoder: Encoder | None = None


@dataclass(frozen=True, eq=False)
class Population:
    """Neurons running one step program.

    ``params`` and ``initial`` hold int64 arrays of shape ``()`` or ``(neurons,)`` for every parameter and
    every state of the program; ``latency`` as described above; ``bits`` is 0 when spikes are
    0 or 1, else the payload width of what is sent; ``scale`` times ``gain``, of shape ``()`` or ``(neurons,)``: chip
    membrane units per source unit.
    """

    name: str
    shape: Shape
    program: StepProgram
    params: Mapping[str, IntArray]
    initial: Mapping[str, IntArray]
    latency: int
    bits: int = 0
    scale: float = 1.0
    gain: FloatArray = field(default_factory=lambda: floats(1.0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", compact(floats(self.gain)))
        for name in ("params", "initial"):
            values = {key: compact(integers(value)) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, frozen_mapping(values))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return size(self.shape)


@dataclass(frozen=True, eq=False)
class Connection:
    """Synapses from ``source`` (a port or population) to ``target``; ``delay`` in extra chip steps.

    ``bits``: the width of the weights; ``weight_levels.py`` says which integers they may be. ``part_of``: the layer of
    the source network of which it holds the synapses of some wires, where the wires of one layer have several
    exponents; empty where it holds all of the layer of its name.
    """

    name: str
    source: str
    target: str
    synapse: ChipSynapse
    exponent: int
    sign: SignMode
    delay: int
    bits: int = 8
    part_of: str = ""

    @property
    def layer(self) -> str:
        """The layer of the folded source network that these synapses are of."""
        return self.part_of or self.name

    @property
    def wires(self) -> IntArray | None:
        """The source wires of a part of a dense layer, in the order of each target's weights; None for all else."""
        s = self.synapse
        if not (self.part_of and isinstance(s, SparseSynapse)) or s.indices.size % max(s.out_size, 1):
            return None
        held = s.indices.reshape(s.out_size, -1)
        alike = bool(np.all(np.diff(s.indptr) == held.shape[1])) and bool(np.all(held == held[:1]))
        return held[0] if alike else None

    @property
    def lists(self) -> Literal["dense", "sparse", "conv"]:
        """How the synapses of a wire are listed on the chip: those of a dense layer's part as those of the layer."""
        return self.synapse.kind if self.wires is None else "dense"


@dataclass(frozen=True)
class Rounding:
    """What putting a parameter into its register cost: largest absolute and relative error, in source units."""

    place: str
    parameter: str
    worst: float
    relative: float


@dataclass(frozen=True, eq=False)
class ChipNetwork:
    """An integer network for one kind of chip; the module's docstring gives its meaning."""

    name: str
    target: str
    ports: tuple[Port, ...]
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    readout: Readout
    notes: tuple[Note, ...] = ()
    roundings: tuple[Rounding, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", frozen_mapping(self.rates))

    @cached_property
    def by_name(self) -> Mapping[str, Port | Population]:
        """Ports and populations by name."""
        nodes: tuple[Port | Population, ...] = (*self.ports, *self.populations)
        return frozen_mapping({node.name: node for node in nodes})

    @cached_property
    def into(self) -> Mapping[str, tuple[Connection, ...]]:
        """The connections that end at each population."""
        return frozen_mapping(
            {p.name: tuple(c for c in self.connections if c.target == p.name) for p in self.populations}
        )

    @property
    def latency(self) -> int:
        """The largest latency of a population, in chip steps."""
        return max((p.latency for p in self.populations), default=0)

    def network_delay(self, connection: Connection) -> int:
        """The delay of ``connection`` in network steps: 0 feed-forward, 1 for plain recurrence."""
        source, target = self.by_name[connection.source], self.by_name[connection.target]
        sent = source.latency if isinstance(source, Population) else 0
        assert isinstance(target, Population)
        return sent + 1 + connection.delay - target.latency


def _weights(values: NDArray[np.int32]) -> Weights:
    assert values.dtype.kind in "iu", "integer weights expected"
    assert values.size == 0 or np.abs(values.astype(np.int64)).max() < 2**31, "a weight beyond 32 bits"
    array = np.array(values, dtype=np.int32, order="C")
    array.setflags(write=False)
    return array
