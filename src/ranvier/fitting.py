"""Fitting: the integer network that calibration data speak for, found by lowering, running and lowering again.

Passes see what the float senders send. A quantized sender sends something else, which the layers behind it can make
good in part: so the integer network is run on the calibration data, what its populations send goes into the moments
of the next lowering. Each round is a candidate; so are neighbouring scales, biases left as they were, fewer exponents,
and weights that go by more or less of what happens near the threshold. The one whose answers are nearest to the float
network's is taken, a later round only if it is nearer by half, lest it be fitted to these very samples. Labels are not
used. What pruning takes from the membranes of a layer is made good by its threshold, one factor for the layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.moments import Calibration
from ranvier.compiler.ir.network import Network, Node, Note, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.options import Options
from ranvier.compiler.pipeline import lower
from ranvier.runtimes import simulator
from ranvier.runtimes.moments import SHARPNESS
from ranvier.runtimes.observe import Measured, flat
from ranvier.targets.schema import Target

SHARPNESSES = (0.3, 1.0, 3.0)
RANKS = 3
MAX_ROUNDS = 1
CLEARLY = 0.5
FEWER_EXPONENTS = (1, 2)
THRESHOLDS = (0.7, 0.8, 0.9, 1.1)


def fit(prepared: Network, target: Target, measured: Measured | None, options: Options) -> ChipNetwork:
    """The integer network of ``prepared`` for ``target``; raises ``RanvierError`` as ``lower`` does.

    Without calibration data, and with ``rounding="nearest"``, it is lowered once.
    """
    if measured is None:
        return lower(prepared, target, None, options)
    start = _Point(options)
    search = _Search(prepared, target, measured)
    if options.equalize or (options.rounding == "nearest" and not options.prune):
        return lower(prepared, target, measured.calibration(), options)
    if options.rounding == "nearest":
        return search.at(search.retuned(start)).chip
    best = search.nearest([replace(start, sharpness=s) for s in SHARPNESSES])
    if options.correct_bias:
        best = search.nearest([best, replace(best, options=replace(options, correct_bias=False))])
    fewer = [n for n in FEWER_EXPONENTS if n < options.exponent_groups]
    best = search.nearest([best, *(replace(best, options=replace(best.options, exponent_groups=n)) for n in fewer)])
    best = search.nearest([replace(best, rank=rank) for rank in range(RANKS)])
    return search.followed(search.retuned(best) if options.prune else best)


@dataclass(frozen=True)
class _Point:
    """What a lowering may choose: how much more an error counts near the threshold, the rank of the scales, and by what
    the thresholds of populations are multiplied.
    """

    options: Options
    sharpness: float = SHARPNESS
    rank: int = 0
    thresholds: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class _Candidate:
    """An integer network, what it sends on the calibration data, and how far its answers are from the wanted ones."""

    chip: ChipNetwork
    spikes: Mapping[str, NDArray[Any]]
    distance: float


@dataclass(frozen=True, eq=False)
class _Search:
    """Lowers ``prepared`` at many points and keeps what came out of each."""

    prepared: Network
    target: Target
    measured: Measured
    tried: dict[_Point, _Candidate] = field(default_factory=dict)
    known: dict[float, Calibration] = field(default_factory=dict)

    def nearest(self, points: Sequence[_Point]) -> _Point:
        """The one of ``points`` whose answers are nearest to the wanted ones."""
        return min(points, key=lambda point: self.at(point).distance)

    def at(self, point: _Point) -> _Candidate:
        """What becomes of the network at ``point``, as float senders see it."""
        if point not in self.tried:
            if point.sharpness not in self.known:
                self.known[point.sharpness] = self.measured.calibration(sharpness=point.sharpness)
            self.tried[point] = self._lowered(point, self.known[point.sharpness])
        return self.tried[point]

    def retuned(self, point: _Point) -> _Point:
        """``point`` with the thresholds that bring its answers nearest, layer after layer."""
        tuned = [p.name for p in self.prepared.populations if isinstance(p.model, Lif) and has_threshold(p.model)]
        for name in tuned:
            others = [replace(point, thresholds=(*point.thresholds, (name, factor))) for factor in THRESHOLDS]
            point = self.nearest([point, *others])
        return point

    def followed(self, point: _Point) -> ChipNetwork:
        """``point``, or what becomes of it once layers know what the quantized ones before them send."""
        first = last = nearest = self.at(point)
        for _ in range(min(len({p.latency for p in self.prepared.populations}) - 1, MAX_ROUNDS)):
            known = self.measured.calibration(_sent(self.prepared, last.spikes), point.sharpness)
            last = self._lowered(point, known)
            nearest = min(nearest, last, key=lambda candidate: candidate.distance)
        return (nearest if nearest.distance < CLEARLY * first.distance else first).chip

    def _lowered(self, point: _Point, known: Calibration) -> _Candidate:
        prepared = with_thresholds(self.prepared, dict(point.thresholds))
        chip = lower(prepared, self.target, known, point.options, point.rank)
        ran = simulator.run(chip, self.measured.inputs, ("spikes",))
        found = distance(chip.readout, self.measured.outputs, _source_units(chip, ran.outputs))
        return _Candidate(chip, ran.spikes, found)


def has_threshold(model: Lif) -> bool:
    """Whether a membrane can reach the threshold."""
    return bool(np.isfinite(model.threshold).any())


def with_thresholds(network: Network, factors: Mapping[str, float]) -> Network:
    """``network`` with the thresholds of populations multiplied, what is subtracted at a spike with them; noted."""
    if not factors:
        return network
    changed: dict[str, Node] = {}
    for population in network.populations:
        model, factor = population.model, factors.get(population.name)
        if factor is not None and isinstance(model, Lif):
            threshold, amount = model.threshold * factor, model.reset_amount * factor
            changed[population.name] = replace(
                population, model=replace(model, threshold=threshold, reset_amount=amount)
            )
    text = "its threshold is multiplied by {:g}, as it was pruned"
    notes = (Note("RV563", name, text.format(factors[name])) for name in changed)
    nodes = tuple(changed.get(node.name, node) for node in network.nodes)
    return replace(network, nodes=nodes, notes=(*network.notes, *notes))


def distance(readout: Readout, wanted: NDArray[Any], got: NDArray[Any]) -> float:
    """How far answers ``got`` are from ``wanted``, both (samples, steps, *shape): 0 if they are the same.

    The mean square difference, over all steps, of what the readout would compare if it ended there, over the variance
    of ``wanted`` between classes at the end, plus the share of samples whose answer is another.
    """
    ours, theirs = (_scores(readout, x) for x in (got, wanted))
    last = theirs[:, -1]
    spread = float(np.mean((last - last.mean(axis=1, keepdims=True)) ** 2))
    differs = float(np.mean(ours[:, -1].argmax(axis=1) != last.argmax(axis=1)))
    return float(np.mean((ours - theirs) ** 2)) / max(spread, 1e-12) + differs


def _scores(readout: Readout, outputs: NDArray[Any]) -> NDArray[np.float64]:
    """(samples, steps, classes) what the readout compares after each step; for a first spike, the steps since."""
    x = outputs.reshape(*outputs.shape[:2], -1).astype(np.float64)
    if readout.kind == "first_spike":
        return np.cumsum(np.maximum.accumulate(x != 0, axis=1), axis=1).astype(np.float64)
    if readout.kind == "last_membrane":
        return x
    return np.maximum.accumulate(x, axis=1) if readout.kind == "max_membrane" else np.cumsum(x, axis=1)


def _source_units(chip: ChipNetwork, outputs: NDArray[Any]) -> NDArray[Any]:
    if chip.readout.reads_spikes:
        return outputs
    read = next(p for p in chip.populations if p.name == chip.readout.node)
    return np.asarray(outputs / (read.scale * read.gain.reshape(-1)[0]))


def _sent(prepared: Network, spikes: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """What populations send, in the source's units: that of neurons that send spikes."""
    spiking = [p.name for p in prepared.populations if isinstance(p.model, Lif)]
    return {name: flat(spikes[name]) for name in spiking}
