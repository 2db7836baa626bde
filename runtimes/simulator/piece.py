"""One piece of work: some samples through all layers and steps, block of steps by block of steps.

What happens in a block is a table of calls: for each layer, one for every connection into it, then its neurons. The
table runs without the interpreter, which is called for only where an operation lost something, to see what and where.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.steps import INPUT
from ranvier.runtimes.simulator import staging
from ranvier.runtimes.simulator.calls import Call, run_blocks
from ranvier.runtimes.simulator.choice import Synapses
from ranvier.runtimes.simulator.compiled import address
from ranvier.runtimes.simulator.delivery import Sums, call, deliver, fields, pointer
from ranvier.runtimes.simulator.dense import EVEN, MULTIPLIED, SCATTERED
from ranvier.runtimes.simulator.emit import GROUP
from ranvier.runtimes.simulator.events import note_lost
from ranvier.runtimes.simulator.layouts import DenseForm
from ranvier.runtimes.simulator.machine import Frame
from ranvier.runtimes.simulator.machine import fields as neuron_fields
from ranvier.runtimes.simulator.memory import aligned
from ranvier.runtimes.simulator.packing import unpack, words
from ranvier.runtimes.simulator.plan import Layer, Plan
from ranvier.runtimes.simulator.vectors import BLOCK, WIDTH

Values = NDArray[Any]
Ints = NDArray[np.int64]
INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


@dataclass(frozen=True, eq=False)
class Slices:
    """Where a layer's results go, for the samples of the piece; what is not wanted has size 0.

    ``sent`` and ``membrane`` (samples, steps, neurons), ``states`` (states, samples, steps, neurons), as the network
    numbers its neurons; ``sent`` is 0 everywhere.
    """

    sent: Values
    membrane: Values
    states: Values


@dataclass(frozen=True)
class Way:
    """Steps of a dense connection whose sums were made row by row and as products; ``even``: senders that decide."""

    scattered: int
    multiplied: int
    even: int


@dataclass(frozen=True, eq=False)
class Counts:
    """``fired``: values sent per wire, by source; ``events`` (places, 4) per layer as the kernels note them.

    ``cycles`` of the processor that each call of the time loop took, where it was timed; ``ways``: how the sums of each
    dense connection were made; ``seconds`` of the whole time loop.
    """

    fired: Mapping[str, Ints]
    events: Mapping[str, Ints]
    cycles: Mapping[str, int]
    ways: Mapping[str, Way]
    seconds: float


@dataclass(frozen=True, eq=False)
class Arriving:
    """What enters a piece: ``sent`` (samples, steps, words) spikes as bits or (samples, steps, wires) numbers.

    ``fired`` (wires): how many values of each wire are not 0.
    """

    sent: Values
    fired: Ints


def run_piece(
    plan: Plan,
    arriving: Arriving,
    slices: Mapping[str, Slices],
    block: int,
    *,
    synapses: Synapses = "measured",
    timed: bool = False,
) -> Counts:
    """Run ``arriving`` through ``plan`` and write what is wanted into ``slices``."""
    samples, steps = arriving.sent.shape[:2]
    sent: dict[str, Values] = {plan.source.name: arriving.sent}
    for layer in plan.layers:
        shape = (samples, steps, layer.size if layer.program.graded else words(layer.size))
        sent[layer.name] = np.zeros(shape, layer.sends if layer.program.graded else np.uint64)
    strides = [_stride(layer) for layer in plan.layers]
    memory = aligned((samples * block * max(strides) + BLOCK,), np.int64)
    stages = [_Stage(plan, layer, slices[layer.name], sent, block, memory, synapses) for layer in plan.layers]
    started = time.perf_counter()
    cycles = _run(stages, steps, block, timed)
    seconds = time.perf_counter() - started
    fired = {plan.source.name: arriving.fired}
    for stage in stages:
        stage.hand_over(sent[stage.layer.name])
        fired[stage.layer.name] = stage.fired_as_numbered()
    ways = {
        name: Way(int(given[SCATTERED]), int(given[MULTIPLIED]), int(given[EVEN]))
        for stage in stages
        for name, given in stage.dense.items()
    }
    return Counts(fired, {stage.layer.name: stage.events for stage in stages}, cycles, ways, seconds)


def _run(stages: list["_Stage"], steps: int, block: int, timed: bool) -> Mapping[str, int]:
    """All calls of all stages, block by block; where one asks for it, its stage looks at what was lost.

    Returns the processor's cycles that each call took, where it is to be ``timed``.
    """
    calls = np.array([made.numbers for stage in stages for made in stage.calls], np.int64)
    owners = [stage for stage in stages for _ in stage.calls]
    spent = np.zeros(len(calls) if timed else 0, np.int64)
    first, at = run_blocks(calls, 0, steps, block, 0, spent)
    while first < steps:
        owners[at].note(first)
        first, at = run_blocks(calls, first, steps, block, at + 1, spent)
    found: dict[str, int] = {}
    for stage, what, cycles in zip(owners, [w for s in stages for w in s.named], spent.tolist(), strict=False):
        found[f"{stage.layer.name}: {what}"] = cycles
    return found


def _stride(layer: Layer) -> int:
    """Sums from one step to the next: whole tiles of dense weights."""
    return -(-layer.size // WIDTH) * WIDTH


class _Stage:
    """One layer of a piece: its arrays and its calls.

    ``memory`` is what all layers make their sums in, so that it is in the cache already; every stage leaves it 0.
    """

    def __init__(
        self,
        plan: Plan,
        layer: Layer,
        out: Slices,
        sent: Mapping[str, Values],
        block: int,
        memory: Ints,
        synapses: Synapses,
    ) -> None:
        samples, operations = sent[layer.name].shape[0], len(layer.lossy)
        self.layer, self.out, self.block = layer, out, block
        self.events = np.zeros((len(places(plan, layer)), 4), np.int64)
        shape = (samples, block, _stride(layer))
        values: Values = memory.view(plan.sums(layer))[: int(np.prod(shape))].reshape(shape)
        touched = np.zeros((samples, -(-layer.size // GROUP)), np.uint64)
        self.sums = Sums(values, touched, self.events, layer.origin)
        self.params, initial = layer.held
        self.states = np.repeat(initial[None], samples, axis=0)
        self.fired, self.dirty = np.zeros(layer.size, np.int64), np.zeros(samples, np.int64)
        self.membrane, self.kept = _ordered(out.membrane, layer), _ordered(out.states, layer)
        self.before = self.states.copy() if len(layer.traits.lossless) < operations else None
        self.calls: list[Call] = []
        self.named: list[str] = []
        self.dense: dict[str, Ints] = {}
        for k, link in enumerate(plan.into[layer.name]):
            wires = plan.wires[link.source]
            delivery = deliver(link, sent[link.source], wires, self.sums, operations + k, synapses)
            self._add(link.name, delivery)
            if isinstance(link.scatter.form, DenseForm):
                self.dense[link.name] = delivery.fields
        self.current = self._typed(plan)
        self._add_neurons(sent[layer.name])
        code = address(staging.clear, values.dtype, INT64, INT64)
        self._add("clear", call(code, fields(self.sums.fields), values, held=(self.sums,)))

    def _add(self, what: str, made: Call) -> None:
        self.named.append(what)
        self.calls.append(made)

    def _typed(self, plan: Plan) -> Values:
        """The sums as the neurons take them: they may be wider, a float network may hold neurons in integers."""
        values = self.sums.values
        code: Callable[..., int]
        if self.layer.name in plan.wide:
            code, place = staging.wrap, len(self.events) - 1
        elif self.layer.number is not np.float64 and values.dtype != np.int32:
            code, place = staging.round_sums, 0
        else:
            return values
        narrow = aligned(values.shape, np.int32)
        given = fields(self.sums.fields | {"place": place})
        self._add("convert", call(address(code, values.dtype, INT32, INT64), given, values, narrow, held=(self.sums,)))
        return narrow

    def _add_neurons(self, sent: Values) -> None:
        if self.before is not None:
            number = self.states.dtype
            given = fields({"number 0": self.states.size})
            self._add("keep", call(address(staging.keep, number, number, INT64), given, self.states, self.before))
        self.frame = self._frame(sent)
        given, code = np.frombuffer(memoryview(neuron_fields(self.frame)), np.int64), self.layer.code
        wanted = bool(self.membrane.size or self.kept.size)
        held = (code, self.sums, self.current, self.params, self.states, self.membrane, self.kept, sent)
        self._add("neurons", call(code.fully if wanted else code.plain, given, held=held))

    def _frame(self, sent: Values) -> Frame:
        return {
            "samples": sent.shape[0],
            "neurons": self.layer.size,
            "steps": sent.shape[1],
            "block": self.block,
            "stride": self.sums.values.shape[2],
            "words": sent.shape[2],
            "current": pointer(self.current),
            "touched": pointer(self.sums.touched),
            "states": pointer(self.states),
            "params": pointer(self.params),
            "sent": pointer(sent),
            "fired": pointer(self.fired),
            "dirty": pointer(self.dirty),
            "membrane": pointer(self.membrane),
            "kept": pointer(self.kept),
            "kept_stride": self.kept.strides[0] // 8,
        }

    def note(self, first: int) -> None:
        """Run the samples in which something was lost in the block from ``first`` on again, to see what and where."""
        assert self.before is not None
        steps = self.frame["steps"]
        last = min(first + self.block, steps)
        for sample in np.flatnonzero(self.dirty):
            lost = np.zeros((self.block, self.layer.size), np.int64)
            unused, fired = np.zeros(steps * self.frame["words"], np.int64), np.zeros(self.layer.size, np.int64)
            again = {
                "first": first,
                "last": last,
                "samples": 1,
                "current": pointer(self.current[sample]),
                "states": pointer(self.before[sample]),
                "sent": pointer(unused),
                "fired": pointer(fired),
                "dirty": pointer(unused),
                "membrane": 0,
                "kept": 0,
                "lost": pointer(lost),
            }
            self.layer.code(neuron_fields({**self.frame, **again}), fully=True)
            note_lost(lost[: last - first], int(sample), first, self.events, self.layer.origin)
        self.dirty.fill(0)

    def fired_as_numbered(self) -> Ints:
        """How many values each neuron sent."""
        if self.layer.ordered:
            return self.fired
        found = np.empty_like(self.fired)
        found[self.layer.origin] = self.fired
        return found

    def hand_over(self, sent: Values) -> None:
        """Write what is wanted as the network numbers its neurons."""
        origin = self.layer.origin
        if self.out.sent.size and sent.dtype == np.uint64:
            unpack(sent, origin, self.out.sent)
        elif self.out.sent.size:
            self.out.sent[..., origin] = sent
        for made, wanted in ((self.membrane, self.out.membrane), (self.kept, self.out.states)):
            if made is not wanted:
                wanted[..., origin] = made


def _ordered(wanted: Values, layer: Layer) -> Values:
    """The memory into which neurons write what is ``wanted``: another one where they stand in another order."""
    return wanted if layer.ordered or wanted.size == 0 else np.empty(wanted.shape, wanted.dtype)


def places(plan: Plan, layer: Layer) -> list[str]:
    """The names of the places where overflows are counted: operations, incoming connections, the sum of these."""
    named = [*layer.lossy, *(link.name for link in plan.into[layer.name])]
    return [*named, INPUT] if layer.name in plan.wide else named
