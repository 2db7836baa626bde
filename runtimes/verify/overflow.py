"""Overflow: which register wrapped or clipped, where first, how often, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic
from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, SUM_BITS, ChipNetwork, Population
from ranvier.compiler.ir.steps import INPUT, Op, StepProgram
from ranvier.runtimes.recording import OverflowEvent

WHOLE_SUM = "sum of all connections"
WRAPS = frozenset({"wrap", "wrap_once", "accumulator"})
WRAP_FIX = (
    "a wrapped value has the wrong sign: calibrate with data as active as these, "
    "scale the weights of the layer down, or let its current decay (du > -1)"
)
CLIP_FIX = "the value stayed at the register's end: calibrate with data as active, or scale the layer down"


@dataclass(frozen=True)
class Overflow:
    """A register of ``population`` that was too small ``count`` times, and the first time in sample order.

    ``register`` is a state, ``membrane``, the sum of a connection or of all of them; ``operation`` is what happened
    (``wrap``, ``wrap_once``, ``clip``, ``accumulator``) and ``bits`` the width that was too small.
    """

    population: str
    register: str
    operation: str
    bits: int
    count: int
    sample: int
    step: int
    neuron: tuple[int, ...]

    @property
    def wrapped(self) -> bool:
        """Whether the value changed its sign, rather than stopping at the end."""
        return self.operation in WRAPS

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "population": self.population,
            "register": self.register,
            "operation": self.operation,
            "bits": self.bits,
            "count": self.count,
            "sample": self.sample,
            "step": self.step,
            "neuron": list(self.neuron),
        }


def joined(earlier: Sequence[OverflowEvent], later: Iterable[OverflowEvent], offset: int) -> list[OverflowEvent]:
    """The events of two batches as one; sample 0 of ``later`` is sample ``offset`` of all."""
    found = {(e.population, e.where): e for e in earlier}
    for event in later:
        moved = replace(event, sample=event.sample + offset)
        first = found.setdefault((event.population, event.where), moved)
        if first is not moved:
            found[event.population, event.where] = replace(first, count=first.count + moved.count)
    return list(found.values())


def locate(chip: ChipNetwork, events: Iterable[OverflowEvent]) -> tuple[Overflow, ...]:
    """The events with their registers named, earliest first."""
    found = [_located(chip, event) for event in events]
    return tuple(sorted(found, key=lambda o: (o.sample, o.step, o.population, o.register)))


def diagnose(overflows: Sequence[Overflow]) -> tuple[Diagnostic, ...]:
    """One diagnostic for each population that overflowed: an error where a value wrapped, else a warning."""
    populations = dict.fromkeys(o.population for o in overflows)
    return tuple(_diagnosis([o for o in overflows if o.population == name]) for name in populations)


def register_name(chip: ChipNetwork, population: str, where: str) -> str:
    """The register that overflow events call ``where``: a state, the membrane, or a sum."""
    if where == INPUT:
        return WHOLE_SUM
    if any(connection.name == where for connection in chip.into[population]):
        return f"sum of {where}"
    neurons = chip.by_name[population]
    assert isinstance(neurons, Population), population
    return register_of(neurons.program, where)


def register_of(program: StepProgram, result: str) -> str:
    """The state, or the membrane, that the operation ``result`` reaches through the fewest operations."""
    homes = {program.membrane: "membrane"} | {value: state for state, value in program.updates}
    reached, seen = [result], {result}
    while reached:
        for name in reached:
            if name in homes:
                return homes[name]
        reached = [op.result for op in program.ops if op.result not in seen and reads(op, reached)]
        seen.update(reached)
    return result


def reads(op: Op, names: Sequence[str]) -> bool:
    """Whether ``op`` reads one of ``names``."""
    return any(arg in names for arg in op.args)


def _located(chip: ChipNetwork, event: OverflowEvent) -> Overflow:
    population = chip.by_name[event.population]
    assert isinstance(population, Population), event
    neuron = tuple(int(i) for i in np.unravel_index(event.neuron, population.shape))
    place = (event.count, event.sample, event.step, neuron)
    register = register_name(chip, event.population, event.where)
    if event.where == INPUT:
        return Overflow(event.population, register, "accumulator", SUM_BITS, *place)
    connection = next((c for c in chip.into[event.population] if c.name == event.where), None)
    if connection is not None:
        bits = ACCUMULATOR_BITS[connection.synapse.kind]
        return Overflow(event.population, register, "accumulator", bits, *place)
    op = next(op for op in population.program.ops if op.result == event.where)
    return Overflow(event.population, register, op.kind, _bits(op), *place)


def _bits(op: Op) -> int:
    """The width of the register, sign included, that ``op`` fits its value into."""
    limit = op.args[-1]
    assert isinstance(limit, int), op
    return limit.bit_length() + 1 if op.kind == "clip" else limit


def _diagnosis(overflows: Sequence[Overflow]) -> Diagnostic:
    first = overflows[0]
    wrapped = any(o.wrapped for o in overflows)
    total = sum(o.count for o in overflows)
    text = "; ".join(
        f"{o.register} {'wrapped' if o.wrapped else 'clipped'} at {o.bits} bits {o.count} times" for o in overflows
    )
    text += f"; first {first.register} in sample {first.sample}, step {first.step}, neuron {first.neuron}"
    return Diagnostic(
        "RV801",
        first.population,
        text,
        WRAP_FIX if wrapped else CLIP_FIX,
        "error" if wrapped else "warning",
        {
            "count": total,
            "register": first.register,
            "sample": first.sample,
            "step": first.step,
            "neuron": ",".join(map(str, first.neuron)),
            "wrapped": wrapped,
        },
    )
