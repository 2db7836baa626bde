"""The cost tables of a target file: energy and time per event, and power that flows without any.

An energy or latency *basis* is one coherent set of constants; a file may have several, and none is mixed with
another. A constant that nobody has published is ``missing``.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from ranvier.targets.quantity import Cost, Count, Known, Name, Quantity, Strict

Steps = Annotated[tuple[tuple[Count, Cost], ...], Field(min_length=1)]


class SynapseCosts(Strict):
    """Cost of one synaptic operation by the storage format of the synapse."""

    dense: Cost
    sparse: Cost
    conv: Cost


class SomaCosts(Strict):
    """A neuron update costs ``access + update``, a spike ``spike_out`` on top."""

    access: Cost
    update: Cost
    spike_out: Cost


class NeuronCosts(Strict):
    """Cost of a neuron update: of one that spikes or receives, and of an idle one."""

    active: Cost
    inactive: Cost


class AxonCosts(Strict):
    """Cost of a message at its destination (``in``) and at its source (``out``)."""

    in_: Cost = Field(alias="in")
    out: Cost


class HopCosts(Strict):
    """Cost of a message per mesh hop, and within a tile."""

    ew: Cost
    ns: Cost
    tile: Cost = 0.0


class EnergyBasis(Strict):
    """Energy per event. Either ``soma_pJ`` or ``neuron_pJ`` says what a neuron update costs."""

    synapse_pj: Known[SynapseCosts]
    soma_pj: Known[SomaCosts] | None = None
    neuron_pj: Known[NeuronCosts] | None = None
    axon_pj: Known[AxonCosts] | None = None
    hop_pj: Known[HopCosts]
    barrier_pj: Quantity[Cost] | None = None

    @model_validator(mode="after")
    def _one_neuron_cost(self) -> Self:
        if (self.soma_pj is None) == (self.neuron_pj is None):
            raise ValueError("exactly one of soma_pJ and neuron_pJ must be given")
        return self


class LatencyBasis(Strict):
    """Time per event on a core, and per barrier by the number of tiles or chips, from which on a time holds."""

    synapse_ns: Known[SynapseCosts]
    soma_ns: Known[SomaCosts] | None = None
    neuron_ns: Known[NeuronCosts] | None = None
    axon_ns: Known[AxonCosts] | None = None
    hop_ns: Known[HopCosts]
    barrier_ns_by_tiles: Known[Steps]
    barrier_ns_by_chips: Known[Steps] | None = None

    @model_validator(mode="after")
    def _one_neuron_cost(self) -> Self:
        if (self.soma_ns is None) == (self.neuron_ns is None):
            raise ValueError("exactly one of soma_ns and neuron_ns must be given")
        return self


class AffineTerm(Strict):
    """One term of the lower bound: the largest count over cores or links, times ``t_ns``."""

    name: Name
    t_ns: Quantity[Cost]


class MaxAffine(Strict):
    """Time per step is at least the largest of ``terms`` plus ``barrier_ns``."""

    terms: tuple[AffineTerm, ...] = Field(min_length=1)
    barrier_ns: Quantity[Cost]


class StandIn(Strict):
    """Constants of another chip, used for want of our own: file name and basis there."""

    target: Name
    basis: Name


class EnergySection(Strict):
    """Energy bases; ``default`` names one of them, or is ``missing``.

    On loading, a stand-in's constants become the basis ``<target>.<basis>``, each value marked an estimate.
    """

    default: Name
    stand_in: Known[StandIn] | None = None
    bases: dict[Name, EnergyBasis] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _default_exists(self) -> Self:
        if self.default != "missing" and self.default not in self.bases:
            raise ValueError(f"default = {self.default!r} names no table of energy.bases")
        return self


class LatencySection(Strict):
    """Latency bases; ``default`` names one of them, or is ``max_affine`` or ``missing``."""

    default: Name
    bases: dict[Name, LatencyBasis] = Field(default_factory=dict)
    max_affine: MaxAffine | None = None

    @model_validator(mode="after")
    def _default_exists(self) -> Self:
        known = {"missing", *self.bases} | ({"max_affine"} if self.max_affine else set())
        if self.default not in known:
            raise ValueError(f"default = {self.default!r} names no table of latency")
        return self


class Power(Strict):
    """Power that flows whether or not anything spikes."""

    static_mw_per_chip: Quantity[Cost]
    processors_mw_per_chip: Quantity[Cost]
