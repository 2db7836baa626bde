"""Overflow, register by register: proved impossible for every input, refuted by an input, or open."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.overflow import Bound, overflows
from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.runtimes.counterexample import Effort, Suspect, Witness, search
from ranvier.runtimes.verify.overflow import register_name

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Proved:
    """No input can make the register overflow: what it is asked to hold stays within ``bound``."""

    bound: Bound
    status = "proved"

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"status": self.status, "bound": asdict(self.bound)}


@dataclass(frozen=True, eq=False)
class Refuted:
    """The register overflows: ``inputs`` (1, steps, *shape) make ``neuron`` of ``layer`` need ``value`` in ``step``.

    The oracle has run these inputs and reported the overflow there.
    """

    bound: Bound
    layer: str
    neuron: tuple[int, ...]
    step: int
    value: int
    inputs: NDArray[np.float64]
    status = "refuted"

    def to_json(self) -> dict[str, object]:
        """Plain values; of the inputs the number of steps."""
        return {
            "status": self.status,
            "bound": asdict(self.bound),
            "layer": self.layer,
            "neuron": list(self.neuron),
            "step": self.step,
            "value": self.value,
            "steps": int(self.inputs.shape[1]),
        }


@dataclass(frozen=True)
class Open:
    """Neither: the bound does not fit, and no input that was tried leaves the register.

    ``low`` and ``high`` are the extremes that the worst neuron reached in the search.
    """

    bound: Bound
    low: int
    high: int
    status = "open"

    @property
    def head_room(self) -> int:
        """How much further the operand could have gone before something was lost."""
        return min(self.bound.most - self.high, self.low - self.bound.least)

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "status": self.status,
            "bound": asdict(self.bound),
            "low": self.low,
            "high": self.high,
            "head_room": self.head_room,
        }


Verdict = Proved | Refuted | Open


@dataclass(frozen=True, eq=False)
class Proof:
    """The verdicts on all registers of a network, with the names of the registers beside them."""

    verdicts: tuple[Verdict, ...]
    registers: tuple[str, ...]

    @property
    def proved(self) -> bool:
        """Whether no input can make anything overflow."""
        return all(isinstance(verdict, Proved) for verdict in self.verdicts)

    @property
    def verdict(self) -> str:
        """One line that counts the verdicts."""
        left = len(self.verdicts) - len(self.refuted) - len(self.open)
        if self.proved:
            return f"overflow is impossible for every input: all {left} registers are proved"
        refuted, open_ones = len(self.refuted), len(self.open)
        return f"{left} registers proved, {refuted} refuted by an input that overflows, {open_ones} open"

    @property
    def refuted(self) -> tuple[Refuted, ...]:
        """The registers that some input makes overflow."""
        return tuple(verdict for verdict in self.verdicts if isinstance(verdict, Refuted))

    @property
    def open(self) -> tuple[Open, ...]:
        """The registers about which neither is known."""
        return tuple(verdict for verdict in self.verdicts if isinstance(verdict, Open))

    def to_json(self) -> list[dict[str, object]]:
        """The verdicts as plain values, each with its register."""
        return [
            {"register": register, **verdict.to_json()}
            for register, verdict in zip(self.registers, self.verdicts, strict=True)
        ]


def counterexamples(proof: Proof) -> NDArray[np.float64]:
    """(refuted registers, steps, *shape) the inputs that overflow, shorter ones followed by silence."""
    found = [refuted.inputs for refuted in proof.refuted]
    steps = max((inputs.shape[1] for inputs in found), default=0)
    shape = found[0].shape[2:] if found else ()
    padded = np.zeros((len(found), steps, *shape))
    for sample, inputs in zip(padded, found, strict=True):
        sample[: inputs.shape[1]] = inputs[0]
    return padded


def prove(chip: ChipNetwork, seconds: float = 20.0, seed: int = 0, progress: Progress | None = None) -> Proof:
    """Bound every register of ``chip`` for all inputs, and search for an input that overflows where no bound fits.

    The search takes about ``seconds`` at most, divided among the registers; ``progress(what, done, total)`` is called
    as it goes. The same seed tries the same inputs in the same order.
    """
    bounds = overflows(chip).bounds
    left = [bound for bound in bounds if not bound.proved]
    effort = Effort(seconds=seconds / max(1, len(left)), seed=seed)
    verdicts: list[Verdict] = []
    for done, bound in enumerate(bounds):
        verdicts.append(Proved(bound) if bound.proved else _searched(chip, bound, effort))
        if progress is not None:
            progress("searching", done + 1, len(bounds))
    return Proof(tuple(verdicts), tuple(register_name(chip, b.population, b.where) for b in bounds))


def _searched(chip: ChipNetwork, bound: Bound, effort: Effort) -> Refuted | Open:
    ends = tuple(end for end, out in ((1, bound.high > bound.most), (-1, bound.low < bound.least)) if out)
    suspect = Suspect(bound.population, bound.where, bound.neuron, bound.least, bound.most, ends)
    outcome = search(chip, suspect, effort)
    if outcome.witness is None:
        return Open(bound, outcome.low, outcome.high)
    return _refuted(chip, bound, outcome.witness)


def _refuted(chip: ChipNetwork, bound: Bound, witness: Witness) -> Refuted:
    population = chip.by_name[bound.population]
    assert isinstance(population, Population), bound
    neuron = tuple(int(i) for i in np.unravel_index(witness.neuron, population.shape))
    return Refuted(bound, bound.population, neuron, witness.step, witness.value, witness.inputs)
