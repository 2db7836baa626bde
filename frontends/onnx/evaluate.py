"""A graph run in numpy, in float64: for constants, for shapes, and to confirm what was read."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.frontends.onnx.linear import LINEAR, conv_shape, pool_shape
from ranvier.frontends.onnx.model import Array, OnnxGraph, OnnxNode
from ranvier.frontends.onnx.ops import ARITHMETIC, Operation, given
from ranvier.frontends.onnx.shaping import MAKING, SHAPING

OPERATIONS: Mapping[str, Operation] = {**ARITHMETIC, **SHAPING, **MAKING, **LINEAR}
KNOWN = frozenset(OPERATIONS) | {"Scan"}
MAX_TOTAL = 2**29
FAULTS = (ValueError, IndexError, TypeError, AssertionError, ArithmeticError, MemoryError, KeyError)


def evaluate(graph: OnnxGraph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """All tensors of ``graph`` for ``inputs``; ``RanvierError`` RV283 where an operation cannot be carried out."""
    env: dict[str, Array] = {**graph.constants, **inputs}
    _Run(graph.file).block(graph, env)
    return env


def operate(node: OnnxNode, args: list[Array | None], file: str) -> tuple[Array, ...]:
    """The results of one operation on arrays, RV283 where it cannot be carried out."""
    try:
        with np.errstate(all="ignore"):
            return OPERATIONS[node.op](node, args)
    except FAULTS as problem:
        raise impossible(node, file, str(problem) or type(problem).__name__) from None


def impossible(node: OnnxNode, file: str, why: str) -> RanvierError:
    """The operation cannot be carried out."""
    fix = "Correct the network and export it again."
    return error("RV283", f"{node.place} of {file}", f"it cannot be computed: {why}.", fix)


@dataclass(eq=False)
class _Run:
    """``dry``: layers give zeros of the right shape without computing, which is enough for shapes."""

    file: str
    dry: bool = False
    total: int = 0

    def block(self, graph: OnnxGraph, env: MutableMapping[str, Array]) -> None:
        for node in graph.nodes:
            args = [env.get(name) if name else None for name in node.inputs]
            if node.op == "Scan":
                results = self.scan(node, args, env)
            elif self.dry and node.op in ("Conv", "AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"):
                results = self.shaped(node, args)
            else:
                results = operate(node, args, self.file)
            self.count(node, results)
            env.update(zip(node.outputs, results, strict=False))
            if len(results) < len([o for o in node.outputs if o]):
                raise impossible(node, self.file, f"it has {len(node.outputs)} outputs")

    def count(self, node: OnnxNode, results: tuple[Array, ...]) -> None:
        self.total += sum(r.size for r in results)
        if self.total > MAX_TOTAL:
            raise impossible(node, self.file, f"the tensors up to here have more than {MAX_TOTAL} elements")

    def shaped(self, node: OnnxNode, args: list[Array | None]) -> tuple[Array, ...]:
        try:
            value = given(args, 0)
            if node.op == "Conv":
                return (np.zeros(conv_shape(node, value.shape, given(args, 1))[1]),)
            return (np.zeros(pool_shape(node, value.shape)[1]),)
        except FAULTS as problem:
            raise impossible(node, self.file, str(problem)) from None

    def scan(self, node: OnnxNode, args: list[Array | None], env: Mapping[str, Array]) -> tuple[Array, ...]:
        """The body for every step: states first, then one frame of each scanned input."""
        plan = scan_plan(node, [None if a is None else a.shape for a in args], self.file)
        states = [np.asarray(a) for a in args[: plan.states]]
        collected: list[list[Array]] = [[] for _ in node.outputs[plan.states :]]
        inner = dict(env)
        for t in range(plan.steps):
            frames = [np.take(np.asarray(a), t, axis=x) for a, x in zip(args[plan.states :], plan.axes, strict=True)]
            inner.update(plan.body.constants)
            inner.update(zip(plan.body.inputs, [*states, *frames], strict=True))
            self.block(plan.body, inner)
            values = [plan.value(inner, name, node, self.file) for name in plan.body.outputs]
            states = values[: plan.states]
            for found, value in zip(collected, values[plan.states :], strict=True):
                found.append(value)
        return (*states, *(np.stack(found) for found in collected))


@dataclass(frozen=True, eq=False)
class ScanPlan:
    """A Scan's shape: number of states, of steps, the scanned axis of each scanned input, and the body."""

    states: int
    steps: int
    axes: tuple[int, ...]
    body: OnnxGraph

    def value(self, env: Mapping[str, Array], name: str, node: OnnxNode, file: str) -> Array:
        """The body's tensor ``name``."""
        if name not in env:
            raise impossible(node, file, f"its body gives no {name!r}")
        return env[name]


def scan_plan(node: OnnxNode, shapes: list[tuple[int, ...] | None], file: str) -> ScanPlan:
    """The plan of a Scan whose inputs have ``shapes``; RV283 where it does not hold together."""
    body, frames = node.attributes.get("body"), node.integer("num_scan_inputs", 0)
    if not isinstance(body, OnnxGraph) or not 0 < frames <= len(shapes) or None in shapes:
        raise impossible(node, file, "its body or its inputs are missing")
    states = len(shapes) - frames
    axes = node.integers("scan_input_axes") or (0,) * frames
    backward = (*(node.integers("scan_input_directions") or ()), *(node.integers("scan_output_directions") or ()))
    whole = len(body.inputs) == len(shapes) and len(body.outputs) == len(node.outputs) >= states
    if not whole or len(axes) != frames or any(backward) or any(node.integers("scan_output_axes") or ()):
        raise impossible(node, file, "its states, frames and directions do not fit its body")
    try:
        steps = {shape[axis] for shape, axis in zip(shapes[states:], axes, strict=True) if shape is not None}
    except IndexError:
        raise impossible(node, file, "it scans an axis that is not there") from None
    if len(steps) != 1 or not 0 < min(steps) <= 4096:
        raise impossible(node, file, f"it scans {sorted(steps)} steps")
    return ScanPlan(states, steps.pop(), axes, body)


def dry_run(graph: OnnxGraph) -> dict[str, Array]:
    """All tensors for zeros at the inputs, layers not computed: their shapes are right."""
    env: dict[str, Array] = {**graph.constants, **{name: np.zeros(s) for name, s in graph.inputs.items()}}
    run = _Run(graph.file, dry=True)
    run.block(graph, env)
    return env
