"""What is saved of a compiled hosted network beside the programs of its chip parts."""

from dataclasses import dataclass

from ranvier.compiler.ir.hosted import Crossing, HostPart
from ranvier.compiler.ir.network import Input, Note, Readout


@dataclass(frozen=True)
class ChipSlot:
    """A chip part, whose program lies in a file of its own with the hash ``sha256``; see ``ChipPart``."""

    sha256: str
    takes: tuple[Crossing, ...]
    gives: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class HostedPlan:
    """The parts of a hosted network in the order in which they run, those of the host in full; see ``Parts``."""

    name: str
    target: str
    source: Input
    parts: tuple[ChipSlot | HostPart, ...]
    readout: Readout
    notes: tuple[Note, ...] = ()
