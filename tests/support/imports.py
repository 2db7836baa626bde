"""Imported torch networks against the modules they come from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import ranvier
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.verify import check_network
from ranvier.runtimes.reference import run

ROUNDING = 2e-5
Array = NDArray[np.float64]


def stimulus(random: np.random.Generator, steps: int, batch: int, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    """(steps, batch, *shape): noise of either sign, then strong drive, an impulse in silence, and inhibition."""
    x = random.normal(0.25, 0.7, (steps, batch, *shape)) * scale
    third = steps // 3
    x[third : third + 4] += 2.5 * scale
    x[third + 6 : third + 14] = 0.0
    x[third + 7] = 3.0 * scale
    x[2 * third + 3 : 2 * third + 6] -= 2.0 * scale
    return torch.tensor(x, dtype=torch.float32)


def differences(net: Network, frames: torch.Tensor, shown: torch.Tensor) -> tuple[int, int]:
    """Neurons of a single population whose counts differ without, and with, the excuse of rounding.

    ``frames`` and what the module has ``shown`` are (steps, batch, ...). A neuron is followed up to its first
    difference, which may only be where the membrane is within rounding of a firing level.
    """
    (population,) = net.populations
    recording = run(net, frames.numpy().swapaxes(0, 1), record=("spikes", "membrane"))
    mine, membrane = (recorded[population.name] for recorded in (recording.spikes, recording.membrane))
    differs = mine != shown.detach().double().numpy().swapaxes(0, 1)
    first = (np.cumsum(differs, axis=1) == 1) & differs
    threshold: Any = population.model.threshold
    threshold = threshold.reshape(population.shape) if threshold.ndim else threshold
    level = np.maximum(np.round(membrane / threshold), 1) * threshold
    excused = np.abs(membrane - level) < ROUNDING * np.maximum(1.0, np.abs(membrane))
    return int(np.sum(first & ~excused)), int(np.sum(first & excused))


def counts_of(module: nn.Module, names: Sequence[str], x: torch.Tensor, batch: int, steps: int) -> dict[str, Array]:
    """What the neurons ``names`` of ``module`` send, (batch, steps, ...), from calls on steps or on sequences.

    A call's result whose first axes are (steps, batch) or (batch, steps) is a sequence; with ``batch * steps`` rows it
    is one with both merged; else it is a step.
    """
    found: dict[str, list[Any]] = {name: [] for name in names}
    parts = dict(nn.Module.named_modules(module))

    def note(name: str) -> Any:
        return lambda _m, _a, out: found[name].append(out.detach().double().numpy().copy())

    hooks = [parts[name].register_forward_hook(note(name)) for name in names]
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return {name: _sequence(calls, batch, steps) for name, calls in found.items()}


def _sequence(calls: list[Any], batch: int, steps: int) -> Array:
    if len(calls) == steps:
        return np.stack(calls, axis=1)
    (whole,) = calls
    if whole.shape[:2] == (steps, batch):
        return np.asarray(whole.swapaxes(0, 1))
    if whole.shape[:2] == (batch, steps):
        return np.asarray(whole)
    return np.asarray(whole.reshape(batch, steps, *whole.shape[1:]))


def free_running(net: Network, data: Array, expected: dict[str, Array]) -> None:
    """Every layer of the network, running on its own, sends what the module's layers have sent."""
    check_network(net, "imported")
    recording = run(net, data.astype(np.float64), record=("spikes",))
    for name, counts in expected.items():
        assert np.count_nonzero(recording.spikes[name] != counts) == 0, name
        assert 0.01 < np.mean(counts > 0) < 0.99, (name, np.mean(counts > 0))
    assert set(expected) == {n.name for n in net.nodes if isinstance(n, Neurons) and n.name in recording.spikes}


def deployed(net: Network, data: Array, least: float = 0.9) -> None:
    """The network compiled for loihi2 and verified; at least the share ``least`` of each layer's spikes is the same."""
    app = ranvier.compile(net, "loihi2", data)
    found = ranvier.verify(app, net, (data, None), ("simulator", "oracle"))
    assert found.agrees
    assert all(layer.fraction > least for layer in found.agreement.values())
