"""Observe: what calibration data do in the float network, as fitting wants to know it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.moments import Calibration
from ranvier.compiler.ir.network import Network, Observed
from ranvier.compiler.ir.neurons import Lif
from ranvier.runtimes import simulator
from ranvier.runtimes.moments import SHARPNESS, joint_moments, moments
from ranvier.runtimes.recording import Recording, check_inputs

MAX_LEVELS = 127
MAX_MARGIN = 1e4
BATCH = 16
MAX_KEPT = 2**26
"""Numbers kept of what neurons send, before no more samples are."""


def observe(network: Network, inputs: NDArray[Any]) -> dict[str, Observed]:
    """Peaks and rates of every population and input of ``network`` on ``inputs`` (samples, steps, *shape).

    Raises ``RanvierError`` when the data do not fit the input.
    """
    return _observed(network, inputs, None)


@dataclass(frozen=True, eq=False)
class Measured:
    """What calibration data do in a folded float network.

    ``observed``: peaks and rates over all samples. ``sent``: (samples, steps, size) what every input and population
    sends in as many of the first samples as memory likes, ``inputs`` those samples, ``outputs`` the readout's answer;
    ``margins`` likewise: how far membranes are from their thresholds before a reset, in thresholds.
    """

    network: Network
    observed: Mapping[str, Observed]
    sent: Mapping[str, NDArray[np.float32]]
    inputs: NDArray[Any]
    outputs: NDArray[Any]
    margins: Mapping[str, NDArray[np.float16]]

    def calibration(
        self, on_chip: Mapping[str, NDArray[np.float32]] | None = None, sharpness: float = SHARPNESS
    ) -> Calibration:
        """What fitting wants to know; ``on_chip``: what senders send once they are quantized, as ``sent``.

        ``sharpness``: how much more an error counts near the threshold (``runtimes.moments.moments``).
        """
        given = self.network, self.sent, on_chip or {}, self.margins, sharpness
        return Calibration(self.observed, moments(*given), joint_moments(*given))


def measure(network: Network, inputs: NDArray[Any]) -> Measured:
    """Run the folded float ``network`` on ``inputs`` (samples, steps, *shape) and keep what fitting needs.

    Raises ``RanvierError`` when the data do not fit the input.
    """
    kept = _Kept()
    observed = _observed(network, inputs, kept)
    known = {name: np.concatenate(parts) for name, parts in kept.sent.items()}
    samples = len(next(iter(known.values())))
    known |= {port.name: flat(inputs[:samples]) for port in network.inputs}
    margins = {name: np.concatenate(parts) for name, parts in kept.margins.items()}
    return Measured(network, observed, known, inputs[:samples], np.concatenate(kept.outputs)[:samples], margins)


def calibrate(network: Network, inputs: NDArray[Any]) -> Calibration:
    """``measure`` as ``lower`` and ``build`` take it, for what the float senders send."""
    return measure(network, inputs).calibration()


@dataclass
class _Kept:
    """What is kept of the first samples, batch by batch."""

    sent: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    margins: dict[str, list[NDArray[np.float16]]] = field(default_factory=dict)
    outputs: list[NDArray[Any]] = field(default_factory=list)

    def add(self, network: Network, part: Recording) -> None:
        """Keep what every population does in ``part``."""
        for population in network.populations:
            name = population.name
            self.sent.setdefault(name, []).append(flat(part.spikes[name]))
            if isinstance(population.model, Lif):
                self.margins.setdefault(name, []).append(_margins(population.model, flat(part.membrane[name])))


def _observed(network: Network, inputs: NDArray[Any], kept: _Kept | None) -> dict[str, Observed]:
    """Peaks and rates; what happens in the first samples goes into ``kept``, and all answers."""
    check_inputs(inputs, network)
    found = {port.name: _input(inputs) for port in network.inputs}
    steps, neurons = inputs.shape[1], sum(size(p.shape) for p in network.populations)
    for start in range(0, inputs.shape[0], BATCH):
        part = simulator.run(network, inputs[start : start + BATCH], ("spikes", "membrane", "states"))
        weight = part.outputs.shape[0] / inputs.shape[0]
        for population in network.populations:
            name = population.name
            found[name] = _joined(found.get(name), _peaks(part, name), weight)
        if kept is not None and start * steps * neurons < MAX_KEPT:
            kept.add(network, part)
            kept.outputs.append(part.outputs)
    return found


def _margins(model: Lif, membrane: NDArray[np.float32]) -> NDArray[np.float16]:
    """(membrane - threshold) / threshold; 0 where a neuron has no threshold: all its steps count alike."""
    level = np.broadcast_to(np.asarray(model.threshold, np.float32), membrane.shape[2:])
    usual = np.isfinite(level) & (level != 0)
    margins = np.where(usual, membrane / np.where(usual, level, 1.0) - 1.0, 0.0)
    return np.clip(margins, -MAX_MARGIN, MAX_MARGIN).astype(np.float16)


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
