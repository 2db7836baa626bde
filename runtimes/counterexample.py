"""Counter-examples: inputs that make a register overflow, found by search and replayed in the oracle.

The search starts from worst-case drives (every input wire on or off by the sign of the weights along all paths to the
register's neuron), then improves the best input by changing some wires for some time, gradient-free, until the register
overflows or the effort is spent. Source of the method: falsification by random local search ((1 + lambda) evolution).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, Population, Port
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.network import Readout
from ranvier.runtimes import oracle
from ranvier.runtimes.operands import Rows, incoming, operands
from ranvier.runtimes.recording import OverflowEvent, Recording, encode
from ranvier.runtimes.verify.executors import executor

Frames = NDArray[np.int64]
RUN_BYTES = 2**27
TOGETHER = 16
LENGTHS = (16, 64, 256, 1024, 4096)


@dataclass(frozen=True)
class Suspect:
    """A register that may overflow: ``where`` as overflow events name it, and the operands that it holds.

    ``neuron`` is where to look first; ``ends`` are the sides that may be left: 1 above ``most``, -1 below ``least``.
    """

    population: str
    where: str
    neuron: int
    least: int
    most: int
    ends: tuple[int, ...] = (1, -1)


@dataclass(frozen=True)
class Effort:
    """How hard to search for one register: ``seconds``, ``rounds`` of changes, inputs of up to ``steps`` steps."""

    seconds: float = 5.0
    rounds: int = 40
    steps: int = LENGTHS[-1]
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Witness:
    """``inputs`` (1, steps, *shape), as every runtime takes them, whose last step makes ``neuron`` need ``value``."""

    inputs: NDArray[np.float64]
    neuron: int
    step: int
    value: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of a search: a witness, or the least and the largest operand of the suspect's neuron that was seen."""

    witness: Witness | None
    low: int
    high: int


def search(chip: ChipNetwork, suspect: Suspect, effort: Effort = Effort()) -> Outcome:
    """Look for inputs of ``chip`` that make the register of ``suspect`` overflow, in any of its population's neurons.

    A witness has been replayed in the oracle, where the overflow happened in the step that it names.
    """
    return _Search(chip, suspect, effort).run()


