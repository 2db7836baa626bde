"""The recorded run interpreted: what each neuron receives in each step, and the proof that it is always the same."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.compose import selection
from ranvier.compiler.ir.network import Note
from ranvier.frontends.torch import hosting, layers, layout, leaves, pooling
from ranvier.frontends.torch.adapters import Adapter
from ranvier.frontends.torch.binary import binary, rescaled
from ranvier.frontends.torch.calls import Call
from ranvier.frontends.torch.capture import Event, Trace, short_name, tensors
from ranvier.frontends.torch.functions import HANDLERS
from ranvier.frontends.torch.gates import masked_fill
from ranvier.frontends.torch.handwritten import COMPARISONS, HandWritten, refuse_gates, unused_thresholds
from ranvier.frontends.torch.incremental import Incremental
from ranvier.frontends.torch.islands import Island, Islands
from ranvier.frontends.torch.leaves import adapter
from ranvier.frontends.torch.modules import IncrementalMatMul
from ranvier.frontends.torch.operations import Operations, chain
from ranvier.frontends.torch.populations import INPUT, Folded, Population, check_islands, check_steady, count_steps
from ranvier.frontends.torch.problems import mixes, not_linear
from ranvier.frontends.torch.sequences import axes_of, features_of, sequence_frames, split, steps_of_call
from ranvier.frontends.torch.values import Apply, Expr, Fixed, Leaf, Meaning, Opaque, Output, Value, add

SHOWN: Mapping[str, Output] = {"spk": "spikes", "mem": "membrane", "syn": "current"}
READS = frozenset({"item", "tolist", "numpy", "bool", "float", "int"})
FIRST_ARGUMENTS = ("input", "tensors", "self", "other")


def fold(trace: Trace, inputs: Sequence[Value], batch: int, host: bool = False, real: bool = False) -> Folded:
    """Interpret ``trace``, whose inputs mean ``inputs``; raises where the run is not the same in every step.

    ``host``: functions that no synapse computes become islands for it. ``real``: the input is real numbers.
    """
    found = Islands(frozenset(trace.modules)) if host else None
    reader = _Reader(trace, Operations(batch, islands=found, real=real))
    for tensor, meaning in zip(trace.inputs, inputs, strict=True):
        reader.meanings[id(tensor)] = meaning
    for event in trace.events:
        reader.read(event)
    outputs = tuple(reader.mapped(out) for out in trace.outputs)
    reader.add_hand_written(outputs)
    steps = count_steps(reader.populations)
    islands = _islands(reader, outputs, steps)
    for population in reader.populations.values():
        check_steady(population, steps)
    return Folded(reader.populations, outputs, steps, tuple(reader.notes.values()), islands)


def _islands(reader: "_Reader", outputs: tuple[Any, ...], steps: int) -> Mapping[str, Island]:
    """The islands that anything depends on; those that neurons depend on are proven to be the same in every step."""
    if reader.ops.islands is None:
        return {}
    received = [expr for population in reader.populations.values() for expr in population.inputs]
    check_islands(reader.ops.islands.needed(received), steps)
    shown = [frame for value in _meanings(outputs) if isinstance(value, Value) for frame in value.frames]
    return reader.ops.islands.needed([*received, *shown])


class _Reader:
    def __init__(self, trace: Trace, ops: Operations) -> None:
        self.trace = trace
        self.ops = ops
        self.meanings: dict[int, Meaning] = {}
        self.buffers: dict[int, tuple[int, dict[int, Value]]] = {}
        self.populations: dict[str, Population] = {}
        self.notes: dict[str, Note] = {}
        self.makers: dict[int, Event] = {}
        self.hand_written = HandWritten(ops, self.meanings, self.makers)
        self.incremental = Incremental(ops, self.populations, self.notes)

    def read(self, event: Event) -> None:
        """Give meanings to the results of ``event``."""
        if event.kind == "neuron":
            results = self._neuron(event)
        elif event.kind == "product":
            results = (self._guarded(lambda: self._product(event)),)
        elif event.kind == "layer":
            results = (self._guarded(lambda: self._layer(event)),)
        else:
            results = self._function(event)
        for i, tensor in enumerate(tensors(event.out)):
            known = i < len(results)
            self.meanings[id(tensor)] = results[i] if known else Opaque(not_linear(event.site, event.name))
            self.makers[id(tensor)] = event
            self.buffers.pop(id(tensor), None)

    def mapped(self, value: Any) -> Any:
        """``value`` with all tensors replaced by their meanings."""
        if isinstance(value, torch.Tensor):
            return self._meaning(value)
        if isinstance(value, (tuple, list)):
            items = [self.mapped(item) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        return {k: self.mapped(v) for k, v in value.items()} if isinstance(value, dict) else value

    def add_hand_written(self, outputs: tuple[Any, ...]) -> None:
        """Neurons without a class of their own, as far as anything depends on them."""
        returned = _meanings(outputs)
        shown = [e for value in returned if isinstance(value, Value) for e in value.frames]
        shown += [expr for population in self.populations.values() for expr in population.inputs]
        self.populations |= self.hand_written.populations(shown)
        if not self.populations:
            raise next((value.error for value in returned if isinstance(value, Opaque)), unused_thresholds())
        for population in self.populations.values():
            refuse_gates(population.inputs[-1])

    def _meaning(self, tensor: torch.Tensor) -> Meaning:
        if id(tensor) in self.buffers:
            axis, written = self.buffers[id(tensor)]
            if sorted(written) == list(range(tensor.shape[axis])):
                return layout.stack([written[i] for i in range(len(written))], axis, self.trace.events[-1].site)
        if id(tensor) in self.meanings:
            return self.meanings[id(tensor)]
        if id(tensor) in self.trace.known or tensor.numel() <= 1:
            return tensor
        return Opaque(
            error(
                "RV186",
                "the module",
                f"a tensor of shape {list(tensor.shape)} comes from code that cannot be seen, such as a custom "
                "autograd function of a hand-written neuron, or data made outside forward.",
                "Use a neuron class of snntorch, and keep constants as parameters or buffers of the module.",
            )
        )

    @staticmethod
    def _guarded(make: Callable[[], Meaning]) -> Meaning:
        try:
            return make()
        except RanvierError as problem:
            return Opaque(problem)

    def _layer(self, event: Event) -> Meaning:
        module, name = self.trace.modules[event.name], event.name or "layer"
        value = self._meaning(next(tensors((event.args, dict(event.kwargs)))))
        path = leaves.layer_path(module)
        if isinstance(value, Opaque) or type(module).__name__ in layers.ALIASES:
            return value
        if path in leaves.RESHAPES:
            if isinstance(value, torch.Tensor):
                return next(tensors(event.out))
            return layout.reshape(self.ops, value, tuple(next(tensors(event.out)).shape), name, event.site)
        if isinstance(value, torch.Tensor):
            shape = (module.in_features,) if isinstance(module, nn.Linear) else tuple(value.shape[1:])
            value = Value((Fixed(value, shape),), "B" + "F" * len(shape))
        behind = "T" if value.axes.endswith("FT") else ""
        lead = value.axes.removesuffix(behind).rstrip("F")
        if "F" in lead or not leaves.takes(module, lead, behind):
            raise mixes(event.site, f"{name} on a tensor with axes other than (batch, features)")
        factor = 1.0
        if path in pooling.LAYERS:
            value, factor = pooling.pooled_spikes(self.ops, value, name)
        known = pooling.LAYERS if path in pooling.LAYERS else {**layers.LAYERS, **leaves.OWN_LAYERS}
        made = self.ops.once((name, value.shape), lambda: known[path](module, name, value.shape))
        frames = tuple(chain(made, frame) for frame in value.frames)
        return rescaled(self.ops, Value(frames, lead + "F" * len(frames[0].shape) + behind), factor, name)

    def _product(self, event: Event) -> Meaning:
        """A product of two spike trains over time."""
        module = self.trace.modules[event.name]
        assert isinstance(module, IncrementalMatMul)
        operands = [self._meaning(tensor) for tensor in tensors((event.args, dict(event.kwargs)))]
        opaque = next((meaning for meaning in operands if isinstance(meaning, Opaque)), None)
        return opaque or self.incremental.read(event, module, operands)

    def _function(self, event: Event) -> tuple[Meaning, ...]:
        name = short_name(event.name)
        args = [self.mapped(a) for a in event.args]
        kwargs = {k: self.mapped(v) for k, v in event.kwargs.items()}
        found = _meanings((args, kwargs))
        args += [kwargs.pop(k) for k in FIRST_ARGUMENTS if k in kwargs]
        if "axis" in kwargs:
            kwargs["dim"] = kwargs.pop("axis")
        given = dict(zip(map(id, found), event.given, strict=False))
        signals = [m for m in found if isinstance(m, Value)]
        if name == "setitem" and isinstance(args[1], Value):
            whole = next(tensors(event.args))
            filled = self._guarded(lambda: masked_fill(Call(self.ops, replace(event, out=whole)), *args))
            self.meanings[id(whole)] = filled
            return ()
        if name == "setitem" and signals:
            self._write(event, args)
            return ()
        shows = not any(True for _ in tensors(event.out))
        if name in READS and shows and any(isinstance(m, (Value, Opaque)) for m in found):
            place = str(event.site)
            text = f"forward reads values with {name}: the network assumes that they do not steer it"
            self.notes[place] = Note("RV227", place, text)
        opaque = next((m for m in found if isinstance(m, Opaque)), None)
        if opaque is not None:
            return tuple(opaque for _ in tensors(event.out))
        if not signals:
            return event.seen
        call = Call(self.ops, event, given)
        if name in COMPARISONS and not shows:
            return (self._guarded(lambda: self.hand_written.compare(call, name, args)),)
        result = self._guarded(lambda: _handled(call, name, args, kwargs))
        return result if isinstance(result, tuple) else (result,)

    def _write(self, event: Event, args: list[Any]) -> None:
        """``buffer[t] = frame``: the buffer becomes a sequence when all its steps are written."""
        buffer = next(tensors(event.args))
        key = args[1] if isinstance(args[1], tuple) else (args[1],)
        picked = [(i, part) for i, part in enumerate(key) if isinstance(part, int)]
        rest = [part for part in key if not isinstance(part, int)]
        if len(picked) != 1 or any(part not in (Ellipsis, slice(None)) for part in rest):
            self.meanings[id(buffer)] = Opaque(mixes(event.site, "writing parts of a step into a tensor"))
            return
        place, step = picked[0]
        axis = buffer.ndim - (len(key) - place) if Ellipsis in key[:place] else place
        _, written = self.buffers.setdefault(id(buffer), (axis, {}))
        written[step % buffer.shape[axis]] = args[2]

    def _neuron(self, event: Event) -> tuple[Meaning, ...]:
        module, name = self.trace.modules[event.name], event.name or "neurons"
        name = f"{name}.neurons" if name == INPUT else name
        rules = adapter(module)
        arguments = [*event.args, *[event.kwargs[k] for k in ("input_", *rules.states) if k in event.kwargs]]
        value = self._meaning(arguments[0])
        if isinstance(value, Opaque):
            raise value.error
        letters = rules.sequence(module)
        shape = features_of(letters, tuple(arguments[0].shape))
        population = self.populations.get(name)
        if population is None:
            described = rules.describe(module, name, shape)
            inside = shape if described.entry is None else described.entry.out_shape
            population = Population(name, inside, described)
            self.populations[name] = population
            if binary(population.described.model):
                self.ops.binary.add(name)
        if not letters:
            return self._step(event, population, rules, _frame(value, shape, event))
        self._check_states(event, population, rules)
        steps = steps_of_call(rules, module, arguments[0])
        frames = sequence_frames(value, shape, letters, event, steps)
        parts = split(event, letters, steps)
        results = [self._step(part, population, rules, f)[0] for part, f in zip(parts, frames, strict=True)]
        shown = _late(tuple(r.frames[0] for r in results), population)
        return (Value(shown, axes_of(letters, len(population.shape))),)

    def _step(self, event: Event, population: Population, rules: Adapter, frame: Expr) -> tuple[Value, ...]:
        """One step of a neuron: its input is noted, its results are its own."""
        name, shape, step = population.name, population.shape, len(population.events)
        self._check_states(event, population, rules)
        entry = population.described.entry
        population.inputs.append(frame if entry is None else chain((entry,), frame))
        population.events.append(event)
        amplitude = population.described.amplitude
        results: list[Value] = []
        for state in rules.outputs:
            leaf: Expr = Leaf(name, SHOWN.get(state, "hidden"), step, shape)
            if state == "spk":
                leaf = self.ops.scale(leaf, amplitude, amplitude * 0.0, f"{name}.amplitude")
            results.append(Value((leaf,), "B" + "F" * len(shape)))
        return tuple(results)

    def _check_states(self, event: Event, population: Population, rules: Adapter) -> None:
        """The states handed over in a call, with named tuples of states opened."""
        loose = [tensor for a in (*event.args[1:], event.kwargs.get("state")) for tensor in _opened(a)]
        given = dict(zip(rules.states, loose, strict=False))
        given |= {state: event.kwargs[state] for state in rules.states if state in event.kwargs}
        for state, tensor in given.items():
            if tensor is not None:
                _check_state(event, population, state, self._meaning(tensor))


def _handled(call: Call, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    hosted = hosting.HANDLERS.get(name) if call.ops.islands is not None else None
    handler = hosted or HANDLERS.get(name)
    if handler is None or (hosted and not (args and isinstance(args[0], Value))):
        raise not_linear(call.site, name, hosting.helps(call, _meanings((args, kwargs))))
    try:
        inspect.signature(handler).bind(call, *args, **kwargs)
    except TypeError:
        raise not_linear(call.site, f"{name} with these arguments") from None
    return handler(call, *args, **kwargs)


def _meanings(value: Any) -> list[Meaning]:
    if isinstance(value, (Value, Opaque, torch.Tensor)):
        return [value]
    if isinstance(value, (list, tuple)):
        return [m for item in value for m in _meanings(item)]
    return [m for item in value.values() for m in _meanings(item)] if isinstance(value, dict) else []


def _frame(value: Value | torch.Tensor, shape: Shape, event: Event) -> Expr:
    if isinstance(value, torch.Tensor):
        return Fixed(value, shape)
    if value.timed or not value.axes.startswith("B") or value.axes.strip("F") != "B":
        raise error(
            "RV205",
            str(event.site),
            f"{event.name} gets a whole sequence, or something else than (batch, features), in one call.",
            "Call the neuron once per step, in a loop over the steps.",
        )
    return value.frames[0]


def _late(frames: tuple[Expr, ...], population: Population) -> tuple[Expr, ...]:
    """What a neuron shows in each step of a sequence, where each element comes late by a delay of its own."""
    late, shape = population.described.late, population.shape
    if late is None:
        return frames
    steps = np.broadcast_to(late, (size(shape),))
    delays = [int(d) for d in np.unique(steps)]
    masks = {d: () if len(delays) == 1 else (selection(f"{population.name}.by{d}", steps == d, shape),) for d in delays}
    before = Fixed(torch.zeros(()), shape)
    return tuple(
        add(tuple(chain(masks[d], frames[t - d]) if t >= d else before for d in delays)) for t in range(len(frames))
    )


def _opened(value: Any) -> list[torch.Tensor | None]:
    return [part for item in value for part in _opened(item)] if isinstance(value, tuple) else [value]


def _starts(value: Meaning, start: FloatArray, shape: Shape) -> bool:
    """Whether ``value`` is ``start`` in every sample, or an empty tensor that the neuron replaces by it."""
    if not isinstance(value, torch.Tensor):
        return False
    if value.numel() == 0:
        return True
    rows = value.detach().double()
    if value.numel() > 1:
        rows = rows.broadcast_to((*value.shape[: value.ndim - len(shape)], *shape)).reshape(-1, size(shape))
    return bool(np.all(np.isclose(rows.numpy(), start, rtol=1e-6, atol=0.0)))


def _check_state(event: Event, population: Population, state: str, value: Meaning) -> None:
    """A state that is passed must be the neuron's start before the first step, its own result afterwards."""
    name, step = population.name, len(population.events)
    if step == 0:
        start = getattr(population.described.model, "initial", 0.0) if state == "mem" else 0.0
        start = np.asarray(start)
        if _starts(value, start, population.shape):
            return
        raise error(
            "RV203",
            str(event.site),
            f"{name} starts with a {state} that is not {'zero' if not np.any(start) else 'that of a new neuron'}.",
            "Start from zeros, as reset_mem() gives them, or from the state that the neuron makes itself.",
        )
    frame = value.frames[0] if isinstance(value, Value) and len(value.frames) == 1 else None
    while isinstance(frame, Apply) and state == "spk":
        frame = frame.arg
    own = (name, SHOWN.get(state, "hidden"), step - 1)
    if not isinstance(frame, Leaf) or (frame.source, frame.output, frame.step) != own:
        raise error(
            "RV202",
            str(event.site),
            f"in step {step}, {name} is given a {state} that is not the one it returned in the step before.",
            f"Pass the {state} on from call to call unchanged, or use init_hidden=True.",
            step=step,
        )
