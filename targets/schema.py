"""The schema of a target file: what a chip is, to the compiler.

One model per table of the file; a key's suffix is its unit. ``Target`` also has what passes ask for by name:
``neuron(...)``, ``programmable``, ``graded_bits``, ``shares_convolution``, ``cores_per_chip``, ``max_chips``.
Another kind of chip adds another ``core.kind`` and its tables here; the passes ask the same questions.
"""

from typing import Literal

from pydantic import Field

from ranvier.compiler.diagnostics import error
from ranvier.targets.chips import Chip, Spike, Time
from ranvier.targets.cores import Core
from ranvier.targets.costs import EnergySection, LatencySection, Power
from ranvier.targets.neurons import NeuronRegisters, NeuronSection
from ranvier.targets.quantity import Name, Source, Sourced, Strict, Text
from ranvier.targets.synapses import Synapse


class Target(Strict):
    """A chip. ``sources`` are those that its values name; ``file`` is what diagnostics call it."""

    schema_version: Literal[1] = Field(alias="schema")
    time: Time
    spike: Spike
    chip: Chip
    core: Core
    synapse: Synapse
    neurons: NeuronSection = Field(alias="neuron")
    energy: EnergySection
    latency: LatencySection
    power: Power
    sources: dict[Name, Source]
    file: Text

    @property
    def name(self) -> str:
        """The chip's name."""
        return self.chip.name

    @property
    def programmable(self) -> bool:
        """Whether neurons are microcode, so that a step program of ours can run on the chip."""
        return self.neurons.programmable

    def neuron(self, semantics: str) -> NeuronRegisters:
        """The register ranges of a neuron by semantic id, with or without its version.

        On a programmable chip any id has some; on a fixed one an unknown id is a ``RanvierError`` (RV508).
        """
        model = self.neurons.find(semantics)
        if model is None:
            known = ", ".join(m.semantics for m in self.neurons.models.values())
            message = f"{self.name} has no neuron {semantics!r} and runs no programs of ours; it has {known}"
            raise error("RV508", semantics, message, f"use a neuron of {self.name} or a programmable target")
        return model

    @property
    def graded_bits(self) -> int:
        """Bits that a spike can carry; 0 means binary spikes."""
        return self.spike.bits.v.payload_max

    @property
    def shares_convolution(self) -> bool:
        """Whether a convolution kernel is stored once for many positions."""
        return self.synapse.share_conv != "none"

    @property
    def cores_per_chip(self) -> int:
        """Neuro cores of one chip that a program may use."""
        return self.chip.count.v.cores

    @property
    def max_chips(self) -> int:
        """Chips of the largest system known."""
        if self.chip.scale_max is not None:
            return self.chip.scale_max.v.chips
        return max(self.chip.systems.v.values()) if self.chip.systems is not None else 1

    def cite(self, quantity: Sourced) -> str:
        """The full citation of a value's source."""
        return self.sources[quantity.src].cite
