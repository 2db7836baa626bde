"""The whole explanation of a deployed network: stages, layers, approximations, causes, suspects, traces."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.runtimes.recording import Record, Recording, predict
from ranvier.runtimes.verify.asked import Framework
from ranvier.runtimes.verify.executors import executor, float_executor
from ranvier.runtimes.verify.explain import groups
from ranvier.runtimes.verify.explain.bench import Bench
from ranvier.runtimes.verify.explain.causes import cause_of
from ranvier.runtimes.verify.explain.effects import forced_by, layer_effects, layer_errors, network_effects
from ranvier.runtimes.verify.explain.faults import faults_of
from ranvier.runtimes.verify.explain.layers import Exact, units
from ranvier.runtimes.verify.explain.results import Cause, ExecutorFault, Explanation, LayerComparison, Stage, Step
from ranvier.runtimes.verify.explain.suspects import suspects_of
from ranvier.runtimes.verify.explain.traces import traces
from ranvier.runtimes.verify.explain.views import View, compare, first_of

Values = NDArray[Any]
Progress = Callable[[str, int, int], None]

RECORD: tuple[Record, ...] = ("spikes", "membrane")
BUDGET = 256 * 2**20
"""Bytes that one array of membranes of the whole network may take: it bounds the samples that are explained."""

QUANTIZED: Exact = frozenset({groups.ROUNDING, groups.WIDTH})


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be explained: ``inputs`` (samples, steps, *shape) that ``chip``, made from ``source``, runs.

    ``imported`` is the network before any pass; ``framework`` gives the spikes of the user's module; ``reference`` is
    a chip network that is known to be right. ``runtimes`` are the executors, the first of them the base, with the
    samples that each may run.
    """

    chip: ChipNetwork
    source: Network
    inputs: Values
    labels: NDArray[np.int64] | None
    runtimes: Mapping[str, int]
    imported: Network | None = None
    framework: Framework | None = None
    reference: ChipNetwork | None = None
    traces: int = 0


@dataclass(frozen=True, eq=False)
class _Stand:
    """One stage as it ran; ``exact``: which mixture its layers are, None where nobody else can run them."""

    name: str
    meaning: str
    view: View
    exact: Exact | None
    executor: bool = False


