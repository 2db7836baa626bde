"""Rasters and membranes of chosen samples, float and deployed side by side, small enough for a report."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.runtimes.verify.explain.bench import Bench
from ranvier.runtimes.verify.explain.results import Cause
from ranvier.runtimes.verify.explain.views import View
from ranvier.runtimes.verify.results import finite

Values = NDArray[Any]
MOST_SPIKES = 20_000
NEURONS = 3
AROUND = 25


def traces(
    bench: Bench, source: View, deployed: View, causes: tuple[Cause, ...], count: int
) -> list[dict[str, object]]:
    """Up to ``count`` samples: those of the causes first, then those that are answered differently, then the rest."""
    total = len(source.predictions)
    wanted = [cause.difference.sample for cause in causes]
    wanted += np.flatnonzero(source.predictions != deployed.predictions).tolist()
    chosen = list(dict.fromkeys([*wanted, *range(total)]))[:count]
    return [_trace(bench, source, deployed, sample) for sample in chosen]


def _trace(bench: Bench, source: View, deployed: View, sample: int) -> dict[str, object]:
    label = None if bench.labels is None else int(bench.labels[sample])
    return {
        "sample": sample,
        "label": label,
        "predictions": [int(source.predictions[sample]), int(deployed.predictions[sample])],
        "input": _raster(bench.frames(exact=True)[sample]),
        "layers": [_layer(bench, source, deployed, sample, name) for name in bench.pairs],
    }


def _layer(bench: Bench, source: View, deployed: View, sample: int, name: str) -> dict[str, object]:
    left, right = source.sent[name][sample], deployed.sent[name][sample]
    different = np.not_equal(left != 0, right != 0)
    steps = np.flatnonzero(different.any(axis=1))
    start = max(0, int(steps[0]) - AROUND) if steps.size else 0
    stop = min(left.shape[0], start + 2 * AROUND)
    neurons = _neurons(different, left, right)
    return {
        "layer": name,
        "shape": list(bench.frame.shapes[name]),
        "first_difference": None if not steps.size else [int(steps[0]), int(different[steps[0]].argmax())],
        "float": _raster(left),
        "deployed": _raster(right),
        "from_step": start,
        "membranes": [_membranes(bench, (source, deployed), name, (sample, n), slice(start, stop)) for n in neurons],
    }


def _neurons(different: Values, left: Values, right: Values) -> list[int]:
    """The neuron that differs first, then the most active ones."""
    steps = np.flatnonzero(different.any(axis=1))
    first = [int(different[steps[0]].argmax())] if steps.size else []
    activity = np.count_nonzero(left, axis=0) + np.count_nonzero(right, axis=0)
    busy = np.argsort(-activity, kind="stable")[:NEURONS].tolist()
    return list(dict.fromkeys([*first, *busy]))[:NEURONS]


def _membranes(
    bench: Bench, views: tuple[View, View], layer: str, spot: tuple[int, int], steps: slice
) -> Mapping[str, object]:
    sample, neuron = spot
    shown = [[finite(float(h)) for h in view.membrane[layer][sample, steps, neuron]] for view in views]
    threshold = finite(float(bench.frame.thresholds[layer][neuron]))
    return {"neuron": neuron, "threshold": threshold, "float": shown[0], "deployed": shown[1]}


def _raster(frames: Values) -> dict[str, object]:
    """(steps, neurons) as the list of (step, flat neuron) where something was sent, cut after ``MOST_SPIKES``."""
    found = np.argwhere(frames != 0)
    return {"spikes": found[:MOST_SPIKES].tolist(), "total": len(found)}
