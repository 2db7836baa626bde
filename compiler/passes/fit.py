"""Fit: thresholds, decays, biases and resets into their registers; from float network to chip network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.chip import (
    ChipNetwork,
    ChipSynapse,
    Connection,
    ConvSynapse,
    DenseSynapse,
    Population,
    Port,
    Rounding,
    SparseSynapse,
)
from ranvier.compiler.ir.linear import Conv, Dense, Sparse, Synapse
from ranvier.compiler.ir.models import FORMS
from ranvier.compiler.ir.network import Network, Neurons, Note
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.compiler.passes.arrivals import incoming, sent_units, source_of, weights_of, wires_of
from ranvier.compiler.passes.fit_lif import fit_lif, keep_registers
from ranvier.compiler.passes.fit_programmed import fit_programmed
from ranvier.compiler.passes.fit_registers import Fitted
from ranvier.compiler.passes.per_channel import row_gains
from ranvier.targets.schema import Target

UNIT = 64


@dataclass(frozen=True)
class Fit:
    """Lower a quantized network to the chip network of ``target``.

    Decays: ``keep = 1 - register / 4096``, rounded to the nearest register. Thresholds: on integers ``v >= T`` is
    ``v > T - 1``; a stock neuron compares with a multiple of 64, rounded to the nearest, or exactly where its
    membrane only takes multiples of 64 itself (no decay). A constant b entering a synaptic current that keeps a
    is ``b (1 - a**(t+1)) / (1 - a)`` in step t: it becomes the bias ``b / (1 - a)`` with the current starting at its
    negative. Neurons that the target has no hardware for become step programs if it is programmable, else a
    refusal. Every rounding is recorded; that of the weights against those of ``real``, the network before quantizing;
    where it is not given, as half a step of their grid.
    """

    target: Target
    real: Network | None = None

    def __call__(self, network: Network) -> ChipNetwork:
        """The chip network; raises ``RanvierError`` with everything that does not fit the registers."""
        fitted = [self._population(node) for node in network.populations]
        problems = [problem for _, fit in fitted for problem in fit.problems]
        problems += self._delay_problems(network)
        if problems:
            raise RanvierError(problems)
        notes = (*network.notes, *_delay_notes(network))
        return ChipNetwork(
            network.name,
            self.target.name,
            tuple(
                Port(n.name, n.shape, *((n.payload.bits, n.payload.scale) if n.payload else (0, 1.0)), n.encoder)
                for n in network.inputs
            ),
            tuple(population for population, _ in fitted),
            tuple(_connection(network, p, s) for p in network.populations for s in incoming(network, p.name)),
            network.readout,
            notes,
            (*_weight_roundings(network, self.real), *(r for _, fit in fitted for r in fit.roundings)),
            {name: seen.rate for name, seen in network.observed.items()},
        )

    def problems(self, network: Network) -> list[Diagnostic]:
        """What stands in the way of a retimed network, quantized or not (a scale not chosen yet counts as 1)."""
        nodes = [replace(node, scale=node.scale or 1.0) for node in network.populations]
        found = [problem for node in nodes for problem in self._population(node)[1].problems]
        return [*found, *self._delay_problems(network)]

    def _population(self, node: Neurons) -> tuple[Population, Fitted]:
        fit = Fitted(node.name)
        return FITS[type(node.model)](fit, node, self.target), fit

    def _delay_problems(self, network: Network) -> list[Diagnostic]:
        limit = self.target.synapse.max_delay
        return [
            Diagnostic("RV392", s.name, f"needs {delay} extra steps of delay, {self.target.name} has {limit}",
                       "make the branches more equal in depth", figures={"delay": delay, "limit": limit})
            for p in network.populations
            for s in incoming(network, p.name)
            if (delay := chip_delay(network, p, s)) > limit
        ]  # fmt: skip


def chip_delay(network: Network, target: Neurons, synapse: Synapse) -> int:
    """The extra chip steps of a synapse: what retiming left over."""
    into = network.into[synapse.name][0]
    source = network.by_name[into.source]
    sent = source.latency if isinstance(source, Neurons) else 0
    return target.latency - sent - 1 + into.delay


def _delay_notes(network: Network) -> list[Note]:
    found = []
    for p in network.populations:
        for s in incoming(network, p.name):
            loop = network.into[s.name][0].delay
            extra = chip_delay(network, p, s)
            if extra > 0 and loop == 0:
                found.append(Note("RV398", s.name, f"delayed by {extra} steps to meet the deeper branch at {p.name}"))
    return found


def _connection(network: Network, target: Neurons, synapse: Synapse) -> Connection:
    grid = synapse.grid
    assert grid is not None
    source = source_of(network, synapse.name)
    delay = chip_delay(network, target, synapse)
    stored = _chip_synapse(synapse)
    return Connection(
        synapse.name, source, target.name, stored, grid.exponent, grid.sign, delay, grid.bits, grid.part_of
    )


def _chip_synapse(synapse: Synapse) -> ChipSynapse:
    if isinstance(synapse, Dense):
        return DenseSynapse(synapse.weight.astype(np.int32))
    if isinstance(synapse, Conv):
        s = synapse
        return ConvSynapse(
            s.weight.astype(np.int32), s.in_shape, s.out_shape, s.stride, s.padding, s.dilation, s.groups
        )
    return SparseSynapse(synapse.data.astype(np.int32), synapse.indices, synapse.indptr, synapse.in_size)


def _weight_roundings(network: Network, real: Network | None) -> list[Rounding]:
    """The largest error of the weights of every synapse, per integer sent and in units of the membrane."""
    populations = [p for p in network.populations if not isinstance(p.model, RegisterLif)]
    return [_weight_rounding(network, real, p, s) for p in populations for s in incoming(network, p.name)]


def _weight_rounding(network: Network, real: Network | None, target: Neurons, synapse: Synapse) -> Rounding:
    assert synapse.grid is not None
    rounded = weights_of(synapse)
    unit = UNIT * 2.0**synapse.grid.exponent / synapse.grid.scale
    before = None if real is None else real.by_name[synapse.grid.part_of or synapse.name]
    if not isinstance(before, Synapse) or real is None:
        half = unit * (1.0 if synapse.grid.sign == "mixed" else 0.5)
        return Rounding(synapse.name, "weight", half, half / (float(np.abs(rounded).max(initial=1.0)) * unit))
    earlier = real.by_name[target.name]
    assert isinstance(earlier, Neurons)
    source = weights_of(before) / sent_units(network, synapse.name)
    wanted = source * row_gains(earlier, target, source.shape[0])
    if synapse.grid.part_of and isinstance(synapse, Sparse):
        wanted = wanted[:, np.isin(wires_of(before), synapse.indices)].reshape(1, -1)
    worst = float(np.abs(rounded * unit - wanted).max(initial=0.0))
    return Rounding(synapse.name, "weight", worst, worst / max(float(np.abs(wanted).max(initial=0.0)), 1e-30))


FITS: Mapping[type, Callable[[Fitted, Neurons, Target], Population]] = {
    Lif: fit_lif,
    RegisterLif: keep_registers,
    **dict.fromkeys(FORMS, fit_programmed),
}
