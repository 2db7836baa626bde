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
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.interpret import step as run_step
from ranvier.compiler.ir.linear import Conv, Dense, Linear, Pool, Reshape, Scale, Sparse
from ranvier.compiler.ir.network import Input, Network, Neurons
from ranvier.compiler.ir.neurons import PARAMETERS, Lif
from ranvier.compiler.ir.programs import features, float_lif
from ranvier.frontends.torch.isolate import forget, undisturbed
from ranvier.frontends.torch.populations import Population
from ranvier.frontends.torch.snntorch import Adapter

TOLERANCE = 1e-4
PROBE_STEPS = 48
PROBE_SEED = 7
Array = NDArray[np.float64]


@dataclass(eq=False)
class _Replay:
    """The network's linear part on recorded frames and spikes: (batch, size) float64 per node and step."""

    network: Network
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
        if isinstance(node, Neurons):
            return self.spikes[source][step]
        if (source, step) not in self.known:
            self.known[source, step] = apply(node, self.into(source, step))
        return self.known[source, step]


def confirm_network(
    network: Network,
    frames: Sequence[torch.Tensor],
    populations: Mapping[str, Population],
    inner: Mapping[str, tuple[str, ...]],
) -> None:
    """Every weighted input and every spike of the recording, computed again; ``frames`` (batch, ...) per step."""
    spikes = {name: [_unit(p, i) for i in range(len(p.events))] for name, p in populations.items()}
    replay = _Replay(network, [_rows(f) for f in frames], spikes)
    for neurons in network.populations:
        population = populations[neurons.name]
        currents = []
        for step, event in enumerate(population.events):
            seen = _rows(event.seen[0])
            mine = replay.into(neurons.name, step, inner[neurons.name])
            _same_input(neurons.name, step, mine, seen)
            recurrent = replay.into(neurons.name, step) - mine
            currents.append(seen + recurrent)
        assert isinstance(neurons.model, Lif)
        if not agree(neurons.model, currents, spikes[neurons.name]):
            raise _drift(neurons.name)


def _same_input(name: str, step: int, mine: Array, seen: Array) -> None:
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


def _drift(name: str) -> Exception:
    return error(
        "RV194",
        name,
        "the live module does not fire as its adapter says for this class and these options.",
        "Use snntorch 1.0: reset rules differ in other versions. A state changed between steps has the same effect.",
    )


def confirm_neuron(module: nn.Module, rules: Adapter, population: Population) -> None:
    """The live module and its canonical form on random, strong, negative and impulse input."""
    described, shape, dtype = population.described, population.shape, population.events[0].seen[0].dtype
    weight = float(np.max(np.abs(described.model.threshold))) or 1.0
    random = np.random.default_rng(PROBE_SEED)
    forget(module)
    states: dict[str, torch.Tensor] = {}
    if not getattr(module, "init_hidden", False):
        states = {state: torch.zeros(1, *shape, dtype=dtype) for state in rules.states}
    currents, spikes = [], []
    last = np.zeros((1, size(shape)))
    gain = float(np.min(np.abs(described.model.gain)))
    with undisturbed(module):
        for step in range(PROBE_STEPS):
            drive = _drive(random, step, size(shape)) * weight / gain
            x = torch.from_numpy(drive).to(dtype).reshape(1, *shape)
            out = module(x, *states.values())
            results = out if isinstance(out, tuple) else (out,)
            states = {s: results[rules.outputs.index(s)] for s in states}
            extra = [apply(op, last) for op in (described.recurrent, described.feedback) if op is not None]
            currents.append(_rows(x) + sum(extra, np.zeros_like(last)))
            last = (_rows(results[0]) != 0).astype(np.float64)
            spikes.append(last)
    forget(module)
    if not agree(described.model, currents, spikes):
        raise _drift(population.name)


def _drive(random: np.random.Generator, step: int, width: int) -> Array:
    """Input in units of the threshold: weak, strong, an impulse and silence, negative."""
    phase = step // 12
    mean, spread = ((0.3, 0.4), (1.5, 1.5), (0.0, 0.0), (-0.5, 2.0))[min(phase, 3)]
    impulse = 2.6 if step == 24 else 0.0
    return random.normal(mean, spread, (1, width)) + impulse


def agree(model: Lif, currents: Sequence[Array], spikes: Sequence[Array]) -> bool:
    """Whether ``model`` driven by ``currents`` fires as ``spikes`` says, up to rounding at the firing level.

    A neuron is followed up to its first difference: after a benign one its reset differs as well.
    """
    program, params = float_lif(features(model)), _parameters(model)
    shape = currents[0].shape
    states: Any = {s.name: np.zeros(shape) for s in program.states}
    states["v"] = np.broadcast_to(model.initial, shape)
    followed = np.ones(shape, dtype=bool)
    scale = np.maximum(1.0, np.abs(model.threshold))
    for current, fired in zip(currents, spikes, strict=True):
        before = states["v"]
        result = run_step(program, states, params, current)
        size_here = TOLERANCE * np.maximum(scale, np.abs(result.membrane))
        near = np.abs(result.membrane - model.threshold) < size_here
        if model.late_guard:
            near |= np.abs(result.membrane - 2 * model.threshold) < size_here
            near |= np.abs(before - model.threshold) < size_here
        differs = (result.spikes.astype(np.float64) != fired) & followed
        if np.any(differs & ~near):
            return False
        followed &= ~differs
        states = result.states
    return True


def apply(op: Linear, x: Array) -> Array:
    """``op`` on rows (batch, inputs), in float64."""
    if isinstance(op, Reshape):
        return x
    if isinstance(op, Scale):
        return x * op.per_element(op.factor) + op.per_element(op.shift)
    if isinstance(op, Dense):
        return x @ op.weight.T + (0.0 if op.bias is None else op.bias)
    if isinstance(op, Sparse):
        rows = np.repeat(np.arange(size(op.out_shape)), np.diff(op.indptr))
        out = np.zeros((x.shape[0], size(op.out_shape)))
        np.add.at(out.T, rows, (x[:, op.indices] * op.data).T)
        return out
    return _windows(op, x)


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


def _parameters(model: Lif) -> dict[str, Any]:
    params: dict[str, Any] = {name: getattr(model, name) for name in PARAMETERS}
    return params | {"refractory": np.array(float(model.refractory)), "floor": np.array(model.floor or 0.0)}


def _unit(population: Population, step: int) -> Array:
    """Recorded spikes with amplitude one."""
    event = population.events[step]
    results = event.out if isinstance(event.out, tuple) else (event.out,)
    first = len(event.seen) - len(results)
    fired: Array = np.not_equal(_rows(event.seen[first]), 0.0).astype(np.float64)
    return fired


def _rows(tensor: torch.Tensor) -> Array:
    rows: Array = tensor.detach().reshape(tensor.shape[0], -1).double().numpy()
    return rows
