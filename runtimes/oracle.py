"""The oracle: runs a chip network literally as ``compiler/ir/chip.py`` defines it, one chip step at a time.

Plain numpy, batched over samples, no shortcut of any kind: it is what every other executor is tested
against.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ACCUMULATOR_BITS, SUM_BITS, ChipNetwork, Connection, Population
from ranvier.compiler.ir.interpret import step, wrap
from ranvier.compiler.ir.matrix import Matrix, synapse_matrix
from ranvier.compiler.ir.steps import INPUT
from ranvier.runtimes.recording import (
    LayerStats,
    OverflowEvent,
    Recording,
    Records,
    check_inputs,
    encode,
    flat_frames,
    predict,
)

Ints = NDArray[np.int64]
Columns = Callable[[Connection, int, Ints, Ints], Ints]
"""What arrays that are not ideal make of sums: (connection, network step, sent values, their sums) to other sums."""


@dataclass
class _Overflows:
    """Overflow events by population and place, each with its count and its first occurrence."""

    found: dict[tuple[str, str], OverflowEvent] = field(default_factory=dict)

    def add(self, population: str, where: str, network_step: int, mask: NDArray[Any]) -> None:
        sample, neuron = map(int, np.argwhere(mask)[0])
        event = OverflowEvent(population, where, int(mask.sum()), sample, network_step, neuron)
        earlier = self.found.get((population, where))
        if earlier is not None:
            first = min(earlier, event, key=lambda e: (e.sample, e.step, e.neuron))
            total = earlier.count + event.count
            event = OverflowEvent(population, where, total, first.sample, first.step, first.neuron)
        self.found[population, where] = event


class _Run:
    """The state of one run over a batch of samples."""

    def __init__(
        self, chip: ChipNetwork, samples: int, steps: int, record: Records, columns: Columns | None = None
    ) -> None:
        self.chip, self.samples, self.steps, self.record, self.columns = chip, samples, steps, record, columns
        self.matrices: dict[str, Matrix] = {c.name: synapse_matrix(c.synapse) for c in chip.connections}
        self.fan_out = {name: np.diff(matrix.tocsc().indptr) for name, matrix in self.matrices.items()}
        self.states = {
            p.name: {s: np.broadcast_to(v, (samples, p.size)).copy() for s, v in p.initial.items()}
            for p in chip.populations
        }
        self.arriving: dict[tuple[str, int], Ints] = {}
        self.overflows = _Overflows()
        self.kept: dict[str, dict[str, Ints]] = defaultdict(dict)
        self.sent_count: dict[str, int] = defaultdict(int)
        self.operations: dict[str, int] = defaultdict(int)

    def send(self, source: str, chip_step: int, values: Ints) -> None:
        """Put ``values`` (samples, wires) on every connection that leaves ``source``."""
        for connection in self.chip.connections:
            if connection.source == source:
                when = chip_step + 1 + connection.delay
                a = self._deliver(connection, values, when)
                earlier = self.arriving.get((connection.target, when), np.zeros(1, np.int64))
                self.arriving[connection.target, when] = earlier + a

    def _deliver(self, connection: Connection, values: Ints, when: int) -> Ints:
        matrix = self.matrices[connection.name]
        total = np.asarray((matrix @ values.T).T)
        target = self.chip.by_name[connection.target]
        assert isinstance(target, Population)
        network_step = when - target.latency
        if self.columns is not None:
            total = self.columns(connection, network_step, values, total)
        self.operations[connection.target] += int(((values != 0) @ self.fan_out[connection.name]).sum())
        wrapped = wrap(total, ACCUMULATOR_BITS[connection.synapse.kind])
        scaled = (
            wrap(wrapped << connection.exponent, 32) if connection.exponent > 0 else wrapped >> -connection.exponent
        )
        changed = (wrapped != total) | ((connection.exponent > 0) & (scaled >> max(connection.exponent, 0) != wrapped))
        if 0 <= network_step < self.steps and bool(changed.any()):
            self.overflows.add(connection.target, connection.name, network_step, changed)
        return scaled

    def advance(self, population: Population, chip_step: int) -> None:
        """Run ``population`` for this chip step, if it is one of its active steps, and send."""
        name, network_step = population.name, chip_step - population.latency
        total = self.arriving.pop((name, chip_step), np.zeros((self.samples, population.size), np.int64))
        if not 0 <= network_step < self.steps:
            return
        current = wrap(total, SUM_BITS)
        if bool((current != total).any()):
            self.overflows.add(name, INPUT, network_step, current != total)
        result = step(population.program, self.states[name], population.params, current)
        self.states[name] = {s: np.asarray(v) for s, v in result.states.items()}
        for where, mask in result.overflows.items():
            self.overflows.add(name, where, network_step, np.broadcast_to(mask, current.shape))
        sent = np.asarray(result.spikes, dtype=np.int64)
        self.sent_count[name] += int(np.count_nonzero(sent))
        self._keep(population, network_step, sent, np.asarray(result.membrane))
        self.send(name, chip_step, sent)

    def _keep(self, population: Population, network_step: int, sent: Ints, membrane: Ints) -> None:
        name = population.name
        read = name == self.chip.readout.node
        wanted: dict[str, Ints] = {}
        if "spikes" in self.record or (read and self.chip.readout.reads_spikes):
            wanted["spikes"] = sent
        if "membrane" in self.record or (read and not self.chip.readout.reads_spikes):
            wanted["membrane"] = membrane
        if "states" in self.record:
            wanted |= {f"state {s}": v for s, v in self.states[name].items()}
        for key, value in wanted.items():
            kept = self.kept[name].setdefault(key, np.zeros((self.samples, self.steps, population.size), np.int64))
            kept[:, network_step] = value


def run(chip: ChipNetwork, inputs: NDArray[Any], record: Records = (), columns: Columns | None = None) -> Recording:
    """Run ``chip`` on ``inputs`` (samples, steps, *shape), real numbers or spikes as its port takes them.

    ``record`` names what to keep of every population: ``spikes``, ``states``, ``membrane``. ``columns`` takes the place
    of the connections' sums (``perturb/reading.py``).
    Raises ``RanvierError`` when the inputs do not fit the port.
    """
    started = time.perf_counter()
    check_inputs(inputs, chip)
    port = chip.ports[0]
    frames = flat_frames(encode(port, inputs), port.shape).astype(np.int64)
    samples, steps = frames.shape[:2]
    state = _Run(chip, samples, steps, record, columns)
    for chip_step in range(steps + chip.latency):
        if chip_step < steps:
            state.send(port.name, chip_step, frames[:, chip_step])
        for population in chip.populations:
            state.advance(population, chip_step)
    return _recording(state, time.perf_counter() - started)


def _recording(run_: _Run, seconds: float) -> Recording:
    chip = run_.chip
    shaped = {
        p.name: {k: v.reshape(run_.samples, run_.steps, *p.shape) for k, v in run_.kept[p.name].items()}
        for p in chip.populations
    }
    read = shaped[chip.readout.node]
    outputs = read["spikes" if chip.readout.reads_spikes else "membrane"]
    stats = {p.name: LayerStats(p.size, run_.sent_count[p.name], run_.operations[p.name]) for p in chip.populations}
    states = {
        name: {k.removeprefix("state "): v for k, v in kept.items() if k.startswith("state ")}
        for name, kept in shaped.items()
    }
    events = sorted(run_.overflows.found.values(), key=lambda e: (e.sample, e.step, e.population, e.neuron, e.where))
    return Recording(
        outputs,
        predict(chip.readout, outputs),
        {n: k["spikes"] for n, k in shaped.items()} if "spikes" in run_.record else {},
        {n: k["membrane"] for n, k in shaped.items()} if "membrane" in run_.record else {},
        states if "states" in run_.record else {},
        stats,
        tuple(events),
        seconds,
    )
