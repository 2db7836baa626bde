"""The schema of a target file: what a chip is, to the compiler.

One model per table of the file; a key's suffix is its unit. ``core.kind`` says which of the models of ``KINDS`` holds:
``Target``, the Loihi-class meshes of cores, has what passes ask for by name: ``neuron(...)``, ``programmable``,
``graded_bits``, ``shares_convolution``, ``cores_per_chip``, ``max_chips``. The other kinds share ``Device`` with it and
have passes of their own.
"""

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field

from ranvier.compiler.diagnostics import error
from ranvier.targets.chips import Chip, Spike, Time
from ranvier.targets.cores import Core
from ranvier.targets.costs import EnergySection, LatencySection, Power
from ranvier.targets.hierarchies import HierarchyCore
from ranvier.targets.neurons import NeuronRegisters, NeuronSection
from ranvier.targets.other_cores import (
    Crossbar,
    CrossbarCore,
    CrossbarNeurons,
    Graph,
    Layer,
    LayerCore,
    LayerNeurons,
    LayerSynapse,
    ShiftedSynapse,
    SingleCore,
    SingleNeurons,
)
from ranvier.targets.quantity import Name, Source, Sourced, Strict, Text
from ranvier.targets.synapses import Synapse


class Device(Strict):
    """What every chip has.

    ``sources`` are those that its values name; ``file`` is what diagnostics call it; ``places`` says for each key in
    which file and line its value stands (files extend each other); ``sha256`` is the hash of these files, and ``files``
    are their names and texts where the first is the user's own.
    """

    schema_version: Literal[1] = Field(alias="schema")
    time: Time
    spike: Spike | None = None
    chip: Chip
    energy: EnergySection
    latency: LatencySection
    power: Power | None = None
    sources: dict[Name, Source]
    file: Text
    places: dict[str, str]
    sha256: str
    files: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The chip's name."""
        return self.chip.name

    @property
    def cores_per_chip(self) -> int:
        """Cores of one chip that a program may use."""
        return self.chip.count.v.cores

    @property
    def max_chips(self) -> int:
        """Chips of the system that is meant, or of the largest that is known."""
        systems = self.chip.systems.v if self.chip.systems is not None else {}
        if self.chip.system is not None:
            return systems[self.chip.system]
        if self.chip.scale_max is not None:
            return self.chip.scale_max.v.chips
        return max(systems.values()) if systems else 1

    def cite(self, quantity: Sourced) -> str:
        """The full citation of a value's source."""
        return self.sources[quantity.src].cite


class Target(Device):
    """A mesh of neurosynaptic cores."""

    spike: Spike
    core: Core
    synapse: Synapse
    neurons: NeuronSection = Field(alias="neuron")
    power: Power

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


class SingleTarget(Device):
    """A chip that is one pool of neurons with bit-shift decays, such as Xylo."""

    core: SingleCore
    graph: Graph
    synapse: ShiftedSynapse
    neurons: SingleNeurons = Field(alias="neuron")


class LayerTarget(Device):
    """A chip whose cores hold one convolutional layer each, such as Speck."""

    core: LayerCore
    layer: Layer
    synapse: LayerSynapse
    neurons: LayerNeurons = Field(alias="neuron")


class CrossbarTarget(Device):
    """A mesh of binary crossbars, such as TrueNorth."""

    core: CrossbarCore
    crossbar: Crossbar
    neurons: CrossbarNeurons = Field(alias="neuron")


class HierarchyTarget(Device):
    """An array of multipliers under a hierarchy of memories, which runs networks in any order (``ranvier explore``)."""

    core: HierarchyCore


AnyTarget = Target | SingleTarget | LayerTarget | CrossbarTarget | HierarchyTarget
KINDS: Final[Mapping[str, type[AnyTarget]]] = {
    "neurosynaptic": Target,
    "single": SingleTarget,
    "layer": LayerTarget,
    "crossbar": CrossbarTarget,
    "hierarchy": HierarchyTarget,
}
"""The model of a target file by its ``core.kind``."""
