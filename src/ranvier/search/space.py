"""The space that is searched: operations on the edges of cells, ids, what a network of it takes in memory.

The graph is SNASNet's (Kim et al., ECCV 2022), the operations SNASNet's or those of SpikeNAS-Bench.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from ranvier.compiler.diagnostics import error

NODES = 4
EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""The edges of a cell in the order of the digits of its id, least significant first."""
LAST = NODES - 1
Kind = Literal["zero", "skip", "lif", "pool"]
Cell = tuple[int, ...]
"""The number of the operation on each of ``EDGES``."""


@dataclass(frozen=True)
class Op:
    """What an edge does: nothing, pass, LIF - convolution - batch norm, or an average pool of stride 1."""

    kind: Kind
    kernel: int = 0
    threshold: float = 1.0

    def parameters(self, channels: int) -> int:
        """Weights of the convolution, gains and offsets of the batch norm."""
        return self.kernel**2 * channels**2 + 2 * channels if self.kind == "lif" else 0

    @property
    def shape(self) -> tuple[Kind, int]:
        """What decides about memory: the operation without its threshold."""
        return self.kind, self.kernel


ZERO, SKIP = Op("zero"), Op("skip")


@dataclass(frozen=True)
class Space:
    """The operations that an edge may have; ids are written in this base."""

    name: str
    ops: tuple[Op, ...]

    @property
    def size(self) -> int:
        """How many cells there are."""
        return int(len(self.ops) ** len(EDGES))

    def decode(self, number: int) -> Cell:
        """The cell with id ``number``: the operation of edge k is ``floor(number / base**k) mod base``.

        Raises ``RanvierError`` RV580 where there is none.
        """
        base = len(self.ops)
        if not 0 <= number < self.size:
            raise error("RV580", "cell id", f"{number} is none of this space", f"give 0 to {self.size - 1}")
        return tuple(number // base**k % base for k in range(len(EDGES)))

    def encode(self, cell: Cell) -> int:
        """The id of ``cell``."""
        return sum(op * len(self.ops) ** k for k, op in enumerate(cell))

    def ops_of(self, cell: Cell) -> tuple[Op, ...]:
        """The operations on the edges."""
        return tuple(self.ops[number] for number in cell)

    def number(self, kind: Kind) -> int | None:
        """The first operation of a kind; None if the space has none."""
        return next((n for n, op in enumerate(self.ops) if op.kind == kind), None)

    def repaired(self, cell: Cell) -> Cell | None:
        """``cell`` without what does not lie on a way from the first node to the last; None if there is no way.

        The same function with fewer parts: the search looks at each such cell once.
        """
        used = [(i, j) for (i, j), op in zip(EDGES, self.ops_of(cell), strict=True) if op.kind != "zero"]
        ahead, behind = {0}, {LAST}
        for i, j in sorted(used):
            ahead |= {j} if i in ahead else set()
        for i, j in sorted(used, key=lambda edge: -edge[1]):
            behind |= {i} if j in behind else set()
        if LAST not in ahead:
            return None
        alive, zero = ahead & behind, self.number("zero")
        kept = [alive.issuperset(edge) for edge in EDGES]
        assert zero is not None
        return tuple(op if keep else zero for op, keep in zip(cell, kept, strict=True))

    def cells(self) -> Iterator[Cell]:
        """All cells that lead somewhere, each once, by id."""
        for digits in product(range(len(self.ops)), repeat=len(EDGES)):
            cell = digits[::-1]
            if self.repaired(cell) == cell:
                yield cell


SPACES: Mapping[str, Space] = {
    "spikenas": Space("spikenas", (ZERO, SKIP, Op("lif", 3, 0.5), Op("lif", 3, 1.0), Op("lif", 3, 1.5))),
    "snasnet": Space("snasnet", (ZERO, SKIP, Op("lif", 1), Op("lif", 3), Op("pool", 3))),
    "small": Space("small", (ZERO, SKIP, Op("lif", 3))),
    "plain": Space("plain", (ZERO, Op("lif", 3))),
}
"""``spikenas``: SpikeNAS-Bench; ``snasnet``: SNASNet; ``small`` and ``plain``: three and two operations (729 and 64
cells), which can be looked at one by one."""


@dataclass(frozen=True)
class Skeleton:
    """What all networks of a search share: the input's ``shape`` (channels, height, width), ``classes``, the widths
    of the two cells, the ``hidden`` neurons, ``votes`` per class and ``steps``.

    Raises ``RanvierError`` RV581 for numbers that give no network.
    """

    shape: tuple[int, int, int]
    classes: int
    channels: tuple[int, int] = (16, 32)
    hidden: int = 64
    votes: int = 1
    steps: int = 5

    def __post_init__(self) -> None:
        numbers = (*self.shape, self.classes, *self.channels, self.hidden, self.votes, self.steps)
        if min(numbers) < 1 or min(self.shape[1:]) < 4:
            text = f"shape {self.shape}, {self.classes} classes, widths {self.channels}, {self.hidden} hidden neurons, "
            text += f"{self.votes} votes, {self.steps} steps"
            raise error("RV581", "network", f"{text} give no network", "give positive numbers, images of 4x4 at least")

    @property
    def sizes(self) -> tuple[int, int]:
        """Pixels of an image in the first cell, and in the second."""
        _, height, width = self.shape
        return height * width, (height // 2) * (width // 2)

    @property
    def features(self) -> int:
        """What enters the hidden layer."""
        _, height, width = self.shape
        return self.channels[1] * (height // 4) * (width // 4)


@dataclass(frozen=True)
class Architecture:
    """A network: a ``space``, a ``skeleton``, and a cell for each of its two places."""

    space: Space
    skeleton: Skeleton
    cells: tuple[Cell, Cell]

    @property
    def ids(self) -> tuple[int, int]:
        """The ids of the cells."""
        first, second = self.cells
        return self.space.encode(first), self.space.encode(second)

    @property
    def shape(self) -> tuple[tuple[tuple[Kind, int], ...], ...]:
        """What decides about memory: two architectures of one shape take the same."""
        return tuple(tuple(op.shape for op in self.space.ops_of(cell)) for cell in self.cells)

    @property
    def parameters(self) -> int:
        """``27 c1 + 2 c1 + 2 c1 + 9 c1 c2 + 2 c2 + 2 c2 + c2 (S/4)^2 H + H F + F + sum over edges (k^2 c^2 + 2 c)``.

        Three input channels, images of S x S, H hidden neurons, F outputs: the closed form of SpikeNAS-Bench.
        """
        frame = self.skeleton
        (first, second), outputs = frame.channels, frame.classes * frame.votes
        stem = 9 * frame.shape[0] * first + 2 * first
        down = 2 * first + 9 * first * second + 2 * second
        head = 2 * second + frame.features * frame.hidden + frame.hidden * outputs + outputs
        return stem + down + head + sum(op.parameters(width) for op, width in self._edges())

    @property
    def weights(self) -> int:
        """The weights of convolutions and linear layers alone: ``parameters`` less batch norms and biases."""
        frame, norms = self.skeleton, sum(2 * width for op, width in self._edges() if op.kind == "lif")
        first, second = frame.channels
        return self.parameters - norms - 4 * first - 4 * second - frame.classes * frame.votes

    @property
    def neurons(self) -> int:
        """LIF neurons: one map for each edge that spikes, those in front of the next cell and the pool, the hidden."""
        frame = self.skeleton
        maps = [width * pixels for width, pixels in zip(frame.channels, frame.sizes, strict=True)]
        edges = [
            sum(op.kind == "lif" for op in self.space.ops_of(cell)) * size
            for cell, size in zip(self.cells, maps, strict=True)
        ]
        return sum(maps) + frame.hidden + sum(edges)

    def closed_form_bytes(self, weight_bits: int, state_bits: int) -> int:
        """``M = W b_W + N b_state`` in bytes: each parameter and each membrane once, before any mapping to cores."""
        return math.ceil((self.parameters * weight_bits + self.neurons * state_bits) / 8)

    def _edges(self) -> Iterator[tuple[Op, int]]:
        for cell, width in zip(self.cells, self.skeleton.channels, strict=True):
            for op in self.space.ops_of(cell):
                yield op, width


def smallest(space: Space, skeleton: Skeleton) -> Architecture:
    """One edge from the first node to the last, which passes everything on where the space has that operation."""
    zero, skip = space.number("zero"), space.number("skip")
    assert zero is not None
    way = next(n for n in range(len(space.ops)) if n != zero) if skip is None else skip
    cell = tuple(way if edge == (0, LAST) else zero for edge in EDGES)
    return Architecture(space, skeleton, (cell, cell))
