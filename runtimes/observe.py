"""Observe: what calibration data do in the float network, as fitting wants to know it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.moments import Calibration
from ranvier.compiler.ir.network import Network, Observed
from ranvier.runtimes import simulator
from ranvier.runtimes.moments import moments
from ranvier.runtimes.recording import Recording, check_inputs

MAX_LEVELS = 127
BATCH = 16
MAX_KEPT = 2**26
"""Numbers kept of what neurons send, before no more samples are."""


def observe(network: Network, inputs: NDArray[Any]) -> dict[str, Observed]:
    """Peaks and rates of every population and input of ``network`` on ``inputs`` (samples, steps, *shape).

    Raises ``RanvierError`` when the data do not fit the input.
    """
    return _observed(network, inputs, {}, [])


@dataclass(frozen=True, eq=False)
class Measured:
    """What calibration data do in a folded float network.

    ``observed``: peaks and rates over all samples. ``sent``: (samples, steps, size) what every input and population
    sends in as many of the first samples as memory likes, ``inputs`` those samples, ``outputs`` the readout's answer.
    """

    network: Network
    observed: Mapping[str, Observed]
    sent: Mapping[str, NDArray[np.float32]]
    inputs: NDArray[Any]
    outputs: NDArray[Any]

    def calibration(self, on_chip: Mapping[str, NDArray[np.float32]] | None = None) -> Calibration:
        """What fitting wants to know; ``on_chip``: what senders send once they are quantized, as ``sent``."""
        return Calibration(self.observed, moments(self.network, self.sent, on_chip or {}))


def measure(network: Network, inputs: NDArray[Any]) -> Measured:
    """Run the folded float ``network`` on ``inputs`` (samples, steps, *shape) and keep what fitting needs.

    Raises ``RanvierError`` when the data do not fit the input.
    """
    sent: dict[str, list[NDArray[np.float32]]] = {}
    outputs: list[NDArray[Any]] = []
    observed = _observed(network, inputs, sent, outputs)
    known = {name: np.concatenate(parts) for name, parts in sent.items()}
    samples = len(next(iter(known.values())))
    known |= {port.name: flat(inputs[:samples]) for port in network.inputs}
    return Measured(network, observed, known, inputs[:samples], np.concatenate(outputs)[:samples])


def calibrate(network: Network, inputs: NDArray[Any]) -> Calibration:
    """``measure`` as ``lower`` and ``build`` take it, for what the float senders send."""
    return measure(network, inputs).calibration()


def _observed(
    network: Network, inputs: NDArray[Any], sent: dict[str, list[NDArray[np.float32]]], outputs: list[NDArray[Any]]
) -> dict[str, Observed]:
    """Peaks and rates; what populations send in the first samples goes into ``sent``, the answers into ``outputs``."""
    check_inputs(inputs, network)
    found = {port.name: _input(inputs) for port in network.inputs}
    steps, neurons = inputs.shape[1], sum(size(p.shape) for p in network.populations)
    for start in range(0, inputs.shape[0], BATCH):
        part = simulator.run(network, inputs[start : start + BATCH], ("spikes", "membrane", "states"))
        weight = part.outputs.shape[0] / inputs.shape[0]
        outputs.append(part.outputs)
        for population in network.populations:
            name = population.name
            found[name] = _joined(found.get(name), _peaks(part, name), weight)
            if start * steps * neurons < MAX_KEPT:
                sent.setdefault(name, []).append(flat(part.spikes[name]))
    return found


def flat(values: NDArray[Any]) -> NDArray[np.float32]:
    """(samples, steps, size) of ``values`` (samples, steps, *shape)."""
    return np.asarray(values, np.float32).reshape(*values.shape[:2], -1)


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
