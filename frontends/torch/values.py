"""What recorded tensors mean: expressions over spikes and input frames, with named axes.

An expression tells how a frame (the features of one sample in one step) comes about by weighted sums from
what populations and the input sent in certain steps. Seen from the step in which it is used, the expression of
a network is the same in every step: that is what folding proves.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Linear, Reshape, Scale
from ranvier.compiler.ir.network import Neurons

Output = Literal["input", "spikes", "value", "membrane", "current", "hidden"]
SENT: frozenset[Output] = frozenset({"input", "spikes", "value"})
"""What travels between layers: input frames, spikes of populations, values of host functions."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """What ``source`` showed in ``step`` (None: in every step, a constant input)."""

    source: str
    output: Output
    step: int | None
    shape: Shape


@dataclass(frozen=True, eq=False)
class Apply:
    """A linear operation on an expression, or neurons without memory that relay it within the step."""

    op: Linear | Neurons
    arg: "Expr"

    @property
    def shape(self) -> Shape:
        """Shape of the result."""
        return self.op.out_shape


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of expressions of equal shape."""

    terms: tuple["Expr", ...]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Fixed:
    """Numbers that come from no input; ``value`` has any shape that broadcasts to the frame."""

    value: torch.Tensor
    shape: Shape

    @property
    def zero(self) -> bool:
        """Whether all numbers are zero."""
        return not bool(self.value.any())


@dataclass(frozen=True, eq=False)
class Reduced:
    """A sum, mean or maximum over steps: only a readout can use it."""

    kind: Literal["sum", "mean", "max"]
    frames: tuple["Expr", ...]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Gated:
    """``on`` where ``gate``, a spike written by hand, is 1, ``off`` where it is 0.

    Such a reset belongs into a neuron: ``refusal`` is raised when it is left outside of one.
    """

    gate: Leaf
    on: "Expr"
    off: "Expr"
    refusal: RanvierError

    @property
    def shape(self) -> Shape:
        """Shape of the frame."""
        return self.gate.shape


Expr = Leaf | Apply | Sum | Fixed | Reduced | Gated


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor: one expression per step, and one letter per axis.

    ``T`` time, ``B`` batch, ``M`` time and batch merged (time major), ``N`` the same batch major, ``U`` an axis
    of length one that may become time, ``F`` features. Without ``T``, ``M`` or ``N`` there is one frame.
    """

    frames: tuple[Expr, ...]
    axes: str

    @property
    def shape(self) -> Shape:
        """Feature shape of a frame."""
        return self.frames[0].shape

    @property
    def timed(self) -> bool:
        """Whether the tensor holds a sequence of steps."""
        return any(axis in self.axes for axis in "TMN")


@dataclass(frozen=True, eq=False)
class Opaque:
    """A tensor without a meaning for the network; ``error`` is raised when it turns out to matter."""

    error: RanvierError


Meaning = Value | Opaque | torch.Tensor


def add(terms: tuple[Expr, ...]) -> Expr:
    """The flattened sum."""
    flat = tuple(t for term in terms for t in (term.terms if isinstance(term, Sum) else (term,)))
    shape = next((t.shape for t in flat if not isinstance(t, Fixed)), flat[0].shape)
    return flat[0] if len(flat) == 1 else Sum(flat, shape)


def has_offset(op: Linear | Neurons) -> bool:
    """Whether ``op`` gives something for a zero input."""
    if isinstance(op, (Dense, Conv, ConvTranspose)):
        return op.bias is not None and bool(np.any(op.bias))
    return isinstance(op, Scale) and bool(np.any(op.shift))


def silent(expr: Expr, shift: int) -> bool:
    """Whether ``expr``, moved ``shift`` steps back, is zero because it reads only from before step 0."""
    if isinstance(expr, Leaf):
        return expr.step is not None and expr.step < shift
    if isinstance(expr, Apply):
        return not has_offset(expr.op) and silent(expr.arg, shift)
    if isinstance(expr, Fixed):
        return expr.zero
    if isinstance(expr, Gated):
        return silent(expr.on, shift) and silent(expr.off, shift)
    return isinstance(expr, Sum) and all(silent(term, shift) for term in expr.terms)


def matches(early: Expr, late: Expr, shift: int) -> bool:
    """Whether ``late`` moved ``shift`` steps back is ``early``, nothing being sent before step 0."""
    mine, theirs = _living(early, 0), _living(late, shift)
    return len(mine) == len(theirs) and all(_same(a, b, shift) for a, b in zip(mine, theirs, strict=True))


def _living(expr: Expr, shift: int) -> list[Expr]:
    terms = expr.terms if isinstance(expr, Sum) else (expr,)
    return [term for term in terms if not silent(term, shift)]


def _same(early: Expr, late: Expr, shift: int) -> bool:
    if isinstance(early, Leaf) and isinstance(late, Leaf):
        step = None if late.step is None else late.step - shift
        return (early.source, early.output, early.step) == (late.source, late.output, step)
    if isinstance(early, Apply) and isinstance(late, Apply):
        return early.op is late.op and matches(early.arg, late.arg, shift)
    if isinstance(early, Gated) and isinstance(late, Gated):
        pairs = ((early.gate, late.gate), (early.on, late.on), (early.off, late.off))
        return all(matches(a, b, shift) for a, b in pairs)
    if isinstance(early, Fixed) and isinstance(late, Fixed):
        return torch.equal(early.value, late.value)
    return False


def leaves(expr: Expr) -> list[Leaf]:
    """All leaves below ``expr``; not recursive, because hand-written filters nest as deep as the run is long."""
    found, todo = [], [expr]
    while todo:
        part = todo.pop()
        if isinstance(part, Leaf):
            found.append(part)
        elif isinstance(part, Apply):
            todo.append(part.arg)
        elif isinstance(part, Gated):
            todo.extend((part.off, part.on, part.gate))
        elif not isinstance(part, Fixed):
            todo.extend(reversed(part.terms if isinstance(part, Sum) else part.frames))
    return found


def unfinished(expr: Expr) -> bool:
    """Whether sums over time, or gates, are in ``expr``."""
    if isinstance(expr, (Reduced, Gated)):
        return True
    if isinstance(expr, Apply):
        return unfinished(expr.arg)
    return isinstance(expr, Sum) and any(unfinished(term) for term in expr.terms)


def sendable(*values: Value) -> bool:
    """Whether all of ``values`` consist of what travels between layers, so that the host can be sent them."""
    frames = [frame for value in values for frame in value.frames]
    return all(leaf.output in SENT for frame in frames for leaf in leaves(frame)) and not any(map(unfinished, frames))


def bare(expr: Expr) -> Expr:
    """Without what changes no argmax: other shapes, and one positive factor for all."""
    while isinstance(expr, Apply):
        op = expr.op
        uniform = isinstance(op, Scale) and op.factor.size == 1 and float(op.factor) > 0 and not np.any(op.shift)
        if not uniform and not isinstance(op, Reshape):
            break
        expr = expr.arg
    return expr


def present(total: Sum) -> tuple[Expr, ...]:
    """The terms of a sum without the zeros that it began with."""
    return tuple(term for term in total.terms if not (isinstance(term, Fixed) and term.zero))
