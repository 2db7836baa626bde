"""Quantize: one scale per population, or one per channel, and all weights on the chip's grid."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.linear import Grid, Sparse, Synapse
from ranvier.compiler.ir.moments import Moments
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.compiler.options import DEFAULTS, Options
from ranvier.compiler.passes.arrivals import UNIT, Arrival, arrival, incoming, sent_units
from ranvier.compiler.passes.bounds import register_bound, weight_bound
from ranvier.compiler.passes.correct_bias import correct_bias, corrects
from ranvier.compiler.passes.demands import demand
from ranvier.compiler.passes.payloads import Payloads
from ranvier.compiler.passes.per_channel import channel_gains, rescaled
from ranvier.compiler.passes.rounding import round_jointly, round_output
from ranvier.compiler.passes.scales import ScaleSearch, Scaling, centred
from ranvier.targets.schema import Target


@dataclass(frozen=True)
class Quantize:
    """Choose membrane scales S (chip units per source unit) and round the weights.

    A weight w becomes the integer ``w S / (64 * 2**e)`` on the grid of its width and sign mode, so that 64 times the
    weighted sum is the membrane's increment. S is the candidate with the smallest error of the membrane on what
    calibration data send through the synapses (``moments``; without them, by the senders' rates), below the bounds that
    the registers set: states (observed peaks with a factor 2 of head-room), threshold, bias. ``options`` say how wide
    the weights are, how they are rounded, whether every channel has a scale of its own, and whether the mean of
    what is left is taken back in the bias. ``joint``: by population, moments of all that arrives there, whose weights
    are then rounded together. ``rank``: how many better scales every population passes over, for a search
    among neighbours by what the whole network does.
    """

    target: Target
    options: Options = DEFAULTS
    moments: Mapping[str, Moments] = field(default_factory=dict)
    rank: int = 0
    joint: Mapping[str, FloatArray] = field(default_factory=dict)

    def __call__(self, network: Network) -> Network:
        """Integer weights, scales, payloads; raises ``RanvierError`` with all that stands in the way."""
        network = Payloads(self.target, self.options)(network)
        replaced: dict[str, Neurons | Synapse] = {}
        problems: list[Diagnostic] = list(_unknown_layers(network, self.options))
        for population in network.populations:
            try:
                fitted, synapses = self._population(network, population)
            except RanvierError as refused:
                problems += refused.diagnostics
                continue
            replaced |= {s.name: s for s in synapses} | {population.name: fitted}
        if problems:
            raise RanvierError(problems)
        return replace(network, nodes=tuple(replaced.get(n.name, n) for n in network.nodes))

    def _population(self, network: Network, population: Neurons) -> tuple[Neurons, list[Synapse]]:
        arrivals = [
            arrival(network, s, self.options.bits_of(s.name), self.moments) for s in incoming(network, population.name)
        ]
        if isinstance(population.model, RegisterLif):
            scale = population.scale or 1.0
            return replace(population, scale=scale), [_whole(a, population) for a in arrivals]
        takes_mean = self._takes_mean(population)
        judged = [centred(a) if takes_mean else a for a in arrivals]
        scaling = self._scaling(network, population, judged)
        if self.options.per_channel:
            gains = channel_gains(network, population, judged, scaling, self._top(network, population))
            population, arrivals, judged = rescaled(population, arrivals, judged, gains)
        rounded = self._rounded(network, population, judged, scaling)
        fitted = replace(population, scale=scaling.scale)
        if takes_mean:
            fitted = correct_bias(fitted, arrivals, rounded, scaling)
        chosen = zip(arrivals, rounded, scaling.exponents, strict=True)
        return fitted, [a.quantized(integers, scaling.scale, e) for a, integers, e in chosen]

    def _scaling(self, network: Network, population: Neurons, arrivals: list[Arrival]) -> Scaling:
        seen = network.observed.get(population.name)
        top = self._top(network, population)
        if seen is None:
            top = min(top, weight_bound(arrivals))
        exponents = self.target.synapse.weight_exp.v.high
        search = ScaleSearch(population, tuple(arrivals), top, exponents, seen)
        grid = demand(population.model).grid
        if grid == 0:
            return search.best(self.rank)
        return search.fixed(_on_grid(population.name, min(top, weight_bound(arrivals)), grid))

    def _top(self, network: Network, population: Neurons) -> float:
        return register_bound(self.target, population, network.observed.get(population.name))

    def _rounded(
        self, network: Network, population: Neurons, judged: list[Arrival], scaling: Scaling
    ) -> list[FloatArray]:
        units = [2.0**exponent for exponent in scaling.exponents]
        wanted = [a.weights * scaling.scale / (UNIT * unit) for a, unit in zip(judged, units, strict=True)]
        if self.options.rounding == "nearest":
            return [a.levels.nearest(w) for a, w in zip(judged, wanted, strict=True)]
        second = self.joint.get(population.name)
        if second is None:
            return [round_output(w, a.levels, a.moments) for w, a in zip(wanted, judged, strict=True)]
        if self._takes_mean(population):
            mean = np.concatenate([self.moments[a.synapse.name].filtered for a in judged], axis=1)
            second = second - mean[:, :, None] * mean[:, None, :]
        worth = [unit * sent_units(network, a.synapse.name) for unit, a in zip(units, judged, strict=True)]
        return round_jointly(wanted, [a.levels for a in judged], worth, second)

    def _takes_mean(self, population: Neurons) -> bool:
        return self.options.correct_bias and corrects(population)


def _unknown_layers(network: Network, options: Options) -> list[Diagnostic]:
    names = [s.name for p in network.populations for s in incoming(network, p.name)]
    return [
        Diagnostic("RV633", name, "bits are given for a layer that does not exist", f"layers: {', '.join(names)}")
        for name, _ in options.layer_bits
        if name not in names
    ]


def _whole(a: Arrival, population: Neurons) -> Synapse:
    """The synapse of a population given in registers: integers already, or a unit-free copy of whole numbers."""
    synapse = a.synapse
    if synapse.grid is not None:
        return synapse
    if bool(np.all(a.weights == np.rint(a.weights))) and a.peak <= 255:
        grid = Grid(population.scale or 1.0, 0, a.sign)
        if isinstance(synapse, Sparse):
            return replace(synapse, data=a.weights.reshape(-1), grid=grid)
        return replace(synapse, weight=a.weights.reshape(synapse.weight.shape), grid=grid)
    text = f"{population.name} is given in registers but this layer before it has real weights"
    raise error("RV383", synapse.name, text, "quantize the layer in the tool that wrote the registers")


def _on_grid(name: str, top: float, grid: float) -> float:
    """The largest ``grid * 2**k`` up to ``top``."""
    if top < grid:
        text = f"its messages need a scale of at least {grid:g}, its weights and states allow {top:g}"
        raise error("RV623", name, text, "scale the weights of this layer down and those behind it up", scale=top)
    return grid * 2.0 ** math.floor(math.log2(top / grid))