def affordable(chip: ChipNetwork, steps: int, wanted: int) -> int:
    """How many samples can be explained within the memory set aside for it: at most ``wanted``, at least one."""
    neurons = sum(p.size for p in chip.populations)
    return max(1, min(wanted, BUDGET // (8 * steps * neurons)))


def explain(task: Task, progress: Progress) -> Explanation:
    """Measure everything; see :class:`Explanation`. ``progress(what, done, total)`` is called between the parts."""
    bench = Bench(task.chip, task.source, task.inputs, task.labels)
    stands = _stands(task, bench)
    progress("explaining", 1, 6)
    named = {stand.name: stand for stand in stands}
    source, deployed = named["float"].view, named[next(iter(task.runtimes))].view
    free = {layer: _known(bench, layer, source, deployed) for layer in bench.pairs}
    rows = layer_errors(bench, source, free)
    progress("explaining", 2, 6)
    causes = _causes(bench, source, free, {row.layer: row.forced for row in rows})
    progress("explaining", 3, 6)
    effects = (*network_effects(bench), *layer_effects(bench, source))
    progress("explaining", 4, 6)
    suspects = suspects_of(bench, task.reference)
    progress("explaining", 5, 6)
    shown = traces(bench, source, deployed, causes, task.traces)
    steps = tuple(_step(bench, a, b) for a, b in pairwise(stands))
    present = {e.approximation for e in effects} | {d.approximation for s in suspects for d in s.departures}
    progress("explaining", 6, 6)
    return Explanation(
        len(task.inputs),
        task.inputs.shape[1],
        tuple(_stage(bench, stand) for stand in stands),
        steps,
        rows,
        effects,
        causes,
        suspects,
        _faults(bench, stands),
        tuple(shown),
        {name: text for name, text in groups.MEANINGS.items() if name in present},
    )


def _stands(task: Task, bench: Bench) -> list[_Stand]:
    """The stages in their order, each run on the samples that it may run."""
    found = []
    if task.framework is not None:
        found.append(_framework(task, bench))
    if task.imported is not None:
        view = _float_view(bench, float_executor(folded=False)(task.imported, task.inputs, RECORD))
        found.append(_Stand("imported", "the network as imported, in float64", view, groups.EVERYTHING))
    view = _float_view(bench, float_executor(folded=True)(task.source, task.inputs, RECORD))
    found.append(_Stand("float", "linear layers folded, biases as drives, in float64", view, groups.EVERYTHING))
    quantized = bench.run(QUANTIZED, bench.pairs)
    found.append(_Stand("quantized", "the chip's weights and registers in real arithmetic", quantized, QUANTIZED))
    scales = {p.name: units(p) for p in task.chip.populations}
    for name, samples in task.runtimes.items():
        recording = executor(name)(task.chip, task.inputs[:samples], RECORD)
        view = bench.frame.recorded(recording, scales, on_wire=True)
        found.append(_Stand(name, "the chip network in integers", view, groups.NOTHING, executor=True))
    return found


def _framework(task: Task, bench: Bench) -> _Stand:
    assert task.framework is not None
    spikes = task.framework(task.inputs)
    flat = {n: v.reshape(*v.shape[:2], -1) for n, v in spikes.items() if n in bench.pairs}
    name = bench.frame.readout.node
    answers = np.full(len(task.inputs), -1)
    if name in flat and bench.frame.readout.reads_spikes:
        answers = predict(bench.frame.readout, flat[name])
    return _Stand("framework", "the user's own module", View(flat, {}, answers), None)


def _float_view(bench: Bench, recording: Recording) -> View:
    """A float run; neurons that are given in registers have membranes in the chip's units."""
    registers = {n: units(p.population) for n, p in bench.pairs.items() if isinstance(p.model, RegisterLif)}
    return bench.frame.recorded(recording, registers, on_wire=False)


def _faults(bench: Bench, stands: Sequence[_Stand]) -> tuple[ExecutorFault, ...]:
    """What executors do otherwise; the base is held against the chip network as well."""
    return tuple(fault for s in stands if s.executor for fault in faults_of(bench, s.name, s.view))


def _stage(bench: Bench, stand: _Stand) -> Stage:
    samples = len(stand.view.predictions)
    known = bench.labels is not None and bool(np.all(stand.view.predictions >= 0))
    accuracy = float(np.mean(stand.view.predictions == bench.labels[:samples])) if known else None  # type: ignore[index]
    return Stage(stand.name, stand.meaning, samples, accuracy)


def _step(bench: Bench, before: _Stand, after: _Stand) -> Step:
    """Two neighbouring stages; an executor teaches, because its layers cannot be run one by one."""
    both_executors = before.executor and after.executor
    teacher, pupil = (after, before) if both_executors else (before, after)
    count = min(len(before.view.predictions), len(after.view.predictions))
    same = float(np.mean(before.view.predictions[:count] == after.view.predictions[:count]))
    free = {layer: compare(bench.frame, layer, before.view, after.view, count) for layer in bench.pairs}
    assert pupil.exact is not None
    part = bench if count == len(bench.inputs) else Bench(bench.chip, bench.source, bench.inputs[:count])
    forced = forced_by(part, pupil.exact, _first_samples(teacher.view, count))
    known = {layer: c for layer, c in free.items() if c is not None}
    return Step(before.name, after.name, teacher.name, same, known, forced)


def _first_samples(view: View, count: int) -> View:
    sent = {n: v[:count] for n, v in view.sent.items()}
    return View(sent, {n: v[:count] for n, v in view.membrane.items()}, view.predictions[:count])


def _known(bench: Bench, layer: str, source: View, deployed: View) -> LayerComparison:
    found = compare(bench.frame, layer, source, deployed)
    assert found is not None, layer
    return found


def _causes(
    bench: Bench, source: View, free: Mapping[str, LayerComparison], forced: Mapping[str, LayerComparison]
) -> tuple[Cause, ...]:
    """The causes of the first differing spike free running, then of each layer's first one, forced.

    Up to its first difference a free-running network gives every layer what the float one gives it, so that both are
    looked into in the same way.
    """
    found: list[Cause] = []
    first = first_of(tuple(free.values()))
    if first is not None:
        found.append(cause_of(bench, source, first, "free"))
    found += [cause_of(bench, source, c.first, "forced") for c in _differing(forced.values())]
    return tuple(found)


def _differing(comparisons: Any) -> Sequence[Any]:
    return [c for c in comparisons if c.first is not None]
