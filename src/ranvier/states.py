"""State fitting: the smallest width of every state that keeps the spikes, and what it costs to drop states.

Three widths are found for each state. The proved one holds the values of every input, by the overflow proof. The
measured one holds all values on the user's data. The fitted one is the smallest that leaves every spike on these data
as it was, found by running the network with ever narrower states: bits go from the top, where the state saturates
then, and from the bottom, where it is rounded down.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.app import App
from ranvier.compiler.analysis.carried import carried
from ranvier.compiler.analysis.states import COLUMNS, Column, StateMemory, Widths, chip_states, membrane_read, width
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.coding import frames_of
from ranvier.compiler.passes.elide import Elide, can_leak
from ranvier.compiler.passes.narrow import Narrow
from ranvier.runtimes import simulator
from ranvier.runtimes.recording import Recording
from ranvier.runtimes.verify.labels import check_labels

Array = NDArray[Any]
BATCH = 16


@dataclass(frozen=True)
class Trial:
    """The network with narrower states against the network as it is, on the same data.

    ``layers``: whose states were changed; ``bits`` of state memory in all. ``differing`` of ``compared`` neuron-steps
    have another spike (or another membrane, where that is the answer); ``same_predictions`` and ``accuracy`` are
    shares of the samples, the latter None without labels.
    """

    layers: tuple[str, ...]
    bits: int
    compared: int
    differing: int
    same_predictions: float
    accuracy: float | None

    @property
    def agreement(self) -> float:
        """The share of neuron-steps with the same spikes."""
        return 1.0 - self.differing / self.compared


@dataclass(frozen=True, eq=False)
class StateFit:
    """All widths of a network on ``samples`` of ``steps`` steps; each set of widths was run again and compared.

    ``elisions``: each layer alone without any state between steps, then the layers that were asked for together.
    """

    memory: StateMemory
    samples: int
    steps: int
    accuracy: float | None
    verified: Mapping[Column, Trial]
    elisions: tuple[Trial, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            **self.memory.to_json(),
            "samples": self.samples,
            "steps": self.steps,
            "accuracy": self.accuracy,
            "verified": {str(column): _trial_json(trial) for column, trial in self.verified.items()},
            "elisions": [_trial_json(trial) for trial in self.elisions],
        }


def fit_states(
    chip: ChipNetwork, inputs: ArrayLike, labels: ArrayLike | None = None, elide: Sequence[str] = ()
) -> StateFit:
    """The widths of all states of ``chip`` on ``inputs``, and what elision would change.

    ``inputs`` (samples, steps, *shape), or samples as the encoder of the input takes them; ``labels`` (samples,) class
    numbers; the layers that ``elide`` names are also run without states together.

    Raises ``RanvierError`` when the data or labels do not fit, RV850 and RV851 for layers that cannot be elided.
    """
    Elide(tuple(elide))(chip)
    data = frames_of(chip.ports[0], np.asarray(inputs))
    runs = _Runs(chip, data, None if labels is None else check_labels(labels, chip, len(data)))
    memory = chip_states(chip)
    memory = memory.with_column("measured", _measured(runs, memory))
    memory = _fitted(runs, memory)
    changed = [layer.name for layer in memory.layers]
    verified = {c: runs.trial(changed, narrowed(chip, memory, c), memory.bits(c) or 0) for c in COLUMNS[1:]}
    asked = [(name,) for name in changed] + ([tuple(elide)] if len(elide) > 1 else [])
    elisions = tuple(runs.trial(names, *_without(chip, names)) for names in asked)
    return StateFit(memory, data.shape[0], data.shape[1], runs.accuracy(runs.predictions), verified, elisions)


def elided(app: App, layers: Sequence[str]) -> App:
    """``app`` with the states of ``layers`` dropped for good; raises ``RanvierError`` RV850, RV851."""
    if not layers:
        return app
    program = replace(app.program, chip=Elide(tuple(layers))(app.program.chip))
    return replace(app, program=program, provenance={**app.provenance, "elided": ", ".join(layers)})


class _Runs:
    """The network as it is on the data, and variants of it compared with that."""

    def __init__(self, chip: ChipNetwork, inputs: Array, labels: Array | None) -> None:
        self.chip, self.inputs, self.labels = chip, inputs, labels
        self.reference: list[Recording] = []
        self.ranges: dict[tuple[str, str], tuple[int, int]] = {}
        for part in self._parts():
            run = simulator.run(chip, part, ("spikes", "states"))
            self._note_ranges(run)
            self.reference.append(Recording(run.outputs, run.predictions, run.spikes))
        self.predictions = np.concatenate([run.predictions for run in self.reference])

    def _parts(self) -> list[Array]:
        return [self.inputs[start : start + BATCH] for start in range(0, max(len(self.inputs), 1), BATCH)]

    def _note_ranges(self, run: Recording) -> None:
        for population in self.chip.populations:
            for state, values in run.states[population.name].items():
                key, start = (population.name, state), population.initial[state]
                low, high = self.ranges.get(key, (int(start.min()), int(start.max())))
                self.ranges[key] = min(low, int(values.min())), max(high, int(values.max()))

    def differing(self, variant: ChipNetwork) -> tuple[dict[str, int], Array]:
        """Per layer the neuron-steps in which ``variant`` differs, and its predictions."""
        counts, predictions = {p.name: 0 for p in variant.populations}, []
        for part, reference in zip(self._parts(), self.reference, strict=True):
            run = simulator.run(variant, part, ("spikes",))
            predictions.append(run.predictions)
            for name in counts:
                was, now = self._seen(reference, name), self._seen(run, name)
                counts[name] += int(np.count_nonzero(was != now))
        return counts, np.concatenate(predictions)

    def _seen(self, run: Recording, name: str) -> Array:
        """What leaves a layer: its spikes, or the membrane if the answer is read from that."""
        readout = self.chip.readout
        return run.outputs if name == readout.node and not readout.reads_spikes else run.spikes[name]

    def trial(self, layers: Sequence[str], variant: ChipNetwork, bits: int) -> Trial:
        """The whole comparison with ``variant``, in which ``layers`` have other states, ``bits`` in all."""
        counts, predictions = self.differing(variant)
        samples, steps = self.inputs.shape[:2]
        compared = samples * steps * sum(p.size for p in variant.populations)
        same = float(np.mean(predictions == self.predictions))
        return Trial(tuple(layers), bits, compared, sum(counts.values()), same, self.accuracy(predictions))

    def accuracy(self, predictions: Array) -> float | None:
        """The share of right answers, None without labels."""
        return None if self.labels is None else float(np.mean(predictions == self.labels))


def _measured(runs: _Runs, memory: StateMemory) -> Widths:
    """What holds every value on the data; nothing where no value needs to be kept."""
    return {
        layer.name: {
            s.name: min(s.register, width(*runs.ranges[layer.name, s.name])) if s.proved else 0 for s in layer.states
        }
        for layer in memory.layers
    }


def narrowed(chip: ChipNetwork, memory: StateMemory, column: Column) -> ChipNetwork:
    """``chip`` with its states as narrow as ``column`` of ``memory`` says, the fitted ones without their low bits."""
    widths = memory.widths(column)
    return Narrow(widths)(chip) if column != "fitted" else _stored(chip, widths, memory.widths("dropped"))


def _stored(chip: ChipNetwork, bits: Widths, dropped: Widths) -> ChipNetwork:
    """``chip`` with ``bits`` stored of each state above the ``dropped`` ones."""
    whole = {name: {state: b + dropped[name][state] for state, b in own.items()} for name, own in bits.items()}
    return Narrow(whole, dropped)(chip)


def _fitted(runs: _Runs, memory: StateMemory) -> StateMemory:
    """``memory`` with the fewest bits that keep the spikes: first from the top, then from the bottom."""
    chip = runs.chip
    widths = _descended(runs, memory.widths("measured"), 0, lambda tried: Narrow(tried)(chip))

    def rest(stored: Widths) -> Widths:
        return {
            name: {state: bits - stored[name][state] for state, bits in own.items()} for name, own in widths.items()
        }

    stored = _descended(runs, widths, 1, lambda tried: _stored(chip, tried, rest(tried)))
    return memory.with_column("fitted", stored).with_column("dropped", rest(stored))


def _descended(runs: _Runs, start: Widths, least: int, variant: Callable[[Widths], ChipNetwork]) -> Widths:
    """The bits from ``start`` down to ``least`` with which ``variant`` has all spikes as they are, state by state.

    In each round every layer that is still open loses a bit. A layer has passed if it sends what it did and received
    what it did; what passes then passes together, as by induction over the steps every layer sees what it saw before.
    A layer has failed if it sends something else and nothing changed above it, its own loops apart. The others are
    tried again.
    """
    found = {name: dict(widths) for name, widths in start.items()}
    sources = {name: {c.source for c in runs.chip.into[name]} for name in found}
    above = _above(runs.chip)
    for state in dict.fromkeys(state for widths in found.values() for state in widths):
        still_open = {name for name, widths in found.items() if widths.get(state, 0) > least}
        while still_open:
            tried = {name: _less(widths, state) if name in still_open else widths for name, widths in found.items()}
            differing, _ = runs.differing(variant(tried))
            changed = {name for name, count in differing.items() if count}
            for name in still_open - changed:
                if not sources[name] & changed:
                    found[name] = tried[name]
            failed = {name for name in still_open & changed if not above[name] & changed}
            still_open = {name for name in still_open - failed if found[name][state] > least}
    return found


def _above(chip: ChipNetwork) -> dict[str, set[str]]:
    """Per population, what it depends on and what does not depend on it."""
    graph = nx.DiGraph([(c.source, c.target) for c in chip.connections])
    graph.add_nodes_from(chip.by_name)
    return {p.name: nx.ancestors(graph, p.name) - nx.descendants(graph, p.name) for p in chip.populations}


def _less(widths: Mapping[str, int], state: str) -> dict[str, int]:
    return {name: bits - (name == state) for name, bits in widths.items()}


def _without(chip: ChipNetwork, names: Sequence[str]) -> tuple[ChipNetwork, int]:
    """``chip`` with ``names`` leaking fully, or keeping nothing if they have no such registers; its state memory."""
    leaking = tuple(p.name for p in chip.populations if p.name in names and can_leak(p))
    cleared = {
        p.name: {s.name: 0 for s in p.program.states} for p in chip.populations if p.name in {*names} - {*leaking}
    }
    variant = Narrow(cleared)(Elide(leaking)(chip))
    bits = 0
    for p in variant.populations:
        kept = {s.name for s in p.program.states} - set(cleared.get(p.name, {}))
        if p.name in leaking:
            kept = set(carried(p.program, p.params, membrane_read(chip, p.name)))
        bits += p.size * sum(s.bits for s in p.program.states if s.name in kept)
    return variant, bits


def _trial_json(trial: Trial) -> dict[str, object]:
    return {**asdict(trial), "agreement": trial.agreement}
