"""Fit for Xylo: one pool of hidden neurons with bit-shift decays, and a layer of outputs behind it.

The population that is read becomes the outputs, all others the hidden pool. A decay that keeps a becomes the dash k
with ``1 - 2**-k`` nearest to a. Xylo's current decays after the input has entered, ``u = a (u + w x)``, so that a
weight W behind a gain g becomes ``W g / a``. A population's scale is the largest at which its weights fit 8 bits,
doubled while thresholds, biases and the states that calibration data lead to fit 16 bits; each weight matrix is shifted
as far as that asks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import FloatArray, IntArray, integers, size
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.linear import Synapse
from ranvier.compiler.ir.matrix import linear_matrix
from ranvier.compiler.ir.network import Input, Network, Neurons
from ranvier.compiler.ir.neuron_steps.bytes import xylo_lif
from ranvier.compiler.ir.neurons import UNLIMITED, Lif
from ranvier.compiler.passes.fit import chip_delay
from ranvier.compiler.passes.fit_bytes import (
    WEIGHT_MAX,
    Findings,
    Wanted,
    fit_bias,
    fit_threshold,
    levels,
    room,
    synapses,
    unlike,
    weight_rounding,
)
from ranvier.compiler.passes.fit_registers import Fitted
from ranvier.targets.expression import parse
from ranvier.targets.schema import SingleTarget

MATRICES = ("in", "rec", "out")
MAX_SHIFT = 8
"""A weight of 8 bits shifted further would not fit a state of 16."""


@dataclass(frozen=True)
class FitXylo:
    """A retimed network, with what calibration data did to it, as the chip network of a single-core chip.

    Raises ``RanvierError`` with everything that stands in the way: RV641 a capacity, RV642 neurons, RV643 the graph,
    RV644 how often a neuron may fire in a step, RV645 a threshold, RV646 the input.
    """

    target: SingleTarget

    def __call__(self, network: Network) -> ChipNetwork:
        """The chip network; its populations are those of ``network``."""
        findings = Findings()
        self._graph(network, findings)
        self._capacities(network, findings)
        for population in network.populations:
            self._neurons(network, population, findings)
        if findings.problems:
            raise RanvierError(findings.problems)
        return self._fitted(network, findings)

    def _fitted(self, network: Network, findings: Findings) -> ChipNetwork:
        scales = self._scales(network)
        shifts = self._shifts(network, scales)
        populations = tuple(self._population(network, p, scales[p.name], findings) for p in network.populations)
        connections = tuple(
            self._connection(network, p, s, (source, shifts[_matrix(network, p, source)], scales[p.name]), findings)
            for p in network.populations
            for s, source in synapses(network, p)
        )
        if findings.problems:
            raise RanvierError(findings.problems)
        ports = tuple(Port(n.name, n.shape, encoder=n.encoder) for n in network.inputs)
        rates = {name: seen.rate for name, seen in network.observed.items()}
        return ChipNetwork(
            network.name, self.target.name, ports, populations, connections, network.readout, network.notes,
            tuple(findings.roundings), rates,
        )  # fmt: skip

    def _graph(self, network: Network, findings: Findings) -> None:
        name, read = self.target.name, network.readout.node
        least = self.target.graph.neuron_layers_min.v
        if len(network.populations) < least:
            text = f"{len(network.populations)} layer of neurons; {name} has hidden neurons and outputs, {least} layers"
            findings.refuse("RV643", read, text, "put a hidden layer before the outputs")
        for node in network.inputs:
            if node.coding != "spikes":
                text = f"real numbers enter; {name} takes spikes"
                findings.refuse("RV646", node.name, text, "encode the input: --encode rate --steps 32")
        for population in network.populations:
            for synapse, source in synapses(network, population):
                self._edge(network, population, synapse, source, findings)

    def _edge(self, network: Network, population: Neurons, synapse: Synapse, source: str, findings: Findings) -> None:
        name, read = self.target.name, network.readout.node
        from_input = isinstance(network.by_name[source], Input)
        if source == read:
            text = f"the outputs {read} feed {population.name}; outputs of {name} feed nothing"
            findings.refuse("RV643", synapse.name, text, "read a layer of its own behind them")
        elif from_input and population.name == read and len(network.populations) > 1:
            text = f"the input feeds the outputs {read} directly; on {name} it feeds hidden neurons"
            findings.refuse("RV643", synapse.name, text, "send it through a hidden layer")
        if delay := chip_delay(network, population, synapse):
            text = f"a delay of {delay} steps; synapses of {name} have none"
            findings.refuse("RV643", synapse.name, text, "make the branches equal in depth", delay=delay)

    def _capacities(self, network: Network, findings: Findings) -> None:
        read = network.readout.node
        sizes = {p.name: size(p.shape) for p in network.populations}
        counters = {
            "n_inputs": sum(size(n.shape) for n in network.inputs),
            "n_hidden": sum(n for name, n in sizes.items() if name != read),
            "n_outputs": sizes[read],
        }
        largest = max((n for n in sizes if n != read), key=lambda n: sizes[n], default=read)
        places = {"n_inputs": network.inputs[0].name, "n_hidden": largest, "n_outputs": read}
        for rule in self.target.core.resources:
            used = parse(rule.use, frozenset(counters))(counters)
            if used > rule.cap.v:
                place = next((place for counter, place in places.items() if counter in rule.use), read)
                cite = f"[{self.target.name}.core.{rule.name}; {self.target.cite(rule.cap)}]"
                text = f"{rule.name} uses {used} of {rule.cap.v} {cite}"
                findings.refuse("RV641", place, text, "make the layer smaller", used=used, limit=rule.cap.v)

    def _most(self, network: Network, population: Neurons) -> int:
        limits = self.target.neurons.lif.spikes_per_step_max.v
        return limits.output if population.name == network.readout.node else limits.hidden

    def _neurons(self, network: Network, population: Neurons, findings: Findings) -> None:
        model, name = population.model, self.target.name
        for what, fix in unlike(model, Wanted(name, True, False, ("subtract",))):
            findings.refuse("RV642", population.name, f"{name} has no neuron with {what}", fix)
        if not isinstance(model, Lif):
            return
        if bool(np.any(model.keep_current <= 0)):
            text = f"its current keeps nothing; a synapse of {name} keeps at least half in every step"
            findings.refuse("RV642", population.name, text, "train with a synaptic current that decays slowly")
        if bool(np.any((model.keep_current > 1) | (model.keep_membrane > 1) | (model.keep_membrane < 0))):
            text = "it keeps less than nothing of a state, or more than all of it"
            findings.refuse("RV393", population.name, text, "retrain with decays between 0 and 1")
        most = self._most(network, population)
        if model.max_spikes != most and not (most > 1 and (model.max_spikes == UNLIMITED or model.max_spikes > most)):
            given = model.max_spikes or "any number of"
            text = f"it sends {given} spikes a step; here a neuron of {name} sends up to {most}"
            findings.refuse("RV644", population.name, text, f"train with max_spikes={most}", most=most)

    def _scales(self, network: Network) -> Mapping[str, float]:
        """Membrane units per source unit of every population."""
        found: dict[str, float] = {}
        most = min(self.target.neurons.lif.bits.v.state_max, self.target.neurons.lif.bits.v.threshold_max)
        for population in network.populations:
            peak = max((float(np.abs(w).max(initial=0.0)) for w in self._weights(network, population)), default=0.0)
            top = room(network, population, most)
            base = WEIGHT_MAX / peak if peak else top
            found[population.name] = base * 2 ** max((s for s in range(MAX_SHIFT + 1) if base * 2**s <= top), default=0)
        return found

    def _shifts(self, network: Network, scales: Mapping[str, float]) -> Mapping[str, int]:
        """The shift of each of the three weight matrices: the smallest at which all of its weights fit."""
        found = dict.fromkeys(MATRICES, 0)
        for population in network.populations:
            weights = self._weights(network, population)
            for (_, source), weight in zip(synapses(network, population), weights, strict=True):
                peak = float(np.abs(weight).max(initial=0.0)) * scales[population.name] / WEIGHT_MAX
                matrix = _matrix(network, population, source)
                found[matrix] = max(found[matrix], int(np.ceil(np.log2(peak) - 1e-9)) if peak > 1 else 0)
        return found

    def _weights(self, network: Network, population: Neurons) -> list[FloatArray]:
        return [
            _weight(s, population, self._dash(population, "keep_current")) for s, _ in synapses(network, population)
        ]

    def _dash(self, population: Neurons, name: str) -> FloatArray:
        """The shift whose decay is nearest; that of a current is at least 1: shifted by 0 it would keep nothing."""
        reach = self.target.neurons.lif.dash.v
        shifts = np.arange(max(reach.low, 1) if name == "keep_current" else reach.low, reach.high + 1)
        wanted = np.asarray(getattr(population.model, name))
        return np.asarray(shifts[np.abs((1.0 - 2.0**-shifts) - wanted[..., None]).argmin(axis=-1)])

    def _population(self, network: Network, node: Neurons, scale: float, findings: Findings) -> Population:
        model, fit = node.model, Fitted(node.name)
        assert isinstance(model, Lif)
        for keep, register in (("keep_current", "divisor_syn"), ("keep_membrane", "divisor_mem")):
            dash = self._dash(node, keep)
            fit.put(register, 2.0**dash, getattr(model, keep), 1.0 - 2.0**-dash)
        fit_bias(fit, model.drive, scale, self.target.neurons.lif.bits.v.state_max)
        fit_threshold(fit, model, scale, self.target.neurons.lif.bits.v.threshold_max)
        findings.take(fit)
        most = self._most(network, node)
        program = xylo_lif(most)
        bits = most.bit_length() + 1 if most > 1 else 0
        params = {name: fit.params[name] for name in program.params if name in fit.params}
        if len(params) < len(program.params):
            params = {name: integers(1) for name in program.params}
        found = Population(node.name, node.shape, program, params, {}, node.latency, bits, scale, node.gain)
        return replace(found, initial=_idle(found, findings))

    def _connection(
        self,
        network: Network,
        target: Neurons,
        synapse: Synapse,
        chosen: tuple[str, int, float],
        findings: Findings,
    ) -> Connection:
        source, shift, scale = chosen
        wanted = _weight(synapse, target, self._dash(target, "keep_current"))
        doubled = levels(wanted, scale / 2**shift)
        findings.roundings.append(weight_rounding(synapse.name, wanted, doubled, scale / 2**shift))
        delay = chip_delay(network, target, synapse)
        weight = DenseSynapse(doubled.astype(np.int32))
        return Connection(synapse.name, source, target.name, weight, shift, "mixed", delay)


def _matrix(network: Network, population: Neurons, source: str) -> str:
    """Which of the chip's weight matrices holds what comes from ``source``."""
    if population.name == network.readout.node:
        return "out"
    return "in" if isinstance(network.by_name[source], Input) else "rec"


def _idle(population: Population, findings: Findings) -> Mapping[str, IntArray]:
    """The states at the start of the population's window: on the chip its bias charges it from the first step on."""
    zero = np.zeros(population.size, dtype=np.int64)
    states: Mapping[str, IntArray] = {s.name: zero for s in population.program.states}
    for _ in range(population.latency - 1):
        result = step(population.program, states, population.params, zero)
        states = result.states
        if bool(np.any(result.spikes)):
            text = f"its bias makes it fire before an input can reach it, {population.latency} steps after the start"
            findings.refuse("RV643", population.name, text, "lower the bias, or put the layer nearer to the input")
            break
    return states


def _weight(synapse: Synapse, population: Neurons, dash: FloatArray) -> FloatArray:
    """(targets, sources) the weights, each row times the neuron's gain over what its current keeps."""
    model = population.model
    assert isinstance(model, Lif)
    factor = np.broadcast_to(model.gain / (1.0 - 2.0**-dash), (size(population.shape),))
    return np.asarray(linear_matrix(synapse).toarray() * factor[:, None])
