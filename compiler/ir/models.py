"""From a neuron model to what executors run: its step program, parameters and initial state.

A new kind of neuron is one dataclass in ``neurons.py``, one step function in ``programs.py``, and one row here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.neurons import PARAMETERS, Lif, NeuronModel, RegisterLif
from ranvier.compiler.ir.programs import Features, chip_lif, features, float_lif
from ranvier.compiler.ir.steps import StepProgram

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Realised:
    """A program with the values of its parameters and initial states, shapes ``()`` or ``(neurons,)``."""

    program: StepProgram
    params: Mapping[str, Values]
    initial: Mapping[str, Values]


def realised(model: NeuronModel) -> Realised:
    """The program of ``model`` in the arithmetic of its source: float64, or integers for registers."""
    return REALISED[type(model)](model)


def _lif(model: Any) -> Realised:
    program = float_lif(features(model))
    values: dict[str, Values] = {name: getattr(model, name) for name in PARAMETERS}
    values["refractory"] = np.asarray(float(model.refractory))
    values["floor"] = np.asarray(0.0 if model.floor is None else model.floor)
    starts = {"v": model.initial}
    zero = np.zeros(())
    return Realised(
        program,
        {name: values[name] for name in program.params},
        {state.name: starts.get(state.name, zero) for state in program.states},
    )


def _registers(model: Any) -> Realised:
    program = chip_lif(Features())
    params = {name: getattr(model, name) for name in program.params}
    return Realised(program, params, {state.name: np.zeros((), np.int64) for state in program.states})


REALISED: Mapping[type, Callable[[Any], Realised]] = {Lif: _lif, RegisterLif: _registers}
