"""Cores that are no meshes of neurosynaptic ones: a single pool of neurons, one layer per core, a crossbar."""

from collections import Counter
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from ranvier.targets.cores import CapacityRule, checked_use
from ranvier.targets.counters import CROSSBAR_COUNTERS, LAYER_COUNTERS, SINGLE_COUNTERS
from ranvier.targets.quantity import Count, Known, Name, Positive, Quantity, Range, Strict, Text


class SingleRule(CapacityRule):
    """A capacity of a chip that is one pool of neurons."""

    @classmethod
    def checked(cls, text: str) -> str:
        """Over the counters of a whole network."""
        return checked_use(text, SINGLE_COUNTERS, ())


class SingleCore(Strict):
    """One pool of neurons, all to all, and a layer of outputs behind it."""

    kind: Literal["single"]
    resources: tuple[SingleRule, ...] = Field(min_length=1)


class PerSide(Strict):
    """A figure for hidden neurons and one for outputs."""

    hidden: Positive
    output: Positive


class Graph(Strict):
    """What a network may look like on a single core."""

    output_recurrent: bool
    input_to_output: bool
    neuron_layers_min: Known[Positive]


class ShiftedSynapse(Strict):
    """Weights of ``weight_bits``, sign included, shifted left by one number per matrix; no delays."""

    weight_shift: Literal["per_matrix"]
    weight_bits: Known[Positive]
    synapses_per_neuron: Known[PerSide]


class Words(Strict):
    """Widths of the states and of the threshold, sign included."""

    state: Positive
    threshold: Positive

    @property
    def state_max(self) -> int:
        """The largest value of a state."""
        return (1 << (self.state - 1)) - 1

    @property
    def threshold_max(self) -> int:
        """The largest threshold."""
        return (1 << (self.threshold - 1)) - 1


class ShiftLif(Strict):
    """A neuron whose states lose themselves shifted right by ``dash`` in every step."""

    semantics: Name
    decay: Literal["bitshift"]
    reset: Literal["subtract"]
    compare: Literal["ge"]
    overflow: Literal["clip"]
    bits: Known[Words]
    dash: Known[Range]
    spikes_per_step_max: Known[PerSide]
    input_events_per_step_max: Known[Positive]


class SingleNeurons(Strict):
    """The neurons of a single core."""

    lif: ShiftLif


class CoreClass(Strict):
    """Cores that are alike, by their numbers, and the sizes of their memories."""

    ids: tuple[Count, ...] = Field(min_length=1)
    size: Known[dict[Name, Positive]]


class LayerRule(Strict):
    """``use`` may not exceed the memory ``cap``, one of the sizes of the core's class."""

    name: Name
    cap: Name
    use: Text

    @field_validator("use")
    @classmethod
    def _use(cls, text: str) -> str:
        return checked_use(text, LAYER_COUNTERS, ())


class LayerCore(Strict):
    """Cores that hold one layer each, of several classes; layers are matched to cores."""

    kind: Literal["layer"]
    assign: Literal["bipartite_matching"]
    layers_per_core: Known[Positive]
    classes: tuple[CoreClass, ...] = Field(min_length=1)
    resources: tuple[LayerRule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        ids = Counter(i for c in self.classes for i in c.ids)
        if twice := [i for i, times in ids.items() if times > 1]:
            raise ValueError(f"core {twice[0]} is in two classes")
        for rule in self.resources:
            if lacking := next((c for c in self.classes if rule.cap not in c.size.v), None):
                raise ValueError(f"the class of core {lacking.ids[0]} has no size {rule.cap!r}")
        return self


class OutputMax(Strict):
    """The largest output of a layer."""

    map: tuple[Positive, Positive]
    channels: Positive


class Layer(Strict):
    """What one layer may be."""

    recurrence: bool
    destinations_max: Known[Positive]
    kernel_max: Known[Positive]
    kernel_square: bool
    stride: Known[tuple[Positive, ...]]
    pad: Known[Range]
    sum_pool: Known[tuple[Positive, ...]]
    output_max: Known[OutputMax]


class LayerSynapse(Strict):
    """Weights of ``weight_bits``, sign included."""

    weight_bits: Known[Positive]


class LayerIaf(Strict):
    """Integrate-and-fire; a leak is a negative bias, or none."""

    semantics: Name
    reset: tuple[Literal["zero", "subtract"], ...] = Field(min_length=1)
    leak: Literal["none", "negative_bias_slow_clock"]
    bits: Known[Words]


class LayerNeurons(Strict):
    """The neurons of a layered chip."""

    iaf: LayerIaf


class CrossbarRule(CapacityRule):
    """A capacity of a crossbar core."""

    @classmethod
    def checked(cls, text: str) -> str:
        """Over what a crossbar has."""
        return checked_use(text, CROSSBAR_COUNTERS, ())


class CrossbarCore(Strict):
    """Binary crossbars of axons and neurons."""

    kind: Literal["crossbar"]
    resources: tuple[CrossbarRule, ...] = Field(min_length=1)


class Crossbar(Strict):
    """A weight is one of ``weights_per_neuron`` of its neuron, chosen by the type of the axon."""

    axon_types: Known[Positive]
    weight_bits: Known[Positive]
    axon_targets_per_neuron: Known[Positive]


class CrossbarNeuron(Strict):
    """The neuron of a crossbar; ``semantics`` is missing while no arithmetic of it is established."""

    semantics: Quantity[Name]
    leak: Literal["additive"]


class CrossbarNeurons(Strict):
    """The neurons of a crossbar chip."""

    lif: CrossbarNeuron
