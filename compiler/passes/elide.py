"""Elide: layers whose states leak fully, so that nothing has to be kept from step to step."""

from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.compiler.ir.network import Note
from ranvier.compiler.ir.neuron_steps.arithmetic import DECAY_UNITY

FULL_LEAK = {"du": DECAY_UNITY - 1, "dv": DECAY_UNITY}
"""The decay registers of a current and a membrane that keep nothing; ``du`` carries the chip's hidden +1."""


@dataclass(frozen=True)
class Elide:
    """Current and membrane of the neurons in ``layers`` leak fully: ``i = x``, ``h = i + bias`` in every step.

    Exact where the layers leaked fully before; an approximation otherwise, which a note in the network says (RV852).
    """

    layers: tuple[str, ...]

    def __call__(self, chip: ChipNetwork) -> ChipNetwork:
        """``chip`` with these layers leaking fully; raises ``RanvierError`` RV850 or RV851 for what cannot."""
        found = [problem for name in self.layers for problem in _problems(chip, name)]
        if found:
            raise RanvierError(found)
        changed = {p.name: _leaking(p) for p in chip.populations if p.name in self.layers}
        notes = [
            Note("RV852", name, _text(p)) for p in chip.populations if (name := p.name) in changed and not _full(p)
        ]
        populations = tuple(changed.get(p.name, p) for p in chip.populations)
        return replace(chip, populations=populations, notes=(*chip.notes, *notes))


def can_leak(population: Population) -> bool:
    """Whether ``population`` has decay registers of a current and a membrane."""
    return set(FULL_LEAK) <= set(population.params)


def _leaking(population: Population) -> Population:
    registers = {name: np.array(value) for name, value in FULL_LEAK.items()}
    return replace(population, params={**population.params, **registers})


def _full(population: Population) -> bool:
    return all(bool(np.all(population.params[name] == value)) for name, value in FULL_LEAK.items())


def _text(population: Population) -> str:
    shares = (1.0 - (population.params[name].min() + extra) / DECAY_UNITY for name, extra in (("du", 1), ("dv", 0)))
    current, membrane = (f"{share:.3g}" for share in shares)
    return f"its states are dropped: it kept up to {current} of its current and {membrane} of its membrane in a step"


def _problems(chip: ChipNetwork, name: str) -> list[Diagnostic]:
    known = [p.name for p in chip.populations]
    if name not in known:
        text = f"{chip.name} has no layer of neurons with this name"
        return [Diagnostic("RV850", name, text, f"choose among {', '.join(known)}")]
    population = chip.populations[known.index(name)]
    if not can_leak(population):
        text = f"its neurons ({population.program.semantics}) have no decay registers of a current and a membrane"
        return [Diagnostic("RV851", name, text, "elide layers of leaky integrate-and-fire neurons")]
    return []
