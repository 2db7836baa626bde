"""The captured network run against the recording, and each neuron against its live module.

Teacher-forced: every population gets what its module got, so that rounding cannot add up from layer to layer,
and a difference points at the layer where it arises. The recording is float32, the network float64: spikes may
differ only where the membrane is within rounding of the firing level.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.hosted import HostedNetwork, HostFunction
from ranvier.compiler.ir.interpret import step as run_step
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Linear, Pool, Reshape, Scale, Sparse
from ranvier.compiler.ir.matrix import linear_matrix
from ranvier.compiler.ir.models import Realised, realised
from ranvier.compiler.ir.network import Input, Network, Neurons
from ranvier.compiler.ir.neurons import AdaptiveLif, GradedLif, Lif, Quantizer, RegisterLif
from ranvier.frontends.torch.adapters import Adapter, Described
from ranvier.frontends.torch.capture import tensors
from ranvier.frontends.torch.isolate import forget, undisturbed
from ranvier.frontends.torch.populations import Population
from ranvier.frontends.torch.probe import differences
from ranvier.frontends.torch.sequences import played

TOLERANCE = 1e-4
UNIT = 64
"""Membrane units of an integer that arrives."""
PROBE_STEPS = 48
PROBE_SEED = 7
Array = NDArray[np.float64]
Floating = Lif | AdaptiveLif | GradedLif | Quantizer
"""Models whose parameters are real numbers."""


@dataclass(eq=False)
class Replay:
    """The network's linear part on recorded frames, spikes and values: (batch, size) float64 per node and step.

    What is constant, an input or what depends on it alone, has one frame for all steps.
    """

    network: Network | HostedNetwork
    frames: Sequence[Array]
    spikes: Mapping[str, Sequence[Array]]
    known: dict[tuple[str, int], Array] = field(default_factory=dict)

    def into(self, target: str, step: int, without: tuple[str, ...] = ()) -> Array:
        """The sum that arrives at ``target``."""
        edges = [e for e in self.network.into[target] if e.source not in without]
        node = self.network.by_name[target]
        width = size(node.shape) if isinstance(node, Neurons) else getattr(node, "in_size", 0)
        total = np.zeros((self.frames[0].shape[0], width))
        for edge in edges:
            if step >= edge.delay:
                total += self.out_of(edge.source, step - edge.delay)
        return total

    def out_of(self, source: str, step: int) -> Array:
        """What ``source`` sends."""
        node = self.network.by_name[source]
        if isinstance(node, Input):
            return self.frames[min(step, len(self.frames) - 1)]
        if source in self.spikes:
            shown = self.spikes[source]
            return np.nan_to_num(shown[min(step, len(shown) - 1)])
        if (source, step) not in self.known:
            assert not isinstance(node, HostFunction), "its values were recorded"
            arriving = self.into(source, step)
            self.known[source, step] = _relayed(node, arriving) if isinstance(node, Neurons) else apply(node, arriving)
        return self.known[source, step]


def confirm_network(
    network: Network | HostedNetwork,
    frames: Sequence[torch.Tensor],
    populations: Mapping[str, Population],
    inner: Mapping[str, tuple[str, ...]],
    values: Mapping[str, Sequence[Array]],
) -> Replay:
    """Every weighted input and every spike of the recording, computed again; ``frames`` (batch, ...) per step.

    ``values`` are what functions for the host have shown.
    """
    called = {name: p for name, p in populations.items() if p.events}
    spikes = {name: sent(p.described, [_unit(p, i) for i in range(len(p.events))]) for name, p in called.items()}
    replay = Replay(network, [_rows(f) for f in frames], spikes | dict(values))
    for neurons in network.populations:
        if neurons.name not in called:
            continue
        population = called[neurons.name]
        currents = []
        for step, event in enumerate(population.events):
            mine = replay.into(neurons.name, step, inner[neurons.name])
            seen = _entering(population.described, event.seen[0]) if event.kind == "neuron" else mine
            same_input(neurons.name, step, mine, seen)
            recurrent = replay.into(neurons.name, step) - mine
            currents.append(seen + recurrent)
        if not agrees(population.described, currents, spikes[neurons.name]):
            raise _drift(neurons.name)
    return replay


def _relayed(node: Neurons, arriving: Array) -> Array:
    """What neurons without memory send, which the frontend itself put in: they are no modules."""
    form = realised(node.model)
    return run_step(form.program, _begin(form, arriving.shape), form.params, arriving).spikes.astype(np.float64)


def same_input(name: str, step: int, mine: Array, seen: Array) -> None:
    """Raise RV225 unless ``mine`` is what was ``seen``, up to the rounding of float32."""
    worst = float(np.max(np.abs(mine - seen), initial=0.0))
    if worst > TOLERANCE * max(1.0, float(np.max(np.abs(seen), initial=0.0))):
        raise error(
            "RV225",
            name,
            f"in step {step} the captured network gives it an input that differs by {worst:.3g} from the module's.",
            "Something in forward could not be seen, such as a tensor changed in place through a view or values "
            "computed in Python: write it with plain layers and functions.",
            step=step,
            difference=worst,
        )


def _drift(name: str, told: Sequence[str] = ()) -> Exception:
    found = f" Its spikes tell: {'; '.join(told)}." if told else ""
    return error(
        "RV194",
        name,
        f"the live module does not fire as its adapter says for this class and these options.{found}",
        "Use the version of the framework that the adapter is written for (snnTorch 1.0, SpikingJelly 2.0, Norse 1.1, "
        "Sinabs 3.1, Rockpool 3.1, lava-dl 0.6). A state changed between steps has the same effect.",
    )


def confirm_neuron(module: nn.Module, rules: Adapter, population: Population) -> None:
    """The live module and its canonical form on random, strong, negative and impulse input."""
    described, shape, dtype = population.described, population.shape, population.events[0].seen[0].dtype
    entry = described.entry
    shape = shape if entry is None else tuple(population.events[0].seen[0].shape[1:])
    forget(module)
    drives = _drives(described, shape)
    frames = torch.from_numpy(drives).to(dtype).reshape(PROBE_STEPS, 1, *shape)
    with undisturbed(module):
        shown = played(module, rules, frames)
    forget(module)
    fired = sent(described, [_shown(described, row) for row in shown])
    currents, last = [], np.zeros((1, size(population.shape)))
    for x, now in zip(frames, fired, strict=True):
        extra = [apply(op, last) for op in (described.recurrent, described.feedback) if op is not None]
        currents.append(_entering(described, x) + sum(extra, np.zeros_like(last)))
        last = np.nan_to_num(now)
    told = differences(module, rules, population)
    if not agrees(described, currents, fired):
        raise _drift(population.name, told)
    if told:
        raise error(
            "RV265",
            population.name,
            f"asked by its spikes alone, the live module behaves differently from its adapter: {'; '.join(told)}.",
            "Use the version of the framework that the documentation names, or register your own class.",
        )


def _drives(described: Described, shape: Shape) -> Array:
    """What a neuron is asked with, (steps, 1, inputs); spikes where it gets spikes and answers in integers."""
    random, model = np.random.default_rng(PROBE_SEED), described.model
    if isinstance(model, RegisterLif) and described.entry is not None:
        rates = np.repeat([0.1, 0.9, 0.0, 0.5], PROBE_STEPS // 4)
        return (random.random((PROBE_STEPS, 1, size(shape))) < rates[:, None, None]).astype(np.float64)
    weight = 1.0 if described.silent else float(np.max(np.abs(model.threshold))) or 1.0
    if isinstance(model, Quantizer):
        weight *= 2.0 ** (model.message_bits - 1)
    if isinstance(model, RegisterLif):
        unit = UNIT / described.scale
        drives = [_drive(random, step, size(shape)) * weight / described.scale for step in range(PROBE_STEPS)]
        return np.rint(np.array(drives) / unit) * unit
    gain = float(np.min(np.abs(model.gain)))
    return np.array([_drive(random, step, size(shape)) * weight / gain for step in range(PROBE_STEPS)])


def _drive(random: np.random.Generator, step: int, width: int) -> Array:
    """Input in units of the threshold: weak, strong, an impulse and silence, negative."""
    phase = step // 12
    mean, spread = ((0.3, 0.4), (1.5, 1.5), (0.0, 0.0), (-0.5, 2.0))[min(phase, 3)]
    impulse = 2.6 if step == 24 else 0.0
    return random.normal(mean, spread, (1, width)) + impulse


def agrees(described: Described, currents: Sequence[Array], shown: Sequence[Array]) -> bool:
    """Whether the model driven by ``currents`` gives what the module has ``shown``: spikes, or its membrane."""
    if isinstance(described.model, RegisterLif):
        return _equal(described, currents, shown)
    if not described.silent:
        return agree(described.model, currents, shown)
    form = realised(described.model)
    states = _begin(form, currents[0].shape)
    for current, membrane in zip(currents, shown, strict=True):
        result = run_step(form.program, states, form.params, current)
        if np.any(np.abs(result.membrane - membrane) > TOLERANCE * np.maximum(1.0, np.abs(membrane))):
            return False
        states = result.states
    return True


def _equal(described: Described, currents: Sequence[Array], shown: Sequence[Array]) -> bool:
    """Whether registers driven by integers do exactly what the module has shown (not a number: not shown).

    A neuron is followed up to its first overflow: the module has wider registers.
    """
    form = realised(described.model)
    followed = np.ones(currents[0].shape, dtype=bool)
    states: Any = {n: np.broadcast_to(np.asarray(v, np.int64), currents[0].shape) for n, v in form.initial.items()}
    for current, seen in zip(currents, shown, strict=True):
        result = run_step(form.program, states, form.params, np.rint(current).astype(np.int64))
        mine = result.membrane / described.scale if described.silent else result.spikes
        for changed in result.overflows.values():
            followed &= ~changed
        if np.any((mine != seen) & ~np.isnan(seen) & followed):
            return False
        states = result.states
    return True


def _begin(form: Realised, shape: Shape) -> Any:
    return {name: np.broadcast_to(np.asarray(value, np.float64), shape) for name, value in form.initial.items()}


def agree(model: Floating, currents: Sequence[Array], spikes: Sequence[Array]) -> bool:
    """Whether ``model`` driven by ``currents`` fires as ``spikes`` says, up to rounding: at the firing level, of sizes.

    A neuron is followed up to its first difference: after a benign one its reset differs as well.
    """
    form = realised(model)
    states = _begin(form, currents[0].shape)
    followed = np.ones(currents[0].shape, dtype=bool)
    for current, fired in zip(currents, spikes, strict=True):
        result = run_step(form.program, states, form.params, current)
        near = _near(model, states, result.membrane)
        slack = TOLERANCE * np.maximum(1.0, np.abs(fired)) if isinstance(model, GradedLif | Quantizer) else 0.0
        slack = np.minimum(slack, model.step / 2) if isinstance(model, Quantizer) else slack
        differs = (np.abs(result.spikes - fired) > slack) & followed
        if np.any(differs & ~near):
            return False
        followed &= ~differs
        states = result.states
    return True


def _near(model: Floating, before: Any, membrane: Array) -> NDArray[np.bool_]:
    """Where a firing level is within rounding of ``membrane``; ``before`` are the states before the step."""
    within = TOLERANCE * np.maximum(np.maximum(1.0, np.abs(model.threshold)), np.abs(membrane))
    if isinstance(model, AdaptiveLif):
        level = model.threshold + before["z"] + before.get("r", 0.0)
        times = np.maximum(np.round(membrane / level), 1) if model.max_spikes != 1 else 1.0
        return np.asarray(np.abs(membrane - times * level) < within)
    if isinstance(model, GradedLif):
        return np.asarray(np.abs(membrane - model.threshold) < within)
    if isinstance(model, Quantizer):
        ties = np.floor(np.abs(membrane) / model.step) + 0.5
        return np.asarray(np.abs(np.abs(membrane) - ties * model.step) < np.minimum(within, model.step / 4))
    levels = np.maximum(np.round(membrane / model.threshold), 1) if model.max_spikes != 1 else 1.0
    near = np.abs(membrane - levels * model.threshold) < within
    if model.late_guard:
        near |= np.abs(membrane - 2 * model.threshold) < within
        near |= np.abs(before["v"] - model.threshold) < within
    return np.asarray(near)


def apply(op: Linear, x: Array) -> Array:
    """``op`` on rows (batch, inputs), in float64."""
    if isinstance(op, Reshape):
        return x
    if isinstance(op, Scale):
        return x * op.per_element(op.factor) + op.per_element(op.shift)
    if isinstance(op, Dense):
        return x @ op.weight.T + (0.0 if op.bias is None else op.bias)
    if isinstance(op, Sparse):
        return np.ascontiguousarray((linear_matrix(op) @ x.T).T)
    return _transposed(op, x) if isinstance(op, ConvTranspose) else _windows(op, x)


def _transposed(op: ConvTranspose, x: Array) -> Array:
    frames, weight = torch.from_numpy(x).reshape(-1, *op.in_shape), torch.from_numpy(op.weight.copy())
    bias = None if op.bias is None else torch.from_numpy(op.bias.copy())
    convolve: Any = functional.conv_transpose1d if len(op.kernel) == 1 else functional.conv_transpose2d
    out = convolve(frames, weight, bias, op.stride, op.padding, op.output_padding, op.groups, op.dilation)
    return cast("Array", out.reshape(x.shape[0], -1).numpy())


def _windows(op: Conv | Pool, x: Array) -> Array:
    frames = torch.from_numpy(x).reshape(-1, *op.in_shape)
    pads = [n for lo_hi in reversed(op.padding) for n in lo_hi]
    frames = functional.pad(frames, pads)
    if isinstance(op, Conv):
        weight, groups = torch.from_numpy(op.weight.copy()), op.groups
        bias = None if op.bias is None else torch.from_numpy(op.bias.copy())
    else:
        value = 1.0 if op.kind == "sum" else 1.0 / size(op.kernel)
        weight, bias = torch.full((op.in_shape[0], 1, *op.kernel), value, dtype=torch.float64), None
        groups = op.in_shape[0]
    convolve: Any = functional.conv1d if len(op.kernel) == 1 else functional.conv2d
    out = convolve(frames, weight, bias, stride=op.stride, dilation=op.dilation, groups=groups)
    return cast("Array", out.reshape(x.shape[0], -1).numpy())


def _unit(population: Population, step: int) -> Array:
    """Recorded spikes with amplitude one."""
    event = population.events[step]
    results = len(list(tensors(event.out)))
    return _shown(population.described, event.seen[len(event.seen) - results])


def sent(described: Described, shown: list[Array]) -> list[Array]:
    """What was sent in each step, from what was shown: not a number where that would have been shown after the end."""
    if described.late is None:
        return shown
    seen, width = np.stack(shown), shown[0].shape[1]
    late, sent = np.broadcast_to(described.late, (width,)), np.full(np.stack(shown).shape, np.nan)
    for delay in np.unique(late):
        mine = late == delay
        sent[: len(seen) - delay, :, mine] = seen[delay:, :, mine]
    return list(sent)


def _shown(described: Described, result: torch.Tensor) -> Array:
    """Rows of a module's first result: spikes with amplitude one, their sizes, or the membrane."""
    rows = _rows(result)
    if described.silent:
        return rows
    if isinstance(described.model, GradedLif | Quantizer):
        return rows / described.amplitude
    if getattr(described.model, "max_spikes", 1) == 1:
        return np.not_equal(rows, 0.0).astype(np.float64)
    counts: Array = np.round(rows / described.amplitude)
    return counts


def _entering(described: Described, x: torch.Tensor) -> Array:
    """Rows of what a module gets, behind the weights that it has inside."""
    if described.entry is not None:
        return apply(described.entry, _rows(x))
    return _rows(x) * (described.scale / UNIT if described.scale else 1.0)


def _rows(tensor: torch.Tensor) -> Array:
    rows: Array = tensor.detach().reshape(tensor.shape[0], -1).double().numpy()
    return rows
