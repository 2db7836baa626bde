"""The largest scale that a population's registers and weights allow."""

from collections.abc import Sequence

import numpy as np

from ranvier.compiler.ir.network import Neurons, Observed
from ranvier.compiler.ir.programs import STATE_MAX
from ranvier.compiler.passes.arrivals import UNIT, Arrival
from ranvier.compiler.passes.demands import demand
from ranvier.compiler.passes.scales import largest
from ranvier.targets.schema import Target

HEADROOM = 0.5
"""The share of a state's range that calibration data may use."""


def register_bound(target: Target, population: Neurons, seen: Observed | None) -> float:
    """The largest scale at which levels, bias and the states ``seen`` fit registers, with head-room for states."""
    wanted, registers = demand(population.model), target.neuron("loihi.cuba_lif")
    bias = largest(registers.bias_mant.high * 2**registers.bias_exp.high, [wanted.bias])
    bounds = [largest(STATE_MAX, wanted.states), bias]
    if seen is not None:
        bounds.append(largest(HEADROOM * STATE_MAX, [np.array([seen.peak_membrane, seen.peak_current])]))
    return min(bounds)


def weight_bound(arrivals: Sequence[Arrival]) -> float:
    """The largest scale at which no weight is clipped, without exponents; of the smallest if all have exponents."""
    full = [(UNIT * max(a.levels.high, -a.levels.low - a.levels.step) / a.peak, a) for a in arrivals if a.peak > 0]
    rigid = [scale for scale, a in full if not a.exponents]
    return min(rigid) if rigid else max((scale for scale, _ in full), default=UNIT)
