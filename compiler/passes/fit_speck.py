"""Fit for Speck (DYNAP-CNN): one convolutional layer per core, integrate-and-fire, 8-bit weights.

A dense layer is the convolution whose kernel covers the whole map; groups and dilation are written out with zeros.
All violations of the published rules come at once.
"""

from dataclasses import dataclass

import numpy as np

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import FloatArray, IntArray, Shape, integers
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, Population, Port
from ranvier.compiler.ir.linear import Conv, Dense, Synapse
from ranvier.compiler.ir.network import Input, Network, Neurons, Note
from ranvier.compiler.ir.neuron_steps.bytes import dynapcnn_iaf
from ranvier.compiler.ir.neurons import UNLIMITED, Lif
from ranvier.compiler.passes.fit import chip_delay
from ranvier.compiler.passes.fit_bytes import (
    WEIGHT_MAX,
    Findings,
    Wanted,
    fit_bias,
    fit_floor,
    fit_threshold,
    levels,
    room,
    synapses,
    unlike,
    weight_rounding,
)
from ranvier.compiler.passes.fit_registers import Fitted
from ranvier.targets.schema import LayerTarget

COARSEST = 8.0
"""Weights give up this factor at most so that states fit: 5 of their 8 bits remain."""
EXACT = "the chip works event by event within a step; here a step is computed at once, as sinabs does"


