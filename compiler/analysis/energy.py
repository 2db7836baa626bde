"""Energy and time per inference, from counted events and the constants of a target file.

Energy is the sum of events times their cost; static power is time times power, and always apart. In a chip step a core
updates its neurons and sends their messages, and beside that works off those that arrive, each one after the other; the
step lasts as long as the longest of these on any core, plus the barrier. Congestion of the network on chip is not
modelled. That is SANA-FE's simple timing model; an inference takes as many more steps as the network has latency.
Every result names the basis of its constants. A constant that is missing makes the result None, with the reason in
``notes``; constants of another chip are used where a target file says so, and are labelled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ranvier.compiler.analysis.equivalent import Equivalent, TwinCosts, equivalent
from ranvier.compiler.analysis.estimate import Estimate
from ranvier.compiler.analysis.events import CoreEvents, Events, LayerEvents, LayerPass
from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray

if TYPE_CHECKING:
    from ranvier.targets.costs import EnergyBasis, LatencyBasis, SynapseCosts
    from ranvier.targets.quantity import Sourced
    from ranvier.targets.schema import Target

_MISSING = "missing"


@dataclass(frozen=True)
class LayerEnergy:
    """Dynamic energy of one layer in nJ per inference."""

    synapses: float
    neurons: float
    spikes: float
    network: float

    @property
    def total(self) -> float:
        """The sum."""
        return self.synapses + self.neurons + self.spikes + self.network


@dataclass(frozen=True)
class EnergyReport:
    """Energy and time of one inference (``steps`` steps).

    ``basis`` names the constants and ``source`` cites them; ``own`` is False when they are another chip's.
    ``busiest`` holds the largest counts per step of any core, which bound the time where no constant is known;
    ``equivalent`` is the conventional network on the same constants, there wherever energy is.
    """

    target: str
    basis: str
    source: str
    own: bool
    confidence: str
    steps: int
    layers: Mapping[str, LayerEnergy]
    dynamic_nj: Estimate | None
    equivalent: Equivalent | None
    static_nj: Estimate | None
    step_us: Estimate | None
    inference_us: Estimate | None
    busiest: Mapping[str, float]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain values for ``--json``."""
        plain = {k: v for k, v in vars(self).items() if isinstance(v, str | int | bool)}
        estimates = {k: vars(v) if isinstance(v, Estimate) else None for k, v in self._estimates().items()}
        layers = {name: {**vars(layer), "total": layer.total} for name, layer in self.layers.items()}
        twin = None if self.equivalent is None else self.equivalent.to_json()
        return {
            **plain,
            **estimates,
            "equivalent": twin,
            "layers": layers,
            "busiest": dict(self.busiest),
            "notes": list(self.notes),
        }

    def _estimates(self) -> dict[str, Estimate | None]:
        return {
            "dynamic_nj": self.dynamic_nj,
            "static_nj": self.static_nj,
            "step_us": self.step_us,
            "inference_us": self.inference_us,
        }


def energy(target: "Target", happened: Events, basis: str | None = None) -> EnergyReport:
    """Energy and time per inference with the named basis, or the target's default.

    ``RanvierError`` RV525 when the target file has no basis of that name.
    """
    name, own = _choose(target, basis)
    notes: list[str] = []
    costs = target.energy.bases.get(name)
    layers: dict[str, LayerEnergy] = {}
    dynamic = twin = None
    if costs is None:
        notes.append(f"energy: no energy per operation of {target.name} is public")
    else:
        layers, dynamic = _dynamic(costs, happened)
        # The band is that of the constants on their own chip: on another one it would promise too much.
        dynamic = dynamic if own else Estimate(dynamic.value)
        notes += _energy_notes(target, name, own, costs, happened)
        twin = equivalent(happened, layers, dynamic, _twin_costs(costs, happened), _error_of(costs) if own else None)
        notes += twin.notes
    step_us = _step_time(target, name if own else None, happened, notes)
    inference_us = step_us.times(happened.chip_steps) if step_us else None
    return EnergyReport(
        target.name,
        name,
        target.cite(costs.synapse_pj) if costs else "",
        own,
        costs.synapse_pj.conf if costs else "",
        happened.steps,
        layers,
        dynamic,
        twin,
        _static(target, happened, inference_us, notes),
        step_us,
        inference_us,
        _busiest(happened),
        tuple(notes),
    )


