"""``load_torch``: a trained torch module to a float network."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.ir.network import Coding, Input, Network, Note, ReadoutKind
from ranvier.frontends.torch import slayer
from ranvier.frontends.torch.assemble import Graph, assemble, network_of
from ranvier.frontends.torch.binary import check_relayed_inputs
from ranvier.frontends.torch.capture import Event, Trace, record
from ranvier.frontends.torch.confirm import confirm_network, confirm_neuron
from ranvier.frontends.torch.confirm_islands import confirm_islands
from ranvier.frontends.torch.decoders import confirm_decoder, with_decoders
from ranvier.frontends.torch.fold import fold
from ranvier.frontends.torch.handwritten import comparisons
from ranvier.frontends.torch.hosting import WATCHED
from ranvier.frontends.torch.isolate import unwrap
from ranvier.frontends.torch.leaves import adapter, kind, kind_for_host, refusals
from ranvier.frontends.torch.populations import INPUT, Folded, check_islands
from ranvier.frontends.torch.readout import choose, in_time
from ranvier.frontends.torch.sequences import steps_of_call
from ranvier.frontends.torch.values import Leaf, Value

CALLS = 5
STEPS = 24
Look = Callable[[nn.Module, tuple[torch.Tensor, ...]], Trace]
"""How a run of a module is recorded."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One way to read the sample: the axis of time (None: there is none), and whether the module is one step.

    ``merged`` samples (0: not so) share the first axis with time, batch major.
    """

    time: int | None
    single: bool
    merged: int = 0

    @property
    def batch(self) -> int:
        """The axis of samples: the first that is not time."""
        return 1 if self.time == 0 else 0

    def meanings(self, sample: torch.Tensor) -> tuple[Value, ...]:
        """What the inputs of the recorded calls mean."""
        if self.merged:
            letters = "N" + "F" * (sample.ndim - 1)
            steps = range(sample.shape[0] // self.merged)
            return (Value(tuple(Leaf(INPUT, "input", t, self.shape(sample)) for t in steps), letters),)
        axes = ["F"] * sample.ndim
        axes[self.batch] = "B"
        shape = self.shape(sample)
        if self.single:
            letters = "".join(axes)
            return tuple(Value((Leaf(INPUT, "input", t, shape),), letters) for t in range(CALLS))
        if self.time is None:
            return (Value((Leaf(INPUT, "input", None, shape),), "".join(axes)),)
        axes[self.time] = "T"
        frames = tuple(Leaf(INPUT, "input", t, shape) for t in range(sample.shape[self.time]))
        return (Value(frames, "".join(axes)),)

    def shape(self, sample: torch.Tensor) -> Shape:
        """Shape of one frame."""
        if self.merged:
            return tuple(sample.shape[1:])
        return tuple(n for axis, n in enumerate(sample.shape) if axis not in (self.time, self.batch))

    def samples(self, sample: torch.Tensor) -> int:
        """The batch size."""
        return self.merged or sample.shape[self.batch]

    def frames(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """(batch, ...) for each step; one frame when the input stays the same."""
        if self.merged:
            return list(inputs[0].reshape(self.merged, -1, *inputs[0].shape[1:]).unbind(1))
        return list(inputs) if self.time is None else list(inputs[0].unbind(self.time))


@overload
def load_torch(
    module: nn.Module,
    *,
    sample: Any,
    steps: int | None = None,
    coding: Coding | None = None,
    readout: ReadoutKind | None = None,
    name: str | None = None,
    host: Literal[False] = False,
) -> Network: ...


@overload
def load_torch(
    module: nn.Module,
    *,
    sample: Any,
    steps: int | None = None,
    coding: Coding | None = None,
    readout: ReadoutKind | None = None,
    name: str | None = None,
    host: bool,
) -> Network | HostedNetwork: ...


def load_torch(
    module: nn.Module,
    *,
    sample: Any,
    steps: int | None = None,
    coding: Coding | None = None,
    readout: ReadoutKind | None = None,
    name: str | None = None,
    host: bool = False,
) -> Network | HostedNetwork:
    """The network that ``module`` computes, in its exact semantics.

    ``sample`` is one input as the module takes it, batch axis included (an array or tensor). The module may

    * hold the time loop in ``forward``, over a sequence (time and batch axes in any order) or over a static
      input, which then is the frame that the input node shows in every step;
    * be a single step that keeps its states (``nn.Sequential`` of neurons with ``init_hidden=True``), which its
      user calls once per step: ``steps`` says how often.

    In every case the network's input is one frame per step. ``coding`` says whether frames are ``spikes`` (0 or
    1) or ``current`` (any number); without it, a sequence of zeros and ones counts as spikes. ``readout``
    overrides how the last layer is read; a layer without neurons behind it is read as the membrane of the population
    ``<layer>.membrane``, which keeps nothing and never fires. The module, its states and all random generators stay
    untouched. With ``host`` softmax, activations, norms and products of real signals become nodes of a
    ``HostedNetwork``, which the host computes; a module without them gives a plain network.

    Errors: ``RanvierError`` with diagnostics RV180 to RV225 and RV730 to RV735, naming layer or source line.
    """
    module = unwrap(module)
    undrawn = [d for name, part in nn.Module.named_modules(module) for d in slayer.undrawn(part, name or "the module")]
    if undrawn:
        raise RanvierError(undrawn)
    tensor = as_sample(sample)
    reading, trace, folded = understood(module, tensor, steps, host, coding)
    source = Input(INPUT, reading.shape(tensor), coding or _coding(reading, tensor))
    _check_coding(coding, tensor)
    _check_integers(source, folded)
    folded = with_decoders(folded)
    chosen, notes, late = choose(folded, readout)
    graph, dropped = assemble(folded, source, chosen.node)
    dropped = tuple(name for name in dropped if folded.populations[name].events)
    notes += (*folded.notes, *_notes(reading, source, coding, dropped))
    notes += tuple(island.note for name, island in folded.islands.items() if name in graph.nodes)
    title = name or type(module).__name__
    network = network_of(graph, title, chosen, notes)
    check_relayed_inputs(network)
    _confirm(network, graph, folded, trace, reading.frames(trace.inputs))
    return in_time(network, late)


def _confirm(
    network: Network | HostedNetwork, graph: Graph, folded: Folded, trace: Trace, frames: Sequence[torch.Tensor]
) -> None:
    """The network against the recorded run, and each of its neurons against the live module."""
    calls = {p: folded.populations[p].events[0] for p in graph.inner if folded.populations[p].events}
    modules = {p: trace.modules[event.name] for p, event in calls.items() if event.kind == "neuron"}
    for key, live in modules.items():
        confirm_neuron(live, adapter(live), folded.populations[key])
    islands = {n: island for n, island in folded.islands.items() if n in graph.nodes}
    check_islands(islands, folded.steps)
    values = {n: [use.shown for use in island.calls] for n, island in islands.items()}
    replay = confirm_network(network, frames, folded.populations, graph.inner, values)
    confirm_islands(replay, islands)
    confirm_decoder(network, replay, folded, trace.outputs)


def as_sample(sample: Any) -> torch.Tensor:
    """``sample`` as a tensor of its own; RV210 where it has no batch axis, no elements or no real values."""
    tensor = sample.detach().cpu() if isinstance(sample, torch.Tensor) else torch.as_tensor(np.asarray(sample))
    if tensor.ndim < 2 or tensor.numel() == 0 or not (tensor.is_floating_point() or tensor.dtype == torch.bool):
        raise error(
            "RV210",
            "sample",
            f"the sample has shape {list(tensor.shape)} and type {tensor.dtype}.",
            "Give one input as the module takes it: floating point, with its batch axis, and time if it has one.",
        )
    return tensor.clone()


def understood(
    module: nn.Module, sample: torch.Tensor, steps: int | None, host: bool = False, coding: Coding | None = None
) -> tuple[Reading, Trace, Folded]:
    """The first reading of the sample's axes under which the run is the same in every step."""
    look = partial(record, kind=kind_for_host, watched=WATCHED) if host else partial(record, kind=kind)
    first = _recorded(module, (sample,), look)
    calls = _neuron_calls(first, host)
    problems: list[tuple[int, RanvierError]] = []
    for reading in (*_merged(first, sample), *_readings(sample, calls, steps)):
        try:
            frames, trace = _run(module, sample, reading, first, look)
            real = host and (coding or _coding(reading, sample)) == "current"
            return reading, trace, fold(trace, reading.meanings(frames), reading.samples(frames), host, real)
        except RanvierError as problem:
            problems.append((_merit(problem), problem))
    assert problems, "every sample has a reading"
    merit, telling = max(problems, key=lambda p: p[0])
    if calls == 1 and (merit == 0 or _sequences(first)):
        raise error(
            "RV212",
            "sample",
            f"forward runs a single step on this sample of shape {list(sample.shape)}: what leads from step to step "
            "cannot be seen.",
            "Give a sample of at least three steps.",
        )
    raise telling


