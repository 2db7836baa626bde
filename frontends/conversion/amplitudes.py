"""How large a value one spike stands for, layer by layer: from what calibration data do to the activations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.graph import Activation, Graph

PERCENTILE = 99.9
KEPT = 4_000_000


@dataclass(frozen=True)
class Calibration:
    """How amplitudes are chosen.

    ``percentile`` of all values of a layer over the calibration data (100: the largest), or of each channel with
    ``per_channel``. A neuron fires at most once a step, so values above the amplitude are cut; a lower
    amplitude makes finer steps. Source: Rueckauer et al., Front. Neurosci. 2017.
    """

    percentile: float = PERCENTILE
    per_channel: bool = False


def amplitudes(graph: Graph, samples: NDArray[Any] | None, how: Calibration) -> Mapping[str, FloatArray]:
    """The amplitude of each activation, ``()`` or (channels,), from ``samples`` (samples, *shape).

    A quantized activation has its own amplitude by construction and needs no samples. Channels that never rise
    above zero take the layer's. Raises ``RanvierError`` RV661 for data that do not fit and RV663 for a layer that
    stays silent on all of them.
    """
    if samples is None:
        assert all(a.kind == "quantized" for a in graph.activations)
        return {a.name: np.array(a.ceiling) for a in graph.activations}
    seen: dict[str, list[FloatArray]] = {a.name: [] for a in graph.activations}
    for values in Evaluator(graph).batches(samples):
        for a in graph.activations:
            by_channel = np.moveaxis(values[a.name].reshape(-1, a.shape[0], a.in_size // a.shape[0]), 1, 0)
            seen[a.name].append(_thinned(by_channel.reshape(a.shape[0], -1), len(samples) * a.in_size, how))
    return {a.name: _amplitude(a, np.concatenate(seen[a.name], axis=1), how) for a in graph.activations}


def _thinned(values: FloatArray, total: int, how: Calibration) -> FloatArray:
    """``values`` (channels, n): the largest alone where only that is asked for, else evenly spaced ones of many."""
    if how.percentile >= 100.0:
        return np.asarray(values.max(axis=1, keepdims=True))
    return values[:, :: 1 + total // KEPT]


def _amplitude(activation: Activation, seen: FloatArray, how: Calibration) -> FloatArray:
    """``seen`` (channels, values)."""
    if activation.kind == "quantized":
        return np.array(activation.ceiling)
    whole = float(np.percentile(seen, how.percentile)) or float(seen.max())
    if whole <= 0:
        raise error("RV663", activation.name, f"all {seen.size} values are zero on the calibration data",
                    "give more, and typical, samples; or remove the layer, if it is dead")  # fmt: skip
    if how.per_channel and len(seen) > 1:
        each = np.percentile(seen, how.percentile, axis=1)
        found = np.where(each > 0, each, whole)
    else:
        found = np.array(whole)
    return found
