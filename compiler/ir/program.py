"""The compiled program: a chip network, where it lies on the chip, and the float network it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ranvier.compiler.ir.arrays import frozen_mapping
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network, Note


@dataclass(frozen=True)
class Piece:
    """The neurons ``start:stop`` (flat C order) of ``population`` on core ``core``.

    ``use`` counts the resources of the piece by the names of the target's capacity rules.
    """

    population: str
    start: int
    stop: int
    core: int
    use: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "use", frozen_mapping(self.use))


@dataclass(frozen=True)
class CoreSite:
    """Where core number ``core`` of the program is: chip, and mesh coordinates there (-1 when unknown)."""

    core: int
    chip: int
    x: int
    y: int


@dataclass(frozen=True)
class Placement:
    """Which core holds what, and where each core is."""

    pieces: tuple[Piece, ...]
    sites: tuple[CoreSite, ...]

    @property
    def cores(self) -> int:
        """Number of cores used."""
        return len({piece.core for piece in self.pieces})

    @property
    def chips(self) -> int:
        """Number of chips used."""
        return len({site.chip for site in self.sites})


@dataclass(frozen=True, eq=False)
class Program:
    """Everything an artifact holds.

    ``source`` is the folded float network whose spikes the chip network approximates, None when the
    source was given in integers already; ``notes`` are doubtful limits that the mapping exceeds.
    """

    chip: ChipNetwork
    placement: Placement
    target: str
    source: Network | None = None
    notes: tuple[Note, ...] = ()
