"""Maxima as weighted sums and rectifiers, exactly: what synapses and spiking neurons can compute.

``max(a, b) = b + relu(a - b)``, and a window's maximum is a tournament of such pairs. An activation before the
pool moves behind it (it rises, so both orders give the same), which lets the first round compare what arrives
at the activation: the difference of two outputs of one convolution is again a convolution, with a larger kernel.
A window of n elements costs n - 1 rectifiers and the activation behind them: as many neurons as the n activations
that were there before, in ``ceil(log2(n)) + 1`` layers instead of one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.linear import Conv, Pool, Reshape, Scale, Sparse
from ranvier.frontends.conversion.graph import Activation, Graph, MaxPool, Op

K = TypeVar("K")


@dataclass(frozen=True)
class _Contender:
    """``sum(taps[p] * z[p]) + sum(won[r] * r)``: z are the elements of a window, r earlier rectifiers."""

    taps: Mapping[Shape, float]
    won: Mapping[str, float]

    def minus(self, other: "_Contender") -> "_Contender":
        """The difference of both."""
        return _Contender(_difference(self.taps, other.taps), _difference(self.won, other.won))

    def plus(self, rectifier: str) -> "_Contender":
        """With one rectifier's value added."""
        return replace(self, won={**self.won, rectifier: 1.0})


def exact_maxima(graph: Graph, pools: Sequence[MaxPool] | None = None) -> Graph:
    """``graph`` with ``pools`` (None: every max pool) computed by sums and rectifiers; all values stay the same."""
    for pool in [op for op in graph.ops if isinstance(op, MaxPool)] if pools is None else pools:
        graph = pruned(_replaced(graph, pool, *_tournament(graph, pool)))
    return graph


def averages(graph: Graph) -> Graph:
    """``graph`` with every max pool replaced by the average over its windows: another network, less accurate."""
    swapped = {
        p.name: Pool(p.name, "average", p.in_shape, p.kernel, p.stride, p.padding)
        for p in graph.ops
        if isinstance(p, MaxPool)
    }
    return replace(graph, ops=tuple(swapped.get(op.name, op) for op in graph.ops))


def pruned(graph: Graph) -> Graph:
    """``graph`` without what does not reach the output."""
    needed = {graph.output}
    for op in reversed(graph.ops):
        needed |= set(graph.sources[op.name]) if op.name in needed else set()
    ops = tuple(op for op in graph.ops if op.name in needed)
    return replace(graph, ops=ops, sources={op.name: graph.sources[op.name] for op in ops})


def _tournament(graph: Graph, pool: MaxPool) -> tuple[list[Op], dict[str, tuple[str, ...]]]:
    """The operations that compute ``pool`` (the last gives its values) and what each of them reads."""
    moved = _activation_before(graph, pool)
    if any(map(any, pool.padding)) and not _padding_is_harmless(graph, pool, moved):
        raise error("RV662", pool.name, "it pads values that may be negative, where zero is not the least",
                    "put the activation before the pool, or pool without padding")  # fmt: skip
    window = _Window(graph, pool, graph.sources[moved.name if moved else pool.name])
    field = [_Contender({at: 1.0}, {}) for at in np.ndindex(*pool.kernel)]
    while len(field) > 1:
        pairs = list(zip(field[::2], field[1::2], strict=False))
        field = [window.winner(a, b) for a, b in pairs] + (field[-1:] if len(field) % 2 else [])
    arriving = window.sources(field[0], f"{pool.name}.last")
    shape = pool.out_shape
    last: Op = replace(moved, name=pool.name, shape=shape) if moved else Reshape(pool.name, shape, shape)
    return [*window.ops, last], {**window.read, pool.name: arriving}


