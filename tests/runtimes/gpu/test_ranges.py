"""Intervals hold everything a step program computes, and 32 bits are chosen only where nothing is lost in them."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.interpret import NUMPY, step
from ranvier.compiler.ir.steps import INPUT, OPS, Op
from ranvier.compiler.ir.trace import Trace
from ranvier.runtimes.gpu.ranges import WIDE, bounds, fits, keeps, narrow, result
from ranvier.runtimes.simulator.plan import Layer, lower
from support.networks import Limits, chip_networks

NUMBERS = [kind for kind, spec in OPS.items() if spec.result == "number" and kind != "where"]
CONSTANTS = {"mul_shift": 62, "shift_left": 20, "shift_right": 62, "wrap": 62, "wrap_once": 62}


@st.composite
def operations(draw: st.DrawFn) -> tuple[Op, dict[str, tuple[int, int]]]:
    """An operation on named operands, and their intervals."""
    kind = draw(st.sampled_from(NUMBERS))
    spec, size = OPS[kind], draw(st.sampled_from([10, 2**15, 2**31, 2**40]))
    names = ("x", "y")[: spec.operands]
    ends = st.integers(-size, size)
    pairs = [(draw(ends), draw(ends)) for _ in names]
    values = {name: (min(pair), max(pair)) for name, pair in zip(names, pairs, strict=True)}
    constants = sorted(draw(ends) for _ in range(2)) if kind == "clip" else []
    if kind in CONSTANTS:
        constants = [draw(st.integers(2 if "wrap" in kind else 0, CONSTANTS[kind]))]
    return Op("r", kind, (*names, *constants)), values


@given(operations(), st.integers(0, 2**32 - 1))
def test_results_lie_in_their_interval(case: tuple[Op, dict[str, tuple[int, int]]], seed: int) -> None:
    op, values = case
    rng = np.random.default_rng(seed)
    given_: dict[str, Any] = {
        name: np.concatenate([[low, high], rng.integers(low, high + 1, 50)]) for name, (low, high) in values.items()
    }
    pairs = np.meshgrid(*given_.values())
    constants = [arg for arg in op.args if isinstance(arg, int)]
    with np.errstate(all="ignore"):
        found = NUMPY[op.kind](*pairs, *constants)
    if op.kind == "divide_floor":
        found = np.where(pairs[1] < 0, 0, found)  # only divisors that are not negative have a meaning
    low, high = result(op, values)
    assert low <= found.min()
    assert found.max() <= high
    if OPS[op.kind].lossy and keeps(op, values):
        assert np.array_equal(found, pairs[0])
    if narrow(op, values):
        assert fits((low, high))


def test_narrow_looks_between() -> None:
    assert narrow(Op("r", "mul_shift", ("x", "y", 12)), {"x": (-1000, 1000), "y": (0, 4096)})
    assert not narrow(Op("r", "mul_shift", ("x", "y", 12)), {"x": (-(2**23), 2**23), "y": (0, 4096)})
    assert not narrow(Op("r", "shift_right", ("x", 32)), {"x": (-1, 1)})
    assert not narrow(Op("r", "wrap_once", ("x", 31)), {"x": (-(2**31), 0)})
    assert narrow(Op("r", "wrap_once", ("x", 31)), {"x": (-5, 5)})


@given(chip_networks(Limits(max_neurons=8)), st.integers(0, 2**32 - 1))
def test_bounds_hold_every_step(chip: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for layer in lower(chip).layers:
        box = bounds(layer)
        assert all(fits(interval, WIDE) for interval in box.values())
        program = layer.program
        states = {s.name: row.copy() for s, row in zip(program.states, layer.initial, strict=True)}
        params = dict(zip(program.params, layer.params, strict=True))
        for _ in range(10):
            current = rng.integers(-(2**31), 2**31, layer.size) >> int(rng.integers(0, 31))
            found = step(program, states, params, current)
            states = {name: np.broadcast_to(value, (layer.size,)) for name, value in found.states.items()}
            for name, value in {**states, program.spikes: found.spikes, program.membrane: found.membrane}.items():
                low, high = box[name]
                assert low <= int(np.min(value))
                assert int(np.max(value)) <= high
        assert box[INPUT] == (-(2**31), 2**31 - 1)


def test_bounds_hold_the_initial_states() -> None:
    t = Trace("test.initial", "int")
    x = t.state("x", 40)
    program = t.finish({"x": t.op("clip", x, -5, 5)}, t.op("gt", x, 0), x, graded=False)
    layer = Layer("out", (1,), program, np.zeros((0, 1), np.int64), np.array([[100]]))
    assert bounds(layer)["x"] == (-5, 100)
