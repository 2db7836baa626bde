"""Quantize: one scale per population, and all weights on the chip's grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, size
from ranvier.compiler.ir.linear import SYNAPSES, Conv, Grid, SignMode, Sparse, Synapse
from ranvier.compiler.ir.network import Input, Network, Neurons, Node, Note, Payload
from ranvier.compiler.ir.neurons import RegisterLif, SigmaDelta
from ranvier.compiler.ir.programs import INPUT_SHIFT, STATE_MAX
from ranvier.compiler.passes.demands import demand, sends_numbers, sent_scale
from ranvier.targets.schema import Target

UNIT = 2.0**INPUT_SHIFT
HEADROOM = 0.5
SMALLEST_CANDIDATE = 0.6
SAMPLE = 65_536
MIN_LEVELS = 15
MESSAGE_BITS = 16


@dataclass(frozen=True)
class Arrival:
    """One synapse into a population: real weights per integer unit sent, their sign mode, the sender's rate."""

    synapse: Synapse
    weights: FloatArray
    sign: SignMode
    rate: float

    @property
    def uses(self) -> int:
        """How many synapses these weights make: a kernel is used at every output position."""
        if isinstance(self.synapse, Conv):
            return self.weights.size * size(self.synapse.out_shape[1:])
        return self.weights.size

    @property
    def peak(self) -> float:
        """The largest abs weight."""
        return float(np.abs(self.weights).max(initial=0.0))


