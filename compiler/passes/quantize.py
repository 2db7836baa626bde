"""Quantize: one scale per population, or one per channel, and all weights on the chip's grid."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.linear import SYNAPSES, Grid, Sparse, Synapse
from ranvier.compiler.ir.moments import Moments
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import RegisterLif
from ranvier.compiler.options import DEFAULTS, Options
from ranvier.compiler.passes.arrivals import UNIT, Arrival, arrival, incoming, sent_units
from ranvier.compiler.passes.bounds import register_bound, weight_bound
from ranvier.compiler.passes.correct_bias import correct_bias, corrects
from ranvier.compiler.passes.demands import demand
from ranvier.compiler.passes.exponent_groups import in_parts, most_groups
from ranvier.compiler.passes.payloads import Payloads
from ranvier.compiler.passes.per_channel import channel_gains, rescaled, row_gains
from ranvier.compiler.passes.rounding import joint_error, membrane_error, round_jointly, round_output
from ranvier.compiler.passes.scales import AS_GOOD, ScaleSearch, Scaling, centred
from ranvier.targets.schema import Target

TURNS = 4
"""How often exponents and gains are fitted to each other."""


@dataclass(frozen=True)
class Quantize:
    """Choose membrane scales S (chip units per source unit) and round the weights.

    A weight w becomes the integer ``w S / (64 * 2**e)`` on the grid of its width and sign mode, so that 64 times the
    weighted sum is the membrane's increment. S is the candidate with the smallest error of the membrane on what
    calibration data send through the synapses (``moments``; without them, by the senders' rates), below the bounds that
    the registers set: states (observed peaks with a factor 2 of head-room), threshold, bias. ``options`` say how wide
    the weights are, how they are rounded, whether every channel has a scale of its own, whether the mean of what is
    left is taken back in the bias, and how many exponents a layer may have: one with several becomes one synapse for
    each, with the source wires that it suits (``exponent_groups.py``), where that lets the membrane err less.
    ``joint``: by population, moments of all that arrives there, whose weights are then rounded together. ``rank``: how
    many better scales every population passes over, for a search among neighbours by what the whole network does.
    ``whole``: the network before it was pruned, which the pruned one comes near to. A weight that is zero stays zero.
    """

    target: Target
    options: Options = DEFAULTS
    moments: Mapping[str, Moments] = field(default_factory=dict)
    rank: int = 0
    joint: Mapping[str, FloatArray] = field(default_factory=dict)
    whole: Network | None = None

    def __call__(self, network: Network) -> Network:
        """Integer weights, scales, payloads; raises ``RanvierError`` with all that stands in the way."""
        network = Payloads(self.target, self.options)(network)
        replaced: dict[str, Neurons] = {}
        parts: dict[str, list[Synapse]] = {}
        problems: list[Diagnostic] = list(_unknown_layers(network, self.options))
        for population in network.populations:
            try:
                fitted, found = self._population(network, population)
            except RanvierError as refused:
                problems += refused.diagnostics
                continue
            replaced[population.name] = fitted
            parts |= found
        if problems:
            raise RanvierError(problems)
        changed = replace(network, nodes=tuple(replaced.get(n.name, n) for n in network.nodes))
        return in_parts(changed, parts)

    def _population(self, network: Network, population: Neurons) -> tuple[Neurons, dict[str, list[Synapse]]]:
        """``population`` fitted, and by layer the synapses that it becomes."""
        arrivals = [
            arrival(network, s, self.options.bits_of(s.name), self.moments, self._whole(s))
            for s in incoming(network, population.name)
        ]
        if isinstance(population.model, RegisterLif):
            scale = population.scale or 1.0
            return replace(population, scale=scale), {a.synapse.name: [_whole(a, population)] for a in arrivals}
        groups = most_groups(self.target, self.options.exponent_groups, arrivals)
        tried = [self._with_groups(network, population, arrivals, n) for n in sorted({1, groups})]
        best = tried[0]
        if len(tried) > 1:
            errors = [self._error(network, population, t) for t in tried]
            best = next(t for t, error in zip(tried, errors, strict=True) if error <= AS_GOOD * min(errors))
        fitted, scaling = replace(best.population, scale=best.scaling.scale), best.scaling
        if self._takes_mean(population):
            fitted = correct_bias(fitted, best.arrivals, best.integers, scaling)
        chosen = zip(best.arrivals, best.integers, scaling.exponents, strict=True)
        return fitted, {a.synapse.name: a.parts(integers, scaling.scale, e) for a, integers, e in chosen}

    def _with_groups(self, network: Network, population: Neurons, arrivals: list[Arrival], groups: int) -> "_Fitted":
        """``population`` and what arrives, with up to ``groups`` exponents for each arrival.

        Exponents fit wires, gains fit channels, each given the other: they take turns.
        """
        judged = [centred(a) if self._takes_mean(population) else a for a in arrivals]
        top = self._top(network, population)
        search = self._search(network, population, judged, groups)
        scaling = self._scaling(search)
        fitted = population, arrivals, judged
        for turn in range(TURNS if groups > 1 else 1) if self.options.per_channel else ():
            if turn > 0:
                scaling = replace(search, population=fitted[0], arrivals=tuple(fitted[2])).fixed(scaling.scale)
            gains = channel_gains(network, population, judged, scaling, top)
            fitted = rescaled(population, arrivals, judged, gains)
        return _Fitted(*fitted, scaling, self._rounded(network, population, fitted[2], scaling))

    def _error(self, network: Network, before: Neurons, tried: "_Fitted") -> float:
        """Mean square membrane error of the neurons, in units of the source, with the weights as they were rounded."""
        unit = UNIT / tried.scaling.scale
        errors = [
            (rounded - a.aim / (unit * step)) * step
            for rounded, a, step in zip(tried.integers, tried.judged, tried.scaling.steps, strict=True)
        ]
        second = self._joint(before, tried.judged)
        if second is not None:
            sent = [sent_units(network, a.synapse.name) for a in tried.judged]
            each = [unit**2 * joint_error(errors, sent, second)]
        else:
            each = [membrane_error(unit * e, a.moments) for e, a in zip(errors, tried.judged, strict=True)]
        return float(sum(np.mean(e / row_gains(before, tried.population, e.size)[:, 0] ** 2) for e in each))

    def _joint(self, population: Neurons, judged: list[Arrival]) -> FloatArray | None:
        """Moments of all that arrives at ``population``, about the mean where that is taken back; None if not known."""
        second = self.joint.get(population.name)
        if second is not None and self._takes_mean(population):
            mean = np.concatenate([self.moments[a.synapse.name].filtered for a in judged], axis=1)
            second = second - mean[:, :, None] * mean[:, None, :]
        return second

    def _search(self, network: Network, population: Neurons, arrivals: list[Arrival], groups: int) -> ScaleSearch:
        seen = network.observed.get(population.name)
        top = self._top(network, population)
        if seen is None:
            top = min(top, weight_bound(arrivals))
        return ScaleSearch(population, tuple(arrivals), top, self.target.synapse.weight_exp.v.high, seen, groups)

    def _scaling(self, search: ScaleSearch) -> Scaling:
        grid = demand(search.population.model).grid
        if grid == 0:
            return search.best(self.rank)
        top = min(search.top, weight_bound(search.arrivals))
        return search.fixed(_on_grid(search.population.name, top, grid))

    def _top(self, network: Network, population: Neurons) -> float:
        return register_bound(self.target, population, network.observed.get(population.name))

    def _rounded(
        self, network: Network, population: Neurons, judged: list[Arrival], scaling: Scaling
    ) -> list[FloatArray]:
        steps = scaling.steps
        if self.options.rounding == "nearest":
            return [a.nearest(a.weights * scaling.scale / (UNIT * s)) for a, s in zip(judged, steps, strict=True)]
        wanted = [a.aim * scaling.scale / (UNIT * step) for a, step in zip(judged, steps, strict=True)]
        second = self._joint(population, judged)
        if second is None:
            return [
                round_output(w, a.levels, a.moments.scaled(step / step.max(initial=1.0)), a.kept)
                for w, a, step in zip(wanted, judged, steps, strict=True)
            ]
        worth = [step * sent_units(network, a.synapse.name) for step, a in zip(steps, judged, strict=True)]
        return round_jointly(wanted, [a.levels for a in judged], worth, second, [a.kept for a in judged])

    def _takes_mean(self, population: Neurons) -> bool:
        return (self.options.correct_bias or bool(self.options.prune)) and corrects(population)

    def _whole(self, synapse: Synapse) -> Synapse | None:
        found = None if self.whole is None else self.whole.by_name[synapse.name]
        return found if isinstance(found, SYNAPSES) else None


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A population with its gains, what arrives there (``judged``: as its error counts), its scale and its weights."""

    population: Neurons
    arrivals: list[Arrival]
    judged: list[Arrival]
    scaling: Scaling
    integers: list[FloatArray]


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