def _choose(target: "Target", basis: str | None) -> tuple[str, bool]:
    """The basis to use, and whether its constants are the target's own."""
    stand_in = target.energy.stand_in
    lent = f"{stand_in.v.target}.{stand_in.v.basis}" if stand_in else None
    if basis is not None and basis not in target.energy.bases:
        known = ", ".join(target.energy.bases) or "none"
        raise error("RV525", basis, f"{target.name} has no energy basis {basis!r}", f"choose one of: {known}")
    if basis is None:
        basis = lent if target.energy.default == _MISSING and lent else target.energy.default
    return basis, basis != lent


def _dynamic(costs: "EnergyBasis", happened: Events) -> tuple[dict[str, LayerEnergy], Estimate]:
    layers = {name: _layer(costs, layer, happened) for name, layer in happened.layers.items()}
    value = sum(layer.total for layer in layers.values())
    error_ = _error_of(costs)
    low = high = None
    if error_ is not None:
        low, high = value * (1 - error_), value * (1 + error_)
    elif costs.neuron_pj is not None:
        idle = costs.neuron_pj.v.inactive / costs.neuron_pj.v.active
        low, high = value - (1 - idle) * sum(layer.neurons for layer in layers.values()), value
    return layers, Estimate(value, low, high)


def _layer(costs: "EnergyBasis", layer: LayerEvents, happened: Events) -> LayerEnergy:
    to_nj = 1e-3 / happened.samples
    return LayerEnergy(
        to_nj * layer.synaptic_operations * _per_synapse(costs.synapse_pj.v, layer.format),
        to_nj * layer.neuron_updates * _update(costs),
        to_nj * layer.spikes * (costs.soma_pj.v.spike_out if costs.soma_pj else 0.0),
        to_nj * _network(costs, layer),
    )


def _update(costs: "EnergyBasis") -> float:
    soma, neuron = costs.soma_pj, costs.neuron_pj
    return soma.v.access + soma.v.update if soma else neuron.v.active if neuron else 0.0


def _network(costs: "EnergyBasis", layer: LayerEvents | LayerPass) -> float:
    """Picojoules of the layer's messages and their hops."""
    axon, hop = costs.axon_pj, costs.hop_pj.v
    hops = layer.east_west * hop.ew + layer.north_south * hop.ns + layer.messages * hop.tile
    return layer.messages * (axon.v.in_ + axon.v.out if axon else 0.0) + hops


def _twin_costs(costs: "EnergyBasis", happened: Events) -> dict[str, TwinCosts]:
    spike = costs.soma_pj.v.spike_out if costs.soma_pj else 0.0
    return {
        name: TwinCosts(
            _per_synapse(costs.synapse_pj.v, happened.layers[name].format), _update(costs), spike, _network(costs, once)
        )
        for name, once in happened.once.items()
    }


def _energy_notes(target: "Target", name: str, own: bool, costs: "EnergyBasis", happened: Events) -> list[str]:
    stand_in = target.energy.stand_in
    notes = [] if own or stand_in is None else [f"energy: estimate with constants of {name}: {stand_in.note}"]
    if costs.neuron_pj is not None:
        notes.append("energy: every neuron update counts as active; the lower end of the band counts all as idle")
    if not happened.mesh_known:
        notes.append(f"energy: mesh hops are not counted, the mesh of {target.name} is not public")
    if happened.between_chips:
        notes.append("energy: messages between chips are not counted, no cost of theirs is public")
    return notes


