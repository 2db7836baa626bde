"""The conventional network itself, run in float64: what calibration sees and conversion has to equal."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray, size
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset
from ranvier.frontends.conversion.graph import Activation, Graph, MaxPool

BATCH = 64
Activated = Callable[[Activation, FloatArray], FloatArray]


class Evaluator:
    """A graph ready to be run: the matrices of its linear layers are made once.

    ``activated`` may stand in for an activation: it gets the activation and what arrives, (samples, elements).
    """

    def __init__(self, graph: Graph, activated: Activated = lambda activation, x: activation(x)) -> None:
        self.graph, self.activated = graph, activated
        linear = [op for op in graph.ops if not isinstance(op, Activation | MaxPool)]
        self.affine = {op.name: (linear_matrix(op), linear_offset(op)) for op in linear}

    def batches(self, samples: NDArray[Any]) -> Iterator[Mapping[str, FloatArray]]:
        """The values of every operation, (samples, *shape), for a batch of ``samples`` after the other."""
        check_samples(samples, self.graph)
        for start in range(0, len(samples), BATCH):
            yield self._values(np.asarray(samples[start : start + BATCH], np.float64))

    def outputs(self, samples: NDArray[Any]) -> FloatArray:
        """The answers for ``samples`` (samples, *shape): (samples, classes)."""
        found = [values[self.graph.output].reshape(-1, self._width) for values in self.batches(samples)]
        return np.concatenate(found)

    @property
    def _width(self) -> int:
        return size(self.graph.shape(self.graph.output))

    def _values(self, batch: FloatArray) -> Mapping[str, FloatArray]:
        values = {self.graph.entry.name: batch}
        for op in self.graph.ops:
            arriving = sum(values[s].reshape(len(batch), -1) for s in self.graph.sources[op.name])
            x = np.asarray(arriving).reshape(len(batch), op.in_size)
            if isinstance(op, Activation):
                y = self.activated(op, x)
            elif isinstance(op, MaxPool):
                y = largest(op, x.reshape(len(batch), *op.in_shape))
            else:
                matrix, offset = self.affine[op.name]
                y = np.asarray((matrix @ x.T).T) + offset
            values[op.name] = y.reshape(len(batch), *op.out_shape)
        return values


def largest(pool: MaxPool, x: FloatArray) -> FloatArray:
    """The maximum over the windows of ``x`` (samples, channels, *spatial)."""
    padded = np.pad(x, ((0, 0), (0, 0), *pool.padding), constant_values=-np.inf)
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(padded, pool.kernel, axes)
    strides = tuple(slice(None, None, s) for s in pool.stride)
    return np.asarray(windows[(slice(None), slice(None), *strides)].max(axis=tuple(a + len(axes) for a in axes)))


def check_samples(samples: NDArray[Any], graph: Graph) -> None:
    """Raise ``RanvierError`` RV661 unless ``samples`` are (samples, *shape) finite numbers."""
    shape = graph.entry.shape
    wanted = f"(samples, {', '.join(map(str, shape))})"
    fix = "give the samples as the model takes them, preprocessed in the same way, without an axis of steps"
    if samples.ndim != len(shape) + 1 or samples.shape[1:] != shape or not len(samples):
        raise error("RV661", "calibration data", f"they have shape {samples.shape}, the model takes {wanted}", fix)
    if samples.dtype.kind not in "biuf" or not bool(np.isfinite(samples).all()):
        raise error("RV661", "calibration data", f"type {samples.dtype}, or values that are not finite", fix)
