"""How each population is written in the emitted project: its process and the arguments of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import IntArray, Shape
from ranvier.compiler.ir.chip import Population
from ranvier.runtimes.lava.plan import Neurons, bias_registers

Tensors = dict[str, NDArray[Any]]
MEMBRANE = "membrane"


@dataclass(frozen=True)
class LayerView:
    """A population as the templates need it; ``dv`` and ``bias``: literal or name of a tensor (stock only)."""

    name: str
    attribute: str
    shape: Shape
    latency: int
    process: str
    stock: bool
    states: Sequence[str]
    arguments: Sequence[tuple[str, str]]
    vectors: Sequence[str]
    dv: str = "0"
    bias: str = "0"

    @property
    def described(self) -> str:
        """The layer and its parameters that differ between neurons."""
        return f"{self.attribute}: {', '.join(self.vectors)}"


def layer_view(neurons: Neurons, generated: str, tensors: Tensors) -> LayerView:
    """``neurons`` for the templates; ``generated`` names its process unless it is a stock one."""
    population = neurons.population
    states = [state.name for state in population.program.states]
    vectors = [name for name, value in population.params.items() if value.ndim]
    arguments = [("shape", repr(population.shape))]
    common = (population.name, neurons.attribute, population.shape, population.latency)
    if not neurons.stock:
        arguments += [("latency", str(population.latency)), ("steps", "steps"), ("interval", "interval")]
        arguments += _values(neurons, {**population.params, **_starts(population)}, tensors)
        return LayerView(*common, generated, False, [*states, MEMBRANE], arguments, vectors)
    arguments += _values(neurons, _registers(population), tensors)
    arguments.append(("reset_interval", "interval"))
    arguments.append(("reset_offset", f"(1 + {population.latency}) % interval"))
    written = {key: _plain(neurons, key, population, tensors) for key in ("dv", "bias")}
    return LayerView(*common, "LIFReset", True, states, arguments, vectors, written["dv"], written["bias"])


def _registers(population: Population) -> dict[str, IntArray]:
    """The arguments of a stock LIF."""
    registers = bias_registers(population)
    assert registers is not None, "planned as stock without a bias that fits"
    mantissa, exponent = registers
    kept = {key: population.params[key] for key in ("du", "dv", "vth")}
    return {**kept, "bias_mant": mantissa, "bias_exp": exponent}


def _starts(population: Population) -> dict[str, IntArray]:
    return {f"{state}_start": value for state, value in population.initial.items() if np.any(value)}


def _values(neurons: Neurons, values: dict[str, IntArray], tensors: Tensors) -> list[tuple[str, str]]:
    """Each value as a literal, or as a tensor when it differs between the neurons."""
    written = []
    for key, value in values.items():
        if value.ndim == 0 or bool(np.all(value == value.flat[0])):
            written.append((key, str(int(value.flat[0]))))
        else:
            name = f"{neurons.attribute}.{key}"
            tensors[name] = value.reshape(neurons.population.shape)
            written.append((key, f'w["{name}"]'))
    return written


def _plain(neurons: Neurons, key: str, population: Population, tensors: Tensors) -> str:
    """A parameter as a literal, or the quoted name of its tensor."""
    value = population.params[key]
    if value.ndim == 0:
        return str(int(value))
    name = f"{neurons.attribute}.{key}"
    tensors[name] = value.reshape(neurons.population.shape)
    return f'"{name}"'
