"""Runs of a network at any stage in one form, and their comparison layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network, Readout
from ranvier.runtimes.recording import Recording, predict
from ranvier.runtimes.verify.compare import first_spot
from ranvier.runtimes.verify.explain.engine import Ran, Wires
from ranvier.runtimes.verify.explain.layers import units
from ranvier.runtimes.verify.explain.results import LayerComparison
from ranvier.runtimes.verify.levels import network_levels
from ranvier.runtimes.verify.results import Difference, earliest

Values = NDArray[Any]
TOLERANCE = 1e-6
"""What two membranes may differ by, in units of the threshold, and still count as equal."""


@dataclass(frozen=True, eq=False)
class View:
    """What each layer sent (as the wire carries it), its membrane in the source's units, and the answers.

    Arrays are (samples, steps, neurons). Layers that were not recorded are absent.
    """

    sent: Wires
    membrane: Wires
    predictions: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Frame:
    """What is the same for all views: layers in the order of evaluation, their shapes and thresholds, the readout."""

    layers: tuple[str, ...]
    shapes: Mapping[str, Shape]
    thresholds: Mapping[str, Values]
    readout: Readout
    port: str
    payloads: Mapping[str, Values]

    def view(self, ran: Ran, port: str) -> View:
        """A run of this package's own engine."""
        name = self.readout.node
        shown = ran.sent[name] if self.readout.reads_spikes else ran.membrane[name]
        sent = {layer: values for layer, values in ran.sent.items() if layer != port}
        return View(sent, ran.membrane, predict(self.readout, shown))

    def recorded(self, recording: Recording, units: Mapping[str, Any], on_wire: bool) -> View:
        """A run of an executor: ``units`` of its membranes per unit of the source, by layer.

        ``on_wire``: whether what it sent is in integers already, and not in the source's units.
        """
        sent = {
            n: _flat(v) if on_wire or n not in self.payloads else _flat(v) * self.payloads[n]
            for n, v in recording.spikes.items()
        }
        membrane = {n: _flat(v) / units.get(n, 1.0) for n, v in recording.membrane.items()}
        return View(sent, membrane, recording.predictions)


def frame_of(chip: ChipNetwork, source: Network, payloads: Mapping[str, Values]) -> Frame:
    """The frame of ``chip`` and the float ``source`` it was made from."""
    levels = network_levels(source)
    scaled = {p.name: levels[p.name].threshold / levels[p.name].unit for p in chip.populations}
    for p in chip.populations:
        node = source.by_name[p.name]
        if getattr(getattr(node, "model", None), "vth", None) is not None:
            scaled[p.name] = scaled[p.name] / units(p)
    ordered = sorted(chip.populations, key=lambda p: p.latency)
    shapes = {p.name: p.shape for p in chip.populations}
    return Frame(tuple(p.name for p in ordered), shapes, scaled, chip.readout, chip.ports[0].name, payloads)


def compare(frame: Frame, layer: str, left: View, right: View, samples: int | None = None) -> LayerComparison | None:
    """``layer`` in two views on their first ``samples``; None where one has not recorded its spikes."""
    if layer not in left.sent or layer not in right.sent:
        return None
    cut = slice(0, samples)
    sides = left.sent[layer][cut], right.sent[layer][cut]
    membranes = [view.membrane[layer][cut] if layer in view.membrane else None for view in (left, right)]
    return compared(frame, layer, sides, (membranes[0], membranes[1]))


def compared(
    frame: Frame, layer: str, sent: tuple[Values, Values], membranes: tuple[Values | None, Values | None]
) -> LayerComparison:
    """The comparison of a layer from what was sent and, where recorded, the membranes."""
    left, right = (_told(values, layer, frame) for values in sent)
    different = left != right
    spot = first_spot(different)
    first = None if spot is None else difference(frame, layer, "spikes", spot, sent, membranes)
    rates = float(np.mean(left, dtype=np.float64)), float(np.mean(right, dtype=np.float64))
    equal = different.size - int(np.count_nonzero(different))
    membrane = _first_membrane(frame, layer, sent, membranes)
    return LayerComparison(different.size, equal, rates, membrane_rms(frame, layer, membranes), first, membrane)


def _first_membrane(
    frame: Frame, layer: str, sent: tuple[Values, Values], membranes: tuple[Values | None, Values | None]
) -> Difference | None:
    left, right = membranes
    if left is None or right is None:
        return None
    level = np.abs(frame.thresholds[layer])
    least = TOLERANCE * np.where(np.isfinite(level) & (level > 0), level, 1.0)
    with np.errstate(invalid="ignore"):
        spot = first_spot(np.abs(left - right) > least)
    return None if spot is None else difference(frame, layer, "membrane", spot, sent, membranes)


def difference(
    frame: Frame,
    layer: str,
    quantity: str,
    spot: tuple[int, int, int],
    sent: tuple[Values, Values],
    membranes: tuple[Values | None, Values | None],
) -> Difference:
    """Both values, membranes and distances from the threshold at ``spot`` (sample, step, flat neuron)."""
    sample, step, neuron = spot
    threshold = float(frame.thresholds[layer][neuron])
    reached = [None if m is None else float(m[spot]) for m in membranes]
    away = [None if m is None else m - threshold for m in reached]
    payload = np.broadcast_to(frame.payloads.get(layer, np.ones(())), sent[0].shape[2:])[neuron]
    values = [float(s[spot] / payload) for s in sent] if quantity == "spikes" else [m or 0.0 for m in reached]
    shape = frame.shapes[layer]
    index = tuple(int(i) for i in np.unravel_index(neuron, shape)) if shape else ()
    return Difference(
        frame.layers.index(layer),
        layer,
        quantity,
        step,
        sample,
        index,
        (values[0], values[1]),
        (reached[0], reached[1]),
        (away[0], away[1]),
    )


def flat_neuron(frame: Frame, found: Difference) -> int:
    """The flat number of a difference's neuron."""
    shape = frame.shapes[found.layer]
    return int(np.ravel_multi_index(found.neuron, shape)) if shape else 0


def membrane_rms(frame: Frame, layer: str, membranes: tuple[Values | None, Values | None]) -> float | None:
    """Root mean squared difference of two membranes, in units of the threshold; None where it has no meaning."""
    left, right = membranes
    level = np.abs(frame.thresholds[layer])
    usable = np.isfinite(level) & (level > 0)
    if left is None or right is None or not usable.any():
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        error = (left[:, :, usable] - right[:, :, usable]) / level[usable]
        value = float(np.sqrt(np.mean(error * error)))
    return value if np.isfinite(value) else None


def agreement(frame: Frame, left: View, right: View) -> float:
    """Share of neuron-steps with equal spikes, over all layers that both views have."""
    found = [compare(frame, layer, left, right) for layer in frame.layers]
    known = [c for c in found if c is not None]
    return sum(c.equal for c in known) / max(1, sum(c.compared for c in known))


def first_of(comparisons: Sequence[LayerComparison]) -> Difference | None:
    """The earliest of all differing spikes."""
    first = None
    for c in comparisons:
        first = earliest(first, c.first)
    return first


def _told(values: Values, layer: str, frame: Frame) -> Values:
    """Spikes and counts as they are; of numbers with a scale only whether anything was sent."""
    return np.not_equal(values, 0) if layer in frame.payloads else np.asarray(values)


def _flat(values: Values) -> Values:
    return values.reshape(*values.shape[:2], size(values.shape[2:]))
