"""What is asked of an explanation, beside the verification itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import Program

SAMPLES = 32
Framework = Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]
"""The spikes (samples, steps, *shape), by layer, that the user's own framework gives for inputs."""


@dataclass(frozen=True, eq=False)
class Asked:
    """An explanation on at most ``samples`` of the samples, with ``traces`` of them shown in full.

    ``framework`` gives the spikes of the user's own module by layer; ``reference`` is a chip network that is known to
    be right, against which every register is held instead of against the float network's.
    """

    samples: int = SAMPLES
    traces: int = 0
    framework: Framework | None = None
    reference: ChipNetwork | None = None


def check_asked(asked: Asked | None, program: Program) -> None:
    """Refuse what cannot be explained, all at once; nothing where nothing was asked."""
    if asked is None:
        return
    found = []
    if asked.samples < 1:
        found.append(Diagnostic("RV815", "explain samples", f"{asked.samples} samples show nothing", "give at least 1"))
    if asked.traces < 0:
        found.append(Diagnostic("RV816", "traces", f"{asked.traces} samples cannot be shown", "give 0 or more"))
    if program.source is None:
        text = "the program holds no float network, so that there is nothing to explain its spikes by"
        fix = "compile it from the float network with this version"
        found.append(Diagnostic("RV817", program.chip.name, text, fix))
    if asked.reference is not None and not _alike(asked.reference, program.chip):
        text = f"{asked.reference.name} has other layers, connections or shapes than {program.chip.name}"
        found.append(Diagnostic("RV818", "reference", text, "give a program compiled from the same network"))
    if found:
        raise RanvierError(found)


def _alike(reference: ChipNetwork, chip: ChipNetwork) -> bool:
    """Whether two chip networks have the same layers and connections."""
    layers = [{p.name: p.shape for p in network.populations} for network in (reference, chip)]
    links = [
        {(c.name, c.source, c.target, c.synapse.in_size, c.synapse.out_size) for c in network.connections}
        for network in (reference, chip)
    ]
    return layers[0] == layers[1] and links[0] == links[1]
