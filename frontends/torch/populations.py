"""The populations found in a run, and the proof that their connections are the same in every step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.network import Note
from ranvier.frontends.torch.adapters import Described
from ranvier.frontends.torch.capture import Event
from ranvier.frontends.torch.values import Expr, leaves, matches

INPUT = "input"
FEW = 6


@dataclass(eq=False)
class Population:
    """A neuron module and its calls: ``inputs`` are the expressions of its weighted input, step by step.

    A layer that is read out has no calls of a neuron, and one expression, that of the last step.
    """

    name: str
    shape: Shape
    described: Described
    inputs: list[Expr] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Folded:
    """A run understood: ``outputs`` per call of the root module, with tensors replaced by their meanings."""

    populations: Mapping[str, Population]
    outputs: tuple[Any, ...]
    steps: int
    notes: tuple[Note, ...]


def count_steps(populations: Mapping[str, Population]) -> int:
    """How often every neuron is called; they must agree."""
    counts = {name: len(p.events) for name, p in populations.items()}
    steps = min(counts.values())
    if max(counts.values()) != steps:
        listed = ", ".join(f"{name} {count} times" for name, count in counts.items())
        raise error(
            "RV201",
            "the module",
            f"the neurons are not called equally often: {listed}.",
            "Call each neuron module once per step; a module used twice in a step needs a second one of its own.",
        )
    return steps


def check_steady(population: Population, steps: int) -> None:
    """Prove that what ``population`` receives depends on the step by a shift only."""
    last = population.inputs[-1]
    ahead = [leaf for leaf in leaves(last) if leaf.step is not None and leaf.step >= steps]
    if ahead:
        raise error(
            "RV204",
            str(population.events[-1].site),
            f"in step {steps - 1}, {population.name} receives input frame {ahead[0].step}.",
            "Use input frame t, or an earlier one, in step t.",
        )
    if any(leaf.step == 0 for leaf in leaves(last)) and steps > 1:
        raise error(
            "RV200",
            str(population.events[-1].site),
            f"in step {steps - 1}, {population.name} still receives what was sent in step 0: a filter written by "
            "hand, or a delay as long as the sample.",
            "Let a neuron class do the filtering (snntorch.Synaptic has a synaptic current), or give a longer sample.",
            steps=steps,
        )
    for step, expr in enumerate(population.inputs[:-1]):
        if not alike(expr, last, steps - 1 - step):
            raise error(
                "RV200",
                str(population.events[step].site),
                f"{population.name} is connected differently in different steps: in step {step} it receives "
                f"{_listed(expr, step)}, in step {steps - 1} {_listed(last, steps - 1)}.",
                "Let the same connections act in every step; what was sent before the first step counts as zero.",
                step=step,
            )


def alike(early: Expr, late: Expr, shift: int) -> bool:
    """Expressions that grow with every step, until they are too deep to compare, are not alike."""
    try:
        return matches(early, late, shift)
    except RecursionError:
        return False


def _listed(expr: Expr, step: int) -> str:
    found = []
    for leaf in leaves(expr)[:FEW]:
        age = 0 if leaf.step is None else step - leaf.step
        when = "of the same step" if age == 0 else f"of {age} steps before" if age > 0 else f"of {-age} steps ahead"
        found.append(f"{leaf.output} {'' if leaf.output == 'input' else f'of {leaf.source} '}{when}")
    return " and ".join(dict.fromkeys(found)) or "nothing"
