"""The populations found in a run, and the proof that their connections are the same in every step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.network import Neurons, Note
from ranvier.frontends.torch.adapters import Described
from ranvier.frontends.torch.capture import Event, Site
from ranvier.frontends.torch.islands import Island, uneven
from ranvier.frontends.torch.values import Apply, Expr, Sum, leaves, matches

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

    @property
    def sites(self) -> list[Site]:
        """Where it was called, step by step."""
        return [event.site for event in self.events]


@dataclass(frozen=True, eq=False)
class Folded:
    """A run understood: ``outputs`` per call of the root module, with tensors replaced by their meanings."""

    populations: Mapping[str, Population]
    outputs: tuple[Any, ...]
    steps: int
    notes: tuple[Note, ...]
    islands: Mapping[str, Island] = field(default_factory=dict)


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


def check_islands(islands: Mapping[str, Island], steps: int) -> None:
    """Prove that functions for the host are called in every step (RV730), and that what they receive is the same."""
    for island in islands.values():
        if set(island.uses) not in ({None}, set(range(steps))):
            raise uneven(island.sites[-1], island.function.kind, f"has {len(island.uses)} calls for {steps} steps")
        check_steady(island, steps)


def check_steady(population: Population | Island, steps: int) -> None:
    """Prove that what ``population``, or a function for the host, receives depends on the step by a shift only."""
    last = population.inputs[-1]
    ahead = [leaf for leaf in leaves(last) if leaf.step is not None and leaf.step >= steps]
    if ahead:
        raise error(
            "RV204",
            str(population.sites[-1]),
            f"in step {steps - 1}, {population.name} receives input frame {ahead[0].step}.",
            "Use input frame t, or an earlier one, in step t.",
        )
    if any(leaf.step == 0 for leaf in leaves(last)) and steps > 1:
        raise error(
            "RV200",
            str(population.sites[-1]),
            f"in step {steps - 1}, {population.name} still receives what was sent in step 0: a filter written by "
            "hand, or a delay as long as the sample.",
            f"{_filtering(last)}, or give a longer sample.",
            steps=steps,
        )
    for step, expr in enumerate(population.inputs[:-1]):
        if not alike(expr, last, steps - 1 - step):
            raise error(
                "RV200",
                str(population.sites[step]),
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


def _filtering(expr: Expr) -> str:
    """What sums over time as a class of its own, of what is multiplied or of anything else."""
    todo = [expr]
    while todo:
        part = todo.pop()
        if isinstance(part, Apply) and isinstance(part.op, Neurons):
            return "Let ranvier.IncrementalMatMul sum a product of two spike trains over time"
        todo += part.terms if isinstance(part, Sum) else [part.arg] if isinstance(part, Apply) else []
    return "Let a neuron class do the filtering (snntorch.Synaptic has a synaptic current)"


def _listed(expr: Expr, step: int) -> str:
    found = []
    for leaf in leaves(expr)[:FEW]:
        age = 0 if leaf.step is None else step - leaf.step
        when = "of the same step" if age == 0 else f"of {age} steps before" if age > 0 else f"of {-age} steps ahead"
        found.append(f"{leaf.output} {'' if leaf.output == 'input' else f'of {leaf.source} '}{when}")
    return " and ".join(dict.fromkeys(found)) or "nothing"
