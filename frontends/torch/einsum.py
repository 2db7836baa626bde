"""``einsum`` of one or two operands: permutations, sums, and the products that ``*`` and ``@`` are made of.

``bihd,bjhd->bhij`` of two signals is a product of matrices for each head, ``bid,dk->bik`` of a signal and a constant a
layer on each token. Axes of samples and steps stand in both signals and in the result, and only there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.linear import Dense, Linear, Reshape, Sparse
from ranvier.frontends.torch import features, hosting, layers, layout
from ranvier.frontends.torch.calls import Call, Result
from ranvier.frontends.torch.capture import tensors
from ranvier.frontends.torch.operations import chain
from ranvier.frontends.torch.problems import mixes, not_linear
from ranvier.frontends.torch.values import Value

SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, eq=False)
class _Term:
    """An operand: what it means, the recorded tensor (None: none was kept), and a letter for each of its axes."""

    value: Value
    tensor: torch.Tensor | None
    letters: str

    def arranged(self, call: Call, letters: str) -> "_Term":
        """The axes in another order."""
        order = [self.letters.index(letter) for letter in letters]
        tensor = None if self.tensor is None else self.tensor.permute(order)
        return _Term(layout.permute(call.ops, self.value, order, call.site), tensor, letters)

    def shaped(self, call: Call, shape: Sequence[int]) -> "_Term":
        """Features under another shape; the letters no longer say anything."""
        tensor = None if self.tensor is None else self.tensor.reshape(tuple(shape))
        value = layout.reshape(call.ops, self.value, tuple(shape), call.name("reshape"), call.site)
        return _Term(value, tensor, "")


def einsum(call: Call, equation: Any, *operands: Any) -> Result:
    """``torch.einsum`` with the equation first."""
    given = list(operands[0]) if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else list(operands)
    if not isinstance(equation, str) or not 1 <= len(given) <= 2:
        raise not_linear(call.site, "einsum of more than two operands")
    letters, out = _parsed(call, equation, [_rank(operand) for operand in given])
    signals = [(operand, own) for operand, own in zip(given, letters, strict=True) if isinstance(operand, Value)]
    terms = [_Term(value, call.given.get(id(value)), own) for value, own in signals]
    if {*out} <= {*_lead(terms[0])}:
        raise mixes(call.site, "einsum to a frame with a single number")
    if len(given) == 1:
        return _alone(call, terms[0], out)
    if len(terms) == 2:
        return _two(call, terms[0], terms[1], out, _sizes(call, letters))
    at = next(i for i, operand in enumerate(given) if isinstance(operand, torch.Tensor))
    return _weighted(call, terms[0], (given[at], letters[at]), out)


def _parsed(call: Call, equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """One letter for each axis of the operands and of the result."""
    left, arrow, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    rest = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=False)]
    spare = [letter for letter in SPARE if letter not in equation][: max(rest, default=0)]
    found = [t.replace("...", "".join(spare[len(spare) - n :])) for t, n in zip(terms, rest, strict=False)]
    if not arrow:
        once = sorted(letter for letter in set(left) - set(",.") if left.count(letter) == 1)
        out = ("..." if "..." in left else "") + "".join(once)
    if any(len(set(term)) != len(term) for term in found):
        raise not_linear(call.site, "einsum over a diagonal")
    return found, out.replace("...", "".join(spare))


def _two(call: Call, x: _Term, y: _Term, out: str, sizes: dict[str, int]) -> Result:
    """Two signals: the letters of both are looked at in the order of the result, samples and steps first."""
    lead = _lead(x)
    shared = lead + "".join(n for n in out if n in x.letters and n in y.letters and n not in lead)
    summed = "".join(n for n in x.letters if n in y.letters and n not in out)
    left, right = ("".join(n for n in out if n in a.letters and n not in b.letters) for a, b in ((x, y), (y, x)))
    if {*x.letters, *y.letters} != {*shared, *summed, *left, *right} or not {*lead} <= {*out} & {*y.letters}:
        raise mixes(call.site, "einsum that sums over samples or steps, or over an axis of one operand alone,")

    def sized(letters: str) -> list[int]:
        return [sizes[letter] for letter in letters]

    rows, inner, columns = (prod(sized(letters)) for letters in (left, summed, right))
    order = shared + left + right
    mine, theirs = x.arranged(call, shared + left + summed), y.arranged(call, shared + summed + right)
    sides = mine.shaped(call, [*sized(shared), rows, inner]), theirs.shaped(call, [*sized(shared), inner, columns])
    seen = call.event.seen[0].permute([out.index(n) for n in order]).reshape([*sized(shared), rows, columns])
    given = {id(side.value): side.tensor for side in sides if side.tensor is not None}
    inside = replace(call, event=replace(call.event, out=seen, seen=(seen,)), given=given)
    multiply = hosting.matrix if summed else hosting.product
    made = _Term(_signal(multiply(inside, sides[0].value, sides[1].value)), None, "")
    whole = replace(made.shaped(call, sized(order)), letters=order)
    return whole.arranged(call, out).value


def _signal(result: Result) -> Value:
    assert isinstance(result, Value), "a product of signals is one"
    return result


def _alone(call: Call, x: _Term, out: str) -> Value:
    """One signal: sums over the features that are not in the result, the others in its order."""
    if not {*_lead(x)} <= {*out}:
        raise mixes(call.site, "einsum that sums over samples or steps")
    inner = x.letters[len(_lead(x)) :]
    gone = [at for at, letter in enumerate(inner) if letter not in out]
    value = features.summed(call.ops, x.value, gone, False, False, call.name("einsum")) if gone else x.value
    letters = "".join(letter for letter in x.letters if letter in out)
    return _Term(value, None, letters).arranged(call, out).value


def _weighted(call: Call, x: _Term, weight: tuple[torch.Tensor, str], out: str) -> Value:
    """A signal and a constant: a matrix on the features."""
    lead, inner = _lead(x), x.letters[len(_lead(x)) :]
    if not {*lead} <= {*out} or {*lead} & {*weight[1]}:
        raise mixes(call.site, "einsum with a constant that differs between samples or steps")
    kept = "".join(n for n in weight[1] if n in {*inner, *out})
    gone = [at for at, letter in enumerate(weight[1]) if letter not in kept]
    numbers = layers.numbers(weight[0]).sum(axis=tuple(gone))
    shown = "".join(n for n in out if n not in lead)
    summed = "".join(n for n in inner if n not in out)
    known = dict(zip(kept, numbers.shape, strict=True)) | dict(zip(inner, x.value.shape, strict=True))
    whole = tuple(known[n] for n in shown + summed)
    data = np.broadcast_to(_spread(numbers, kept, shown + summed), whole)
    columns = np.broadcast_to(_spread(features.places(x.value.shape), inner, shown + summed), whole)
    shape, name = tuple(known[n] for n in shown), call.name("einsum")

    def make() -> tuple[Linear, ...]:
        if not {*inner} & {*shown}:
            dense = Dense(name, data.reshape(size(shape), size(x.value.shape)))
            return (dense,) if dense.out_shape == shape else (dense, Reshape(f"{name}.shape", dense.out_shape, shape))
        starts = np.arange(size(shape) + 1) * (data.size // size(shape))
        return (Sparse(name, data.reshape(-1), columns.reshape(-1), starts, size(x.value.shape), shape),)

    key = ("einsum", name, inner, out, weight[1], x.value.shape, numbers.shape, numbers.tobytes())
    made = call.ops.once(key, make)
    axes = dict(zip(lead, x.value.axes, strict=False))
    return Value(tuple(chain(made, frame) for frame in x.value.frames), "".join(axes.get(n, "F") for n in out))


def _spread(values: NDArray[Any], letters: str, whole: str) -> NDArray[Any]:
    """``values``, an axis for each of ``letters``, with an axis for each of ``whole``: of length one if it has none."""
    order = [letters.index(letter) for letter in whole if letter in letters]
    shape = [values.shape[letters.index(letter)] if letter in letters else 1 for letter in whole]
    return values.transpose(order).reshape(shape)


def _lead(x: _Term) -> str:
    """The letters of samples and steps."""
    return x.letters[: len(x.value.axes.rstrip("F"))]


def _rank(operand: Any) -> int:
    return len(operand.axes) if isinstance(operand, Value) else operand.ndim


def _sizes(call: Call, letters: Sequence[str]) -> dict[str, int]:
    """The length of each axis, from the recorded operands."""
    shapes = [tensor.shape for tensor in tensors((call.event.args, dict(call.event.kwargs)))]
    return {n: length for shape, own in zip(shapes, letters, strict=True) for n, length in zip(own, shape, strict=True)}
