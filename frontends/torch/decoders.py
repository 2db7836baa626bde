"""Layers behind the last spikes: what they give is the membrane of a population that keeps nothing and never fires.

``Linear``, ``Conv`` or a chain of them at the end of a module has no neurons. Its result in a step is the membrane of
``Lif(keep_membrane=0, threshold=inf, reset="none")`` fed by the layer, called ``<layer>.membrane``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.torch.adapters import Described
from ranvier.frontends.torch.capture import tensors
from ranvier.frontends.torch.confirm import Replay, apply
from ranvier.frontends.torch.populations import Folded, Population, alike
from ranvier.frontends.torch.values import (
    SENT,
    Apply,
    Expr,
    Fixed,
    Leaf,
    Reduced,
    Sum,
    Value,
    bare,
    leaves,
    present,
    unfinished,
)

Array = NDArray[np.float64]
CLOSE = 1e-4
ENDING = ".membrane"


def with_decoders(folded: Folded) -> Folded:
    """``folded`` with a population for every layer that is returned in all steps, or in the last."""
    found: dict[str, Population] = {}
    frames: dict[int, Expr] = {}
    for sequence in _sequences(folded):
        bared = [bare(frame) for frame in sequence]
        last = bared[-1]
        if not isinstance(last, Apply) or not _steady(bared, folded.steps):
            continue
        name = f"{last.op.name}{ENDING}"
        known = found.setdefault(name, Population(name, last.shape, _described(), [last]))
        if known.inputs[-1] is not last and not alike(known.inputs[-1], last, 0):
            continue
        first = folded.steps - len(bared)
        frames |= {id(f): Leaf(name, "membrane", first + i, f.shape) for i, f in enumerate(bared)}
    if not found:
        return folded
    outputs = tuple(_replaced(out, frames) for out in folded.outputs)
    return replace(folded, populations={**folded.populations, **found}, outputs=outputs)


def _described() -> Described:
    model = Lif(keep_membrane=np.zeros(()), threshold=np.array(np.inf), reset="none")
    return Described(model, None, None, np.ones(()), shows_reset=False, silent=True)


def _steady(frames: Sequence[Expr], steps: int) -> bool:
    """Whether the frames are one layer in all steps, or in the last one, of what has been sent until then."""
    last = frames[-1]
    parts = leaves(last)
    within = all(p.output in SENT and (p.step is None or 0 < p.step < steps) for p in parts)
    newest = max((p.step for p in parts if p.step is not None), default=-1) == steps - 1
    if not within or not newest or len(frames) not in (1, steps) or unfinished(last):
        return False
    return all(alike(frame, last, len(frames) - 1 - i) for i, frame in enumerate(frames[:-1]))


def _sequences(folded: Folded) -> Iterator[Sequence[Expr]]:
    """What may be one layer over time in the returned values."""
    if len(folded.outputs) > 1:
        for results in zip(*(list(_values(out)) for out in folded.outputs), strict=False):
            yield [value.frames[0] for value in results]
        return
    values = list(_values(folded.outputs[0]))
    if len(values) == folded.steps and all(len(v.frames) == 1 for v in values):
        yield [value.frames[0] for value in values]
    for value in values:
        inner = bare(value.frames[0])
        if value.timed:
            yield value.frames
        elif isinstance(inner, Reduced):
            yield inner.frames
        elif isinstance(inner, Sum):
            yield present(inner)
        else:
            yield value.frames


def _values(out: Any) -> Iterator[Value]:
    if isinstance(out, Value):
        yield out
    elif isinstance(out, (list, tuple, dict)):
        for item in out.values() if isinstance(out, dict) else out:
            yield from _values(item)


def _replaced(out: Any, frames: Mapping[int, Expr]) -> Any:
    """``out`` with the layers' results replaced by membranes."""
    if isinstance(out, Value):
        return Value(tuple(_expression(f, frames) for f in out.frames), out.axes)
    if isinstance(out, (list, tuple)):
        items = [_replaced(item, frames) for item in out]
        return tuple(items) if isinstance(out, tuple) else items
    return {k: _replaced(v, frames) for k, v in out.items()} if isinstance(out, dict) else out


def _expression(expr: Expr, frames: Mapping[int, Expr]) -> Expr:
    if id(expr) in frames:
        return frames[id(expr)]
    if isinstance(expr, Apply):
        return Apply(expr.op, _expression(expr.arg, frames))
    if isinstance(expr, Reduced):
        return replace(expr, frames=tuple(_expression(f, frames) for f in expr.frames))
    if isinstance(expr, Sum):
        return replace(expr, terms=tuple(_expression(t, frames) for t in expr.terms))
    return expr


def confirm_decoder(network: Network | HostedNetwork, replay: Replay, folded: Folded, outputs: Sequence[Any]) -> None:
    """What the module has returned, computed again from the network's membranes where a layer is read out.

    ``outputs`` are what the recorded calls of the module returned. Raises ``RanvierError`` RV225.
    """
    read = folded.populations.get(network.readout.node)
    if read is None or read.events:
        return
    for meanings, recorded in zip(folded.outputs, outputs, strict=True):
        for value, tensor in zip(_values(meanings), tensors(recorded), strict=True):
            if {leaf.source for frame in value.frames for leaf in leaves(frame)} == {network.readout.node}:
                _same_answer(network.readout.node, _arranged(value, replay), tensor)


def _same_answer(name: str, mine: Array, tensor: torch.Tensor) -> None:
    seen = tensor.detach().double().numpy().ravel()
    worst = float(np.max(np.abs(mine - seen), initial=0.0))
    if worst > CLOSE * max(1.0, float(np.max(np.abs(seen), initial=0.0))):
        raise error(
            "RV225",
            name,
            f"what the captured network gives differs by {worst:.3g} from what the module returns.",
            "Something in forward could not be seen, such as a tensor changed in place through a view or values "
            "computed in Python: write it with plain layers and functions.",
            difference=worst,
        )


def _arranged(value: Value, replay: Replay) -> Array:
    """``value`` in numbers, flat, with its axes in the tensor's order."""
    frames = [_number(frame, replay).reshape(-1, *value.shape) for frame in value.frames]
    letters = value.axes.replace("U", "").replace("M", "TB").replace("N", "BT")
    if "T" not in letters:
        return frames[0].ravel()
    features = "".join(chr(ord("a") + i) for i in range(len(value.shape)))
    found, spelled = iter(features), ""
    for letter in letters:
        spelled += next(found) if letter == "F" else letter
    ordered: Array = np.einsum(f"TB{features}->{spelled}", np.stack(frames))
    return ordered.ravel()


def _number(expr: Expr, replay: Replay) -> Array:
    """An expression over membranes of the readout, (batch, size)."""
    if isinstance(expr, Leaf):
        assert expr.step is not None
        return replay.into(expr.source, expr.step)
    if isinstance(expr, Apply):
        assert not isinstance(expr.op, Neurons)
        return apply(expr.op, _number(expr.arg, replay))
    if isinstance(expr, Fixed):
        return np.broadcast_to(expr.value.double().numpy(), (1, *expr.shape)).reshape(1, -1)
    assert isinstance(expr, (Reduced, Sum))
    whole = np.stack([_number(f, replay) for f in (expr.frames if isinstance(expr, Reduced) else expr.terms)])
    kind = expr.kind if isinstance(expr, Reduced) else "sum"
    if kind == "max":
        return np.asarray(whole.max(axis=0))
    return np.asarray(whole.sum(axis=0) if kind == "sum" else whole.mean(axis=0))
