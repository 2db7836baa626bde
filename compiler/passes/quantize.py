"""Quantize: one scale per population, and all weights on the chip's grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, size
from ranvier.compiler.ir.linear import SYNAPSES, Conv, Grid, SignMode, Sparse, Synapse
from ranvier.compiler.ir.network import Input, Network, Neurons, Note, Payload
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.compiler.ir.programs import INPUT_SHIFT, STATE_MAX, chip_features
from ranvier.targets.schema import Target

UNIT = 2.0**INPUT_SHIFT
HEADROOM = 0.5
SMALLEST_CANDIDATE = 0.6
SAMPLE = 65_536
MIN_LEVELS = 15


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
        scale = min(
            _candidates(top, max((a.peak for a in arrivals), default=0.0)),
            key=lambda s: self._membrane_error(population, arrivals, s),
        )
        return float(scale), [self._quantized(a, float(scale)) for a in arrivals]

    def _membrane_error(self, population: Neurons, arrivals: Sequence[Arrival], scale: float) -> float:
        """Expected squared error of a step's input, plus that of the threshold, in units of the threshold."""
        model = population.model
        assert isinstance(model, Lif)
        finite = model.threshold[np.isfinite(model.threshold)]
        level = float(np.mean(np.abs(finite))) if finite.size else 1.0
        weights = sum(self._error(a, scale) for a in arrivals) / size(population.shape)
        register = 0.0 if not chip_features(model).stock else _threshold_error(finite * scale / UNIT)
        return weights / level**2 + register

    def _largest_scale(self, network: Network, population: Neurons, arrivals: Sequence[Arrival]) -> float:
        model = population.model
        assert isinstance(model, Lif)
        full = [UNIT * self._limit(a.sign) / a.peak for a in arrivals if a.peak > 0]
        convs = [UNIT * self._limit(a.sign) / a.peak for a in arrivals if a.peak > 0 and isinstance(a.synapse, Conv)]
        bounds = [min(convs) if convs else max(full, default=UNIT)]
        registers = self.target.neuron("loihi.cuba_lif")
        bounds.append(_fitting(STATE_MAX, model.threshold, model.reset_amount, model.reset_value, model.initial))
        bounds.append(_fitting(registers.bias_mant.high * 2**registers.bias_exp.high, steady_drive(model)))
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
        nodes = tuple(
            replace(n, payload=self._payload(network, n)) if isinstance(n, Input) and n.coding == "current" else n
            for n in network.nodes
        )
        notes = [
            Note(
                "RV385",
                n.name,
                f"real input is sent as integers round(x * {n.payload.scale:g}), {n.payload.bits} bits",
            )
            for n in nodes
            if isinstance(n, Input) and n.payload is not None
        ]
        return replace(network, nodes=nodes, notes=(*network.notes, *notes))

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
        levels = min(limit, max(MIN_LEVELS, self._affordable_levels(network, port, seen.peak_current)))
        if 0 < seen.levels <= levels:
            levels = levels // seen.levels * seen.levels
        return Payload(self.input_bits, levels / seen.peak_current)

    def _affordable_levels(self, network: Network, port: Input, peak: float) -> int:
        """Levels up to which a full-range weight still leaves the observed membranes within their register."""
        affordable = []
        for population in network.populations:
            seen = network.observed.get(population.name)
            for synapse in incoming(network, population.name):
                weights = np.abs(synapse.data if isinstance(synapse, Sparse) else synapse.weight)
                if source_of(network, synapse.name) == port.name and seen is not None and weights.max(initial=0.0) > 0:
                    reach = max(seen.peak_membrane, seen.peak_current, 1e-30)
                    increments = HEADROOM * STATE_MAX / (UNIT * self._limit("mixed"))
                    affordable.append(increments * float(weights.max()) * peak / reach)
        return int(min(affordable, default=float(MIN_LEVELS)))


def incoming(network: Network, population: str) -> list[Synapse]:
    """The synapses of a folded network that end at ``population``."""
    nodes = [network.by_name[edge.source] for edge in network.into[population]]
    return [node for node in nodes if isinstance(node, SYNAPSES)]


def source_of(network: Network, synapse: str) -> str:
    """The input or population at which a folded network's synapse starts."""
    return network.into[synapse][0].source


def steady_drive(model: Lif) -> FloatArray:
    """The constant that a neuron's membrane receives each step once its current has settled."""
    if not model.has_current:
        return np.asarray(model.drive + model.current_drive)
    return np.asarray(model.drive + model.current_drive / (1.0 - np.minimum(model.keep_current, 1.0 - 1e-12)))


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
    payload = source.payload.scale if isinstance(source, Input) and source.payload is not None else 1.0
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
