"""Time to first spike: a ReLU network as neurons that fire once, its values in the times; exact, in floats only.

Each activation has a window [start, end] that begins when the windows of all its sources have ended; the value x is a
spike at ``end - x``, zero is silence. A neuron integrates its sources from their spikes on,
``dv/dt = sum(w_j [t > t_j]) + slope``, with its own slope chosen so that the total is 1 within its window, and fires
once at its threshold: with sources that all ended at ``start`` that is ``(end - start) - b``. The time of
the spike is then ``end - relu(sum(w_j x_j) + b)``. A maximum is the first spike of a window, a maximum of
values with negative factor (a batch norm before a pool) the last one. Source: Stanojevic et al., Nature
Communications 15, 6793 (2024). Such neurons need a ramp that the chips' leaky integrators do not have: this model
runs here, and shows what time resolution costs; it is not compiled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray, size
from ranvier.compiler.ir.linear import Reshape, Scale
from ranvier.frontends.conversion.build import without_last_activation
from ranvier.frontends.conversion.evaluate import Evaluator, check_samples
from ranvier.frontends.conversion.graph import Activation, Graph, MaxPool
from ranvier.frontends.conversion.normalise import fold_scales
from ranvier.frontends.conversion.pooling import exact_maxima, pruned

MARGIN = 0.5
MAX_BITS = 24
SLACK = 1e-12


@dataclass(frozen=True)
class Window:
    """When the neurons of a layer may fire; ``offset`` and ``unit`` give the value ``offset + unit (end - t)``."""

    start: float
    end: float
    offset: float = 0.0
    unit: float = 1.0


@dataclass(frozen=True, eq=False)
class FirstSpikes:
    """One run: ``scores`` (samples, classes); ``times`` per layer (samples, *shape), inf where silent.

    ``early`` counts values too large for their window, which fired at its start instead: where it is 0 and time is not
    rounded, the scores are those of the ReLU network.
    """

    scores: FloatArray
    times: Mapping[str, FloatArray]
    early: int

    @property
    def spikes_per_neuron(self) -> float:
        """The share of neurons that fired, over all samples and layers."""
        return float(np.mean(np.concatenate([np.isfinite(t).reshape(-1) for t in self.times.values()])))


@dataclass(frozen=True, eq=False)
class FirstSpikeNetwork:
    """A network of neurons that fire at most once; ``windows`` of the entry and of every activation."""

    graph: Graph
    windows: Mapping[str, Window]

    def run(self, samples: NDArray[Any], bits: int | None = None) -> FirstSpikes:
        """Spike times and scores for ``samples`` (samples, *shape); with ``bits`` each window has 2**bits - 1 ticks."""
        check_samples(samples, self.graph)
        if bits is not None and not 1 <= bits <= MAX_BITS:
            raise error(
                "RV676", "bits", f"{bits} bits were asked for", f"give 1 to {MAX_BITS}, or None for exact times"
            )
        entry = self.windows[self.graph.entry.name]
        run = _Run(self, bits)
        shown = run.sent(entry, (np.asarray(samples, np.float64) - entry.offset) / entry.unit)[0]
        scores = Evaluator(self.graph, run.activated).outputs(shown)
        return FirstSpikes(scores, {name: np.concatenate(parts) for name, parts in run.times.items()}, run.early)


class _Run:
    def __init__(self, network: FirstSpikeNetwork, bits: int | None) -> None:
        self.network, self.bits = network, bits
        self.times: dict[str, list[FloatArray]] = {}
        self.early = 0

    def activated(self, activation: Activation, arriving: FloatArray) -> FloatArray:
        """What the spikes of a layer stand for, given what arrives at it."""
        values, times = self.sent(self.network.windows[activation.name], activation(arriving))
        self.times.setdefault(activation.name, []).append(times.reshape(-1, *activation.shape))
        return values

    def sent(self, window: Window, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The values that arrive for ``x``, and the times of their spikes."""
        times = window.end - x
        self.early += int(np.count_nonzero(times < window.start - SLACK * window.end))
        times = np.clip(times, window.start, window.end)
        if self.bits is not None:
            tick = (window.end - window.start) / (2**self.bits - 1)
            times = window.start + tick * np.rint((times - window.start) / tick)
        silent = times >= window.end
        return window.offset + window.unit * (window.end - times), np.where(silent, np.inf, times)


def first_spike_network(graph: Graph, samples: NDArray[Any] | None, margin: float = MARGIN) -> FirstSpikeNetwork:
    """``graph`` with spikes in time; a window is ``1 + margin`` times the largest activation on ``samples`` long.

    Raises ``RanvierError`` RV664 without samples, RV676 for staircases (QCFS), which are no straight ramps.
    """
    if samples is None:
        raise error("RV664", graph.name, "how large its activations are is not known",
                    "give calibrate=..., some typical inputs (samples, *shape)")  # fmt: skip
    plain = fold_scales(pruned(without_last_activation(graph)))
    stairs = [a.name for a in plain.activations if a.kind == "quantized"]
    if stairs:
        raise error("RV676", ", ".join(stairs), "a quantized activation is no ramp in time",
                    "use ranvier.convert, which counts spikes, or ReLU")  # fmt: skip
    plain = exact_maxima(plain, [p for p in plain.ops if isinstance(p, MaxPool) and not _timed(plain, p)])
    return FirstSpikeNetwork(plain, _windows(plain, np.asarray(samples), margin))


def _windows(graph: Graph, samples: NDArray[Any], margin: float) -> dict[str, Window]:
    most = dict.fromkeys((a.name for a in graph.activations), 0.0)
    for values in Evaluator(graph).batches(samples):
        most = {name: max(peak, float(values[name].max())) for name, peak in most.items()}
    low, high = float(samples.min()), float(samples.max())
    windows = {graph.entry.name: Window(0.0, 1.0, low, max(high - low, 1e-300))}
    ends = {graph.entry.name: 1.0}
    for op in graph.ops:
        start = max(ends[s] for s in graph.sources[op.name])
        ends[op.name] = start
        if isinstance(op, Activation):
            ends[op.name] = start + (1.0 + margin) * (most[op.name] or 1.0)
            windows[op.name] = Window(start, ends[op.name])
    return windows


def _timed(graph: Graph, pool: MaxPool) -> bool:
    """Whether a pool compares single values of activations, each with a factor: then it picks spikes by their time."""
    name = pool.name
    while len(sources := graph.sources[name]) == 1:
        (name,) = sources
        op = graph.by_name.get(name)
        if isinstance(op, Activation):
            return True
        if not isinstance(op, Scale | Reshape) or op.in_size != size(op.out_shape):
            return False
    return False