class _Search:
    """The inputs tried so far for one register, and the best of them for each end."""

    def __init__(self, chip: ChipNetwork, suspect: Suspect, effort: Effort) -> None:
        self.chip, self.suspect, self.effort = chip, suspect, effort
        self.part = upstream(chip, suspect.population)
        self.population = _population(chip, suspect.population)
        self.rows: Rows = incoming(chip, suspect.population, suspect.neuron)
        self.random = np.random.default_rng(effort.seed)
        self.stop = time.monotonic() + effort.seconds
        self.low, self.high = 2**62, -(2**62)
        self.best: dict[int, tuple[int, Frames]] = {}

    def run(self) -> Outcome:
        """Seeds of growing length, then changes to the best."""
        for batch in self._batches():
            witness = self._tried(batch)
            if witness is not None:
                return Outcome(witness, min(self.low, witness.value), max(self.high, witness.value))
            if time.monotonic() > self.stop:
                break
        return Outcome(None, self.low, self.high)

    def _batches(self) -> Iterator[Frames]:
        longest = max(1, min(self.effort.steps, RUN_BYTES // self._bytes(1)))
        for steps in dict.fromkeys(min(count, longest) for count in LENGTHS):
            yield from self._portions(seeds(self.part, self.suspect, steps, self.random))
        for turn in range(self.effort.rounds):
            ends = self.suspect.ends
            _, best = self.best[ends[turn % len(ends)]]
            yield from self._portions(changed(best, self.chip.ports[0], self.random, TOGETHER))

    def _portions(self, frames: Frames) -> Iterator[Frames]:
        """``frames`` in portions whose recordings fit into memory."""
        most = max(1, RUN_BYTES // self._bytes(frames.shape[1]))
        for start in range(0, len(frames), most):
            yield frames[start : start + most]

    def _bytes(self, steps: int) -> int:
        """What the recording of one sample takes."""
        return 24 * steps * sum(p.size for p in self.part.populations)

    def _tried(self, frames: Frames) -> Witness | None:
        inputs = real_inputs(self.part.ports[0], frames)
        recording = executor("simulator")(self.part, inputs, ("spikes", "states"))
        name = self.suspect.population
        event = next((e for e in recording.overflows if (e.population, e.where) == (name, self.suspect.where)), None)
        if event is not None:
            return self._witness(inputs[event.sample, : event.step + 1][None])
        self._noted(frames, recording)
        return None

    def _noted(self, frames: Frames, recording: Recording) -> None:
        flat = frames.reshape(*frames.shape[:2], -1)
        found = operands(self.part, self.population, self.suspect.neuron, self.rows, flat, recording)
        values = found[self.suspect.where]
        self.low, self.high = min(self.low, int(values.min())), max(self.high, int(values.max()))
        for end in self.suspect.ends:
            reached = (end * values).max(axis=1)
            first = int(reached.argmax())
            if end not in self.best or reached[first] > self.best[end][0]:
                self.best[end] = int(reached[first]), frames[first]

    def _witness(self, inputs: NDArray[np.float64]) -> Witness:
        """The witness as the oracle sees it."""
        event = replayed(self.chip, self.suspect.population, self.suspect.where, inputs)
        assert event is not None, f"the oracle does not overflow at {self.suspect}"
        recording = oracle.run(self.part, inputs, ("spikes", "states"))
        rows = incoming(self.chip, self.suspect.population, event.neuron)
        flat = encode(self.chip.ports[0], inputs).astype(np.int64).reshape(*inputs.shape[:2], -1)
        values = operands(self.part, self.population, event.neuron, rows, flat, recording)[self.suspect.where]
        return Witness(inputs, event.neuron, event.step, int(values[0, event.step]))


def replayed(chip: ChipNetwork, population: str, where: str, inputs: NDArray[np.float64]) -> OverflowEvent | None:
    """The first overflow of a register when the oracle runs ``inputs``; None where there is none."""
    events = oracle.run(chip, inputs).overflows
    return next((e for e in events if (e.population, e.where) == (population, where)), None)


def upstream(chip: ChipNetwork, population: str) -> ChipNetwork:
    """The part of ``chip`` that decides what happens in ``population``."""
    names = {population}
    while True:
        more = {c.source for c in chip.connections if c.target in names} - names
        if not more:
            break
        names |= more
    populations = tuple(p for p in chip.populations if p.name in names)
    connections = tuple(c for c in chip.connections if c.target in names)
    return replace(chip, populations=populations, connections=connections, readout=Readout(population))


def seeds(chip: ChipNetwork, suspect: Suspect, steps: int, random: np.random.Generator) -> Frames:
    """Worst-case drives of ``steps`` steps: for each end the constant one, one that first does the opposite, parts of
    it at random; everything on; noise.
    """
    port = chip.ports[0]
    most = 1 if port.bits == 0 else 2 ** (port.bits - 1) - 1
    wanted = path_weights(chip, suspect)
    found = [np.full((steps, wanted.size), most), _noise(port, (steps, wanted.size), random)]
    for end in suspect.ends:
        drive, against = _drive(port, end * wanted), _drive(port, -end * wanted)
        turn = (np.arange(steps) >= steps // 2)[:, None]
        some = random.random((steps, wanted.size)) < 0.5
        found += [np.tile(drive, (steps, 1)), np.where(turn, drive, against), np.where(some, drive, 0)]
        found.append(np.where(turn, drive, _noise(port, (steps, wanted.size), random)))
    return np.stack(found).reshape(-1, steps, *port.shape).astype(np.int64)


def changed(best: Frames, port: Port, random: np.random.Generator, count: int) -> Frames:
    """``count`` copies of ``best`` (steps, *shape), each with some wires set to other values for some of the time."""
    steps, wires = best.shape[0], size(port.shape)
    found = np.repeat(best.reshape(1, steps, wires), count, axis=0)
    for copy in found:
        first = int(random.integers(0, steps))
        last = int(random.integers(first, steps)) + 1
        chosen = random.random(wires) < random.choice([1.5 / wires, 0.1, 0.4])
        value = _noise(port, (wires,), random) if random.random() < 0.7 else _noise(port, (last - first, wires), random)
        copy[first:last] = np.where(chosen, value, copy[first:last])
    return np.asarray(found.reshape(count, *best.shape))


def path_weights(chip: ChipNetwork, suspect: Suspect) -> NDArray[np.float64]:
    """(wires,) the weight of every input wire along all forward paths to the suspect's neuron, layers scaled alike."""
    target = _population(chip, suspect.population)
    found: dict[str, NDArray[np.float64]] = {target.name: np.zeros(target.size)}
    found[target.name][suspect.neuron] = 1.0
    for population in sorted(chip.populations, key=lambda p: -p.latency):
        if population.name not in found:
            continue
        pull = found[population.name] / max(float(np.abs(found[population.name]).max()), 1.0)
        for connection in chip.into[population.name]:
            source = chip.by_name[connection.source]
            if isinstance(source, Port) or source.latency < population.latency:
                weights = synapse_matrix(connection.synapse).T @ pull * 2.0**connection.exponent
                found[source.name] = found.get(source.name, 0.0) + weights
    return found.get(chip.ports[0].name, np.zeros(size(chip.ports[0].shape)))


def real_inputs(port: Port, frames: Frames) -> NDArray[np.float64]:
    """The inputs that enter ``port`` as ``frames``."""
    return frames / port.scale if port.bits else frames.astype(np.float64)


def _drive(port: Port, wanted: NDArray[np.float64]) -> Frames:
    """Every wire as far as it goes in the direction of ``wanted``."""
    if port.bits == 0:
        return np.asarray(wanted > 0, dtype=np.int64)
    return np.asarray(np.sign(wanted) * (2 ** (port.bits - 1) - 1), dtype=np.int64)


def _noise(port: Port, shape: tuple[int, ...], random: np.random.Generator) -> Frames:
    if port.bits == 0:
        return np.asarray(random.random(shape) < random.choice([0.1, 0.5, 0.9]), dtype=np.int64)
    most = 2 ** (port.bits - 1) - 1
    return np.asarray(random.choice([-most, 0, most], shape), dtype=np.int64)


def _population(chip: ChipNetwork, name: str) -> Population:
    found = chip.by_name[name]
    assert isinstance(found, Population), name
    return found
