"""Which signals are spikes of height one, times a factor; and neurons without memory that compute with them.

A neuron that keeps nothing and fires above 1/2 says whether any of its inputs fires, one that fires above 3/2 whether
both of two do: the maximum and the product of binary spikes. Such relays take no step of the network's time (on the
chip one more step of latency each).
"""

from dataclasses import replace

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import floats, size
from ranvier.compiler.ir.hosted import HostedNetwork, HostFunction
from ranvier.compiler.ir.linear import Reshape, Scale, Sparse
from ranvier.compiler.ir.models import realised
from ranvier.compiler.ir.network import Input, Network, Neurons
from ranvier.compiler.ir.neurons import GradedLif, Lif, NeuronModel
from ranvier.frontends.torch.operations import Operations
from ranvier.frontends.torch.values import Apply, Expr, Fixed, Leaf, Sum, Value, add

ANY = Lif(keep_membrane=floats(0.0), threshold=floats(0.5))
BOTH = Lif(keep_membrane=floats(0.0), threshold=floats(1.5))


def gate(most: int, signed: bool = False) -> GradedLif:
    """Lets a whole number up to ``most`` pass where a spike, weighted by the gate's offset, comes with it.

    ``signed``: down to ``-most`` as well; the spike then has to lift the least number above the largest without it.
    """
    width = most.bit_length()
    weight = 2.0 ** (width + signed)
    return _whole(weight, weight - most if signed else weight, width)


def accumulator(most: int, signed: bool = False) -> GradedLif:
    """Sends the whole number that arrives, up to ``most``: with what it sent before among it, that is a running sum.

    A drive lifts numbers below zero, where ``signed``, above the threshold; the offset takes it away from the message.
    """
    lifted = most + 1.0 if signed else 0.0
    return replace(_whole(lifted, 1.0, most.bit_length()), drive=floats(lifted))


def _whole(offset: float, threshold: float, width: int) -> GradedLif:
    """A neuron without memory that sends whole numbers of ``width`` bits and a sign."""
    return GradedLif(
        keep_membrane=floats(0.0),
        threshold=floats(threshold),
        offset=floats(offset),
        message_scale=1.0,
        message_bits=width + 1,
    )


def passes_whole_numbers(model: NeuronModel) -> bool:
    """Whether ``model`` is a gate or an accumulator."""
    if not isinstance(model, GradedLif):
        return False
    return model.message_scale == 1.0 and bool(np.all(model.keep_membrane == 0.0))


def gate_width(model: NeuronModel) -> int | None:
    """The bits of the numbers that a gate lets pass, from 0 on; None if ``model`` is no such gate."""
    if not isinstance(model, GradedLif) or not passes_whole_numbers(model):
        return None
    return model.message_bits - 1 if np.array_equal(model.threshold, model.offset) else None


