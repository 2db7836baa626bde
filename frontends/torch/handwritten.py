"""Neurons written by hand in ``forward`` are found: a comparison of a signal with a constant makes spikes.

What is compared becomes the membrane of a population, and so do the tensors that it was copied from, also less a
threshold (``mem - threshold > 0``). Which population it is, its membrane of the step before tells: it enters the next
one. ``template.py`` then says which neuron the cycle is.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray
from ranvier.compiler.ir.linear import Scale
from ranvier.compiler.ir.neurons import Compare
from ranvier.frontends.torch.calls import Call
from ranvier.frontends.torch.capture import Event, Site, Trace
from ranvier.frontends.torch.operations import Operations, frame_array
from ranvier.frontends.torch.populations import Population
from ranvier.frontends.torch.problems import not_linear
from ranvier.frontends.torch.template import Cycle, close, matched
from ranvier.frontends.torch.values import Apply, Expr, Gated, Leaf, Meaning, Sum, Value, leaves

GREATER: dict[str, Compare] = {"gt": ">", "greater": ">", "ge": ">=", "greater_equal": ">="}
LESS: dict[str, Compare] = {"lt": ">", "less": ">", "le": ">=", "less_equal": ">="}
COMPARISONS = frozenset({*GREATER, *LESS, "heaviside", "ne", "bool"})
COPIES = frozenset({"detach", "clone", "float", "to", "contiguous"})


@dataclass(eq=False)
class HandWritten:
    """The hand-written neurons of a run; ``meanings`` and ``makers`` are the reader's tables by tensor."""

    ops: Operations
    meanings: dict[int, Meaning]
    makers: dict[int, Event]
    cycles: dict[str, Cycle] = field(default_factory=dict)

    def compare(self, call: Call, name: str, args: Sequence[Any]) -> Value:
        """A comparison of a signal with a constant: the spikes of a population."""
        value, limit, kind = _ordered(call, name, args)
        level = frame_array(torch.as_tensor(limit), call.out, value.axes)
        if level is None or value.axes.strip("F") != "B" or not value.axes.startswith("B"):
            raise not_linear(call.site, "a comparison with something else than one threshold per neuron")
        found = _own_leaf(value.frames[0])
        if found is not None:
            return Value((self._again(call, found, level, kind),), value.axes)
        if kind is None:
            raise not_linear(call.site, "a comparison for inequality")
        copies = self._copies(call, value)
        base, offset = copies[-1]
        cycle = self._cycle(call, base, level + offset, kind)
        step = len(cycle.events)
        self.ops.binary.add(cycle.name)
        cycle.levels.append(base.frames[0])
        cycle.events.append(call.event)
        leaf = Leaf(cycle.name, "membrane", step, value.shape)
        for copy, below in copies:
            shifted = self.ops.scale(leaf, np.array(1.0), below - offset, f"{cycle.name}.shift")
            self._rebind(copy, Value((shifted,), value.axes))
        return Value((Leaf(cycle.name, "spikes", step, value.shape),), value.axes)

    def populations(self, shown: Iterable[Expr]) -> dict[str, Population]:
        """The neurons that ``shown`` or each other need, understood; raises where one is not."""
        todo, needed = list(shown), dict[str, None]()
        inside = {name: cycle.levels for name, cycle in self.cycles.items()}
        if self.ops.islands is not None:
            inside |= {name: island.inputs for name, island in self.ops.islands.by_name.items()}
        while todo:
            for name in {leaf.source for leaf in leaves(todo.pop())} & set(inside):
                if name not in needed:
                    needed[name] = None
                    todo += inside[name]
        return {name: matched(self.ops, cycle) for name, cycle in self.cycles.items() if name in needed}

    def _again(self, call: Call, found: tuple[Leaf, FloatArray, FloatArray], level: FloatArray, kind: Any) -> Leaf:
        """The spikes once more: ``spike != 0``, or a membrane compared with its threshold a second time."""
        leaf, factor, shift = found
        cycle = self.cycles.get(leaf.source)
        known = cycle is not None and bool(np.all(factor > 0))
        level = (level - shift) / np.where(factor > 0, factor, 1.0)
        if known and leaf.output == "spikes" and np.all(level >= 0) and np.all(level < 1):
            return leaf
        same = known and cycle is not None and kind == cycle.compare and close(level, cycle.threshold)
        if not same or leaf.output != "membrane":
            raise not_linear(call.site, f"a second comparison of the {leaf.output} of {leaf.source}")
        return Leaf(leaf.source, "spikes", leaf.step, leaf.shape)

    def _cycle(self, call: Call, value: Value, level: FloatArray, kind: Compare) -> Cycle:
        """The neuron whose membrane of the step before enters the compared one; else a new one."""
        before = {leaf.source for leaf in leaves(value.frames[0]) if leaf.output == "membrane"} & set(self.cycles)
        if len(before) > 1:
            raise not_linear(call.site, f"a membrane made of those of {', '.join(sorted(before))}")
        if not before:
            name = self._name(call.site)
            return self.cycles.setdefault(name, Cycle(name, call.site, value.shape, level, kind))
        cycle = self.cycles[before.pop()]
        if cycle.compare != kind or not close(cycle.threshold, level):
            raise cycle.refusal("its threshold or comparison changes from step to step")
        return cycle

    def _name(self, site: Site) -> str:
        base = site.scope or "neurons"
        return base if base not in self.cycles else f"{base}_{len(self.cycles) + 1}"

    def _rebind(self, old: Value, new: Value) -> None:
        """Tensors that meant ``old`` are the membrane from now on."""
        for key in [key for key, meaning in self.meanings.items() if meaning is old]:
            self.meanings[key] = new

    def _copies(self, call: Call, value: Value) -> list[tuple[Value, FloatArray]]:
        """The compared value, and what it was copied from less a threshold: each with the sum taken away since."""
        found: list[tuple[Value, FloatArray]] = [(value, np.array(0.0))]
        tensor = next((a for a in _arguments(call.event) if self.meanings.get(id(a)) is value), None)
        while tensor is not None:
            here, below = found[-1]
            made = self.makers.get(id(tensor))
            tensor, lost = (None, below) if made is None else _shifted_from(made, value.axes)
            parent = None if tensor is None else self.meanings.get(id(tensor))
            if not isinstance(parent, Value) or not _stems(here, parent):
                break
            found.append((parent, below + lost))
        return found


