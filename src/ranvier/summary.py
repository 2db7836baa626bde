"""What a compiled program takes of its chip, layer by layer, as data."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.analysis.energy import EnergyReport, energy
from ranvier.compiler.analysis.events import events
from ranvier.compiler.analysis.formats import ConnectionMemory, connection_memory
from ranvier.compiler.analysis.memory import MemoryReport, memory
from ranvier.compiler.analysis.overflow import Bound, overflows
from ranvier.compiler.analysis.resources_synapses import fan_in
from ranvier.compiler.analysis.traced import traced
from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.chip import ChipNetwork, Population, Rounding
from ranvier.compiler.ir.network import Note
from ranvier.compiler.ir.program import Program
from ranvier.runtimes.recording import Recording, Records, encode
from ranvier.runtimes.verify.overflow import register_name

if TYPE_CHECKING:
    from ranvier.targets.schema import Target

FOLLOWED = 2**26
"""The most neuron-steps of which every spike is followed, for the energy and the time that each one costs."""
UNROLLED = 2**24
"""The most synapses for which that is done."""


@dataclass(frozen=True)
class LayerReport:
    """One population: its neurons and their arithmetic, the synapses that end in it, where it lies.

    Bytes are None where the target's memory is not modelled; ``rate`` is spikes per neuron-step, None without a
    recording.
    """

    name: str
    shape: Shape
    neurons: int
    semantics: str
    synapses: int
    cores: int
    weight_bytes: int | None
    state_bytes: int | None
    latency: int
    rate: float | None


@dataclass(frozen=True, eq=False)
class Report:
    """A program on its chip; ``memory`` is None where none is modelled, ``energy`` without a recording as well.

    ``ran`` tells whether there was a recording. ``registers`` are bounds of every accumulator and state that hold for
    all inputs, named by states and sums. ``formats``: synaptic memory of every connection by storage format.
    """

    network: str
    target: str
    layers: tuple[LayerReport, ...]
    cores: int
    chips: int
    memory: MemoryReport | None
    energy: EnergyReport | None
    roundings: tuple[Rounding, ...]
    notes: tuple[Note, ...]
    registers: tuple[Bound, ...]
    ran: bool
    formats: tuple[ConnectionMemory, ...] = ()

    @property
    def neurons(self) -> int:
        """Neurons of all layers."""
        return sum(layer.neurons for layer in self.layers)

    @property
    def synapses(self) -> int:
        """Synapses of all layers; those that share a kernel's weight count each."""
        return sum(layer.synapses for layer in self.layers)

    @property
    def memory_bytes(self) -> int | None:
        """Bytes of synapses and states on all cores."""
        return None if self.memory is None else self.memory.weight_bytes + self.memory.state_bytes

    def to_json(self) -> dict[str, object]:
        """The whole content as plain values."""
        return {
            "network": self.network,
            "target": self.target,
            "neurons": self.neurons,
            "synapses": self.synapses,
            "cores": self.cores,
            "chips": self.chips,
            "memory_bytes": self.memory_bytes,
            "layers": [asdict(layer) for layer in self.layers],
            "memory": None if self.memory is None else self.memory.to_json(),
            "energy": None if self.energy is None else self.energy.to_json(),
            "roundings": [asdict(rounding) for rounding in self.roundings],
            "notes": [asdict(note) for note in self.notes],
            "formats": [c.to_json() for c in self.formats],
            "registers": [asdict(bound) | {"proved": bound.proved} for bound in self.registers],
        }


def followed(chip: ChipNetwork, samples: int, steps: int) -> Records:
    """What to record of a run of so many samples and steps for its spikes to be followed one by one; () if too many."""
    synapses = sum(_synapses(chip, population.name) for population in chip.populations)
    values = samples * steps * (size(chip.ports[0].shape) + sum(population.size for population in chip.populations))
    return ("spikes",) if synapses <= UNROLLED and values <= FOLLOWED else ()


def report(
    program: Program,
    target: "Target | None",
    recording: Recording | None = None,
    frames: NDArray[Any] | None = None,
) -> Report:
    """The report of ``program``; energy needs the ``recording`` of a run, and both need the ``target``.

    ``frames``: what entered. With them and every layer's spikes in the recording, each spike is followed to where it
    went; else spikes are spread evenly over cores and steps.
    """
    chip, placement = program.chip, program.placement
    taken = None if target is None else memory(chip, placement, target)
    spent = None if target is None or recording is None else _energy(program, target, recording, frames)
    layers = tuple(_layer(program, population, taken, recording) for population in chip.populations)
    notes = (*chip.notes, *program.notes)
    named = tuple(replace(b, where=register_name(chip, b.population, b.where)) for b in overflows(chip).bounds)
    return Report(
        chip.name,
        program.target,
        layers,
        placement.cores,
        placement.chips,
        taken,
        spent,
        chip.roundings,
        notes,
        named,
        recording is not None,
        () if target is None else connection_memory(chip, placement, target),
    )


def _layer(
    program: Program, population: Population, taken: MemoryReport | None, recording: Recording | None
) -> LayerReport:
    name = population.name
    cores = {piece.core for piece in program.placement.pieces if piece.population == name}
    own = None if taken is None else next(layer for layer in taken.layers if layer.name == name)
    return LayerReport(
        name,
        population.shape,
        population.size,
        population.program.semantics,
        _synapses(program.chip, name),
        len(cores),
        None if own is None else own.weight_bytes,
        None if own is None else own.state_bytes,
        population.latency,
        None if recording is None else _rate(recording, population),
    )


def _synapses(chip: ChipNetwork, population: str) -> int:
    return sum(int(fan_in(connection.synapse).sum()) for connection in chip.into[population])


def _rate(recording: Recording, population: Population) -> float:
    samples, steps = recording.outputs.shape[:2]
    return float(recording.stats[population.name].spikes / (samples * steps * population.size))


def _energy(program: Program, target: "Target", recording: Recording, frames: NDArray[Any] | None) -> EnergyReport:
    chip, placement = program.chip, program.placement
    samples, steps = (int(n) for n in np.shape(recording.outputs)[:2])
    if frames is None:
        return energy(target, events(chip, placement, recording.stats, samples, steps))
    port = chip.ports[0]
    sent = encode(port, frames)
    if followed(chip, samples, steps) and all(p.name in recording.spikes for p in chip.populations):
        return energy(target, traced(chip, placement, {port.name: sent, **recording.spikes}))
    entered = {port.name: int(np.count_nonzero(sent))}
    return energy(target, events(chip, placement, recording.stats, samples, steps, entered))