class NotBinaryError(Exception):
    """A signal is no train of zeros and ones, nor a count of them; ``what`` says what it is."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def binary(model: NeuronModel) -> bool:
    """Whether neurons of ``model`` send nothing but zeros and ones."""
    return not realised(model).program.graded


def unscaled(ops: Operations, value: Value) -> tuple[Value, float]:
    """``value`` as zeros and ones times a positive factor; raises ``NotBinaryError`` where it is not."""
    found = [_spikes(ops, frame) for frame in value.frames]
    factors = {factor for _, factor in found}
    if len(factors) > 1:
        raise NotBinaryError("spikes of different height in different steps")
    return Value(tuple(expr for expr, _ in found), value.axes), factors.pop()


def rescaled(ops: Operations, value: Value, factor: float, name: str) -> Value:
    """``factor * value``."""
    frames = (ops.scale(frame, floats(factor), floats(0.0), f"{name}.height") for frame in value.frames)
    return Value(tuple(frames), value.axes)


def check_relayed_inputs(network: Network | HostedNetwork) -> None:
    """Refuse (RV364) relays that the input reaches without neurons in between, where it is not spikes."""
    real = {port.name for port in network.inputs if port.coding != "spikes"}
    for node in network.populations:
        relay = node.model is ANY or node.model is BOTH or passes_whole_numbers(node.model)
        if relay and real & _senders(network, node.name):
            raise error(
                "RV364",
                node.name,
                "it takes the maximum or the product of input values, and the input is real numbers.",
                "Give a sample of zeros and ones or coding='spikes' where the data are binary; else move the operation "
                "behind the first neurons, or into the preparation of the data.",
            )


def _senders(network: Network | HostedNetwork, name: str) -> set[str]:
    """Inputs, populations and host functions that lead to ``name`` through linear layers alone."""
    found: set[str] = set()
    for edge in network.into[name]:
        source = network.by_name[edge.source]
        found |= {source.name} if isinstance(source, Input | Neurons | HostFunction) else _senders(network, source.name)
    return found


def counted(ops: Operations, value: Value) -> tuple[Value, float, int]:
    """``value`` as whole numbers times a positive factor, and their largest; ``NotBinaryError`` where it is not."""
    found = [_counts(ops, frame) for frame in value.frames]
    if len({(factor, most) for _, factor, most in found}) > 1:
        raise NotBinaryError("spikes of different height in different steps")
    return Value(tuple(expr for expr, _, _ in found), value.axes), found[0][1], found[0][2]


def _counts(ops: Operations, expr: Expr) -> tuple[Expr, float, int]:
    """``expr`` without its positive factor, the factor, and the largest value without it."""
    if isinstance(expr, Leaf) and expr.output == "spikes" and expr.source in ops.counts:
        return expr, 1.0, ops.counts[expr.source]
    if isinstance(expr, Apply) and isinstance(expr.op, Neurons):
        width = gate_width(expr.op.model)
        if width is not None:
            return expr, 1.0, 2**width - 1
    if isinstance(expr, Apply) and isinstance(expr.op, Scale | Reshape | Sparse):
        factor = _uniform(expr.op)
        inner, own, most = _counts(ops, expr.arg) if factor is not None else (expr, 1.0, 0)
        if factor is not None and isinstance(expr.op, Sparse):
            ones = replace(expr.op, data=np.ones(expr.op.data.size))
            terms = int(np.diff(expr.op.indptr).max(initial=1))
            made = ops.once(("ones", id(expr.op)), lambda: (ones,))[0]
            return Apply(made, inner), factor * own, most * terms
        if factor is not None and isinstance(expr.op, Scale):
            return inner, factor * own, most
        if factor is not None:
            return Apply(expr.op, inner), own, most
    if isinstance(expr, Sum) and not _side_by_side(expr):
        parts = [_counts(ops, term) for term in expr.terms]
        if len({factor for _, factor, _ in parts}) == 1:
            return Sum(tuple(e for e, _, _ in parts), expr.shape), parts[0][1], sum(most for _, _, most in parts)
    plain, factor = _spikes(ops, expr)
    return plain, factor, 1


def signed(ops: Operations, value: Value) -> tuple[dict[int, Value], float]:
    """``value`` as trains of zeros and ones under the signs that they count with, times a positive factor.

    ``value`` has one frame; ``NotBinaryError`` where it is no difference of two trains of spikes of one height.
    """
    terms: list[tuple[float, Expr]] = []
    for factor, expr in _terms(value.frames[0]):
        plain, own = _spikes(ops, expr)
        terms.append((factor * own, plain))
    heights = {abs(factor) for factor, _ in terms}
    if len(heights) != 1:
        raise NotBinaryError("a sum of spikes of different heights" if terms else "a constant")
    found: dict[int, Value] = {}
    for sign in (1, -1):
        own_terms = tuple(expr for factor, expr in terms if factor * sign > 0)
        if len(own_terms) > 1 and not _side_by_side(Sum(own_terms, value.shape)):
            raise NotBinaryError("a sum of spikes")
        if own_terms:
            found[sign] = Value((add(own_terms),), value.axes)
    return found, heights.pop()


def _terms(expr: Expr) -> list[tuple[float, Expr]]:
    """The terms of a sum with their factors, also where it stands under other shapes, permutations and factors."""
    if isinstance(expr, Fixed) and expr.zero:
        return []
    if isinstance(expr, Sum):
        return [pair for term in expr.terms for pair in _terms(term)]
    if isinstance(expr, Apply) and (isinstance(expr.op, Reshape) or _picks(expr.op)):
        return [(factor, Apply(expr.op, inner)) for factor, inner in _terms(expr.arg)]
    if isinstance(expr, Apply) and isinstance(expr.op, Scale):
        own = expr.op.factor
        if own.size == 1 and own.item() != 0.0 and not np.any(expr.op.shift):
            return [(own.item() * factor, inner) for factor, inner in _terms(expr.arg)]
    return [(1.0, expr)]


def _uniform(op: Scale | Reshape | Sparse) -> float | None:
    """The one positive factor of ``op``; None if it has several, or adds something."""
    if isinstance(op, Reshape):
        return 1.0
    if isinstance(op, Scale):
        return float(op.factor.item()) if op.factor.size == 1 and op.factor > 0 and not np.any(op.shift) else None
    same = op.data.size > 0 and op.data[0] > 0 and bool(np.all(op.data == op.data[0]))
    return float(op.data[0]) if same else None


def _spikes(ops: Operations, expr: Expr) -> tuple[Expr, float]:
    """``expr`` without its positive factor, and the factor."""
    if isinstance(expr, Leaf) and expr.output == "input" and not ops.real:
        return expr, 1.0
    if isinstance(expr, Leaf) and expr.output == "spikes" and expr.source in ops.binary:
        return expr, 1.0
    if isinstance(expr, Leaf):
        raise NotBinaryError(f"the {expr.output} of {expr.source}" + ", several a step" * (expr.output == "spikes"))
    if isinstance(expr, Apply) and isinstance(expr.op, Neurons) and binary(expr.op.model):
        return expr, 1.0
    if isinstance(expr, Apply) and (isinstance(expr.op, Reshape) or _picks(expr.op)):
        inner, factor = _spikes(ops, expr.arg)
        return Apply(expr.op, inner), factor
    if isinstance(expr, Apply) and isinstance(expr.op, Scale):
        scale = expr.op
        if scale.factor.size == 1 and scale.factor.item() > 0 and not np.any(scale.shift):
            inner, factor = _spikes(ops, expr.arg)
            return inner, factor * scale.factor.item()
    if isinstance(expr, Sum) and _side_by_side(expr):
        parts = [(term, _spikes(ops, term.arg)) for term in expr.terms if isinstance(term, Apply)]
        if len({factor for _, (_, factor) in parts}) == 1:
            return Sum(tuple(Apply(t.op, inner) for t, (inner, _) in parts), expr.shape), parts[0][1][1]
    what = f"what {expr.op.name} gives" if isinstance(expr, Apply) else "a sum of spikes"
    raise NotBinaryError(what)


def _side_by_side(total: Sum) -> bool:
    """Whether the terms are parts of one frame that do not overlap, as concatenation makes them."""
    taken = np.zeros(size(total.shape))
    for term in total.terms:
        if not isinstance(term, Apply) or not isinstance(term.op, Sparse) or not bool(np.all(term.op.data == 1.0)):
            return False
        taken += np.diff(term.op.indptr)
    return bool(np.all(taken <= 1))


def _picks(op: object) -> bool:
    """Whether every element of the result is one element of the input, or zero."""
    return isinstance(op, Sparse) and bool(np.all(op.data == 1.0)) and bool(np.all(np.diff(op.indptr) <= 1))
