"""What the graph returns, as a readout of one population."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.network import Readout, ReadoutKind
from ranvier.frontends.onnx.populations import Population
from ranvier.frontends.onnx.signal import Atom, Signal, Space

Outputs = Sequence[tuple[str, Signal]]
Owners = Mapping[int, tuple[Population, int, bool]]


@dataclass(frozen=True)
class Shown:
    """One output understood: spikes or membranes of a population, in which steps, stacked, added up or the largest."""

    population: str
    spikes: bool
    steps: tuple[int, ...]
    stacked: bool
    largest: bool = False


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
    if best.largest and len(best.steps) == last + 1:
        return Readout(best.population, "max_membrane")
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


def _shown(space: Space, signal: Signal, owners: Owners) -> Shown | None:
    """What ``signal`` shows of one population, every neuron in its place, every step alike; else None."""
    maximum = _maximum(space, signal)
    if maximum is not None and maximum.value is not None:
        inner = _shown(space, maximum.value, owners)
        whole = inner is not None and not inner.spikes and inner.stacked
        return replace(inner, stacked=False, largest=True) if inner is not None and whole else None
    found: list[tuple[Population, int, bool]] = []
    heights: set[float] = set()
    for term in signal.terms:
        coefficient = np.broadcast_to(term.coefficient, signal.shape).ravel()
        for atom, places in space.split(term.factors[0]):
            used = places[coefficient[places] != 0]
            if used.size == 0:
                continue
            owner = owners.get(atom.base)
            in_order = np.array_equal(term.factors[0].ravel()[used], atom.elements.ravel())
            if owner is None or len(term.factors) != 1 or not in_order:
                return None
            found.append(owner)
            heights |= set(np.unique(coefficient[used]).tolist())
    if len(heights) != 1 or min(heights) <= 0 or len({(o[0].name, o[2]) for o in found}) != 1:
        return None
    population, _, spikes = found[0]
    steps = tuple(sorted({o[1] for o in found}))
    return Shown(population.name, spikes, steps, size(signal.shape) > size(population.shape))


def _maximum(space: Space, signal: Signal) -> Atom | None:
    """The maximum that ``signal`` is, times a positive factor."""
    if len(signal.terms) != 1 or np.any(signal.constant) or np.any(signal.terms[0].coefficient <= 0):
        return None
    atom = space.exactly(signal.terms[0].factors[0])
    return atom if atom is not None and atom.kind == "maximum" else None


def _nothing(outputs: Outputs, file: str) -> RanvierError:
    names = ", ".join(name for name, _ in outputs[:6])
    return error(
        "RV289",
        f"the outputs of {file}",
        f"none of them ({names}) shows the spikes or the membranes of one population in all steps.",
        "End the network with spiking neurons and return their spikes, stacked, added up or averaged over time, or "
        "with an integrator or a linear layer and return its last value, or the sum or maximum over time.",
    )
