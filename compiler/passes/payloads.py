"""Payloads: how real numbers travel, from inputs and from neurons that send them.

A real-valued input gets a payload scale: exact if its values are few levels, else as fine as the membrane's 24 bits
allow. Neurons that send changes get the scale of their messages.
"""

from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.network import Input, Network, Neurons, Node, Note, Payload
from ranvier.compiler.ir.neurons import NUMERIC, GradedLif, Numeric, Quantizer, SigmaDelta
from ranvier.compiler.ir.programs import STATE_MAX
from ranvier.compiler.options import DEFAULTS, Options
from ranvier.compiler.passes.arrivals import UNIT, arrival, incoming, source_of, weights_of
from ranvier.compiler.passes.bounds import HEADROOM, register_bound, weight_bound
from ranvier.compiler.passes.demands import sends_numbers
from ranvier.targets.schema import Target

MIN_LEVELS = 15
MESSAGE_BITS = 16
LARGEST_WEIGHT = 254


@dataclass(frozen=True)
class Payloads:
    """Choose the payload of every real-valued input and the message scale of every neuron that sends numbers."""

    target: Target
    options: Options = DEFAULTS

    def __call__(self, network: Network) -> Network:
        """``network`` with payloads, each noted; raises ``RanvierError`` RV381 and RV382."""
        for node in network.nodes:
            chosen = self._with_payload(network, node)
            if chosen is not node:
                nodes = tuple(chosen if n.name == node.name else n for n in network.nodes)
                network = replace(network, nodes=nodes)
        sent = [(n.name, n.payload) for n in network.inputs if n.payload is not None]
        notes = [
            Note("RV385", name, f"real input is sent as integers round(x * {p.scale:g}), {p.bits} bits")
            for name, p in sent
        ]
        notes += [note for n in network.populations for note in _message_notes(network, n)]
        return replace(network, notes=(*network.notes, *notes))

    def _with_payload(self, network: Network, node: Node) -> Node:
        if isinstance(node, Input) and node.coding == "current":
            return replace(node, payload=self._payload(network, node))
        if isinstance(node, Neurons) and sends_numbers(node) and self.target.programmable:
            return replace(node, model=self._with_messages(network, node))
        return node

    def _payload(self, network: Network, port: Input) -> Payload:
        if self.target.graded_bits == 0:
            text = f"the input carries real numbers; {self.target.name} carries only spikes"
            fix = "encode the data as spikes (rate or latency) and load with coding='spikes', or choose loihi2"
            raise error("RV381", port.name, text, fix)
        if port.payload is not None:
            return port.payload
        seen = network.observed.get(port.name)
        if seen is None or seen.peak_current == 0:
            raise error("RV382", port.name, "the input carries real numbers and their range is not known",
                        "give calibration data: compile(..., calibrate=samples) or --calibrate data.npz")  # fmt: skip
        limit = 2 ** (self.options.input_bits - 1) - 1
        levels = min(limit, max(MIN_LEVELS, _affordable_levels(network, port.name, seen.peak_current)))
        if 0 < seen.levels <= levels:
            levels = levels // seen.levels * seen.levels
        return Payload(self.options.input_bits, levels / seen.peak_current)

    def _with_messages(self, network: Network, node: Neurons) -> Numeric:
        """The neuron's model with the scale of its messages: no finer than it, or what receives them, can resolve.

        The senders in front of it have their scales by then; a loop's own messages are left out of account.
        """
        model = node.model
        assert isinstance(model, SigmaDelta | GradedLif)
        seen = network.observed.get(node.name)
        reach = seen.peak_membrane if seen is not None and seen.peak_membrane > 0 else 1.0
        signed = isinstance(model, SigmaDelta) and model.activation == "unit"
        peak = reach * (2.0 if signed else 1.0)
        widest = model.message_bits or min(self.target.graded_bits, MESSAGE_BITS)
        known = [s for s in incoming(network, node.name) if not _pending(network, source_of(network, s.name))]
        arrivals = [arrival(network, s, self.options.bits_of(s.name), {}) for s in known]
        top = min(weight_bound(arrivals), register_bound(self.target, node, seen))
        levels = int(min(2 ** (widest - 1) - 1, max(top * peak, 1.0)))
        if network.out_of[node.name]:
            levels = min(levels, max(MIN_LEVELS, _affordable_levels(network, node.name, peak, beside=True)))
        return replace(model, message_scale=levels / peak, message_bits=levels.bit_length() + 1)


def _pending(network: Network, sender: str) -> bool:
    """Whether the scale of what ``sender`` sends is still to be chosen."""
    node = network.by_name[sender]
    return isinstance(node, Neurons) and sends_numbers(node)


def _affordable_levels(network: Network, sender: str, peak: float, beside: bool = False) -> int:
    """Levels up to which a full-range weight still leaves the observed membranes within their register.

    ``beside``: the largest weight of all that enters the same population counts, whatever its sender, because
    errors of smaller weights do not show beside those of the large ones.
    """
    affordable = []
    for population in network.populations:
        seen = network.observed.get(population.name)
        arriving = {s.name: float(np.abs(weights_of(s)).max(initial=0.0)) for s in incoming(network, population.name)}
        for name, own in arriving.items():
            if source_of(network, name) == sender and seen is not None and own > 0:
                heaviest = max(arriving.values()) if beside else own
                reach = max(seen.peak_membrane, seen.peak_current, 1e-30)
                increments = HEADROOM * STATE_MAX / (UNIT * LARGEST_WEIGHT)
                affordable.append(increments * heaviest * peak / reach)
    return int(min(affordable, default=float(MIN_LEVELS)))


def _message_notes(network: Network, node: Neurons) -> list[Note]:
    """What becomes of the numbers that ``node`` sends."""
    model = node.model
    if not isinstance(model, NUMERIC) or model.message_scale == 0:
        return []
    if isinstance(model, Quantizer):
        text = f"its input is sent in whole steps of {model.step:g}, {model.message_bits} bits; larger input saturates"
        return [Note("RV750", node.name, text)]
    how = f"* {model.message_scale:g} in {model.message_bits} bits"
    text = f"spikes carry their size as integers, size {how}, to the nearest; larger sizes saturate"
    if isinstance(model, SigmaDelta):
        text = f"changes are sent as integers, change {how}, toward zero; what is cut off is sent later"
    notes = [Note("RV624", node.name, text)]
    heard = {source_of(network, s.name) for s in incoming(network, node.name)}
    plain = isinstance(model, GradedLif) and not np.any(model.keep_membrane) and not np.any(model.offset)
    if plain and node.name not in heard:
        alone = "it keeps nothing from step to step: a rectifier, and its layer a conventional one, run in every step"
        notes.append(Note("RV626", node.name, alone))
    if node.name not in network.observed:
        unknown = "the range of its activation is not known: taken to be 1, larger changes take several steps"
        notes.append(Note("RV625", node.name, unknown))
    return notes
