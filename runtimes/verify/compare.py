"""Compare recordings value by value, and say where they part first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.runtimes.recording import Recording
from ranvier.runtimes.verify.levels import Levels
from ranvier.runtimes.verify.results import Agreement, Comparison, Difference, earliest

Values = NDArray[Any]
Spot = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison: who ran, its recording, the levels of its layers."""

    runtime: str
    recording: Recording
    levels: Levels


def compare_executors(base: Side, other: Side, layers: Sequence[str], offset: int = 0) -> Comparison:
    """Every spike, membrane and state that both recorded, exactly; ``offset`` is the first sample's number.

    ``layers`` are in the order of evaluation. States that only one side recorded are not compared, but the
    spikes of every layer must be there.
    """
    spikes = fired = states = wrong = 0
    first: Difference | None = None
    missing = []
    for position, layer in enumerate(layers):
        for quantity, left, right in _pairs(base.recording, other.recording, layer):
            if left is None or right is None or left.shape != right.shape:
                missing.append(f"{quantity} of {layer}")
                continue
            different = np.asarray(left != right)
            wrong += int(np.count_nonzero(different))
            if quantity == "spikes":
                spikes += left.size
                fired += int(np.count_nonzero(left))
            else:
                states += left.size
            spot = first_spot(different)
            if spot is not None:
                found = _difference(base, other, position, layer, quantity, (left, right), spot, offset)
                first = earliest(first, found)
    samples = base.recording.predictions.size
    return Comparison(other.runtime, base.runtime, samples, spikes, fired, states, wrong, first, tuple(missing))


def compare_deployed(source: Side, deployed: Side, layers: Sequence[str], offset: int = 0) -> dict[str, Agreement]:
    """Agreement of each layer that both sides have, by its spikes.

    Where the source sends real numbers, which the chip sends as integers of a scale of its own, it counts whether
    anything was sent.
    """
    found = {}
    for position, layer in enumerate(layers):
        left, right = source.recording.spikes.get(layer), deployed.recording.spikes.get(layer)
        if left is None or right is None or left.shape != right.shape:
            continue
        if bool(np.any(left != np.rint(left))):
            left, right = left != 0, right != 0
        different = np.asarray(left != right)
        spot = first_spot(different)
        first = None
        if spot is not None:
            first = _difference(source, deployed, position, layer, "spikes", (left, right), spot, offset)
        equal = different.size - int(np.count_nonzero(different))
        sums = float(left.sum(dtype=np.float64)), float(right.sum(dtype=np.float64))
        found[layer] = Agreement(different.size, equal, *sums, first)
    return found


def first_spot(different: Values) -> Spot | None:
    """(sample, step, flat neuron) of the first True of (samples, steps, *shape), by step."""
    flat = different.reshape(*different.shape[:2], -1)
    steps = flat.any(axis=(0, 2))
    if not steps.any():
        return None
    step = int(steps.argmax())
    sample = int(flat[:, step].any(axis=1).argmax())
    return sample, step, int(flat[sample, step].argmax())


def _pairs(a: Recording, b: Recording, layer: str) -> Iterator[tuple[str, Values | None, Values | None]]:
    """What both recorded of ``layer``, in the order in which a step computes it; spikes in any case."""
    if layer in a.membrane and layer in b.membrane:
        yield "membrane", a.membrane[layer], b.membrane[layer]
    yield "spikes", a.spikes.get(layer), b.spikes.get(layer)
    states_a, states_b = a.states.get(layer, {}), b.states.get(layer, {})
    for name in states_a:
        if name in states_b:
            yield f"state {name}", states_a[name], states_b[name]


def _difference(
    left: Side,
    right: Side,
    position: int,
    layer: str,
    quantity: str,
    values: tuple[Values, Values],
    spot: Spot,
    offset: int,
) -> Difference:
    sample, step, neuron = spot
    shape = values[0].shape[2:]
    index = tuple(int(i) for i in np.unravel_index(neuron, shape)) if shape else ()
    sides = [_membrane(side, layer, spot) for side in (left, right)]
    a, b = (float(v[(sample, step, *index)]) for v in values)
    membranes, distances = (sides[0][0], sides[1][0]), (sides[0][1], sides[1][1])
    return Difference(position, layer, quantity, step, offset + sample, index, (a, b), membranes, distances)


def _membrane(side: Side, layer: str, spot: Spot) -> tuple[float | None, float | None]:
    """Membrane before reset at ``spot`` and its distance above the threshold, in units of display."""
    values = side.recording.membrane.get(layer)
    if values is None:
        return None, None
    sample, step, neuron = spot
    value = float(values[sample, step].reshape(-1)[neuron])
    level = side.levels.get(layer)
    if level is None:
        return value, None
    unit = level.unit_of(neuron)
    return value / unit, (value - float(level.threshold[neuron])) / unit
