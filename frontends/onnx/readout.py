"""What the graph returns, as a readout of one population."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.network import Readout, ReadoutKind
from ranvier.frontends.onnx.populations import Population
from ranvier.frontends.onnx.signal import Atom, Signal, Space

Outputs = Sequence[tuple[str, Signal]]


@dataclass(frozen=True)
class Shown:
    """One output understood: spikes or membranes of a population, in which steps, stacked or added up."""

    population: str
    spikes: bool
    steps: tuple[int, ...]
    stacked: bool


def choose(
    space: Space, outputs: Outputs, populations: Sequence[Population], asked: ReadoutKind | None, file: str
) -> Readout:
    """The readout: spikes before membranes, the first output before the others; ``asked`` decides the kind."""
    owners: dict[int, tuple[Population, int, bool]] = {}
    for p in populations:
        for t, (m, s) in enumerate(zip(p.membranes, p.spikes, strict=True)):
            owners[m.base], owners[s.base] = (p, t, False), (p, t, True)
    shown = [x for _, signal in outputs if (x := _shown(space, signal, owners)) is not None]
    spiking = [x for x in shown if x.spikes and len(x.steps) == len(populations[0].membranes)]
    if not shown:
        raise _nothing(outputs, file)
    best = spiking[0] if spiking else shown[0]
    if asked is not None:
        return Readout(best.population, asked)
    if spiking:
        return Readout(best.population, "spike_count")
    last = len(populations[0].membranes) - 1
    if not best.spikes and best.steps == (last,):
        return Readout(best.population, "last_membrane")
    if not best.spikes and not best.stacked and len(best.steps) == last + 1:
        return Readout(best.population, "sum_membrane")
    raise error(
        "RV289",
        f"the outputs of {file}",
        f"they show {'spikes' if best.spikes else 'membranes'} of {best.population!r} in {len(best.steps)} steps of "
        f"{last + 1}: how the answer is read from them cannot be seen.",
        "Say readout='spike_count', 'last_membrane', 'max_membrane' or 'sum_membrane'.",
    )


def _shown(space: Space, signal: Signal, owners: dict[int, tuple[Population, int, bool]]) -> Shown | None:
    found: list[Atom] = []
    for term in signal.terms:
        if len(term.factors) != 1:
            return None
        present = np.broadcast_to(term.coefficient, signal.shape) != 0
        found += [a for a, _ in space.split(term.factors[0][present])]
    owned = [owners.get(a.base) for a in found]
    known = [o for o in owned if o is not None]
    if not known or len(known) != len(owned) or len({(o[0].name, o[2]) for o in known}) != 1:
        return None
    population, _, spikes = known[0]
    steps = tuple(sorted({o[1] for o in known}))
    return Shown(population.name, spikes, steps, size(signal.shape) > size(population.shape))


def _nothing(outputs: Outputs, file: str) -> RanvierError:
    names = ", ".join(name for name, _ in outputs[:6])
    return error(
        "RV289",
        f"the outputs of {file}",
        f"none of them ({names}) shows the spikes or the membranes of one population in all steps.",
        "End the network with spiking neurons and return their spikes, stacked, added up or averaged over time.",
    )