def _static(target: "Target", happened: Events, inference_us: Estimate | None, notes: list[str]) -> Estimate | None:
    power = target.power.static_mw_per_chip.known()
    if power is None:
        notes.append(f"static energy: the static power of {target.name} is not public")
        return None
    if inference_us is None:
        notes.append("static energy: needs the time, which is not known")
        return None
    return inference_us.times(power * happened.chips)  # us * mW = nJ


def _step_time(target: "Target", basis: str | None, happened: Events, notes: list[str]) -> Estimate | None:
    """Microseconds per step; the latency basis of the energy basis's name goes with it."""
    name = basis if basis in target.latency.bases else target.latency.default
    costs = target.latency.bases.get(name)
    if costs is None:
        notes.append(f"time: no time per operation of {target.name} is public; see the busiest core's counts")
        return None
    busiest = float(np.max([_core_ns(costs, core) for core in happened.cores.values()], axis=0).mean())
    barrier = _from_on(costs.barrier_ns_by_tiles.v, len({core.tile for core in happened.cores.values()}))
    if happened.chips > 1 and costs.barrier_ns_by_chips is not None:
        barrier = max(barrier, _from_on(costs.barrier_ns_by_chips.v, happened.chips))
    rows = "step by step" if happened.exact else "in the mean step"
    notes.append(f"time: {target.cite(costs.synapse_ns)}; busiest core {rows} plus barrier, no network congestion")
    value, error_ = (busiest + barrier) * 1e-3, _error(costs.synapse_ns, costs.soma_ns, costs.axon_ns)
    return Estimate(value) if error_ is None else Estimate(value, value * (1 - error_), value * (1 + error_))


def _core_ns(costs: "LatencyBasis", core: CoreEvents) -> FloatArray:
    """(rows,) what the core's longer side takes: its neurons and what they send, or what arrives."""
    soma, neuron, axon = costs.soma_ns, costs.neuron_ns, costs.axon_ns
    update = soma.v.access + soma.v.update if soma else neuron.v.active if neuron else 0.0
    sending = core.neuron_updates * update + core.spikes * (soma.v.spike_out if soma else 0.0)
    arriving = np.zeros_like(sending)
    for kind, operations in core.synaptic_operations.items():
        arriving = arriving + operations * _per_synapse(costs.synapse_ns.v, kind)
    if axon is not None:
        sending, arriving = sending + core.messages_out * axon.v.out, arriving + core.messages_in * axon.v.in_
    return np.maximum(sending, arriving)


def _busiest(happened: Events) -> dict[str, float]:
    cores = tuple(happened.cores.values())
    operations = [sum(float(rows.mean()) for rows in core.synaptic_operations.values()) for core in cores]
    return {
        "synaptic_operations": max(operations, default=0.0),
        "neuron_updates": max((float(c.neuron_updates.mean()) for c in cores), default=0.0),
        "messages_in": max((float(c.messages_in.mean()) for c in cores), default=0.0),
        "messages_out": max((float(c.messages_out.mean()) for c in cores), default=0.0),
    }


def _per_synapse(costs: "SynapseCosts", kind: str) -> float:
    return {"dense": costs.dense, "sparse": costs.sparse, "conv": costs.conv}[kind]


def _from_on(table: tuple[tuple[int, float], ...], count: int) -> float:
    """The cost that holds from the largest listed number on that is at most ``count``; below the table, the first."""
    return next((cost for number, cost in reversed(table) if number <= count), table[0][1])


def _error_of(costs: "EnergyBasis") -> float | None:
    return _error(costs.synapse_pj, costs.soma_pj, costs.neuron_pj, costs.axon_pj)


def _error(*constants: "Sourced | None") -> float | None:
    """The largest known relative error of the constants; None when none is known."""
    known = [c.err for c in constants if c is not None and c.err is not None]
    return max(known) if known else None
