"""What a module returns, as a readout: spike counts, or a membrane over time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.linear import Reshape, Scale
from ranvier.compiler.ir.network import Note, Readout, ReadoutKind
from ranvier.frontends.torch.populations import Folded
from ranvier.frontends.torch.values import Apply, Expr, Leaf, Opaque, Output, Reduced, Sum, Value

How = Literal["sequence", "sum", "max", "last"]
KINDS: dict[tuple[Output, How], ReadoutKind] = {
    ("spikes", "sequence"): "spike_count",
    ("spikes", "sum"): "spike_count",
    ("membrane", "sum"): "sum_membrane",
    ("membrane", "max"): "max_membrane",
    ("membrane", "last"): "last_membrane",
}


@dataclass(frozen=True)
class Shown:
    """One returned tensor understood: what of which population, and how over time."""

    source: str
    output: Output
    how: How


def choose(folded: Folded, asked: ReadoutKind | None) -> tuple[Readout, tuple[Note, ...]]:
    """The readout of what the module returns; ``asked`` decides between spikes and membranes."""
    shown = list(dict.fromkeys(_shown(folded)))
    readable = [s for s in shown if (s.output, s.how) in KINDS]
    first = next((s for s in readable if s.output == "spikes"), readable[0] if readable else None)
    if asked is not None and shown:
        source = (first or shown[0]).source
        readout = Readout(source, asked)
    elif first is not None:
        readout = Readout(first.source, KINDS[first.output, first.how])
    elif any(s.output == "membrane" for s in shown):
        raise error(
            "RV221",
            shown[0].source,
            "the module returns membranes of all steps: whether their last, largest or sum decides cannot be seen.",
            "Say readout='last_membrane', 'max_membrane' or 'sum_membrane', or return the spikes.",
        )
    else:
        raise _nothing(folded)
    _check_membrane(folded, readout)
    others = sorted({s.source for s in readable} - {readout.node})
    text = f"the module also returns {', '.join(others)}; the readout is {readout.node}"
    return readout, (Note("RV221", readout.node, text),) if others else ()


def _nothing(folded: Folded) -> RanvierError:
    """The module's own problem when what it returns could not be followed, else what a readout needs."""
    for out in folded.outputs:
        for value in _flat(out):
            if isinstance(value, Opaque):
                return value.error
    return error(
        "RV220",
        "the return value",
        "the module returns nothing that can be read as spikes or membranes of one population over all steps.",
        "Return the stacked spikes of the last spiking layer, or their sum or mean over time; end the network with "
        "neurons (for a membrane readout snntorch.Leaky with reset_mechanism='none').",
    )


def _check_membrane(folded: Folded, readout: Readout) -> None:
    described = folded.populations[readout.node].described
    if not readout.reads_spikes and described.shows_reset:
        raise error(
            "RV220",
            readout.node,
            "with reset_delay=False the module shows the membrane after the reset, the network before it.",
            "Read out spikes, or use reset_delay=True or reset_mechanism='none' in the last layer.",
        )


def _shown(folded: Folded) -> Iterator[Shown]:
    if len(folded.outputs) == 1:
        yield from _parts(folded.outputs[0], folded.steps)
        return
    calls = [list(_flat(out)) for out in folded.outputs]
    for results in zip(*calls, strict=False):
        frames = [r.frames[0] for r in results if isinstance(r, Value) and len(r.frames) == 1]
        found = _sequence(frames, folded.steps)
        if found is not None:
            yield found


def _parts(value: Any, steps: int) -> Iterator[Shown]:
    if isinstance(value, Value):
        found = _understood(value, steps)
        if found is not None:
            yield found
    elif isinstance(value, dict):
        for item in value.values():
            yield from _parts(item, steps)
    elif isinstance(value, (list, tuple)):
        frames = [v.frames[0] for v in value if isinstance(v, Value) and len(v.frames) == 1]
        found = _sequence(frames, steps) if len(frames) == len(value) else None
        if found is not None:
            yield found
        else:
            for item in value:
                yield from _parts(item, steps)


def _flat(value: Any) -> Iterator[Value | Opaque]:
    if isinstance(value, (Value, Opaque)):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _flat(item)


def _understood(value: Value, steps: int) -> Shown | None:
    if value.timed:
        return _sequence(value.frames, steps)
    expr = _bare(value.frames[0])
    if isinstance(expr, Reduced):
        whole = _sequence(expr.frames, steps)
        how: How = "max" if expr.kind == "max" else "sum"
        return None if whole is None else Shown(whole.source, whole.output, how)
    if isinstance(expr, Sum):
        whole = _sequence(expr.terms, steps)
        return None if whole is None else Shown(whole.source, whole.output, "sum")
    if isinstance(expr, Leaf) and expr.step == steps - 1:
        return Shown(expr.source, expr.output, "last")
    return None


def _sequence(frames: Sequence[Expr], steps: int) -> Shown | None:
    """All steps of one population, in any order."""
    found = [_bare(frame) for frame in frames]
    shown = [leaf for leaf in found if isinstance(leaf, Leaf)]
    if len(shown) != len(found) or sorted(leaf.step or 0 for leaf in shown) != list(range(steps)):
        return None
    if len({(leaf.source, leaf.output) for leaf in shown}) != 1 or shown[0].output == "input":
        return None
    return Shown(shown[0].source, shown[0].output, "sequence")


def _bare(expr: Expr) -> Expr:
    """Without what changes no argmax: other shapes, and one positive factor for all."""
    while isinstance(expr, Apply):
        op = expr.op
        uniform = isinstance(op, Scale) and op.factor.size == 1 and float(op.factor) > 0 and not np.any(op.shift)
        if not uniform and not isinstance(op, Reshape):
            break
        expr = expr.arg
    return expr
