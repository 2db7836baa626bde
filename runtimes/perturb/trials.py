"""Trials: one network on many chips of a kind, weaker and stronger noise, now and later, each effect alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.runtimes import simulator
from ranvier.runtimes.perturb.device import Device
from ranvier.runtimes.perturb.draws import Key
from ranvier.runtimes.perturb.load import load_device
from ranvier.runtimes.perturb.network import AFTER_S, perturbed
from ranvier.runtimes.perturb.reading import Ranges, largest_sums, run
from ranvier.runtimes.perturb.results import Curve, Point, Robustness, point
from ranvier.runtimes.perturb.strength import ALONE, FULL, Strength
from ranvier.runtimes.recording import check_inputs
from ranvier.runtimes.verify.labels import check_labels
from ranvier.runtimes.verify.statistics import wilson

Values = NDArray[Any]
Progress = Callable[[str, int, int], None]

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
TIMES = (("1 hour", 3600.0), ("1 day", 86400.0), ("30 days", 30 * 86400.0), ("1 year", 365.25 * 86400.0))
TRIALS = 20
MOST_TRIALS = 100_000
BATCH_BYTES = 2**28


@dataclass(frozen=True)
class Perturbing:
    """Chips of ``device`` (a shipped name or a file's path): ``trials`` of them made with ``seed``, at ``after_s``."""

    device: str | Path
    trials: int = TRIALS
    seed: int = 0
    after_s: float = AFTER_S


def robustness(
    chip: ChipNetwork, inputs: Values, given: ArrayLike | None, asked: Perturbing, progress: Progress | None = None
) -> Robustness:
    """How ``chip`` answers ``inputs`` (samples, steps, *shape) on chips that are not ideal; ``given`` are labels.

    The chips of a curve's points are the same (the same seed and trial draw the same numbers), so that points differ by
    what the axis says alone. Raises ``RanvierError`` RV550 to RV553 for the device, the time and the seed, RV554 for a
    number of trials that means nothing.
    """
    device = load_device(asked.device)
    check_inputs(inputs, chip)
    labels = None if given is None else check_labels(given, chip, len(inputs))
    if not 1 <= asked.trials <= MOST_TRIALS:
        text = f"{asked.trials} trials; from 1 to {MOST_TRIALS} are possible"
        raise RanvierError(Diagnostic("RV554", "trials", text, "20 show the mean, 50 the spread"))
    start = asked.after_s
    plain = np.concatenate([simulator.run(chip, inputs[part]).predictions for part in _batches(chip, inputs)])
    bench = _Bench(chip, inputs, labels, device, asked, plain, _ranges(chip, inputs, device), progress or _silent)
    right = None if labels is None else int((plain == labels).sum())
    noise = bench.curve(
        "noise", "strength of all effects", "times", [(f"{f:g}", f, FULL.times(f), start) for f in FACTORS]
    )
    effects = [(name, 0.0, strength, start) for name, strength in ALONE.items() if _has(device, name)]
    curves = [noise]
    if _ages(device):
        curves.append(bench.curve("time", "time since writing", "s", [(n, t, FULL, t) for n, t in _times(device)]))
    curves.append(bench.curve("effects", "effect alone", "", effects))
    return Robustness(
        device.name,
        asked.seed,
        asked.trials,
        len(inputs),
        start,
        None if right is None else right / len(inputs),
        None if right is None else wilson(right, len(inputs)),
        tuple(curves),
        tuple(f"{name}: {s.cite} ({s.basis}, {s.conf})" for name, s in device.sources.items()),
    )


@dataclass(frozen=True, eq=False)
class _Bench:
    """One network, its data and its device, on which points are measured."""

    chip: ChipNetwork
    inputs: Values
    labels: NDArray[np.int64] | None
    device: Device
    asked: Perturbing
    plain: NDArray[np.int64]
    ranges: Ranges
    progress: Progress
    known: dict[tuple[Strength, float], list[NDArray[np.int64]]] = field(default_factory=dict)

    def curve(self, name: str, axis: str, unit: str, wanted: list[tuple[str, float, Strength, float]]) -> Curve:
        """The curve of points (label, x, strength, time)."""
        found = []
        for number, (label, x, strength, after) in enumerate(wanted):
            found.append(self._point(label, x, strength, after))
            self.progress(f"{self.device.name}: {name}", number + 1, len(wanted))
        return Curve(name, axis, unit, tuple(found))

    def _point(self, label: str, x: float, strength: Strength, after: float) -> Point:
        if (strength, after) not in self.known:
            keys = [Key(self.asked.seed, trial) for trial in range(self.asked.trials)]
            self.known[strength, after] = [self._answers(key, strength, after) for key in keys]
        answers = self.known[strength, after]
        same = np.array([np.mean(a == self.plain) for a in answers])
        right = None if self.labels is None else np.array([np.mean(a == self.labels) for a in answers])
        return point(label, x, right, same)

    def _answers(self, key: Key, strength: Strength, after: float) -> NDArray[np.int64]:
        made = perturbed(self.chip, self.device, key, strength, after)
        if not made.by_step:
            return simulator.run(made.network, self.inputs).predictions
        parts = _batches(self.chip, self.inputs)
        return np.concatenate([run(made, self.inputs[p], (), self.ranges, p.start).predictions for p in parts])


def _silent(_what: str, _done: int, _total: int) -> None:
    pass


def _ranges(chip: ChipNetwork, inputs: Values, device: Device) -> Ranges:
    """What the converters of ``device`` are set to: the largest sums of the unperturbed network on these data."""
    if device.converter is None:
        return {}
    seen = [largest_sums(chip, inputs[part]) for part in _batches(chip, inputs)]
    return {name: max(ranges[name] for ranges in seen) for name in seen[0]}


def _batches(chip: ChipNetwork, inputs: Values) -> Iterator[slice]:
    """Ranges of samples whose frames, and what the oracle holds of a step, fit into memory."""
    neurons = sum(p.size for p in chip.populations)
    each = 8 * (2 * int(np.prod(inputs.shape[1:])) + 16 * neurons)
    batch = max(1, BATCH_BYTES // each)
    for start in range(0, len(inputs), batch):
        yield slice(start, min(start + batch, len(inputs)))


def _times(device: Device) -> list[tuple[str, float]]:
    """Times that show how ``device`` ages, from the first for which its drift is known."""
    first = 1.0 if device.drift.t0_s is None else device.drift.t0_s.v
    return [(f"{first:g} s", first), *((label, seconds) for label, seconds in TIMES if seconds > first)]


def _ages(device: Device) -> bool:
    """Whether the time since writing makes a difference."""
    return device.drift.law != "none" or len(device.spread) > 1


def _has(device: Device, effect: str) -> bool:
    return {
        "write noise": bool(device.spread),
        "read noise": device.read is not None,
        "drift": device.drift.law != "none",
        "stuck cells": device.stuck is not None,
        "levels": bool(device.levels.v),
        "converter": device.converter is not None,
    }[effect]
