"""``load_onnx``: a spiking network exported to ONNX, to a float network."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.network import Coding, Network, Note, ReadoutKind
from ranvier.frontends.onnx.build import INPUT, Builder, Offsets
from ranvier.frontends.onnx.confirm import confirm
from ranvier.frontends.onnx.evaluate import evaluate
from ranvier.frontends.onnx.fit import Fitted, NotLifError, fit
from ranvier.frontends.onnx.graph import OnnxGraph, read_graph
from ranvier.frontends.onnx.junctions import separated
from ranvier.frontends.onnx.model import Array
from ranvier.frontends.onnx.populations import Describer, Frames, Population, UnsteadyError, chains
from ranvier.frontends.onnx.readout import choose
from ranvier.frontends.onnx.shown import COMPARES, Shown, shown_tensors
from ranvier.frontends.onnx.signal import Signal, concat, constant, of_atom
from ranvier.frontends.onnx.states import STEPS, pair_states
from ranvier.frontends.onnx.symbolic import Interpreter

LEAST = 3
ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "Clip", "Max")
UNREAD: Mapping[str, str] = {
    "sinabs.layers.alif.": "its threshold adapts to what it sends",
    "norse.torch.module.lif_refrac.": "a refractory counter, a state of its own, holds its membrane",
}
"""Neurons known by their classes alone, and why their arithmetic is not read out of a file."""
FAMILIES = ("snntorch.", "spikingjelly.", "norse.", "sinabs.", "rockpool.")


@dataclass(frozen=True, eq=False)
class Run:
    """A graph followed over time: its outputs, its input, and how to run it in numbers on (steps, *frame)."""

    outputs: Sequence[tuple[str, Signal]]
    frames: Sequence[Frames]
    original: Callable[[Frames, Array], Sequence[Array]]


def load_onnx(
    path: str | Path,
    *,
    states: Mapping[str, str] | None = None,
    coding: Coding | None = None,
    readout: ReadoutKind | None = None,
    name: str | None = None,
) -> Network:
    """Read the spiking network in the ONNX file at ``path``, written by ``torch.onnx.export(..., dynamo=True)``.

    The file may hold the loop over time unrolled, as Scan, or one step whose states are inputs and outputs; ``states``
    then says which output an input continues, where that cannot be seen. Dynamic axes are bound to one (a batch of one
    sample). Neurons are recognised by what they compute, so that a file stripped of its names is read as well; the
    names of torch modules become the names of layers where they are there (snnTorch's Alpha is known by them alone).
    States start at zero in a single step. Integrators and linear layers without a threshold are readouts.

    The network is the one that the torch module gives, but for what a file does not hold: a threshold whose spikes
    nobody takes is not exported, and an exponential that the exporter computes may differ from torch's in one bit.

    ``coding`` says what the frames are, 0/1 ``spikes`` or a ``current`` (the default); ``readout`` decides how the
    answer is read. Every import is run beside the file on random frames before it is returned.

    Raises ``RanvierError``: RV280 to RV284 for the file (see ``read_graph``), RV285 a network of activations without
    spikes, RV286 operations that are none of a spiking network, RV287 a step without its states, RV288 neurons that
    are no leaky integrate-and-fire ones, RV289 outputs, RV290 what was read is not what the file computes, RV291 the
    batch, RV292 the states, RV293 the frames.
    """
    graph = separated(_timed(path))
    _refuse_conventional(graph)
    _refuse_unread(graph)
    interpreter = Interpreter(graph.file)
    run = _single(graph, interpreter, states) if _has_states(graph, states) else _whole(graph, interpreter)
    populations = chains(interpreter.space, graph.file)
    _check(graph, populations)
    chosen = choose(interpreter.space, run.outputs, populations, readout, graph.file)
    frames, describer, fitted = _fitted(run, interpreter, populations)
    title = name or Path(path).stem
    notes = _notes(graph, frames, coding, len(populations[0].membranes))
    network = Builder(describer, interpreter, fitted, coding or "current").network(title, chosen, notes)
    if INPUT not in network.by_name:
        raise _no_frames(graph, "no input reaches the readout")

    def original(values: Array) -> Sequence[Array]:
        return run.original(frames, values)

    confirm(network, populations, interpreter.space, run.outputs, original, graph.file, _static(frames))
    return network


def _timed(path: str | Path) -> OnnxGraph:
    """The graph; a dynamic axis of time, which a Scan walks along, becomes a few steps long."""
    graph = read_graph(path)
    if any(n.op == "Scan" for n in graph.nodes) and graph.dynamic:
        for named in dict.fromkeys(graph.dynamic.values()):
            longer = _longer(path, named)
            if longer is not None:
                return longer
    return graph


def _longer(path: str | Path, named: str) -> OnnxGraph | None:
    """The graph with the axis ``named`` bound to a few steps, if a Scan then runs that many."""
    try:
        graph = read_graph(path, sizes={named: STEPS})
    except RanvierError:
        return None
    for node in (n for n in graph.nodes if n.op == "Scan"):
        frames = node.integer("num_scan_inputs", 1)
        axes = node.integers("scan_input_axes") or (0,) * frames
        lengths = [graph.shapes[i][a] for i, a in zip(node.inputs[-frames:], axes, strict=True)]
        if set(lengths) != {STEPS}:
            return None
    return graph


def _has_states(graph: OnnxGraph, states: Mapping[str, str] | None) -> bool:
    return bool(states) or len(graph.inputs) > 1


def _whole(graph: OnnxGraph, interpreter: Interpreter) -> Run:
    """All of time in one run of the graph."""
    (name, shape), *_ = graph.inputs.items() or [("", ())]
    if not name:
        raise _no_frames(graph, "the graph has no input")
    env: dict[str, Array | Signal] = {name: of_atom(interpreter.space.make("input", shape, name))}
    interpreter.run(graph, env, shown_tensors(graph))
    outputs = [(o, _as_signal(env[o])) for o in graph.outputs]
    axes = [a for a in range(len(shape)) if shape[a] > 1 or len(shape) == 1]
    frames = [Frames(shape, a) for a in axes] + [Frames(shape, None)]

    def original(held: Frames, values: Array) -> Sequence[Array]:
        if held.axis is None:
            whole = values[0].reshape(shape)
        else:
            rest = tuple(n for a, n in enumerate(shape) if a != held.axis)
            whole = np.moveaxis(values.reshape(len(values), *rest), 0, held.axis)
        found = evaluate(graph, {name: whole})
        return [found[o] for o in graph.outputs]

    return Run(outputs, frames, original)


def _single(graph: OnnxGraph, interpreter: Interpreter, given: Mapping[str, str] | None) -> Run:
    """One step, run a few times with its states passed on; they start at zero."""
    pairs = pair_states(graph, given)
    (name,) = (n for n in graph.inputs if n not in pairs)
    shape = graph.inputs[name]
    answers = Counter(graph.outputs) - Counter(pairs.values())
    shown = list(answers or dict.fromkeys(graph.outputs))
    held: dict[str, Array | Signal] = {n: constant(np.zeros(graph.inputs[n])) for n in pairs}
    collected: dict[str, list[Signal]] = {o: [] for o in shown}
    for t in range(STEPS):
        frame = interpreter.space.make("input", shape, str(t))
        env: dict[str, Array | Signal] = {name: of_atom(frame), **held}
        interpreter.run(graph, env, {o: Shown(i) for i, o in enumerate(answers)})
        held = {n: env[o] for n, o in pairs.items()}
        for o in shown:
            collected[o].append(_as_signal(env[o]))
    outputs = [(o, _stacked(signals)) for o, signals in collected.items()]

    def original(_held: Frames, values: Array) -> Sequence[Array]:
        state = {n: np.zeros(graph.inputs[n]) for n in pairs}
        found: dict[str, list[Array]] = {o: [] for o in shown}
        for value in values:
            env = evaluate(graph, {name: value.reshape(shape), **state})
            state = {n: env[o] for n, o in pairs.items()}
            for o in shown:
                found[o].append(env[o])
        return [np.stack(v) for v in found.values()]

    return Run(outputs, [Frames(shape, None, per_step=True)], original)


def _stacked(signals: Sequence[Signal]) -> Signal:
    return concat([s.moved(lambda a: a[None]) for s in signals], 0)


def _as_signal(value: Array | Signal) -> Signal:
    return value if isinstance(value, Signal) else constant(value)


def _refuse_conventional(graph: OnnxGraph) -> None:
    """A network of activations has nothing that compares a membrane with a threshold."""
    used = [node for node in graph.nodes if node.op in ACTIVATIONS]
    if used and not any(node.op in (*COMPARES, "Scan") for node in graph.nodes):
        raise error(
            "RV285",
            graph.file,
            f"it has no spiking neurons but {len(used)} activations ({used[0].op}), the first {used[0].place}.",
            "Turn it into a spiking network with ranvier.convert (calibrated on data), then compile that.",
            activations=len(used),
        )


def _refuse_unread(graph: OnnxGraph) -> None:
    """Neurons with states that the polynomials of a membrane do not tell, all at once."""
    found: dict[str, Diagnostic] = {}
    for node in graph.nodes:
        why = next((w for c, w in UNREAD.items() if len(node.classes) > 1 and node.classes[-2].startswith(c)), None)
        if why is not None:
            place = f"{node.scope[-2]} ({node.classes[-2]}) of {graph.file}"
            fix = "Give the torch module itself to ranvier.load, which knows this neuron."
            text = f"the neuron is none that can be read from ONNX: {why}."
            found.setdefault(place, Diagnostic("RV288", place, text, fix))
    if found:
        raise RanvierError(list(found.values()))


def _check(graph: OnnxGraph, populations: Sequence[Population]) -> None:
    """Refuse steps without states and batches of several samples."""
    neurons = sorted({c for n in graph.nodes for c in n.classes if c.startswith(FAMILIES) and ".layer." not in c})
    steps = {len(p.membranes) for p in populations}
    if not populations or max(steps) == 1:
        raise _stepless(graph, neurons)
    if len(steps) > 1 or min(steps) < LEAST:
        listed = ", ".join(f"{p.name} {len(p.membranes)}" for p in populations)
        raise error(
            "RV287",
            graph.file,
            f"the neurons run different numbers of steps, or too few to see their decays: {listed}.",
            f"Export a sequence of at least {LEAST} steps in which every neuron runs once a step.",
        )
    for p in populations:
        if len(p.membranes[0].shape) > 1 and p.membranes[0].shape[0] != 1:
            raise error(
                "RV291",
                f"{p.name} of {graph.file}",
                f"it was exported for a batch of {p.membranes[0].shape[0]} samples.",
                "Export with a batch of one sample, or with a dynamic batch axis (dynamic_shapes).",
                batch=p.membranes[0].shape[0],
            )


def _stepless(graph: OnnxGraph, neurons: Sequence[str]) -> RanvierError:
    fix = (
        "Pass the states through: export a module whose forward takes the states and returns the new ones, or one "
        "whose forward holds the loop over time (at least 3 steps). Or give the torch module itself to ranvier.load."
    )
    if neurons:
        text = (
            f"it holds a single step of {', '.join(neurons[:4])} without its states: torch computes this step from "
            "states of zero and leaves the decay out of the file, so the network cannot be read from it."
        )
        return error("RV287", graph.file, text, fix)
    text = "it holds no neuron that keeps a state from step to step: no threshold acts on a membrane in several steps."
    return error("RV287", graph.file, text, fix)


def _fitted(
    run: Run, interpreter: Interpreter, populations: Sequence[Population]
) -> tuple[Frames, Describer, dict[str, Fitted]]:
    """The neurons under the first way to see the input as frames that is the same in every step."""
    reason = "its axes fit no loop over time"
    steps = len(populations[0].membranes)
    for frames in (_unbatched(interpreter, f) for f in run.frames):
        if frames.axis is not None and frames.shape[frames.axis] != steps:
            continue
        describer = Describer(interpreter.space, frames, populations)
        try:
            return frames, describer, _all_fitted(interpreter, populations, describer)
        except UnsteadyError as problem:
            reason = str(problem)
    raise error(
        "RV293",
        interpreter.file,
        f"what enters the network cannot be read as one frame in each of {steps} steps: {reason}.",
        "Let the loop take frame t of the input in step t, or the same input in every step; give every neuron spikes, "
        "frames or layers of them.",
    )


def _unbatched(interpreter: Interpreter, frames: Frames) -> Frames:
    """A leading axis of one is the batch, unless a layer takes it as its channel."""
    rest = tuple(n for a, n in enumerate(frames.shape) if a != frames.axis)
    taken = {a.value.shape for a in interpreter.space.atoms if a.kind == "layer" and a.value is not None}
    return replace(frames, batched=len(rest) > 1 and rest[0] == 1 and rest not in taken)


def _all_fitted(interpreter: Interpreter, populations: Sequence[Population], describer: Describer) -> dict[str, Fitted]:
    found, problems = {}, []
    offsets = Offsets(describer, interpreter)
    for p in populations:
        try:
            found[p.name] = fit(interpreter.space, p, describer, offsets)
        except NotLifError as problem:
            kind = f" ({p.classes[-2]})" if len(p.classes) > 1 else ""
            problems.append(
                Diagnostic(
                    "RV288",
                    f"{p.name}{kind} of {interpreter.file}",
                    f"the neuron is no leaky integrate-and-fire neuron that can be read: {problem}.",
                    "Give the torch module itself to ranvier.load, or use another neuron.",
                )
            )
    if problems:
        raise RanvierError(problems)
    return found


def _static(frames: Frames) -> bool:
    return frames.axis is None and not frames.per_step


def _no_frames(graph: OnnxGraph, why: str) -> RanvierError:
    return error("RV293", graph.file, f"{why}.", "Export a network whose input reaches its output.")


def _notes(graph: OnnxGraph, frames: Frames, coding: Coding | None, steps: int) -> tuple[Note, ...]:
    found = []
    if coding is None:
        found.append(Note("RV294", INPUT, "input coding 'current': an ONNX file does not say what its frames are"))
    if _static(frames):
        found.append(
            Note("RV295", INPUT, f"the file shows one frame in all {steps} steps; the network takes one per step")
        )
    if graph.dynamic:
        names = ", ".join(sorted(set(graph.dynamic.values())))
        found.append(Note("RV296", graph.file, f"dynamic axes {names}: read for a batch of one sample"))
    return tuple(found)
