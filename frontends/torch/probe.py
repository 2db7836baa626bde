"""What a neuron does, told from its spikes alone: the live module and its canonical form are asked the same questions.

``first`` is the smallest input that makes a neuron fire, found by bisection down to neighbouring floats; every other
question is that threshold after some history. With ``a = first / 8``, an impulse too weak to fire, and
``lost(history) = (first - threshold after history)`` in units of ``first``::

    response  8 lost(a), 8 lost(a, 0), 8 lost(a, 0, 0)    the impulse response: decays of membrane and current
    silent    steps after a spike in which nothing fires   refractory time
    left      lost(1.5 first, silent steps)                what the reset leaves behind, and when it acts
    floor     lost(-8 first)                               a lower bound of the membrane
    drift     lost(0, 0, ... 40 times)                     a rest that is not the start, a bias
    most      spikes for an input of 3.2 first             multi-spike
    at        whether the threshold itself fires           > or >=

Nothing is assumed of the module but that it is one neuron per feature, so that a framework whose dynamics
changed with its version is found out. Inhibition and adaptation stay unseen: the recorded run is replayed for them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.interpret import step as run_step
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.neurons import PARAMETERS, Lif
from ranvier.frontends.torch.adapters import Adapter
from ranvier.frontends.torch.isolate import forget, undisturbed
from ranvier.frontends.torch.populations import Population
from ranvier.frontends.torch.register import registered
from ranvier.frontends.torch.sequences import played

Array = NDArray[Any]
Run = Callable[[NDArray[np.float32]], Array]
"""Spike counts (steps, batch, neurons) for currents of the same shape, each run from a fresh state."""

WAYS, FEWEST_WAYS, WORK = 64, 4, 2**18
SMALL = 512
LARGEST = np.float32(1e6)
LONGEST = 20
REST = 40
CLOSE = 2e-4


@dataclass(frozen=True, eq=False)
class Probed:
    """The answers, one per neuron."""

    first: Array
    response: Array
    silent: Array
    left: Array
    floor: Array
    drift: Array
    most: Array
    at: Array


def probe(run: Run, width: int, late: bool, exact: Array) -> Probed:
    """Ask ``width`` neurons; ``late``: an input acts one step later; ``exact`` is what ``at`` is asked for."""
    asked = _Questions(run, width, int(late))
    first = asked.threshold([])
    weak, strong = (first / 8).astype(np.float32), (1.5 * first).astype(np.float32)
    zero = np.zeros(width, np.float32)
    response = np.stack([8 * asked.lost(first, [weak, *[zero] * n]) for n in range(3)])
    silent = asked.silent(strong, first)
    longest = int(np.max(silent[silent <= LONGEST], initial=0))
    return Probed(
        first,
        response,
        silent,
        asked.lost(first, [strong, *[zero] * longest]),
        asked.lost(first, [(-8 * first).astype(np.float32)]),
        asked.lost(first, [zero] * REST),
        asked.count(3.2 * first),
        asked.count(exact),
    )


@dataclass(frozen=True, eq=False)
class _Questions:
    run: Run
    width: int
    late: int

    def threshold(self, history: list[NDArray[np.float32]]) -> Array:
        """The smallest float32 that fires after ``history``; infinite where none does."""
        ways = int(np.clip(WORK // self.width, FEWEST_WAYS, WAYS))
        low = np.full(self.width, _place(-LARGEST), np.int64)
        high = np.full(self.width, _place(LARGEST), np.int64)
        while np.any(high - low > 1):
            steps = np.linspace(0.0, 1.0, ways + 2)[1:-1, None]
            places = np.clip(low + np.round((high - low) * steps).astype(np.int64), low, high)
            fires = self._last(history, _float(places)) > 0
            high = np.min(np.where(fires, places, high), axis=0)
            low = np.max(np.where(~fires & (places < high), places, low), axis=0)
        return np.where(high == _place(LARGEST), np.inf, _float(high).astype(np.float64))

    def lost(self, first: Array, history: list[NDArray[np.float32]]) -> Array:
        """What is missing from ``first`` after ``history``, in units of it."""
        with np.errstate(invalid="ignore"):
            found: Array = (first - self.threshold(history)) / first
        return found

    def silent(self, strong: NDArray[np.float32], first: Array) -> Array:
        """Steps after a spike in which even a very large input does not fire."""
        frames = np.zeros((LONGEST + 3, LONGEST + 1, self.width), np.float32)
        waits = np.arange(LONGEST + 1)
        frames[0] = strong
        frames[waits + 1, waits] = np.minimum(1e4 * np.abs(first), LARGEST)
        fires = self.run(frames)[waits + 1 + self.late, waits] > 0
        waited: Array = np.where(np.any(fires, axis=0), np.argmax(fires, axis=0), LONGEST + 1)
        return waited

    def count(self, x: Array) -> Array:
        """Spikes for one input."""
        found: Array = self._last([], x.astype(np.float32)[None])[0]
        return found

    def _last(self, history: list[NDArray[np.float32]], x: NDArray[np.float32]) -> Array:
        frames = np.zeros((len(history) + 1 + self.late, *x.shape), np.float32)
        for step, values in enumerate(history):
            frames[step] = values
        frames[len(history)] = x
        last: Array = self.run(frames)[-1]
        return last


def differences(module: nn.Module, rules: Adapter, population: Population) -> list[str]:
    """What the live ``module`` answers differently from its canonical form; empty where they agree or cannot be asked.

    Not asked are neurons coupled to each other, those that never fire, and classes made for one batch size.
    """
    described, model = population.described, population.described.model
    wired = described.recurrent or described.feedback or described.entry
    if not isinstance(model, Lif) or described.silent or wired or rules.sequence(module) == "N":
        return []
    if np.any(model.gain <= 0) or np.any(model.threshold <= model.initial):
        return []
    parameters = [described.amplitude, *(getattr(model, name) for name in PARAMETERS)]
    uniform = all(value.ndim == 0 for value in parameters) and not registered(type(module))
    small = size(population.shape) <= SMALL or not uniform
    shape = population.shape if small else (1,) * len(population.shape)
    width = size(shape)
    exact = np.broadcast_to((model.threshold - model.initial * model.keep_membrane) / model.gain, (width,))
    dtype = population.events[0].seen[0].dtype
    live, mine = (
        probe(run, width, model.late_current, exact)
        for run in (_module_run(module, rules, described.amplitude, (shape, dtype)), _model_run(model))
    )
    plain = np.all(model.gain == 1) and not np.any(model.drive) and not np.any(model.initial)
    names = [f.name for f in fields(Probed) if f.name != "at" or np.all(plain)]
    return [line for name in names for line in _told(name, getattr(live, name), getattr(mine, name))]


def _told(name: str, live: Array, mine: Array) -> list[str]:
    with np.errstate(invalid="ignore"):
        scale = np.abs(mine) if name == "first" else np.maximum(1.0, np.abs(mine))
        differs = (live != mine) & ~(np.abs(live - mine) <= CLOSE * scale) & ~(np.isnan(live) & np.isnan(mine))
    if not np.any(differs):
        return []
    where = tuple(np.argwhere(differs)[0])
    return [f"{name} is {float(live[where]):.6g}, expected {float(mine[where]):.6g}"]


def _module_run(module: nn.Module, rules: Adapter, amplitude: Array, frame: tuple[Shape, torch.dtype]) -> Run:
    shape, dtype = frame

    def run(frames: NDArray[np.float32]) -> Array:
        forget(module)
        with undisturbed(module):
            tensor = torch.from_numpy(frames).to(dtype).reshape(*frames.shape[:2], *shape)
            shown = played(module, rules, tensor)
        forget(module)
        counts: Array = np.round(shown.detach().double().numpy().reshape(frames.shape) / amplitude)
        return counts

    return run


def _model_run(model: Lif) -> Run:
    def run(frames: NDArray[np.float32]) -> Array:
        form = realised(model)
        states: Any = {name: np.broadcast_to(value, frames.shape[1:]) for name, value in form.initial.items()}
        counts = np.zeros(frames.shape)
        for step, current in enumerate(frames):
            result = run_step(form.program, states, form.params, current.astype(np.float64))
            counts[step], states = result.spikes, result.states
        return counts

    return run


def _place(value: np.float32) -> int:
    """Where a float32 stands among all of them."""
    bits = int(np.float32(value).view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def _float(places: NDArray[np.int64]) -> NDArray[np.float32]:
    magnitude = np.abs(places).astype(np.int32).view(np.float32)
    return np.where(places < 0, -magnitude, magnitude)
