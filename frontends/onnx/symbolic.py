"""A graph run on polynomials: thresholds and layers become atoms, everything between them is worked out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import Shape
from ranvier.frontends.onnx.alpha import currents
from ranvier.frontends.onnx.evaluate import FAULTS, impossible, operate, scan_plan
from ranvier.frontends.onnx.junctions import is_membrane
from ranvier.frontends.onnx.model import Array, OnnxGraph, OnnxNode
from ranvier.frontends.onnx.ops import axes_of, cast
from ranvier.frontends.onnx.relays import height_of
from ranvier.frontends.onnx.shaping import SHAPING
from ranvier.frontends.onnx.shown import COMPARES, Shown, compared_tensors, last_uses, scanned_tensors
from ranvier.frontends.onnx.signal import (
    READOUT,
    Atom,
    Signal,
    Space,
    Term,
    TooComplexError,
    add,
    clean,
    concat,
    constant,
    of_atom,
)

ROWS: Mapping[str, int] = {
    "Gemm": 1,
    "MatMul": 1,
    "Conv": -1,
    "BatchNormalization": -1,
    "AveragePool": -1,
    "GlobalAveragePool": -1,
    "MaxPool": -1,
    "GlobalMaxPool": -1,
}
"""Layers, with the number of axes of one sample; -1: all but the first."""
MAXIMA = frozenset({"MaxPool", "GlobalMaxPool"})
FIXED = frozenset({"membrane", "spikes", "count"})
FLOAT = 1

Value = Array | Signal


@dataclass(eq=False)
class Interpreter:
    """Runs blocks of one file; ``space`` collects the atoms, ``weights`` the constants of each layer by its key."""

    file: str
    space: Space = field(default_factory=Space)
    weights: dict[bytes, tuple[Array | None, ...]] = field(default_factory=dict)
    made: dict[tuple[bytes, Shape], Shape] = field(default_factory=dict)

    def run(self, graph: OnnxGraph, env: dict[str, Value], shown: Mapping[str, Shown]) -> None:
        """Compute all tensors of ``graph`` into ``env``, which holds its inputs; ``shown`` may be readouts."""
        env.update(graph.constants)
        known = {n for n, v in env.items() if not isinstance(v, Signal)} - graph.inputs.keys() | graph.constants.keys()
        membranes, entering = compared_tensors(graph, known), currents(graph)
        last = last_uses(graph)
        for index, node in enumerate(graph.nodes):
            args = [env[name] if name else None for name in node.inputs]
            try:
                results = self._results(node, args, env)
            except TooComplexError as problem:
                raise _unread(node, self.file, str(problem)) from None
            except FAULTS as problem:
                raise impossible(node, self.file, str(problem) or type(problem).__name__) from None
            for name, value in zip(node.outputs, results, strict=False):
                made = self._membrane(node, name, value) if name in membranes else value
                made = self._current(node, name, made) if name in entering else made
                env[name] = self._readout(node, name, made, shown[name]) if name in shown else made
            for name in last.get(index, ()):
                env.pop(name, None)

    def _results(self, node: OnnxNode, args: list[Any], env: dict[str, Value]) -> tuple[Value, ...]:
        if node.op == "Scan":
            return self._scan(node, args, env)
        if not any(isinstance(a, Signal) for a in args):
            return operate(node, args, self.file)
        if node.op == "CastLike" and not isinstance(args[0], Signal):
            return (cast(args[0], FLOAT),)
        if node.op in COMPARES:
            return (self._compare(node, args),)
        if node.op in MAXIMA and isinstance(args[0], Signal):
            return (self._relayed(node, args[0]),)
        if node.op in ROWS:
            return (self._layer(node, args),)
        if node.op in HANDLERS:
            return (HANDLERS[node.op](self, node, [_signal(a) for a in args]),)
        if node.op in SHAPING and isinstance(args[0], Signal):
            return self._moved(node, args)
        raise _unread(node, self.file, f"{node.op} acts on signals")

    def _scan(self, node: OnnxNode, args: list[Any], env: dict[str, Value]) -> tuple[Value, ...]:
        plan = scan_plan(node, [a.shape for a in args], self.file)
        states: list[Value] = args[: plan.states]
        collected: list[list[Signal]] = [[] for _ in node.outputs[plan.states :]]
        for t in range(plan.steps):
            inner = dict(env)
            for name, value, axis in zip(
                list(plan.body.inputs)[plan.states :], args[plan.states :], plan.axes, strict=True
            ):
                inner[name] = _take(value, t, axis)
            inner.update(zip(plan.body.inputs, states, strict=False))
            self.run(plan.body, inner, scanned_tensors(plan.body, plan.states))
            values = [inner[name] for name in plan.body.outputs]
            states = values[: plan.states]
            for found, value in zip(collected, values[plan.states :], strict=True):
                found.append(_signal(value).moved(lambda a: a[None]))
        return (*states, *(concat(found, 0) for found in collected))

    def _membrane(self, node: OnnxNode, name: str, value: Value) -> Value:
        """A new atom in place of a tensor that a threshold looks at, unless it is a constant or an atom already."""
        if not isinstance(value, Signal) or not value.terms:
            return value
        if len(value.terms) == 1 and not np.any(value.constant):
            known = self.space.exactly(value.terms[0].factors[0]) if len(value.terms[0].factors) == 1 else None
            taken = known is not None and not (known.kind == "spikes" and is_membrane(node, name))
            if known is not None and taken and known.kind in FIXED and np.all(value.terms[0].coefficient == 1):
                return value
        atom = self.space.make("membrane", value.shape, name, value=value, node=node)
        return of_atom(atom)

    def _current(self, node: OnnxNode, name: str, value: Value) -> Value:
        if not isinstance(value, Signal) or not value.terms:
            return value
        return of_atom(self.space.make("current", value.shape, name, value=value, node=node))

    def _readout(self, node: OnnxNode, name: str, value: Value, shown: Shown) -> Value:
        """New atoms in place of a tensor that the file returns, a step each, if layers and readouts alone are in it."""
        if not isinstance(value, Signal) or not value.terms:
            return value
        atoms = [a for t in value.terms for f in t.factors for a, _ in self.space.split(f)]
        if not all(a.kind == "layer" or a.digest.startswith(READOUT) for a in atoms):
            return value
        axis, digest = shown.axis, READOUT + bytes([shown.group % 256])
        steps = [value] if axis is None else [_step(value, t, axis) for t in range(value.shape[axis])]
        made = [self._silent(node, name, step, digest, np.array(np.inf))[0] for step in steps]
        if axis is None:
            return of_atom(made[0])
        return concat([of_atom(m).moved(lambda a: np.expand_dims(a, axis)) for m in made], axis)

    def _silent(self, node: OnnxNode, name: str, value: Signal, digest: bytes, threshold: Array) -> tuple[Atom, Signal]:
        """A membrane that no threshold of the file looks at, and its spikes above ``threshold``."""
        key = None if digest.startswith(READOUT) else tuple(a for t in value.terms for a in t.key)
        atom = self.space.make("membrane", value.shape, name, key, value=value, node=node, digest=digest)
        return atom, self._spikes(atom, threshold, strict=True)

    def _relayed(self, node: OnnxNode, value: Signal) -> Signal:
        """The largest of zeros and ones, times one height, is one where their sum is above 1/2: a relay neuron."""
        height = height_of(self.space, value)
        sums = self._layer(node, [value.scaled(np.asarray(1.0 / height))])
        rows = [sums.moved(lambda a, r=r: a[r : r + 1]) for r in range(sums.shape[0])]  # type: ignore[misc]
        key = _layer_key(node, [])
        fired = [self._silent(node, node.outputs[0], r, key, np.array(0.5))[1] if r.terms else r for r in rows]
        return concat(fired, 0).scaled(np.asarray(height))

    def maximal(self, node: OnnxNode, args: list[Signal]) -> Signal:
        """The maximum over time of what a readout shows; what it is of is judged there."""
        axes = _axes(node, args)
        shape = operate(node, [np.zeros(args[0].shape), *(a.constant for a in args[1:])], self.file)[0].shape
        value = args[0].moved(lambda a: np.moveaxis(a, axes, range(len(axes))).reshape(-1, *shape))
        return of_atom(self.space.make("maximum", shape, node.outputs[0], value=value, node=node))

    def _compare(self, node: OnnxNode, args: list[Any]) -> Signal:
        """``v > threshold`` with v a membrane; comparisons the other way round are the negation of one."""
        x, y = (_signal(a) for a in args)
        strict = node.op in ("Greater", "Less")
        difference = add(x, y, -1.0) if node.op.startswith("Greater") else add(y, x, -1.0)
        if not difference.terms:
            return constant(difference.constant > 0 if strict else difference.constant >= 0)
        if len(difference.terms) != 1 or len(difference.terms[0].factors) != 1:
            raise TooComplexError("it compares a sum of signals")
        term = difference.terms[0]
        atom = self.space.exactly(term.factors[0])
        positive, negative = bool(np.all(term.coefficient > 0)), bool(np.all(term.coefficient < 0))
        if atom is None or atom.kind not in ("membrane", "spikes", "count") or not (positive or negative):
            raise TooComplexError("it compares what is no membrane")
        threshold = np.asarray(-difference.constant / term.coefficient)
        if atom.kind in ("spikes", "count"):
            return self._compare_spikes(atom, threshold, strict, positive)
        fires = self._spikes(atom, threshold, strict if positive else not strict)
        return fires if positive else add(constant(np.ones(fires.shape)), fires, -1.0)

    def _spikes(self, membrane: Atom, threshold: Array, strict: bool) -> Signal:
        rest = {"of": membrane, "threshold": threshold, "strict": strict}
        key = (membrane.base, strict, threshold.tobytes())
        return of_atom(self.space.make("spikes", membrane.shape, membrane.name, key, **rest))

    def _compare_spikes(self, atom: Atom, level: Array, strict: bool, positive: bool) -> Signal:
        inside = np.all((level >= 0) & (level < 1)) if strict else np.all((level > 0) & (level <= 1))
        if atom.kind != "spikes" or not positive or not inside:
            raise TooComplexError("it compares spikes with a number")
        return of_atom(atom)

    def _layer(self, node: OnnxNode, args: list[Any]) -> Signal:
        """One atom for every sample and step that passes through the layer."""
        value, rest = args[0], args[1:]
        if not isinstance(value, Signal) or any(isinstance(a, Signal) for a in rest):
            raise TooComplexError("its weights depend on the input")
        if node.op == "Gemm" and node.integer("transA", 0):
            raise TooComplexError("it transposes its input")
        if not all(np.all(np.isfinite(a)) for a in rest if a is not None):
            raise ValueError("some of its weights are infinite")
        inner = 1 if ROWS[node.op] == 1 else len(value.shape) - 1
        lead = value.shape[: len(value.shape) - inner]
        flat = value.moved(lambda a: a.reshape(-1, *a.shape[len(lead) :]))
        key = _layer_key(node, rest)
        rows = []
        for r in range(flat.shape[0]):
            row = flat.moved(lambda a, r=r: a[r : r + 1])  # type: ignore[misc]
            rows.append(self._row(node, row, rest, key))
        whole = concat(rows, 0)
        return whole.moved(lambda a: a.reshape(*lead, *a.shape[1:]))

    def _row(self, node: OnnxNode, row: Signal, rest: list[Any], key: bytes) -> Signal:
        if not row.terms:
            return constant(operate(node, [row.constant, *rest], self.file)[0])
        if (key, row.shape) not in self.made:
            self.made[key, row.shape] = tuple(operate(node, [np.zeros(row.shape), *rest], self.file)[0].shape[1:])
        seen = (key, row.constant.tobytes(), *((t.coefficient.tobytes(), *t.key) for t in row.terms))
        inside = row.moved(lambda a: a[0])
        shape = self.made[key, row.shape]
        atom = self.space.make("layer", shape, node.outputs[0], seen, value=inside, node=node, digest=key)
        self.weights[key] = tuple(rest)
        return of_atom(atom).moved(lambda a: a[None])

    def _moved(self, node: OnnxNode, args: list[Any]) -> tuple[Value, ...]:
        value, rest = args[0], args[1:]
        if node.op == "Split":
            count = len(operate(node, [np.zeros(value.shape), *rest], self.file))
            return tuple(value.moved(lambda a, i=i: operate(node, [a, *rest], self.file)[i]) for i in range(count))
        if node.op == "Pad" and value.terms:
            raise TooComplexError("it pads a signal; give the convolution the padding")
        return (value.moved(lambda a: operate(node, [a, *rest], self.file)[0]),)

    def arithmetic(self, node: OnnxNode, args: list[Signal]) -> Signal:
        """Sums, differences, products and quotients."""
        if node.op == "Div":
            if args[1].terms:
                raise TooComplexError("it divides by a signal")
            return args[0].scaled(1.0 / args[1].constant) if args[0].shape else args[0]
        first = args[0]
        for other in args[1:]:
            if node.op in ("Mul", "And"):
                first = self.space.product(first, other)
            else:
                first = add(first, other, -1.0 if node.op == "Sub" else 1.0)
        return first

    def negated(self, node: OnnxNode, args: list[Signal]) -> Signal:
        """``-x``, or the opposite of a truth value."""
        return add(constant(np.ones(()) if node.op == "Not" else np.zeros(())), args[0], -1.0)

    def same(self, _node: OnnxNode, args: list[Signal]) -> Signal:
        """Casts of 0 and 1 change nothing."""
        return args[0]

    def where(self, _node: OnnxNode, args: list[Signal]) -> Signal:
        """``x s + y (1 - s)``."""
        condition, x, y = args
        return add(y, self.space.product(condition, add(x, y, -1.0)))

    def lifted(self, node: OnnxNode, args: list[Signal]) -> Signal:
        """``max(x, low)``; ``min(count, limit)`` for counts."""
        if node.op == "Min":
            return self._limited(args)
        low = args[1].constant if len(args) > 1 else np.zeros(())
        if len(args) > 2 and np.any(np.isfinite(args[2].constant)):
            return self._limited([self.lifted(node, args[:2]), args[2]])
        if len(args) > 1 and args[1].terms:
            raise TooComplexError("it takes the maximum of two signals")
        above = add(args[0], constant(low), -1.0)
        if not self._has_membrane(above):
            raise TooComplexError("it is an activation function, not a spiking neuron")
        key = (above.constant.tobytes(), *((t.coefficient.tobytes(), *t.key) for t in above.terms))
        atom = self.space.make("lifted", above.shape, node.outputs[0], key, value=above, node=node)
        return add(of_atom(atom), constant(low))

    def _limited(self, args: list[Signal]) -> Signal:
        value, high = (args[0], args[1]) if args[0].terms else (args[1], args[0])
        atom = self.space.exactly(value.terms[0].factors[0]) if len(value.terms) == 1 else None
        if (
            atom is None
            or atom.kind != "count"
            or high.terms
            or high.constant.size != 1
            or float(high.constant.max()) < 1
        ):
            raise TooComplexError("it cuts a signal off above")
        limit = int(min(float(high.constant.max()), 2**31 - 1))
        rest = {"of": atom.of, "threshold": atom.threshold, "strict": False, "limit": limit}
        return of_atom(self.space.make("count", atom.shape, atom.name, (atom.base, limit), **rest))

    def _has_membrane(self, signal: Signal) -> bool:
        atoms = [a for t in signal.terms for f in t.factors for a, _ in self.space.split(f)]
        return any(a.kind in ("membrane", "spikes", "count") for a in atoms)

    def rounding(self, node: OnnxNode, args: list[Signal]) -> Signal:
        """Abs, Sign and Floor as they appear where spikes are counted."""
        value = args[0]
        if len(value.terms) != 1 or len(value.terms[0].factors) != 1 or np.any(value.constant):
            raise TooComplexError("it rounds a signal")
        atom, scale = self.space.exactly(value.terms[0].factors[0]), value.terms[0].coefficient
        wanted = "abs" if node.op == "Floor" else "membrane"
        if atom is None or atom.kind != wanted or not np.all(scale > 0):
            raise TooComplexError("it rounds a signal")
        if node.op == "Floor":
            rest = {"of": atom.of, "threshold": atom.threshold / scale}
            return of_atom(self.space.make("floor", atom.shape, node.outputs[0], (atom.base, scale.tobytes()), **rest))
        rest = {"of": atom, "threshold": 1.0 / scale}
        kind: Any = "abs" if node.op == "Abs" else "sign"
        return of_atom(self.space.make(kind, atom.shape, node.outputs[0], (atom.base, scale.tobytes()), **rest))

    def reduced(self, node: OnnxNode, args: list[Signal]) -> Signal:
        """Sums and means along axes, as sums of slices."""
        value = args[0]
        axes = _axes(node, args)
        total, count = value, 1
        for axis in axes:
            slices = [total.moved(lambda a, i=i, x=axis: np.take(a, [i], x)) for i in range(total.shape[axis])]  # type: ignore[misc]
            count *= len(slices)
            terms: Iterable[Term] = (t for s in slices for t in s.terms)
            total = clean(np.sum([s.constant for s in slices], axis=0), terms)
        if not node.integer("keepdims", 1):
            total = total.moved(lambda a: np.squeeze(a, tuple(axes)))
        return total.scaled(np.asarray(1.0 / count)) if node.op == "ReduceMean" else total

    def joined(self, node: OnnxNode, args: list[Signal]) -> Signal:
        """Stacks and concatenations."""
        return concat(args, node.integer("axis", 0))

    def refused(self, _node: OnnxNode, _args: list[Signal]) -> Signal:
        """Activations."""
        raise TooComplexError("it is an activation function, not a spiking neuron")


Handler = Callable[[Interpreter, OnnxNode, list[Signal]], Signal]
HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Sum", "And"), Interpreter.arithmetic),
    **dict.fromkeys(("Neg", "Not"), Interpreter.negated),
    **dict.fromkeys(("Cast", "CastLike", "Identity", "Dropout"), Interpreter.same),
    **dict.fromkeys(("Relu", "Max", "Clip", "Min"), Interpreter.lifted),
    **dict.fromkeys(("Abs", "Sign", "Floor"), Interpreter.rounding),
    **dict.fromkeys(("ReduceSum", "ReduceMean"), Interpreter.reduced),
    **dict.fromkeys(("Sigmoid", "Tanh", "Exp", "Softmax"), Interpreter.refused),
    "ReduceMax": Interpreter.maximal,
    "Where": Interpreter.where,
    "Concat": Interpreter.joined,
}


def _signal(value: Any) -> Signal:
    return value if isinstance(value, Signal) else constant(np.zeros(()) if value is None else value)


def _take(value: Value, t: int, axis: int) -> Value:
    if isinstance(value, Signal):
        return _step(value, t, axis)
    return np.asarray(np.take(value, t, axis))


def _axes(node: OnnxNode, args: list[Signal]) -> list[int]:
    """The axes that are reduced; all of them where none are given."""
    count = len(args[0].shape)
    listed = axes_of(node, [None, *(a.constant for a in args[1:])])
    return sorted(a % count for a in (range(count) if listed is None else listed))


def _step(value: Signal, t: int, axis: int) -> Signal:
    return value.moved(lambda a: np.take(a, t, axis))


def _layer_key(node: OnnxNode, rest: list[Any]) -> bytes:
    """Equal for layers that compute the same: equal operation, attributes and weights."""
    made = sha256(repr((node.op, sorted((k, str(v)) for k, v in node.attributes.items()))).encode())
    for array in rest:
        made.update(b"-" if array is None else repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return made.digest()


def _unread(node: OnnxNode, file: str, why: str) -> RanvierError:
    return error(
        "RV286",
        f"{node.place} of {file}",
        f"{why}: it is no part of a spiking network that can be read.",
        "Write the network with linear layers, pools and spiking neurons with leak, threshold and reset.",
    )
