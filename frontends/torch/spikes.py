"""The spikes that the user's own module gives, layer by layer, on whole data: what a verification starts from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ranvier.compiler.diagnostics import error
from ranvier.frontends.torch.adapters import Described
from ranvier.frontends.torch.capture import tensors
from ranvier.frontends.torch.confirm import sent
from ranvier.frontends.torch.isolate import private_copy, unwrap
from ranvier.frontends.torch.leaves import adapter
from ranvier.frontends.torch.load import Reading, as_sample, understood
from ranvier.frontends.torch.populations import Folded, Population
from ranvier.frontends.torch.readout import choose
from ranvier.frontends.torch.sequences import step_of

Array = NDArray[Any]


def recorded_spikes(module: nn.Module, inputs: Array, *, sample: Any, steps: int | None = None) -> dict[str, Array]:
    """Spikes (samples, steps, *shape) of the neurons in ``module`` on ``inputs`` (samples, steps, *shape), by layer.

    ``sample`` and ``steps`` are as ``load_torch`` takes them; layers have the names that it gives them. Neurons without
    spikes are left out; those that a layer shows late (SLAYER's blocks with delays) stand in the step in which they
    were sent. The module stays untouched. Raises ``RanvierError`` RV297 where it cannot run these data, and what
    ``load_torch`` raises.
    """
    tensor = as_sample(sample)
    reading, _, folded = understood(unwrap(module), tensor, steps)
    late = _lateness(folded)
    ran = inputs.shape[1] + max(late.values(), default=0)
    longer = np.concatenate([inputs, np.zeros_like(inputs[:, :1]).repeat(ran - inputs.shape[1], axis=1)], axis=1)
    twin = private_copy(unwrap(module))
    firing = {n: p for n, p in folded.populations.items() if p.events[0].kind == "neuron" and not p.described.silent}
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in firing}
    hooks = [_watched(twin, p, seen[name]) for name, p in firing.items()]
    try:
        with torch.no_grad():
            for frames in _calls(reading, torch.as_tensor(longer).to(tensor.dtype)):
                twin(frames)
    except Exception as problem:
        text = f"it fails on data of shape {list(inputs.shape)}: {type(problem).__name__}: {problem}"
        fix = "let forward take any number of samples and these steps, or verify without the module"
        raise error("RV297", type(module).__name__, text, fix) from problem
    finally:
        for hook in hooks:
            hook.remove()
    shown = {name: _stacked(twin, p, seen[name], ran) for name, p in firing.items()}
    return {name: _sent(shown[name], p, name in late)[:, : inputs.shape[1]] for name, p in firing.items()}


def _lateness(folded: Folded) -> dict[str, int]:
    """The populations that show their spikes late, with the most steps.

    Not the readout, which is late in the network too, unless it has a bias (see ``in_time``).
    """
    late = {n: int(np.max(p.described.late)) for n, p in folded.populations.items() if p.described.late is not None}
    if late:
        readout, _, steps = choose(folded, "spike_count")
        if steps and not np.any(getattr(folded.populations[readout.node].described.model, "bias", 0.0)):
            late.pop(readout.node)
    return late


def _sent(shown: Array, population: Population, undone: bool) -> Array:
    """(samples, steps, *shape) as sent, from what was shown late."""
    if not undone:
        return shown
    rows = sent(population.described, list(shown.reshape(*shown.shape[:2], -1).swapaxes(0, 1)))
    return np.stack(rows, axis=1).reshape(shown.shape)


def _watched(twin: nn.Module, population: Population, seen: list[torch.Tensor]) -> Any:
    """A hook that keeps the first result of every call of the population's module."""
    part = twin.get_submodule(population.events[0].name)
    return part.register_forward_hook(lambda _part, _given, out: seen.append(next(tensors(out)).detach().clone()))


def _calls(reading: Reading, inputs: torch.Tensor) -> Sequence[torch.Tensor]:
    """``inputs`` (samples, steps, ...) as the arguments of the calls that the module is made for."""
    if reading.merged:
        return [inputs.flatten(0, 1)]
    if reading.single:
        return list(inputs.unbind(1))
    if reading.time is not None:
        return [inputs.movedim((0, 1), (reading.batch, reading.time))]
    if not bool((inputs == inputs[:, :1]).all()):
        text = "forward shows one static frame in every step, and the data change from step to step"
        raise error("RV297", "the module", text, "give static data, or verify without the module")
    return [inputs[:, 0]]


def _stacked(twin: nn.Module, population: Population, seen: Sequence[torch.Tensor], steps: int) -> Array:
    part = twin.get_submodule(population.events[0].name)
    letters = adapter(part).sequence(part)
    rows = [step_of(seen[0], letters, steps, t) for t in range(steps)] if letters else seen
    shown = np.stack([_spikes(population.described, row) for row in rows], axis=1)
    if shown.shape[1] != steps:
        text = f"{population.name} runs {shown.shape[1]} steps on data of {steps} steps"
        raise error("RV297", population.name, text, f"give data of {shown.shape[1]} steps")
    return shown.reshape(*shown.shape[:2], *population.shape)


def _spikes(described: Described, row: torch.Tensor) -> Array:
    """Counts of spikes of amplitude one: (samples, neurons)."""
    flat: Array = row.reshape(row.shape[0], -1).double().numpy()
    if getattr(described.model, "max_spikes", 1) == 1:
        return np.not_equal(flat, 0.0).astype(np.float64)
    return np.asarray(np.round(flat / described.amplitude))
