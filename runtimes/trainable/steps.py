"""Step programs in torch: the very values of ``compiler/ir/interpret.py``, with gradients to train by.

Integers travel as float64, which holds them exactly below 2**53. What rounds, wraps or floors has the gradient of
the real number it stands for (straight-through, Bengio et al., arXiv 1308.3432); a comparison has that of a fast
sigmoid around the threshold (Zenke, Ganguli, Neural Computation 2018). A block of steps is one autograd function that
walks the program in numpy, forward and in reverse: small networks spend their time on calls, not on numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ranvier.compiler.ir.steps import INPUT, Op, StepProgram

Values = NDArray[Any]


def _wrap(x: Values, bits: int) -> Values:
    half = 2.0 ** (bits - 1)
    if x.size == 0 or (x.min() >= -half and x.max() < half):
        return x
    return np.asarray(np.remainder(x + half, 2.0 * half) - half)


def _wrap_once(x: Values, bits: int) -> Values:
    half = 2.0 ** (bits - 1)
    if x.size == 0 or (x.min() > -half and x.max() <= half):
        return x
    return np.where(x > half, x - 2 * half, np.where(x <= -half, x + 2 * half, x))


def _divisor(y: Values) -> Values:
    """``y`` without zeros: where a legal program divides by one, it does not use the quotient."""
    return np.where(np.equal(y, 0.0), 1.0, y)


def _quotient_slopes(x: Values, y: Values) -> Sequence[Any]:
    divisor = _divisor(y)
    return (1.0 / divisor, -x / divisor**2)


VALUES: Mapping[str, Callable[..., Values]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "divide_floor": lambda x, y: np.floor_divide(x, _divisor(y)),
    "mul_shift": lambda x, y, bits: np.trunc(x * y * 2.0**-bits),
    "shift_left": lambda x, bits: x * 2.0**bits,
    "shift_right": lambda x, bits: np.floor(x * 2.0**-bits),
    "wrap": _wrap,
    "wrap_once": _wrap_once,
    "clip": np.clip,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and": np.logical_and,
    "not": np.logical_not,
    "where": np.where,
}
SLOPES: Mapping[str, Callable[..., Sequence[Any]]] = {
    "add": lambda _x, _y: (1.0, 1.0),
    "sub": lambda _x, _y: (1.0, -1.0),
    "mul": lambda x, y: (y, x),
    "minimum": lambda x, y: (x <= y, x > y),
    "maximum": lambda x, y: (x >= y, x < y),
    "divide_floor": _quotient_slopes,
    "mul_shift": lambda x, y, bits: (y * 2.0**-bits, x * 2.0**-bits),
    "shift_left": lambda _x, bits: (2.0**bits,),
    "shift_right": lambda _x, bits: (2.0**-bits,),
    "wrap": lambda _x, _bits: (1.0,),
    "wrap_once": lambda _x, _bits: (1.0,),
    "clip": lambda x, low, high: ((x >= low) & (x <= high),),
    "and": lambda x, y: (y, x),
    "not": lambda _x: (-1.0,),
    "where": lambda x, y, z: (np.subtract(y, z), x, np.logical_not(x)),
}
"""The derivative of each operation's result by each of its operands; comparisons have the surrogate's."""
COMPARISONS = ("gt", "ge")


@dataclass(frozen=True)
class Surrogate:
    """The gradient of a comparison: distances are measured in ``unit`` (chip units), ``slope`` is its steepness."""

    unit: float
    slope: float

    def slopes(self, x: Values, y: Values) -> Sequence[Values]:
        """``1 / (1 + slope abs(distance))**2`` by the distance, as derivatives by ``x`` and ``y``."""
        rise = 1.0 / (self.unit * (1.0 + np.abs(np.subtract(x, y)) * (self.slope / self.unit)) ** 2)
        return rise, -rise


@dataclass(frozen=True)
class Walk:
    """``program`` over the steps of a block, in numpy; ``active`` are the values that gradients pass through."""

    program: StepProgram
    by: Surrogate
    active: frozenset[str]

    @classmethod
    def of(cls, program: StepProgram, by: Surrogate, trained: Sequence[str]) -> "Walk":
        """Gradients reach the states, the current and the ``trained`` parameters."""
        active = {INPUT, *(state.name for state in program.states), *trained}
        for op in program.ops:
            if any(arg in active for arg in op.args):
                active.add(op.result)
        return cls(program, by, frozenset(active))

    def forward(
        self, states: Mapping[str, Values], params: Mapping[str, Values], currents: Values
    ) -> list[dict[str, Values]]:
        """All values of every step; ``currents`` (samples, steps, neurons)."""
        tape: list[dict[str, Values]] = []
        for t in range(currents.shape[1]):
            values = {**states, **params, INPUT: currents[:, t]}
            for op in self.program.ops:
                values[op.result] = VALUES[op.kind](*_arguments(op, values))
            states = {state: values[name] for state, name in self.program.updates}
            tape.append(values)
        return tape

    def backward(self, values: Mapping[str, Values], gradients: dict[str, Values]) -> None:
        """Carry ``gradients`` of what one step gave back to what went into it."""
        for op in reversed(self.program.ops):
            gradient = gradients.pop(op.result, None)
            if gradient is None or op.result not in self.active:
                continue
            arguments = _arguments(op, values)
            slopes = self.by.slopes(*arguments) if op.kind in COMPARISONS else SLOPES[op.kind](*arguments)
            for arg, slope in zip(op.args, slopes, strict=False):
                if isinstance(arg, str) and arg in self.active:
                    _add(gradients, arg, gradient * slope)


def block(
    walk: Walk, states: Mapping[str, Tensor], params: Mapping[str, Tensor], currents: Tensor
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The steps of ``currents`` (samples, steps, neurons): states after them, what is sent, membranes before reset."""
    names = (*states, *params)
    keeps = torch.is_grad_enabled()
    found = _Block.apply(walk, names, keeps, currents, *states.values(), *params.values())  # type: ignore[no-untyped-call]
    return dict(zip((state for state, _ in walk.program.updates), found[2:], strict=True)), found[0], found[1]