class _Window:
    """What is built for one pool: operations, and what each reads; ``values`` add up to the pool's elements."""

    def __init__(self, graph: Graph, pool: MaxPool, values: tuple[str, ...]) -> None:
        self.graph, self.pool, self.values = graph, pool, values
        self.ops: list[Op] = []
        self.read: dict[str, tuple[str, ...]] = {}
        self.matches = 0

    def winner(self, a: _Contender, b: _Contender) -> _Contender:
        """``max(a, b) = b + relu(a - b)``."""
        self.matches += 1
        name = f"{self.pool.name}.max{self.matches}"
        self._add(Activation(name, self.pool.out_shape), self.sources(a.minus(b), name))
        return b.plus(name)

    def sources(self, contender: _Contender, name: str) -> tuple[str, ...]:
        """The names of values that add up to ``contender``."""
        found = [self._taps(value, contender, name) for value in self.values] if contender.taps else []
        for rectifier, factor in contender.won.items():
            if factor == 1.0:
                found.append(rectifier)
                continue
            shape = self.pool.out_shape
            scale = Scale(f"{name}.less.{rectifier}", shape, np.array(factor), np.array(0.0))
            found.append(self._add(scale, (rectifier,)))
        return tuple(found)

    def _taps(self, value: str, contender: _Contender, name: str) -> str:
        kernel = np.zeros(self.pool.kernel)
        for at, factor in contender.taps.items():
            kernel[at] = factor
        op = self.graph.by_name.get(value)
        title = f"{name}.{value}"
        if isinstance(op, Conv) and not any(map(any, self.pool.padding)):
            return self._add(_strided(title, op, kernel, self.pool.stride), self.graph.sources[value])
        channels, pool = self.pool.in_shape[0], self.pool
        weight = np.broadcast_to(kernel, (channels, 1, *pool.kernel))
        ones = (1,) * len(pool.kernel)
        picked = Conv(title, weight, pool.in_shape, None, pool.stride, pool.padding, ones, channels)
        return self._add(picked, (value,))

    def _add(self, op: Op, sources: tuple[str, ...]) -> str:
        self.ops.append(op)
        self.read[op.name] = sources
        return op.name


def _strided(name: str, conv: Conv, taps: np.ndarray, stride: Shape) -> Conv:
    """``taps`` applied to every channel of what ``conv`` gives, as one convolution with a larger kernel."""
    axes = range(taps.ndim)
    reach = [(n - 1) * conv.dilation[a] + 1 for a, n in enumerate(conv.kernel)]
    span = [(taps.shape[a] - 1) * conv.stride[a] + reach[a] for a in axes]
    weight = np.zeros((*conv.weight.shape[:2], *span))
    for at in np.ndindex(*taps.shape):
        start = [at[a] * conv.stride[a] for a in axes]
        where = tuple(slice(start[a], start[a] + reach[a], conv.dilation[a]) for a in axes)
        weight[(slice(None), slice(None), *where)] += taps[at] * conv.weight
    strides = tuple(conv.stride[a] * stride[a] for a in axes)
    outputs = [(conv.out_shape[1 + a] - taps.shape[a]) // stride[a] + 1 for a in axes]
    padding = tuple(_border(conv.in_shape[1 + a], conv.padding[a][0], span[a], strides[a], outputs[a]) for a in axes)
    bias = None if conv.bias is None else conv.bias * taps.sum()
    return Conv(name, weight, conv.in_shape, bias, strides, padding, (1,) * taps.ndim, conv.groups)


def _border(length: int, before: int, span: int, stride: int, outputs: int) -> tuple[int, int]:
    """Padding that gives exactly ``outputs`` windows; the same on both sides where that does."""
    if (length + 2 * before - span) // stride + 1 == outputs:
        return before, before
    return before, max((outputs - 1) * stride + span - before - length, 0)


def _activation_before(graph: Graph, pool: MaxPool) -> Activation | None:
    """The activation that ``pool`` alone reads, which may as well come behind it."""
    sources = graph.sources[pool.name]
    op = graph.by_name.get(sources[0]) if len(sources) == 1 else None
    return op if isinstance(op, Activation) and graph.consumers[op.name] == (pool.name,) else None


def _padding_is_harmless(graph: Graph, pool: MaxPool, moved: Activation | None) -> bool:
    """Whether a zero in the border never changes the result: nothing is below zero, or what is becomes zero."""
    behind = [graph.by_name[c] for c in graph.consumers[pool.name]]
    rectified = bool(behind) and all(isinstance(op, Activation) for op in behind)
    return moved is not None or rectified or all(_never_negative(graph, s) for s in graph.sources[pool.name])


def _never_negative(graph: Graph, name: str) -> bool:
    """Whether the value ``name`` is made of activations without a negative weight on the way."""
    op = graph.by_name.get(name)
    if op is None or isinstance(op, Activation):
        return op is not None
    plain = isinstance(op, Reshape | Pool | MaxPool) or (isinstance(op, Sparse) and bool((op.data >= 0).all()))
    return plain and all(_never_negative(graph, source) for source in graph.sources[name])


def _replaced(graph: Graph, pool: MaxPool, ops: list[Op], read: Mapping[str, tuple[str, ...]]) -> Graph:
    def order() -> Iterator[Op]:
        for op in graph.ops:
            yield from ops if op.name == pool.name else (op,)

    return replace(graph, ops=tuple(order()), sources={**graph.sources, **read})


def _difference(a: Mapping[K, float], b: Mapping[K, float]) -> dict[K, float]:
    return {key: value for key in (*a, *b) if (value := a.get(key, 0.0) - b.get(key, 0.0))}