def _merged(trace: Trace, sample: torch.Tensor) -> Iterator[Reading]:
    """The sample of a module that takes batch and time as one axis."""
    for event in _sequences(trace):
        module, x = trace.modules[event.name], event.seen[0]
        if adapter(module).sequence(module) == "N" and x.shape[0] == sample.shape[0]:
            yield Reading(0, single=False, merged=x.shape[0] // steps_of_call(adapter(module), module, x))
            return


def _sequences(trace: Trace) -> list[Event]:
    """The calls of neurons on whole sequences."""
    neurons = (event for event in trace.events if event.kind == "neuron")
    return [e for e in neurons if adapter(trace.modules[e.name]).sequence(trace.modules[e.name])]


def _run(
    module: nn.Module, sample: torch.Tensor, reading: Reading, first: Trace, look: Look
) -> tuple[torch.Tensor, Trace]:
    """A run with another batch size and few steps; as many as the sample has where the module insists.

    Where a neuron splits batch and time by numbers of its own, the sample is taken as it is.
    """
    modules = [first.modules[event.name] for event in _sequences(first)]
    if any(adapter(m).sequence(m) == "N" for m in modules):
        return sample, _recorded(module, _calls(sample, reading), look)
    batched = _batched(sample, reading)
    short = batched if reading.time is None else batched.narrow(reading.time, 0, min(STEPS, sample.shape[reading.time]))
    for frames in (short, batched) if short.shape != batched.shape else (batched,):
        try:
            return frames, look(module, _calls(frames, reading))
        except Exception:  # noqa: BLE001 the module has its batch size or its number of steps written in it
            continue
    return sample, _recorded(module, _calls(sample, reading), look)


def _calls(frames: torch.Tensor, reading: Reading) -> tuple[torch.Tensor, ...]:
    """The arguments of the recorded calls, each a tensor of its own."""
    return tuple(frames.clone() for _ in range(CALLS)) if reading.single else (frames,)


def _recorded(module: nn.Module, inputs: tuple[torch.Tensor, ...], look: Look) -> Trace:
    try:
        return look(module, inputs)
    except RanvierError:
        raise
    except Exception as problem:
        raise error(
            "RV211",
            type(module).__name__,
            f"it fails on the sample of shape {list(inputs[0].shape)}: {type(problem).__name__}: {problem}",
            "Give a sample that the module accepts when you call it yourself.",
        ) from problem


def _neuron_calls(trace: Trace, host: bool) -> int:
    """How often each neuron is called; refuses, all at once, what cannot be part of a network."""
    neurons: Counter[str] = Counter()
    for event in trace.events:
        if event.kind == "neuron":
            live = trace.modules[event.name]
            neurons[event.name] += steps_of_call(adapter(live), live, event.seen[0])
    found = refusals(trace, host)
    steps = max(neurons.values(), default=min(comparisons(trace).values(), default=0))
    if not steps and all(d.code in ("RV181", "RV182", "RV183") for d in found):
        raise _no_neurons(trace, found)
    if found:
        raise RanvierError(found)
    return steps


def _no_neurons(trace: Trace, found: list[Diagnostic]) -> RanvierError:
    functions = (e for e in trace.events if e.kind == "function" and e.name.rpartition(".")[2].strip("_") == "relu")
    layers = [d.place for d in found if d.code == "RV181"] + [str(e.site) for e in functions]
    what = f"It has activation functions instead ({', '.join(layers)})." if layers else ""
    return error(
        "RV180",
        type(trace.root).__name__,
        f"the module has no spiking neuron that Ranvier knows. {what}".strip(),
        "A conventional network has to become a spiking one first: replace each activation by a neuron such as "
        "snntorch.Leaky and train it, or convert it: ranvier.convert(module, calibrate=samples).",
        activations=len(layers),
    )


def _readings(sample: torch.Tensor, calls: int, steps: int | None) -> Iterator[Reading]:
    if calls == 1:
        yield Reading(None, single=True)
        return
    if steps is not None and steps != calls:
        raise error(
            "RV212",
            "steps",
            f"forward itself runs {calls} steps on this sample, not {steps}.",
            "Leave steps out: it is for modules that are one step, called once per step.",
            steps=steps,
            calls=calls,
        )
    yield Reading(None, single=False)
    for axis in sorted(range(sample.ndim), key=lambda a: sample.shape[a] != calls):
        if sample.ndim > 2 or axis == 0 or sample.shape[axis] >= calls:
            yield Reading(axis, single=False)


def _merit(problem: RanvierError) -> int:
    """How telling a refusal is: problems of axes come from a wrong reading, most of the time."""
    return {"RV206": 0, "RV205": 1, "RV204": 2, "RV730": 2, "RV185": 3, "RV184": 3}.get(problem.diagnostics[0].code, 4)


def _batched(sample: torch.Tensor, reading: Reading) -> torch.Tensor:
    """The sample with a batch size that no other axis has, so that the batch can be told from them."""
    taken = {*sample.shape}
    wanted = next(n for n in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31) if n not in taken)
    return sample.index_select(reading.batch, torch.arange(wanted) % sample.shape[reading.batch])


