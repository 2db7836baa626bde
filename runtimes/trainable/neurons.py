"""A population whose registers can be trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ranvier.compiler.ir.chip import Population
from ranvier.compiler.ir.programs import DECAY_UNITY, INPUT_SHIFT, STATE_MAX
from ranvier.runtimes.trainable.arithmetic import wrapped
from ranvier.runtimes.trainable.registers import REGISTERS, Register
from ranvier.runtimes.trainable.steps import Surrogate, Walk, block

REGISTER_BITS = 32
CURRENT, BIAS = "u", "bias"


class Cells(nn.Module):
    """The neurons of ``population``; ``trained`` names kinds of registers (threshold, decay, bias).

    Where a synaptic current starts at what makes good the bias behind it (``docs/architecture.md``, scales), that start
    moves against the bias, so that together they stay the constant in front of the current that they stand for.
    """

    def __init__(self, population: Population, trained: Sequence[str], slope: float) -> None:
        super().__init__()
        self.population = population
        self.level = _level(population)
        self.registers = nn.ModuleDict()
        self.fixed: dict[str, Tensor] = {}
        self.coupled = bool(np.any(population.initial.get(CURRENT, 0)))
        for name, values in population.params.items():
            value = torch.from_numpy(np.asarray(values, np.float64).copy())
            kind = REGISTERS.get(name)
            if kind is None or kind.name not in trained:
                self.fixed[name] = value
            else:
                self.registers[name] = Register(value, kind, self._unit(kind.name, value))
        self.walk = Walk.of(population.program, Surrogate(self.level, slope), list(self.registers))

    def _unit(self, kind: str, value: Tensor) -> float:
        if kind == "decay":
            return float(DECAY_UNITY)
        return max(float(value.abs().mean()), 1.0) if kind == "threshold" else self.level

    def parameters_now(self) -> dict[str, Tensor]:
        """All parameters of the step program, as integers."""
        return {**self.fixed, **{name: register() for name, register in self.registers.items()}}

    def start(self, samples: int, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The states before the first step, (samples, neurons), with the parameters of now."""
        shape = samples, self.population.size
        return {name: value.expand(shape) for name, value in self._initial(params).items()}

    def _initial(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {name: torch.from_numpy(np.array(v, np.float64)) for name, v in self.population.initial.items()}
        if self.coupled and BIAS in self.registers:
            before = torch.from_numpy(np.array(self.population.params[BIAS], np.float64))
            found[CURRENT] = (found[CURRENT] + before - params[BIAS]).clamp(-STATE_MAX, STATE_MAX)
        return found

    def advance(
        self, states: dict[str, Tensor], params: Mapping[str, Tensor], arriving: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Sent values and membranes, (samples, steps, neurons); ``states`` is brought forward.

        ``arriving`` are the contributions of the connections, each (samples, steps, neurons); ``params`` those of now.
        """
        updates, sent, membrane = block(self.walk, states, params, summed(arriving))
        states.update(updates)
        return sent, membrane

    def deployed(self) -> Population:
        """The population with the registers of now."""
        params = self.parameters_now()
        trained = {name: _integers(params[name]) for name in self.registers}
        initial = dict(self.population.initial)
        if self.coupled and BIAS in self.registers:
            initial[CURRENT] = _integers(self._initial(params)[CURRENT])
        return replace(self.population, params={**self.population.params, **trained}, initial=initial)


def summed(contributions: Sequence[Tensor]) -> Tensor:
    """The sum as the chip's register holds it."""
    total = contributions[0]
    for more in contributions[1:]:
        total = wrapped(total + more, REGISTER_BITS)
    return total


def _integers(value: Tensor) -> NDArray[np.int64]:
    return value.detach().numpy().astype(np.int64)


def _level(population: Population) -> float:
    """The mean threshold in membrane units; where there is none, one unit of the source."""
    params = population.params
    if "vth" in params:
        found = params["vth"].astype(np.float64) * 2**INPUT_SHIFT
    else:
        found = np.asarray(params.get("threshold", 0), np.float64)
    mean = float(np.abs(found).mean())
    return mean if mean > 0 else float(np.mean(population.scale * population.gain))