@dataclass(frozen=True, eq=False)
class Window:
    """The kernel of one layer, written out: ``weight`` (outputs, inputs, height, width)."""

    weight: FloatArray
    in_shape: Shape
    out_shape: Shape
    stride: Shape
    padding: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class FitSpeck:
    """A retimed network as the chip network of a chip with one layer per core.

    Raises ``RanvierError`` with everything that stands in the way: RV642 neurons, RV645 a threshold, RV646 the input,
    RV647 a layer, RV648 the graph.
    """

    target: LayerTarget

    def __call__(self, network: Network) -> ChipNetwork:
        """The chip network; its populations are those of ``network``."""
        findings = Findings()
        self._graph(network, findings)
        parts = [self._layer(network, p, findings) for p in network.populations]
        if findings.problems:
            raise RanvierError(findings.problems)
        ports = tuple(Port(n.name, n.shape, encoder=n.encoder) for n in network.inputs)
        notes = (*network.notes, Note("RV649", network.name, EXACT))
        rates = {name: seen.rate for name, seen in network.observed.items()}
        populations = tuple(p for p, _ in (part for part in parts if part is not None))
        connections = tuple(c for _, c in (part for part in parts if part is not None))
        return ChipNetwork(
            network.name, self.target.name, ports, populations, connections, network.readout, notes,
            tuple(findings.roundings), rates,
        )  # fmt: skip

    def _graph(self, network: Network, findings: Findings) -> None:
        name, rules = self.target.name, self.target.layer
        limit = self.target.chip.input_max
        for node in network.inputs:
            if node.coding != "spikes":
                text = f"real numbers enter; {name} takes spikes"
                findings.refuse("RV646", node.name, text, "encode the input: --encode rate --steps 32")
            if limit is not None and any(s > m for s, m in zip(_map(node.shape), limit.v, strict=True)):
                text = f"an input of {_map(node.shape)} exceeds {limit.v} [{name}.chip.input_max]"
                findings.refuse("RV646", node.name, text, "crop the input or pool it before")
        for population in network.populations:
            ends = synapses(network, population)
            if len(ends) != 1:
                text = f"{len(ends)} layers end here; a core of {name} has one kernel"
                findings.refuse("RV648", population.name, text, "let one layer end at each population")
            goals = sum(s == population.name for p in network.populations for _, s in synapses(network, p))
            if goals > rules.destinations_max.v:
                text = f"it feeds {goals} layers; a core of {name} has {rules.destinations_max.v} destinations"
                findings.refuse("RV648", population.name, text, "feed fewer layers", used=goals)
            for synapse, _ in ends:
                if chip_delay(network, population, synapse):
                    text = f"a delay, or recurrence; {name} has neither"
                    findings.refuse("RV648", synapse.name, text, "make branches equal in depth, without loops")
        loops = [s for p in network.populations for s, source in synapses(network, p) if _loops(network, p, source)]
        for synapse in loops if not rules.recurrence else ():
            findings.refuse("RV648", synapse.name, f"a loop; {name} has no safe recurrence", "use a feed-forward net")

    def _layer(self, network: Network, node: Neurons, findings: Findings) -> tuple[Population, Connection] | None:
        """The layer that ends at ``node``, or what is wrong with it."""
        fit, model, before = Fitted(node.name), node.model, len(findings.problems)
        iaf = self.target.neurons.iaf
        for what, fix in unlike(model, Wanted(self.target.name, False, True, iaf.reset)):
            findings.refuse("RV642", node.name, f"{self.target.name} has no neuron with {what}", fix)
        if isinstance(model, Lif) and bool(np.any(model.keep_membrane != 1)):
            text = f"{self.target.name} has no neuron with a leak in proportion to the membrane"
            findings.refuse("RV642", node.name, text, "train integrate-and-fire neurons, without leak")
        if isinstance(model, Lif) and bool(np.ptp(model.threshold) > 0):
            text = f"a core of {self.target.name} has one threshold, these neurons have several"
            findings.refuse("RV642", node.name, text, "train with one threshold per layer")
        ends = synapses(network, node)
        if len(ends) != 1 or not isinstance(model, Lif):
            return None
        ((synapse, source),) = ends
        window = self._window(network, synapse, source, node, findings)
        if window is None or len(findings.problems) > before:
            return None
        scale = self._scale(network, node, window)
        most = iaf.bits.v
        fit_bias(fit, model.drive + model.current_drive, scale, most.state_max)
        fit_threshold(fit, model, scale, most.threshold_max)
        if model.floor is not None:
            fit_floor(fit, model, scale, most.state_max)
        findings.take(fit)
        if fit.problems:
            return None
        reset = "subtract" if model.reset == "subtract" else "zero"
        program = dynapcnn_iaf(reset, model.max_spikes, model.floor is not None)
        largest = (
            most.state_max // int(fit.params["threshold"].min()) if model.max_spikes == UNLIMITED else model.max_spikes
        )
        bits = max(largest, 1).bit_length() + 1 if program.graded else 0
        params = {name: fit.params[name] for name in program.params}
        initial = {s.name: integers(0) for s in program.states}
        population = Population(
            node.name, node.shape, program, params, initial, node.latency, bits, scale, node.gain
        )  # fmt: skip
        return population, self._connection(synapse, source, node, window, scale, findings)

    def _window(
        self, network: Network, synapse: Synapse, source: str, node: Neurons, findings: Findings
    ) -> Window | None:
        sender = network.by_name[source]
        assert isinstance(sender, Input | Neurons)
        window = written_out(synapse, sender.shape)
        if window is None:
            text = f"{type(synapse).__name__} connections are no convolution"
            findings.refuse("RV647", synapse.name, text, "use a convolution or a dense layer")
            return None
        for text, fix in self._violations(node, window):
            findings.refuse("RV647", synapse.name, f"{text} [{self.target.name}.layer]", fix)
        return window

    def _violations(self, node: Neurons, window: Window) -> list[tuple[str, str]]:
        rules = self.target.layer
        height, width = window.weight.shape[2:]
        channels, *extent = window.out_shape
        pads = [p for pair in window.padding for p in pair]
        largest, output, bias = rules.kernel_max.v, rules.output_max.v, _drive(node)
        per_channel = bias.ndim == 0 or bool(np.all(np.ptp(bias.reshape(channels, -1), axis=1) == 0))
        found = {
            f"a kernel of {height} x {width} is not square": (height != width and rules.kernel_square, "square ones"),
            f"a kernel of {height} x {width} exceeds {largest} x {largest}": (
                max(height, width) > largest, "smaller kernels, or a pooling before a dense layer"
            ),
            f"strides {window.stride} are not among {rules.stride.v}": (
                any(s not in rules.stride.v for s in window.stride), f"strides of {rules.stride.v}"
            ),
            f"paddings {window.padding} are not alike on all four sides": (len(set(pads)) > 1, "symmetric padding"),
            f"a padding of {max(pads)} is outside {rules.pad.v.low}..{rules.pad.v.high}": (
                any(p not in rules.pad.v for p in pads), "less padding"
            ),
            f"an output of {tuple(extent)} exceeds {output.map}": (
                any(e > m for e, m in zip(extent, output.map, strict=True)), "a stride, or a smaller input"
            ),
            f"{channels} channels exceed {output.channels}": (channels > output.channels, "fewer channels"),
            "a bias differs within a channel": (not per_channel, "one bias per channel"),
        }  # fmt: skip
        return [(text, f"use {fix}") for text, (wrong, fix) in found.items() if wrong]

    def _scale(self, network: Network, node: Neurons, window: Window) -> float:
        peak = float(np.abs(_gained(node, window)).max(initial=0.0))
        top = room(network, node, self.target.neurons.iaf.bits.v.state_max)
        base = WEIGHT_MAX / peak if peak else top
        return min(base, max(top, base / COARSEST))

    def _connection(
        self, synapse: Synapse, source: str, node: Neurons, window: Window, scale: float, findings: Findings
    ) -> Connection:
        wanted = _gained(node, window)
        doubled = levels(wanted, scale)
        findings.roundings.append(weight_rounding(synapse.name, wanted, doubled, scale))
        kernel = ConvSynapse(
            doubled.astype(np.int32), window.in_shape, window.out_shape, window.stride, window.padding, (1, 1), 1
        )
        return Connection(synapse.name, source, node.name, kernel, 0, "mixed", 0)


