"""Narrow: states stored in fewer bits than the chip's registers have."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.compiler.ir.steps import Op, State, StepProgram

UNBOUNDED = 2**40
"""Beyond every state: what a state that is not narrowed is compared with."""


@dataclass(frozen=True)
class Narrow:
    """Each state saturates at its ``widths`` (by population and state, bits with sign) where it is stored.

    ``state' = min(max(new value, -2**(b-1)), 2**(b-1) - 1)``, and 0 for b = 0: then nothing is carried from one step
    to the next. ``dropped`` low bits d are then cleared, ``floor(state' / 2**d) * 2**d``, so that b - d bits are
    stored. Within a step everything is computed as before. States that ``widths`` does not name, or gives at least
    their register's width, do not saturate. The limits are parameters, so that populations with the same neuron still
    share a program.
    """

    widths: Mapping[str, Mapping[str, int]]
    dropped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __call__(self, chip: ChipNetwork) -> ChipNetwork:
        """``chip`` with its states narrowed."""
        populations = (self._population(p) if p.name in self.widths else p for p in chip.populations)
        return replace(chip, populations=tuple(populations))

    def _population(self, population: Population) -> Population:
        params, initial = dict(population.params), dict(population.initial)
        for state in population.program.states:
            low, high = _limits(state, self.widths[population.name].get(state.name, state.bits))
            unit = 1 << self.dropped.get(population.name, {}).get(state.name, 0)
            least, most, step = _parameters(state)
            params |= {least: np.array(low), most: np.array(high), step: np.array(unit)}
            initial[state.name] = np.clip(initial[state.name], low, high) // unit * unit
        return replace(population, program=_saturating(population.program), params=params, initial=initial)


def _saturating(program: StepProgram) -> StepProgram:
    """``program`` with limits, given as parameters, on every state that is stored."""
    ops, updates, values = list(program.ops), [], dict(program.updates)
    for state in program.states:
        least, most, step = _parameters(state)
        raised, limited, units, stored = (f"{state.name}_{part}" for part in ("raised", "limited", "units", "stored"))
        ops.append(Op(raised, "maximum", (values[state.name], least)))
        ops.append(Op(limited, "minimum", (raised, most)))
        ops.append(Op(units, "divide_floor", (limited, step)))
        ops.append(Op(stored, "mul", (units, step)))
        updates.append((state.name, stored))
    return replace(
        program,
        semantics=f"{program.semantics}.saturating",
        params=(*program.params, *(name for state in program.states for name in _parameters(state))),
        ops=tuple(ops),
        updates=tuple(updates),
    )


def _limits(state: State, bits: int) -> tuple[int, int]:
    if bits >= state.bits:
        return -UNBOUNDED, UNBOUNDED
    return (0, 0) if bits == 0 else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def _parameters(state: State) -> tuple[str, str, str]:
    return f"{state.name}_least", f"{state.name}_most", f"{state.name}_step"