def _coding(reading: Reading, sample: torch.Tensor) -> Coding:
    return "spikes" if (reading.time is not None or reading.single) and _binary(sample) else "current"


def _binary(sample: torch.Tensor) -> bool:
    return bool(((sample == 0) | (sample == 1)).all())


def _check_coding(coding: Coding | None, sample: torch.Tensor) -> None:
    if coding == "spikes" and not _binary(sample):
        raise error(
            "RV213",
            "coding",
            f"coding='spikes' was asked for, but the sample has values from {float(sample.min()):g} to "
            f"{float(sample.max()):g}.",
            "Use coding='current', or give a sample of zeros and ones.",
        )


def _check_integers(source: Input, folded: Folded) -> None:
    """Refuse real numbers as the input of neurons that count in integers."""
    counting = [p.name for p in folded.populations.values() if p.described.scale]
    if counting and source.coding != "spikes":
        raise error(
            "RV243",
            counting[0],
            "SLAYER's neurons compute in integers, but what enters are real numbers, which they round on their own.",
            "Give a sample of spikes (zeros and ones), or export the network with its input block to a .net file.",
        )


def _notes(reading: Reading, source: Input, coding: Coding | None, dropped: tuple[str, ...]) -> tuple[Note, ...]:
    found = []
    if coding is None:
        found.append(Note("RV226", source.name, f"input coding {source.coding!r}, judged by the sample"))
    if reading.time is None and not reading.single:
        text = "forward shows one static frame in every step; the network takes one frame per step"
        found.append(Note("RV229", source.name, text))
    if dropped:
        found.append(Note("RV228", ", ".join(dropped), "left out: it does not reach the readout"))
    return tuple(found)
