"""Intervals hold everything a step program computes, in every step of every run, and are no wider than said."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.interpret import NUMPY, step
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.ranges import (
    BOOL,
    INT32,
    INT64,
    RESULTS,
    Interval,
    evaluate,
    fits,
    hull,
    invariant,
    keeps,
    result,
)
from ranvier.compiler.ir.steps import INPUT, OPS, Op, State, StepProgram
from ranvier.compiler.ir.trace import Trace
from support.networks import Limits, chip_networks

NUMBERS = [kind for kind, spec in OPS.items() if spec.result == "number" and kind != "where"]
CONSTANTS = {"mul_shift": 62, "shift_left": 20, "shift_right": 62, "wrap": 62, "wrap_once": 62}
STOCK = {"du": (0, 4095), "dv": (0, 4095), "vth": (0, 2**17 - 1), "bias": (-(2**12), 2**12)}
ZERO = {"u": (0, 0), "v": (0, 0)}


@st.composite
def operations(draw: st.DrawFn) -> tuple[Op, dict[str, Interval]]:
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
def test_results_lie_in_their_interval(case: tuple[Op, dict[str, Interval]], seed: int) -> None:
    op, values = case
    rng = np.random.default_rng(seed)
    drawn = [np.append([low, high], rng.integers(low, high + 1, 50)) for low, high in values.values()]
    operands = np.meshgrid(*drawn)
    with np.errstate(all="ignore"):
        found = NUMPY[op.kind](*operands, *(arg for arg in op.args if isinstance(arg, int)))
    low, high = result(op, values)
    assert low <= found.min()
    assert found.max() <= high
    if OPS[op.kind].lossy and keeps(op, values):
        assert np.array_equal(found, operands[0])


def test_every_operation_has_an_interval() -> None:
    assert set(RESULTS) == set(OPS)
    for kind, spec in OPS.items():
        found = RESULTS[kind](*[(2, 2)] * (spec.operands + spec.constants))
        assert (found == BOOL) == (spec.result == "bool")


def test_what_leaves_64_bits_can_be_anything() -> None:
    assert result(Op("r", "mul", ("x", "x")), {"x": (0, 2**32)}) == INT64
    assert result(Op("r", "mul_shift", ("x", "x", 40)), {"x": (0, 2**32)}) == INT64
    assert result(Op("r", "mul_shift", ("x", "x", 40)), {"x": (0, 2**31)}) == (0, 2**22)


@pytest.mark.parametrize(
    ("kind", "x", "constant", "expected"),
    [
        ("mul_shift", (-5, -5), 1, (-2, -2)),
        ("mul_shift", (5, 5), 1, (2, 2)),
        ("shift_right", (-5, -5), 1, (-3, -3)),
        ("wrap_once", (-8, -8), 4, (8, 8)),
        ("wrap_once", (-7, 8), 4, (-7, 8)),
        ("wrap_once", (9, 10), 4, (-7, -6)),
        ("wrap", (-8, 7), 4, (-8, 7)),
        ("wrap", (0, 8), 4, (-8, 7)),
    ],
)
def test_edges(kind: str, x: Interval, constant: int, expected: Interval) -> None:
    operands = ("x", 1) if kind == "mul_shift" else ("x",)
    assert result(Op("r", kind, (*operands, constant)), {"x": x}) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("gt", ((11, 50), (0, 10))), ("ge", ((10, 50), (0, 9))), ("not", ((0, 10), (11, 50)))],
)
def test_a_where_knows_its_condition_in_both_branches(kind: str, expected: tuple[Interval, Interval]) -> None:
    t = Trace("test.branches", "int")
    x = t.state("x", 8)
    met = t.op("not", t.op("gt", x, 10)) if kind == "not" else t.op(kind, x, 10)
    yes, no = t.op("where", met, t.op("add", x, 100), 100), t.op("where", met, 100, t.op("add", x, 100))
    program = t.finish({"x": yes}, no, x, graded=True)
    values = evaluate(program, {"x": (0, 50), INPUT: (0, 0)})
    for op, (low, high) in zip((op for op in program.ops if op.kind == "where"), expected, strict=True):
        assert values[op.result] == hull((100, 100), (100 + low, 100 + high))


def test_a_branch_that_cannot_come_about_adds_nothing() -> None:
    t = Trace("test.never", "int")
    x = t.state("x", 8)
    both = t.op("and", t.op("gt", x, t.input), t.op("ge", t.input, 20))
    program = t.finish({"x": t.op("where", both, 1000, 1)}, x, x, graded=True)
    assert evaluate(program, {"x": (0, 20), INPUT: (-90, 90)})[program.updates[0][1]] == (1, 1)
    assert evaluate(program, {"x": (0, 21), INPUT: (-90, 90)})[program.updates[0][1]] == (1, 1000)


def test_conditions_contradict_each_other_through_operations() -> None:
    t = Trace("test.contradiction", "int")
    x = t.state("x", 8)
    moved = t.op("add", x, 5)
    never = t.op("and", t.op("gt", x, 10), t.op("gt", 10, moved))
    program = t.finish({"x": t.op("where", never, 1000, 1)}, x, x, graded=True)
    assert evaluate(program, {"x": (0, 50), INPUT: (0, 0)})[program.updates[0][1]] == (1, 1)


@given(chip_networks(Limits(max_neurons=8)), st.integers(0, 2**32 - 1))
def test_no_step_leaves_the_invariant(chip: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    most = int(rng.integers(1, 2**31)) >> int(rng.integers(0, 31))
    for p in chip.populations:
        params = {name: np.broadcast_to(p.params[name], p.size) for name in p.program.params}
        states = {s.name: np.broadcast_to(p.initial[s.name], p.size) for s in p.program.states}
        box = invariant(p.program, _extents(params), _extents(states), (-most, most))
        for _ in range(10):
            found = step(p.program, states, params, rng.integers(-most, most + 1, p.size))
            states = {name: np.broadcast_to(value, p.size) for name, value in found.states.items()}
            seen = _extents({**states, p.program.spikes: found.spikes, p.program.membrane: found.membrane})
            assert all(fits(interval, box[name]) for name, interval in seen.items())
            assert not {name for name in found.overflows if keeps(_op(p.program, name), box)}


def test_stock_states_stay_in_their_registers() -> None:
    values = invariant(chip_lif(Features()), STOCK, ZERO, (-(2**16), 2**16))
    register = (-(2**23), 2**23)
    assert fits(values["u"], register)
    assert fits(values["v"], register)
    assert all(map(fits, values.values()))


def test_a_state_that_may_leave_its_register_is_anything_and_the_others_are_kept() -> None:
    t = Trace("test.leaving", "int")
    x, y = t.state("x", 8), t.state("y", 8)
    program = t.finish({"x": t.op("add", x, t.input), "y": t.op("wrap", x, 8)}, t.op("gt", x, y), x, graded=False)
    values = invariant(program, {}, {"x": (0, 0), "y": (3, 3)}, (0, 1))
    assert (values["x"], values["y"]) == (INT64, (-128, 127))
    assert invariant(program, {}, {"x": (0, 0), "y": (3, 300)}, (0, 1))["y"] == (-128, 300)


def test_the_box_shrinks_to_what_a_step_gives() -> None:
    ops = (Op("t", "clip", (INPUT, -5, 5)),)
    program = StepProgram("test.shrink", "int", (State("x", 40),), (), ops, (("x", "t"),), "t", "t", graded=True)
    assert invariant(program, {}, {"x": (100, 100)}, INT32)["x"] == (-5, 100)


def _extents(values: dict[str, Any]) -> dict[str, Interval]:
    return {name: (int(np.min(value)), int(np.max(value))) for name, value in values.items()}


def _op(program: StepProgram, name: str) -> Op:
    return next(op for op in program.ops if op.result == name)