def comparisons(trace: Trace) -> Counter[Site]:
    """How often ``forward`` compares, by place: the steps of a module without neuron classes."""
    names = {*GREATER, *LESS, "heaviside"}
    return Counter(
        e.site for e in trace.events if e.kind == "function" and e.name.rpartition(".")[2].strip("_") in names
    )


def unused_thresholds() -> RanvierError:
    """Nothing that is returned comes from a neuron."""
    return error(
        "RV261",
        "the return value",
        "forward compares with thresholds, but nothing that it returns depends on what they give.",
        "Return the spikes of the last neurons of every step, stacked or summed.",
    )


def refuse_gates(expr: Expr) -> None:
    """Raise where a hand-written reset is left outside of a neuron."""
    todo = [expr]
    while todo:
        part = todo.pop()
        if isinstance(part, Gated):
            raise part.refusal
        if isinstance(part, Apply):
            todo.append(part.arg)
        elif isinstance(part, Sum):
            todo.extend(part.terms)


def _ordered(call: Call, name: str, args: Sequence[Any]) -> tuple[Value, Any, Compare | None]:
    """The signal, what it is compared with, and how; the spike is the greater side."""
    x, y = (*args, 0.0)[:2]
    if isinstance(x, Value) == isinstance(y, Value):
        raise not_linear(call.site, "a comparison of two signals, as for an adaptive threshold,")
    if name == "heaviside":
        at_zero = torch.as_tensor(y).reshape(-1) if not isinstance(y, Value) else torch.zeros(0)
        if at_zero.numel() == 0 or bool((at_zero != at_zero[0]).any()) or float(at_zero[0]) not in (0.0, 1.0):
            raise not_linear(call.site, "heaviside with other values than 0 or 1")
        return x, 0.0, ">" if float(at_zero[0]) == 0.0 else ">="
    if name in ("ne", "bool"):
        return (x, y, None) if isinstance(x, Value) else (y, x, None)
    kinds: Any = GREATER if isinstance(x, Value) else LESS
    if name not in kinds:
        raise not_linear(call.site, "a spike below a threshold")
    return (x, y, kinds[name]) if isinstance(x, Value) else (y, x, kinds[name])


def _own_leaf(expr: Expr) -> tuple[Leaf, FloatArray, FloatArray] | None:
    """``factor * leaf + shift`` for a membrane or spikes."""
    factor, shift = np.array(1.0), np.array(0.0)
    while isinstance(expr, Apply) and isinstance(expr.op, Scale):
        scale = expr.op.per_element(expr.op.factor)
        factor, shift = factor * scale, factor * expr.op.per_element(expr.op.shift) + shift
        expr = expr.arg
    return (expr, factor, shift) if isinstance(expr, Leaf) and expr.output in ("membrane", "spikes") else None


def _arguments(event: Event) -> list[torch.Tensor]:
    return [a for a in (*event.args, *event.kwargs.values()) if isinstance(a, torch.Tensor)]


def _stems(value: Value, parent: Value) -> bool:
    """Whether ``value`` still is its parent, or a shifted copy of it: nobody wrote into the parent since."""
    frame = value.frames[0]
    return parent.frames[0] in (frame, frame.arg if isinstance(frame, Apply) else None)


def _shifted_from(made: Event, axes: str) -> tuple[torch.Tensor | None, FloatArray]:
    """The tensor that ``made`` copies, and the threshold that it takes away; None for another function."""
    name, given, none = made.name.rpartition(".")[2].strip("_"), made.args, np.array(0.0)
    if not given or not isinstance(given[0], torch.Tensor) or given[0] is made.out:
        return None, none
    if name in COPIES and given[0].shape == made.out.shape:
        return given[0], none
    if name != "sub" or len(given) != 2 or made.kwargs or not isinstance(given[1], (int, float, torch.Tensor)):
        return None, none
    constant = torch.as_tensor(given[1])
    shift = frame_array(constant, tuple(made.out.shape), axes) if constant.ndim < made.out.ndim else None
    return (None, none) if shift is None else (given[0], shift)