class _Block(torch.autograd.Function):
    """``block`` as one node of torch's graph."""

    @staticmethod
    def forward(
        ctx: Any, walk: Walk, names: Sequence[str], keeps: bool, currents: Tensor, *given: Tensor
    ) -> tuple[Tensor, ...]:
        arrays = dict(zip(names, (tensor.detach().numpy() for tensor in given), strict=True))
        states = {state.name: arrays.pop(state.name) for state in walk.program.states}
        tape = walk.forward(states, arrays, currents.detach().numpy())
        if keeps:
            ctx.walk, ctx.names, ctx.tape = walk, names, tape
            ctx.shapes = {name: tensor.shape for name, tensor in zip(names, given, strict=True)}
        shape = currents.shape[0], currents.shape[2]
        program = walk.program
        seen = (
            np.stack([_full(values[name], shape) for values in tape], 1) for name in (program.spikes, program.membrane)
        )
        last = (_full(tape[-1][name], shape) for _, name in program.updates)
        return tuple(torch.from_numpy(values) for values in (*seen, *last))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, sent: Tensor, membrane: Tensor, *last: Tensor) -> tuple[Any, ...]:
        program = ctx.walk.program
        after: dict[str, Values] = {s.name: g.numpy() for s, g in zip(program.states, last, strict=True)}
        currents, totals = np.zeros(sent.shape), dict[str, Values]()
        for t in reversed(range(sent.shape[1])):
            gradients: dict[str, Values] = {}
            for state, name in program.updates:
                _add(gradients, name, after[state])
            _add(gradients, program.spikes, sent[:, t].numpy())
            _add(gradients, program.membrane, membrane[:, t].numpy())
            ctx.walk.backward(ctx.tape[t], gradients)
            currents[:, t] = gradients.pop(INPUT, 0.0)
            after = {state.name: gradients.pop(state.name, np.zeros(currents.shape[::2])) for state in program.states}
            for name, gradient in gradients.items():
                _add(totals, name, gradient)
        found = {**totals, **after}
        given = (_summed(found.get(name), ctx.shapes[name]) for name in ctx.names)
        return None, None, None, torch.from_numpy(currents), *given


def _arguments(op: Op, values: Mapping[str, Values]) -> list[Any]:
    return [values[arg] if isinstance(arg, str) else arg for arg in op.args]


def _add(gradients: dict[str, Values], name: str, gradient: Values) -> None:
    gradients[name] = gradients[name] + gradient if name in gradients else gradient


def _full(values: Values, shape: tuple[int, int]) -> Values:
    return np.array(np.broadcast_to(values, shape), np.float64)


def _summed(gradient: Values | None, shape: torch.Size) -> Tensor | None:
    """The gradient of what was broadcast from ``shape``."""
    return None if gradient is None else torch.from_numpy(np.array(gradient, np.float64)).sum_to_size(shape)
