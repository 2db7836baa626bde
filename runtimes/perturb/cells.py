"""Cells: the conductances that stand for weights, as they were written, and what they are later.

A weight w of an array whose largest weight is W is a pair of cells with the relative conductances ``max(w, 0) / W`` and
``max(-w, 0) / W``; it is read as ``W`` times their difference. Each cell is written to the nearest of its levels, with
an error, or is stuck; it drifts; and it is read with noise. Noise slower than a step is drawn once for a run, what is
faster anew in every step (``reading.py``).
"""

from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.ir.arrays import FloatArray
from ranvier.runtimes.perturb.device import Device, LogLine, Read
from ranvier.runtimes.perturb.draws import Key
from ranvier.runtimes.perturb.strength import Strength

FAINTEST = 1e-7


@dataclass(frozen=True, eq=False)
class Cells:
    """The pairs of one array: ``written`` (2, weights), conductances after writing; ``fall`` (2, weights), the drift
    exponents, 0 where stuck; ``slow`` (2, weights), the part of the read noise that stays for a run, in standard
    deviations; ``unit``, the weight that a conductance of 1 stands for; ``nominal`` (2, weights), what was wanted.
    """

    device: Device
    strength: Strength
    nominal: FloatArray
    written: FloatArray
    fall: FloatArray
    slow: FloatArray
    unit: float
    start_s: float
    factor: float = 1.0

    def conductances(self, seconds: float) -> FloatArray:
        """(2, weights) at that time of the run, without what changes between steps."""
        drifted = self.written * self._left(self.start_s + seconds)
        read = self.device.read
        if read is None or read.t_read_s is None or not self.strength.read:
            return drifted
        noise = self.spread() * np.sqrt(self._slow_share()) * self.slow
        return np.asarray(np.maximum(drifted + noise, 0.0))

    def weights(self, seconds: float) -> FloatArray:
        """(weights,) as the array has them at that time of the run."""
        plus, minus = self.conductances(seconds)
        return np.asarray((plus - minus) * (self.unit * self.factor))

    def spread(self) -> FloatArray:
        """(2, weights) standard deviation of read noise, but for its root of time."""
        assert self.device.read is not None
        return _read_spread(self.device.read, self.written) * self._left(self.start_s) * self.strength.read

    def variance(self) -> FloatArray:
        """(weights,) variance of the noise that every step draws anew, in weights squared."""
        read = self.device.read
        if read is None or not self.strength.read:
            return np.zeros(self.written.shape[1])
        fast = 1.0 if read.t_read_s is None else _span(self.device.timing.step_s.v, read.t_read_s.v)
        return np.asarray((self.spread() ** 2).sum(axis=0) * (self.unit * self.factor) ** 2 * fast)

    def _slow_share(self) -> float:
        """How much of the noise is slower than a step, in units of ``spread`` squared."""
        read = self.device.read
        assert read is not None
        assert read.t_read_s is not None
        whole = _span(self.start_s, read.t_read_s.v)
        return max(0.0, whole - _span(self.device.timing.step_s.v, read.t_read_s.v))

    def _left(self, seconds: float) -> FloatArray:
        """What is left of the conductances after so long."""
        drift = self.device.drift
        if drift.law == "none" or not self.strength.drift:
            return np.ones(())
        if drift.law == "power":
            assert drift.t0_s is not None
            return np.asarray(max(seconds / drift.t0_s.v, 1.0) ** -self.fall)
        assert drift.tau_s is not None
        assert drift.kept is not None
        lost = (1.0 - drift.kept.v) * (1.0 - np.exp(-seconds / drift.tau_s.v))
        return np.asarray(np.where(self.fall > 0, 1.0 - min(self.strength.drift * lost, 1.0), 1.0))


def written(weights: FloatArray, layer: str, device: Device, strength: Strength, key: Key, after_s: float) -> Cells:
    """The cells that hold ``weights`` (any shape, flat here) of the array ``layer``, ``after_s`` after writing."""
    flat = weights.reshape(-1)
    unit = float(np.abs(flat).max(initial=0.0)) or 1.0
    wanted = np.stack([np.maximum(flat, 0.0), np.maximum(-flat, 0.0)]) / unit
    nominal = wanted
    if device.levels.v and strength.levels:
        wanted = np.rint(wanted * (device.levels.v - 1)) / (device.levels.v - 1)
    found = np.maximum(
        wanted + strength.spread * _deviation(device, wanted, after_s) * _normal(key, "write", layer, wanted), 0
    )
    fall = _fall(device, strength, wanted, _normal(key, "drift", layer, wanted))
    if device.stuck is not None and strength.stuck:
        chance = key.uniform("stuck", layer, wanted.size).reshape(wanted.shape)
        low, high = (min(share.v * strength.stuck, 1.0) for share in (device.stuck.low, device.stuck.high))
        found = np.where(chance < low, 0.0, np.where(chance >= 1.0 - high, 1.0, found))
        fall = np.where((chance < low) | (chance >= 1.0 - high), 0.0, fall)
    made = Cells(device, strength, nominal, found, fall, _normal(key, "slow", layer, wanted), unit, after_s)
    return replace(made, factor=_compensation(made))


def _normal(key: Key, effect: str, layer: str, like: FloatArray) -> FloatArray:
    return key.normal(effect, layer, like.size).reshape(like.shape)


def _deviation(device: Device, g: FloatArray, after_s: float) -> FloatArray:
    """Standard deviation of what is written, as measured last before ``after_s``."""
    known = [spread for spread in device.spread if spread.after_s.v <= after_s]
    if not known:
        return np.zeros_like(g)
    coefficients = known[-1].coefficients_us.v
    polynomial = sum((c * g**power for power, c in enumerate(coefficients)), np.zeros_like(g))
    return np.asarray(np.maximum(polynomial, 0.0) / device.g_max_us.v)


def _fall(device: Device, strength: Strength, g: FloatArray, drawn: FloatArray) -> FloatArray:
    drift = device.drift
    if drift.law != "power":
        return np.ones_like(g)
    assert drift.nu_mean is not None
    assert drift.nu_spread is not None
    return np.abs(_line(drift.nu_mean.v, g) + _line(drift.nu_spread.v, g) * drawn) * strength.drift


def _line(line: LogLine, g: FloatArray) -> FloatArray:
    return np.clip(line.slope * np.log(np.maximum(g, FAINTEST)) + line.offset, line.low, line.high)


def _read_spread(read: Read, g: FloatArray) -> FloatArray:
    wanted = read.coefficient.v * g ** (1.0 - read.exponent.v)
    return np.asarray(wanted if read.most is None else np.minimum(wanted, read.most.v * g))


def _span(seconds: float, t_read: float) -> float:
    """``ln((t + t_read) / (2 t_read))``, at least 0: the noise that a time t lets through."""
    return max(0.0, float(np.log((seconds + t_read) / (2.0 * t_read))))


def _compensation(cells: Cells) -> float:
    """The factor that brings the mean conductance back, where the device has it."""
    drift = cells.device.drift
    if drift.compensated is None or not drift.compensated.v or not cells.strength.drift:
        return 1.0
    total = float(np.sum(cells.written * cells._left(cells.start_s)))
    return float(np.sum(cells.written)) / total if total > 0 else 1.0
