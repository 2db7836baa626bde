"""Observe: what calibration data do in the float network, as the calibrate pass wants to know it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.network import Network, Observed
from ranvier.runtimes import simulator
from ranvier.runtimes.recording import Recording, check_inputs

MAX_LEVELS = 127
BATCH = 16


def observe(network: Network, inputs: NDArray[Any]) -> dict[str, Observed]:
    """Peaks and rates of every population and input of ``network`` on ``inputs`` (samples, steps, *shape).

    Raises ``RanvierError`` when the data do not fit the input.
    """
    check_inputs(inputs, network)
    found = {port.name: _input(inputs) for port in network.inputs}
    for start in range(0, inputs.shape[0], BATCH):
        part = simulator.run(network, inputs[start : start + BATCH], ("spikes", "membrane", "states"))
        weight = part.outputs.shape[0] / inputs.shape[0]
        for population in network.populations:
            found[population.name] = _joined(found.get(population.name), _peaks(part, population.name), weight)
    return found


def _peaks(part: Recording, name: str) -> Observed:
    current = np.abs(part.current[name]).max() if name in part.current else 0.0
    rate = float(np.count_nonzero(part.spikes[name]) / part.spikes[name].size)
    return Observed(float(current), float(np.abs(part.membrane[name]).max()), rate)


def _joined(earlier: Observed | None, new: Observed, weight: float) -> Observed:
    before = earlier or Observed(0.0, 0.0, 0.0)
    return Observed(
        max(before.peak_current, new.peak_current),
        max(before.peak_membrane, new.peak_membrane),
        before.rate + weight * new.rate,
    )


def _input(inputs: NDArray[Any]) -> Observed:
    peak = float(np.abs(inputs).max())
    rate = float(np.count_nonzero(inputs) / inputs.size)
    return Observed(peak, peak, rate, _levels(np.unique(inputs) / peak) if peak else 0)


def _levels(fractions: NDArray[Any]) -> int:
    for levels in range(1, MAX_LEVELS + 1):
        steps = fractions * levels
        if bool(np.all(np.abs(steps - np.rint(steps)) < 1e-6)):
            return levels
    return 0
