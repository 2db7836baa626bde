"""A population whose registers can be trained."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ranvier.compiler.ir.chip import Population
from ranvier.compiler.ir.programs import DECAY_UNITY, INPUT_SHIFT
from ranvier.runtimes.trainable.arithmetic import Surrogate, step, wrapped
from ranvier.runtimes.trainable.registers import REGISTERS, Register

REGISTER_BITS = 32


class Cells(nn.Module):
    """The neurons of ``population``; ``trained`` names kinds of registers (threshold, decay, bias).

    A bias behind a synaptic current stays as it is: the current's start belongs to it.
    """

    def __init__(self, population: Population, trained: Sequence[str], slope: float) -> None:
        super().__init__()
        self.population = population
        self.level = _level(population)
        self.surrogate = Surrogate(self.level, slope)
        self.registers = nn.ModuleDict()
        self.fixed: dict[str, Tensor] = {}
        coupled = any(np.any(start) for name, start in population.initial.items() if name != "v")
        for name, values in population.params.items():
            value = torch.from_numpy(np.asarray(values, np.float64).copy())
            kind = REGISTERS.get(name)
            if kind is None or kind.name not in trained or (kind.name == "bias" and coupled):
                self.fixed[name] = value
            else:
                self.registers[name] = Register(value, kind, self._unit(kind.name, value))

    def _unit(self, kind: str, value: Tensor) -> float:
        if kind == "decay":
            return float(DECAY_UNITY)
        return max(float(value.abs().mean()), 1.0) if kind == "threshold" else self.level

    def parameters_now(self) -> dict[str, Tensor]:
        """All parameters of the step program, as integers."""
        return {**self.fixed, **{name: register() for name, register in self.registers.items()}}

    def start(self, samples: int) -> dict[str, Tensor]:
        """The states before the first step, (samples, neurons)."""
        shape = samples, self.population.size
        initial = self.population.initial.items()
        return {name: torch.from_numpy(np.broadcast_to(v, shape).astype(np.float64)) for name, v in initial}

    def advance(self, states: dict[str, Tensor], arriving: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Sent values and membranes, step by step; ``states`` is brought forward.

        ``arriving`` are the contributions of the connections, each (samples, steps, neurons).
        """
        total = arriving[0]
        for more in arriving[1:]:
            total = wrapped(total + more, REGISTER_BITS)
        params = self.parameters_now()
        shape = total.shape[0], total.shape[2]
        for current in total.unbind(1):
            updates, sent, membrane = step(self.population.program, states, params, current, self.surrogate)
            states.update(updates)
            yield sent.expand(shape), membrane.expand(shape)

    def deployed(self) -> Population:
        """The population with the registers of now."""
        trained = {name: r().detach().numpy().astype(np.int64) for name, r in self.registers.items()}
        return replace(self.population, params={**self.population.params, **trained})


def _level(population: Population) -> float:
    """The mean threshold in membrane units; where there is none, one unit of the source."""
    params = population.params
    if "vth" in params:
        found = params["vth"].astype(np.float64) * 2**INPUT_SHIFT
    else:
        found = np.asarray(params.get("threshold", 0), np.float64)
    mean = float(np.abs(found).mean())
    return mean if mean > 0 else float(np.mean(population.scale * population.gain))
