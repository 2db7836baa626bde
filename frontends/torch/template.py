"""Leaky integrate-and-fire neurons written by hand in ``forward``: found by their threshold, matched by their cycle.

The comparison ``membrane > threshold`` is the anchor: what it gives is called the spikes of a new population, the
membrane that was compared the membrane of that population. In the next step the compared membrane depends on
both, and on the weighted input. With the spike set to 0 and to 1 it must read

    spike 0    keep * membrane + drive + input
    spike 1    the same less a constant           reset by subtraction, at once or in the next step
               constant + input                   reset to a value
               constant                           reset to a value that also drops the input: one silent step

and the input may be ``gain * current`` with ``current = keep_current * current + x``. Everything else is
refused with the call site. Decays, amounts, thresholds, the comparison and the start are read off; the whole run is
then compared with the canonical neuron, as for every other population.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape
from ranvier.compiler.ir.linear import Reshape, Scale
from ranvier.compiler.ir.neurons import Compare, Lif
from ranvier.frontends.torch.adapters import Described
from ranvier.frontends.torch.capture import Event, Site
from ranvier.frontends.torch.operations import Operations, frame_array
from ranvier.frontends.torch.populations import Population
from ranvier.frontends.torch.values import Apply, Expr, Fixed, Gated, Leaf, Sum, add, leaves, matches

FEWEST = 3
WEAK = 2.0**-6
CLOSE = 1e-9


@dataclass(eq=False)
class Cycle:
    """One neuron written by hand: the compared membrane of each step, and the event of each comparison."""

    name: str
    site: Site
    shape: Shape
    threshold: FloatArray
    compare: Compare
    levels: list[Expr] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def refusal(self, why: str) -> RanvierError:
        """The neuron is not one that can be told."""
        return error(
            "RV260",
            str(self.site),
            f"the neuron written by hand around this threshold is no leaky integrate-and-fire neuron: {why}.",
            "Write mem = beta * mem + input, spike = mem > threshold, and a reset by subtraction or to a value; or put "
            "the neuron into a class of its own and register that with ranvier.register_neuron.",
        )


@dataclass(frozen=True, eq=False)
class _Form:
    """An expression with the own spike set: ``keep * membrane + constant + rest``."""

    keep: FloatArray
    constant: FloatArray
    rest: tuple[Expr, ...]


def matched(ops: Operations, cycle: Cycle) -> Population:
    """The cycle as a canonical neuron, its inputs step by step."""
    if len(cycle.levels) < FEWEST:
        raise cycle.refusal(f"it carries no membrane over at least {FEWEST} steps")
    silent, fired = ([_form(ops, cycle, k, s) for k in range(len(cycle.levels))] for s in (0.0, 1.0))
    keep, drive, jump = silent[1].keep, silent[1].constant, fired[1].constant
    for off, on in zip(silent[1:], fired[1:], strict=True):
        if not (close(off.keep, keep) and close(off.constant, drive) and close(on.constant, jump)):
            raise cycle.refusal("its decay or its reset changes from step to step")
    if not np.all((keep > 0) & (keep <= 1)):
        raise cycle.refusal(f"its membrane keeps {float(np.min(keep)):g} to {float(np.max(keep)):g} per step")
    reset = _reset(cycle, silent[1], fired[1])
    gain, decay, inputs = _current([add(_terms(form)) for form in silent])
    model = Lif(
        keep_current=decay,
        keep_membrane=keep,
        gain=gain,
        drive=drive,
        threshold=cycle.threshold,
        compare=cycle.compare,
        initial=(silent[0].constant - drive) / keep,
        **reset,
    )
    described = Described(model, None, None, np.array(1.0), shows_reset=False)
    inputs = [add(tuple(_distributed(ops, cycle, expr, np.array(1.0)))) for expr in inputs]
    return Population(cycle.name, cycle.shape, described, inputs, cycle.events)


def _distributed(ops: Operations, cycle: Cycle, expr: Expr, factor: FloatArray) -> Iterator[Expr]:
    """The terms of ``factor * expr``, each with one factor, so that every step reads alike."""
    if isinstance(expr, Sum):
        for term in expr.terms:
            yield from _distributed(ops, cycle, term, factor)
    elif isinstance(expr, Apply) and isinstance(expr.op, Scale) and not np.any(expr.op.shift):
        own = expr.op.factor if expr.op.factor.ndim == 0 else expr.op.per_element(expr.op.factor)
        yield from _distributed(ops, cycle, expr.arg, factor * own)
    else:
        yield ops.scale(expr, factor, np.array(0.0), f"{cycle.name}.gain")


def _terms(form: _Form) -> tuple[Expr, ...]:
    return form.rest or (Fixed(torch.zeros(()), ()),)


def _reset(cycle: Cycle, off: _Form, on: _Form) -> dict[str, Any]:
    """What a spike takes away, seen one step later."""
    change = on.constant - off.constant
    same_input = matches(add(_terms(on)), add(_terms(off)), 0)
    if close(on.keep, off.keep) and same_input:
        if not np.any(change):
            return {"reset": "none"}
        if np.min(off.keep) < WEAK:
            raise cycle.refusal(f"it keeps {float(np.min(off.keep)):g} per step, and forgets before the reset acts")
        return {"reset": "subtract", "reset_amount": -change / off.keep}
    if not np.any(on.keep) and same_input:
        return {"reset": "value", "reset_value": change / off.keep}
    level = np.broadcast_to(on.constant, np.broadcast_shapes(on.constant.shape, cycle.threshold.shape))
    if not np.any(on.keep) and not on.rest and np.all(level < cycle.threshold):
        return {"reset": "value", "reset_value": on.constant, "refractory": 1}
    raise cycle.refusal("after a spike its membrane is neither lowered by a constant nor set to one")


def _current(inputs: list[Expr]) -> tuple[FloatArray, FloatArray, list[Expr]]:
    """Gain, decay of a synaptic current, and what drives it: ``S = decay * S before + x``, input ``gain * S``."""
    one, zero = np.array(1.0), np.array(0.0)
    found = _filtered(inputs)
    if found is not None:
        return one, *found
    if all(isinstance(e, Apply) and isinstance(e.op, Scale) and not np.any(e.op.shift) for e in inputs):
        scaled = [e for e in inputs if isinstance(e, Apply)]
        found = _filtered([e.arg for e in scaled])
        op = scaled[-1].op
        if found is not None and isinstance(op, Scale) and all(e.op is op for e in scaled):
            return op.factor if op.factor.ndim == 0 else op.per_element(op.factor), *found
    return one, zero, inputs


def _filtered(sums: list[Expr]) -> tuple[FloatArray, list[Expr]] | None:
    """The decay and the inputs of ``sums`` when each is a multiple of the one before it plus its input."""
    inputs, decay = [sums[0]], None
    for before, after in pairwise(sums):
        terms = after.terms if isinstance(after, Sum) else (after,)
        kept = [t for t in terms if isinstance(t, Apply) and isinstance(t.op, Scale) and _identical(t.arg, before)]
        op = kept[0].op if len(kept) == 1 else None
        if not isinstance(op, Scale) or _shifts(op) or (decay is not None and op is not decay):
            return None
        decay = op
        rest = tuple(t for t in terms if t is not kept[0])
        inputs.append(add(rest) if rest else Fixed(torch.zeros(()), ()))
    assert isinstance(decay, Scale), "a cycle has at least three steps"
    return decay.factor if decay.factor.ndim == 0 else decay.per_element(decay.factor), inputs


def _identical(a: Expr, b: Expr) -> bool:
    mine, theirs = (e.terms if isinstance(e, Sum) else (e,) for e in (a, b))
    return len(mine) == len(theirs) and all(x is y for x, y in zip(mine, theirs, strict=True))


def _form(ops: Operations, cycle: Cycle, step: int, spike: float) -> _Form:
    """The compared membrane of ``step``, with the spike of the step before set to ``spike``."""
    return _split(ops, cycle, cycle.levels[step], step - 1, spike)


def _split(ops: Operations, cycle: Cycle, expr: Expr, step: int, spike: float) -> _Form:
    zero = np.array(0.0)
    if isinstance(expr, Leaf) and expr.source == cycle.name and expr.step == step:
        own = {"membrane": (np.array(1.0), zero), "spikes": (zero, np.array(spike))}
        return _Form(*own[expr.output], ())
    if isinstance(expr, Fixed):
        value = frame_array(expr.value, cycle.shape, "F" * len(cycle.shape))
        assert value is not None, "constants in expressions are spread over the features"
        return _Form(zero, value, ())
    if isinstance(expr, Sum):
        parts = [_split(ops, cycle, term, step, spike) for term in expr.terms]
        keep, constant = (sum((getattr(p, n) for p in parts), zero) for n in ("keep", "constant"))
        return _Form(keep, constant, tuple(term for p in parts for term in p.rest))
    if isinstance(expr, Gated) and expr.gate.source == cycle.name and expr.gate.step == step:
        return _split(ops, cycle, expr.on if spike else expr.off, step, spike)
    if (
        isinstance(expr, Apply)
        and isinstance(expr.op, Scale | Reshape)
        and (_shifts(expr.op) or _touches(cycle, expr, step))
    ):
        return _scaled(ops, cycle, expr, _split(ops, cycle, expr.arg, step, spike))
    strange = any(leaf.source == cycle.name and leaf.output == "membrane" for leaf in leaves(expr))
    if strange or isinstance(expr, Gated):
        raise cycle.refusal("its membrane passes through something that is no factor, or comes from an earlier step")
    return _Form(zero, zero, (expr,))


def _scaled(ops: Operations, cycle: Cycle, expr: Apply, inner: _Form) -> _Form:
    """A factor and a shift on a form; weighted input alone stays as it is."""
    op = expr.op
    if isinstance(op, Reshape):
        if inner.rest:
            raise cycle.refusal("its membrane is reshaped together with its input")
        return inner
    assert isinstance(op, Scale)
    factor, shift = (a if a.ndim == 0 else op.per_element(a) for a in (op.factor, op.shift))
    rest = tuple(ops.scale(term, op.factor, np.array(0.0), f"{cycle.name}.gain") for term in inner.rest)
    if not np.any(factor):
        rest = ()
    return _Form(inner.keep * factor, inner.constant * factor + shift, rest)


def _touches(cycle: Cycle, expr: Expr, step: int) -> bool:
    """Whether the own membrane or spike of ``step`` enters elementwise."""
    if isinstance(expr, Sum):
        return any(_touches(cycle, term, step) for term in expr.terms)
    if isinstance(expr, Apply):
        return isinstance(expr.op, Scale | Reshape) and _touches(cycle, expr.arg, step)
    leaf = expr.gate if isinstance(expr, Gated) else expr
    return isinstance(leaf, Leaf) and leaf.source == cycle.name and leaf.step == step


def _shifts(op: Scale | Reshape) -> bool:
    return isinstance(op, Scale) and bool(np.any(op.shift))


def close(a: FloatArray, b: FloatArray) -> bool:
    """Whether two parameters are one, up to the rounding of their derivation."""
    return bool(np.all(np.abs(a - b) <= CLOSE * np.maximum(1.0, np.abs(b))))