@dataclass(frozen=True)
class Quantize:
    """Choose membrane scales S (chip units per source unit) and round the weights.

    A weight w becomes the integer ``w S / (64 * 2**e)`` on the grid of its sign mode (even numbers if mixed), so
    that 64 times the weighted sum is the membrane's increment. S is the candidate with the smallest squared error of
    the membrane (weights by the senders' rates, and the threshold's rounding), below the bounds that the registers
    set: weights of a convolution (which has no exponent), states (observed peaks with a factor 2 of head-room),
    threshold, bias.
    A real-valued input gets a payload scale first: exact if its values are few levels, else as fine as
    the membrane's 24 bits allow. ``input_bits`` is the signed payload width.
    """

    target: Target
    input_bits: int = 8

    def __call__(self, network: Network) -> Network:
        """Integer weights, scales, payloads; raises ``RanvierError`` with all that stands in the way."""
        network = self._with_payloads(network)
        replaced: dict[str, Neurons | Synapse] = {}
        problems: list[Diagnostic] = []
        for population in network.populations:
            try:
                scale, synapses = self._population(network, population)
            except RanvierError as refused:
                problems += refused.diagnostics
                continue
            replaced |= {s.name: s for s in synapses} | {population.name: replace(population, scale=scale)}
        if problems:
            raise RanvierError(problems)
        return replace(network, nodes=tuple(replaced.get(n.name, n) for n in network.nodes))

    def _population(self, network: Network, population: Neurons) -> tuple[float, list[Synapse]]:
        arrivals = [_arrival(network, s) for s in incoming(network, population.name)]
        if isinstance(population.model, RegisterLif):
            return population.scale or 1.0, [_whole(a, population) for a in arrivals]
        top = self._largest_scale(network, population, arrivals)
        grid = demand(population.model).grid
        scale = min(
            _on_grid(population.name, top, grid) or _candidates(top, max((a.peak for a in arrivals), default=0.0)),
            key=lambda s: self._membrane_error(population, arrivals, s),
        )
        return float(scale), [self._quantized(a, float(scale)) for a in arrivals]

    def _membrane_error(self, population: Neurons, arrivals: Sequence[Arrival], scale: float) -> float:
        """Expected squared error of a step's input, plus that of the threshold, in units of the threshold."""
        model = population.model
        finite = model.threshold[np.isfinite(model.threshold)]
        level = float(np.mean(np.abs(finite))) if np.any(finite) else 1.0
        weights = sum(self._error(a, scale) for a in arrivals) / size(population.shape)
        register = 0.0 if not demand(model).stock else _threshold_error(finite * scale / UNIT)
        return weights / level**2 + register

    def _largest_scale(self, network: Network, population: Neurons, arrivals: Sequence[Arrival]) -> float:
        wanted = demand(population.model)
        full = [UNIT * self._limit(a.sign) / a.peak for a in arrivals if a.peak > 0]
        convs = [UNIT * self._limit(a.sign) / a.peak for a in arrivals if a.peak > 0 and isinstance(a.synapse, Conv)]
        bounds = [min(convs) if convs else max(full, default=UNIT)]
        registers = self.target.neuron("loihi.cuba_lif")
        bounds.append(_fitting(STATE_MAX, *wanted.states))
        bounds.append(_fitting(registers.bias_mant.high * 2**registers.bias_exp.high, wanted.bias))
        seen = network.observed.get(population.name)
        if seen is not None:
            bounds.append(_fitting(HEADROOM * STATE_MAX, np.array([seen.peak_membrane, seen.peak_current])))
        return min(bounds)

    def _limit(self, sign: SignMode) -> int:
        ranges = self.target.synapse
        if sign == "mixed":
            return min(ranges.weights("mixed").high, -ranges.weights("mixed").low)
        return ranges.weights("exc").high if sign == "excitatory" else min(-ranges.weights("inh").low, 255)

    def _exponent(self, arrival: Arrival, scale: float) -> int:
        if isinstance(arrival.synapse, Conv) or arrival.peak == 0:
            return 0
        needed = math.ceil(math.log2(arrival.peak * scale / (UNIT * self._limit(arrival.sign))) - 1e-9)
        return min(max(needed, 0), self.target.synapse.weight_exp.v.high)

    def _rounded(self, arrival: Arrival, weights: FloatArray, scale: float) -> tuple[FloatArray, int]:
        exponent = self._exponent(arrival, scale)
        step = 2.0 if arrival.sign == "mixed" else 1.0
        limit = float(self._limit(arrival.sign))
        low, high = (
            (0.0, limit) if arrival.sign == "excitatory" else (-limit, limit if arrival.sign == "mixed" else 0.0)
        )
        return np.clip(np.rint(weights * scale / (UNIT * 2.0**exponent * step)) * step, low, high), exponent

    def _error(self, arrival: Arrival, scale: float) -> float:
        """Squared rounding errors of the weights, each as often as it is used in a step."""
        weights = arrival.weights.reshape(-1)
        sample = weights[:: max(1, weights.size // SAMPLE)]
        if sample.size == 0:
            return 0.0
        rounded, exponent = self._rounded(arrival, sample, scale)
        real = rounded * UNIT * 2.0**exponent / scale
        return arrival.rate * arrival.uses * float(np.mean((real - sample) ** 2))

    def _quantized(self, arrival: Arrival, scale: float) -> Synapse:
        weights, exponent = self._rounded(arrival, arrival.weights, scale)
        grid = Grid(scale, exponent, arrival.sign)
        if isinstance(arrival.synapse, Sparse):
            return replace(arrival.synapse, data=weights, grid=grid)
        return replace(arrival.synapse, weight=weights, grid=grid)

    def _with_payloads(self, network: Network) -> Network:
        for node in network.nodes:
            chosen = self._with_payload(network, node)
            if chosen is not node:
                nodes = tuple(chosen if n.name == node.name else n for n in network.nodes)
                network = replace(network, nodes=nodes)
        notes = [
            Note(
                "RV385",
                n.name,
                f"real input is sent as integers round(x * {n.payload.scale:g}), {n.payload.bits} bits",
            )
            for n in network.inputs
            if n.payload is not None
        ]
        notes += [note for n in network.populations for note in _message_notes(network, n)]
        return replace(network, notes=(*network.notes, *notes))

    def _with_payload(self, network: Network, node: Node) -> Node:
        if isinstance(node, Input) and node.coding == "current":
            return replace(node, payload=self._payload(network, node))
        if isinstance(node, Neurons) and sends_numbers(node) and self.target.programmable:
            return replace(node, model=self._with_messages(network, node))
        return node

    def _with_messages(self, network: Network, node: Neurons) -> SigmaDelta:
        """The neuron's model with the scale of its messages: no finer than it, or what receives them, can resolve.

        The senders in front of it have their scales by then; a loop's own messages are left out of account.
        """
        model = node.model
        assert isinstance(model, SigmaDelta)
        seen = network.observed.get(node.name)
        reach = seen.peak_membrane if seen is not None and seen.peak_membrane > 0 else 1.0
        peak = reach * (2.0 if model.activation == "unit" else 1.0)
        known = [s for s in incoming(network, node.name) if not self._pending(network, source_of(network, s.name))]
        top = self._largest_scale(network, node, [_arrival(network, s) for s in known])
        levels = int(min(2 ** (min(self.target.graded_bits, MESSAGE_BITS) - 1) - 1, max(top * peak, 1.0)))
        if network.out_of[node.name]:
            levels = min(levels, max(MIN_LEVELS, self._affordable_levels(network, node.name, peak, beside=True)))
        return replace(model, message_scale=levels / peak, message_bits=levels.bit_length() + 1)

    def _pending(self, network: Network, sender: str) -> bool:
        """Whether the scale of what ``sender`` sends is still to be chosen."""
        node = network.by_name[sender]
        return isinstance(node, Neurons) and sends_numbers(node)

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
        limit = 2 ** (self.input_bits - 1) - 1
        levels = min(limit, max(MIN_LEVELS, self._affordable_levels(network, port.name, seen.peak_current)))
        if 0 < seen.levels <= levels:
            levels = levels // seen.levels * seen.levels
        return Payload(self.input_bits, levels / seen.peak_current)

    def _affordable_levels(self, network: Network, sender: str, peak: float, beside: bool = False) -> int:
        """Levels up to which a full-range weight still leaves the observed membranes within their register.

        ``beside``: the largest weight of all that enters the same population counts, whatever its sender, because
        errors of smaller weights do not show beside those of the large ones.
        """
        affordable = []
        for population in network.populations:
            seen = network.observed.get(population.name)
            arriving = {s.name: _largest_weight(s) for s in incoming(network, population.name)}
            for name, own in arriving.items():
                if source_of(network, name) == sender and seen is not None and own > 0:
                    largest = max(arriving.values()) if beside else own
                    reach = max(seen.peak_membrane, seen.peak_current, 1e-30)
                    increments = HEADROOM * STATE_MAX / (UNIT * self._limit("mixed"))
                    affordable.append(increments * largest * peak / reach)
        return int(min(affordable, default=float(MIN_LEVELS)))


def _largest_weight(synapse: Synapse) -> float:
    return float(np.abs(synapse.data if isinstance(synapse, Sparse) else synapse.weight).max(initial=0.0))


def incoming(network: Network, population: str) -> list[Synapse]:
    """The synapses of a folded network that end at ``population``."""
    nodes = [network.by_name[edge.source] for edge in network.into[population]]
    return [node for node in nodes if isinstance(node, SYNAPSES)]


def source_of(network: Network, synapse: str) -> str:
    """The input or population at which a folded network's synapse starts."""
    return network.into[synapse][0].source


def _message_notes(network: Network, node: Neurons) -> list[Note]:
    """What becomes of the numbers that ``node`` sends."""
    model = node.model
    if not isinstance(model, SigmaDelta) or model.message_scale == 0:
        return []
    text = f"changes are sent as integers, change * {model.message_scale:g} in {model.message_bits} bits, toward zero"
    notes = [Note("RV624", node.name, f"{text}; what is cut off is sent later")]
    if node.name not in network.observed:
        unknown = "the range of its activation is not known: taken to be 1, larger changes take several steps"
        notes.append(Note("RV625", node.name, unknown))
    return notes


def _on_grid(name: str, top: float, grid: float) -> list[float]:
    """The largest ``grid * 2**k`` up to ``top``; empty if the neurons have no grid."""
    if grid == 0:
        return []
    if top < grid:
        text = f"its messages need a scale of at least {grid:g}, its weights and states allow {top:g}"
        raise error("RV623", name, text, "scale the weights of this layer down and those behind it up", scale=top)
    return [grid * 2.0 ** math.floor(math.log2(top / grid))]


def _candidates(top: float, peak: float) -> list[float]:
    """Scales up to ``top`` at which the largest weight falls on an even integer (times a power of two)."""
    if peak == 0:
        return [top]
    exponent = max(0, math.ceil(math.log2(max(top * peak / UNIT, 1.0) / 256)))
    unit = 2.0 * 2.0**exponent * UNIT / peak
    largest = math.floor(top / unit * (1 + 1e-12))
    smallest = math.ceil(SMALLEST_CANDIDATE * largest)
    return [unit * steps for steps in range(largest, smallest - 1, -1)] if largest > 0 else [top]


def _arrival(network: Network, synapse: Synapse) -> Arrival:
    source = network.by_name[source_of(network, synapse.name)]
    payload = sent_scale(source) if isinstance(source, Neurons) else 1.0
    if isinstance(source, Input) and source.payload is not None:
        payload = source.payload.scale
    values = synapse.data if isinstance(synapse, Sparse) else synapse.weight
    weights = values / payload
    sign: SignMode = "mixed" if weights.min(initial=0.0) < 0 < weights.max(initial=0.0) else "excitatory"
    if weights.min(initial=0.0) < 0 and sign != "mixed":
        sign = "inhibitory"
    seen = network.observed.get(source.name)
    return Arrival(synapse, weights, sign, seen.rate if seen is not None and seen.rate > 0 else 1.0)


def _whole(arrival: Arrival, population: Neurons) -> Synapse:
    """The synapse of a population given in registers: integers already, or a unit-free copy of whole numbers."""
    synapse = arrival.synapse
    if synapse.grid is not None:
        return synapse
    if bool(np.all(arrival.weights == np.rint(arrival.weights))) and arrival.peak <= 255:
        grid = Grid(population.scale or 1.0, 0, arrival.sign)
        if isinstance(synapse, Sparse):
            return replace(synapse, data=arrival.weights, grid=grid)
        return replace(synapse, weight=arrival.weights, grid=grid)
    text = f"{population.name} is given in registers but this layer before it has real weights"
    raise error("RV383", synapse.name, text, "quantize the layer in the tool that wrote the registers")


def _threshold_error(mantissa: FloatArray) -> float:
    """Squared relative error of rounding threshold mantissas; zero where they land exactly."""
    if mantissa.size == 0:
        return 0.0
    return float(np.mean(((np.rint(mantissa) - mantissa) / np.maximum(np.abs(mantissa), 1.0)) ** 2))


def _fitting(limit: float, *values: FloatArray) -> float:
    """The largest scale at which all finite ``values`` stay within ``limit``."""
    peaks = [float(np.abs(v[np.isfinite(v)]).max(initial=0.0)) for v in map(np.atleast_1d, values)]
    return limit / max(peaks) if max(peaks) > 0 else math.inf