def written_out(synapse: Synapse, sender: Shape) -> Window | None:
    """The synapse as a plain convolution of what ``sender`` (a shape) sends; None where it is none."""
    if isinstance(synapse, Dense):
        shape = sender if len(sender) == 3 else (int(np.prod(sender)), 1, 1)
        weight = synapse.weight.reshape(-1, *shape)
        return Window(weight, shape, (weight.shape[0], 1, 1), (1, 1), ((0, 0), (0, 0)))
    if not isinstance(synapse, Conv):
        return None
    outputs, per_group, height, width = synapse.weight.shape
    wide = [(k - 1) * d + 1 for k, d in zip((height, width), synapse.dilation, strict=True)]
    weight = np.zeros((outputs, synapse.in_shape[0], *wide))
    per_out = outputs // synapse.groups
    for output in range(outputs):
        first = output // per_out * per_group
        weight[output, first : first + per_group, :: synapse.dilation[0], :: synapse.dilation[1]] = synapse.weight[
            output
        ]
    return Window(weight, synapse.in_shape, synapse.out_shape, synapse.stride, synapse.padding)


def _gained(node: Neurons, window: Window) -> FloatArray:
    """The kernel times the gain of the neurons that it feeds; gains differ between channels at most."""
    model = node.model
    assert isinstance(model, Lif)
    gain = np.broadcast_to(model.gain, (int(np.prod(node.shape)),)).reshape(window.out_shape[0], -1)[:, 0]
    return np.asarray(window.weight * gain[:, None, None, None])


def _drive(node: Neurons) -> FloatArray | IntArray:
    model = node.model
    assert isinstance(model, Lif)
    return np.asarray(model.drive + model.current_drive)


def _loops(network: Network, population: Neurons, source: str) -> bool:
    """Whether ``source`` does not come before ``population``."""
    sender = network.by_name[source]
    return isinstance(sender, Neurons) and sender.latency >= population.latency


def _map(shape: Shape) -> Shape:
    return shape[1:] if len(shape) == 3 else (1, 1)
