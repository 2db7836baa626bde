"""The network that was read, run beside the graph itself on random frames: their outputs must be the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.interpret import step as run_step
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Input, Network, Neurons
from ranvier.compiler.ir.order import evaluation_order
from ranvier.frontends.onnx.model import Array
from ranvier.frontends.onnx.populations import Population
from ranvier.frontends.onnx.signal import Signal, Space

SCALES = (0.5, 2.0, 8.0)
NEAR = 1e-9
CLOSE = 1e-6
SEED = 11


@dataclass(frozen=True, eq=False)
class Played:
    """Spikes and membranes before reset, (steps, neurons) per population; ``margin``: least distance to a threshold."""

    spikes: Mapping[str, Array]
    membranes: Mapping[str, Array]
    margin: Array


def confirm(
    network: Network,
    populations: Sequence[Population],
    space: Space,
    outputs: Sequence[tuple[str, Signal]],
    original: Callable[[Array], Sequence[Array]],
    file: str,
    static: bool,
) -> None:
    """Compare on frames of three strengths; RV290 where an output differs that no rounding explains.

    ``static``: the graph shows one frame in every step. ``original`` runs the graph on (steps, *frame) and gives its
    outputs in the order of ``outputs``.
    """
    steps = len(populations[0].membranes)
    present = [p for p in populations if p.name in network.by_name]
    random = np.random.default_rng(SEED)
    for scale in SCALES:
        frames = scale * random.uniform(-0.5, 1.0, (steps, *network.inputs[0].shape))
        if static:
            frames = np.broadcast_to(frames[:1], frames.shape)
        played = play(network, frames.reshape(steps, -1))
        values = _values(space, present, played)
        for (name, signal), wanted in zip(outputs, original(frames), strict=True):
            mine = _evaluated(signal, values)
            if mine is None:
                continue
            worst = float(np.max(np.abs(mine - wanted), initial=0.0))
            limit = CLOSE * max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
            if not worst <= limit and float(np.min(played.margin, initial=np.inf)) > NEAR:
                raise error(
                    "RV290",
                    f"output {name} of {file}",
                    f"the network as it was read gives other values than the file on random frames, by {worst:.3g}: "
                    "something in the file was not understood.",
                    "Give the torch module itself, or use neurons of snnTorch, SpikingJelly, Norse or Sinabs only.",
                    difference=worst,
                )


def play(network: Network, frames: Array) -> Played:
    """The float network on (steps, inputs)."""
    steps = len(frames)
    order = evaluation_order(network)
    matrices = {op.name: (linear_matrix(op), linear_offset(op)) for op in network.linears}
    programs = {p.name: realised(p.model) for p in network.populations}
    states = {
        p.name: {k: np.broadcast_to(v, (1, size(p.shape))).astype(float) for k, v in programs[p.name].initial.items()}
        for p in network.populations
    }
    sent: list[dict[str, Array]] = []
    spikes = {p.name: np.zeros((steps, size(p.shape))) for p in network.populations}
    membranes = {p.name: np.zeros((steps, size(p.shape))) for p in network.populations}
    margin = np.full(steps, np.inf)
    for t in range(steps):
        sent.append({})
        for name in order:
            node = network.by_name[name]
            if isinstance(node, Input):
                sent[t][name] = frames[t]
                continue
            width = size(node.shape) if isinstance(node, Neurons) else node.in_size
            total = np.zeros(width)
            for edge in network.into[name]:
                total = total + sent[t - edge.delay][edge.source] if t >= edge.delay else total
            if isinstance(node, Neurons):
                made = programs[name]
                result = run_step(made.program, states[name], made.params, total[None])
                states[name] = {k: np.asarray(v, float) for k, v in result.states.items()}
                spikes[name][t] = np.asarray(result.spikes, float)[0]
                membranes[name][t] = np.asarray(result.membrane)[0]
                level = np.asarray(made.params["threshold"])
                margin[t] = min(margin[t], float(np.min(np.abs(membranes[name][t] - level))))
                sent[t][name] = spikes[name][t]
            else:
                matrix, offset = matrices[name]
                sent[t][name] = matrix @ total + offset
    return Played(spikes, membranes, margin)


def _values(space: Space, populations: Sequence[Population], played: Played) -> Array:
    """The value of every element of every atom; NaN where it is none of spikes and membranes."""
    last = space.atoms[-1]
    values = np.full(last.base + size(last.shape), np.nan)
    for p in populations:
        for t, (membrane, spikes) in enumerate(zip(p.membranes, p.spikes, strict=True)):
            n = size(membrane.shape)
            values[membrane.base : membrane.base + n] = played.membranes[p.name][t]
            values[spikes.base : spikes.base + n] = played.spikes[p.name][t]
    for atom in (a for a in space.atoms if a.kind == "maximum" and a.value is not None):
        inside = None if atom.value is None else _evaluated(atom.value, values)
        if inside is not None:
            values[atom.base : atom.base + size(atom.shape)] = inside.max(axis=0).ravel()
    return values


def _evaluated(signal: Signal, values: Array) -> Array | None:
    """The signal in numbers; None where it depends on more than spikes and membranes."""
    total = np.array(signal.constant, np.float64)
    for term in signal.terms:
        present = np.broadcast_to(term.coefficient, signal.shape) != 0
        product = np.where(present, term.coefficient, 0.0)
        for factor in term.factors:
            product = product * np.where(present, values[factor], 0.0)
        total = total + product
    return None if bool(np.isnan(total).any()) else total
