"""A block of steps has the values of the oracle's steps, and the gradients that torch finds operation by operation."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ranvier.compiler.ir import interpret
from ranvier.compiler.ir.chip import Population
from ranvier.compiler.ir.steps import INPUT, OPS
from ranvier.runtimes.trainable.steps import COMPARISONS, SLOPES, VALUES, Surrogate, Walk, block
from support.networks import chip_networks

BY = Surrogate(6400.0, 3.0)
SAMPLES, STEPS = 2, 4


def straight(exact: Tensor, smooth: Tensor) -> Tensor:
    return smooth + (exact - smooth).detach()


def wrapped(x: Tensor, bits: int) -> Tensor:
    half = 2.0 ** (bits - 1)
    return straight(torch.remainder(x + half, 2 * half) - half, x)


def wrapped_once(x: Tensor, bits: int) -> Tensor:
    half = 2.0 ** (bits - 1)
    return straight(torch.where(x > half, x - 2 * half, torch.where(x <= -half, x + 2 * half, x)), x)


def compared(x: Tensor, y: Tensor, holds: Tensor) -> Tensor:
    """A comparison with the gradient of the fast sigmoid itself."""
    distance = (x - y) / BY.unit
    return straight(holds.double(), distance / (1 + BY.slope * distance.abs()))


REFERENCE: Mapping[str, Callable[..., Tensor]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "minimum": lambda x, y: torch.where(x <= y, x, y),
    "maximum": lambda x, y: torch.where(x >= y, x, y),
    "divide_floor": lambda x, y: straight(torch.floor(x / y), x / y),
    "mul_shift": lambda x, y, bits: straight(torch.trunc(x * y / 2**bits), x * y / 2**bits),
    "shift_left": lambda x, bits: x * 2**bits,
    "shift_right": lambda x, bits: straight(torch.floor(x / 2**bits), x / 2**bits),
    "wrap": wrapped,
    "wrap_once": wrapped_once,
    "clip": torch.clamp,
    "gt": lambda x, y: compared(x, y, x > y),
    "ge": lambda x, y: compared(x, y, x >= y),
    "and": lambda x, y: x * y,
    "not": lambda x: 1 - x,
    "where": lambda x, y, z: x * y + (1 - x) * z,
}
"""Every operation in torch's own differentiable terms."""


def reference(p: Population, states: dict[str, Tensor], params: Mapping[str, Tensor], currents: Tensor) -> list[Tensor]:
    sent, membranes = [], []
    for current in currents.unbind(1):
        values = {**states, **params, INPUT: current}
        for op in p.program.ops:
            args: list[Any] = [values[a] if isinstance(a, str) else a for a in op.args]
            operands = OPS[op.kind].operands
            tensors = [a if isinstance(a, Tensor) else torch.tensor(float(a)).double() for a in args[:operands]]
            values[op.result] = REFERENCE[op.kind](*tensors, *args[operands:])
        states = {state: values[name] for state, name in p.program.updates}
        sent.append(values[p.program.spikes].expand(current.shape))
        membranes.append(values[p.program.membrane].expand(current.shape))
    return [torch.stack(sent, 1), torch.stack(membranes, 1), *(s.expand(currents[:, 0].shape) for s in states.values())]


def leaves(p: Population, rng: np.random.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    shape = SAMPLES, p.size
    states = {s.name: rng.integers(-9000, 9000, shape) if s.bits > 1 else np.zeros(shape) for s in p.program.states}
    currents = rng.integers(-200, 400, (SAMPLES, STEPS, p.size))
    made = [
        {n: torch.tensor(np.asarray(v, np.float64), requires_grad=True) for n, v in group.items()}
        for group in (states, p.params, {INPUT: currents})
    ]
    return made[0], made[1], made[2][INPUT]


@given(st.data())
def test_values_and_gradients_of_a_block(data: st.DataObject) -> None:
    chip = data.draw(chip_networks())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    for p in chip.populations:
        found_at, wanted_at = (leaves(p, np.random.default_rng(7)) for _ in range(2))
        walk = Walk.of(p.program, BY, list(p.params))
        states, sent, membrane = block(walk, *found_at)
        found, wanted = [sent, membrane, *states.values()], reference(p, *wanted_at)
        losses = []
        for outputs in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(outputs[0].detach(), outputs[1].detach())
            weight = torch.from_numpy(rng.standard_normal(outputs[0].shape))
            losses.append([(output * weight).sum() for output in outputs])
        for loss in (sum(pair[i] for pair in losses) for i in (0, 1)):
            loss.backward()
        for ours, theirs in zip(_flat(found_at), _flat(wanted_at), strict=True):
            if theirs.grad is not None:
                assert ours.grad is not None
                scale = float(theirs.grad.abs().max()) + 1e-9
                np.testing.assert_allclose(ours.grad / scale, theirs.grad / scale, atol=1e-9)


@given(st.data())
def test_a_block_steps_as_the_oracle_does(data: st.DataObject) -> None:
    chip = data.draw(chip_networks())
    for p in chip.populations:
        states, params, currents = leaves(p, np.random.default_rng(data.draw(st.integers(0, 99))))
        held, sent, membrane = block(Walk.of(p.program, BY, []), states, params, currents)
        integers = [{n: v.detach().numpy().astype(np.int64) for n, v in group.items()} for group in (states, params)]
        for t in range(STEPS):
            step = interpret.step(p.program, integers[0], integers[1], currents[:, t].detach().numpy().astype(np.int64))
            integers[0] = dict(step.states)
            np.testing.assert_array_equal(sent[:, t].detach(), np.broadcast_to(step.spikes, sent[:, t].shape))
            np.testing.assert_array_equal(membrane[:, t].detach(), np.broadcast_to(step.membrane, sent[:, t].shape))
        for name, value in held.items():
            np.testing.assert_array_equal(value.detach(), np.broadcast_to(integers[0][name], value.shape))


def test_every_operation_has_a_value_and_a_slope() -> None:
    assert set(VALUES) == set(OPS)
    assert {*SLOPES, *COMPARISONS} == set(OPS)


def _flat(groups: tuple[dict[str, Tensor], dict[str, Tensor], Tensor]) -> list[Tensor]:
    return [*groups[0].values(), *groups[1].values(), groups[2]]
