"""Every operation against its meaning in exact Python integers, and the events of lossy ones."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.interpret import NUMPY, mul_shift, step, wrap, wrap_once
from ranvier.compiler.ir.steps import OPS
from ranvier.compiler.ir.trace import Trace

WIDE = st.integers(-(2**40), 2**40)
NARROW = st.integers(-(2**30), 2**30)


def test_every_operation_of_the_table_has_a_meaning():
    assert set(NUMPY) == set(OPS)


@given(NARROW, NARROW, st.integers(0, 40))
def test_mul_shift_rounds_toward_zero(x, y, bits):
    quotient = abs(x * y) // 2**bits
    expected = quotient if x * y >= 0 else -quotient
    assert mul_shift(np.array(x), np.array(y), bits) == expected


@given(WIDE, st.integers(2, 40))
def test_wrap_is_twos_complement(x, bits):
    low = x & (2**bits - 1)
    assert wrap(np.array(x), bits) == (low - 2**bits if low >> (bits - 1) else low)


@given(st.integers(-(2**25), 2**25))
def test_wrap_once_turns_back_at_most_once(x):
    got = int(wrap_once(np.array(x), 24))
    assert (got - x) % 2**24 == 0
    assert abs(got - x) <= 2**24
    assert -(2**23) < got <= 2**23 or abs(x) > 3 * 2**23


@pytest.mark.parametrize(
    ("x", "got"), [(2**23, 2**23), (2**23 + 1, 1 - 2**23), (1 - 2**23, 1 - 2**23), (-(2**23), 2**23), (3, 3)]
)
def test_wrap_once_at_the_ends_of_the_current_register(x, got):
    assert wrap_once(np.array(x), 24) == got


@given(WIDE, WIDE, st.integers(1, 2**20))
def test_plain_operations(x, y, positive):
    n = {kind: int(NUMPY[kind](np.array(x), np.array(y))) for kind in ("add", "sub", "minimum", "maximum", "gt", "ge")}
    assert n == {"add": x + y, "sub": x - y, "minimum": min(x, y), "maximum": max(x, y), "gt": x > y, "ge": x >= y}
    assert NUMPY["divide_floor"](np.array(x), np.array(positive)) == x // positive
    assert NUMPY["shift_right"](np.array(x), 5) == math.floor(x / 32)
    assert NUMPY["shift_left"](np.array(x), 5) == 32 * x
    assert NUMPY["mul"](np.array(x), np.array(5)) == 5 * x
    assert NUMPY["clip"](np.array(x), -7, 9) == min(max(x, -7), 9)


@pytest.mark.parametrize(("p", "q"), [(False, False), (False, True), (True, False), (True, True)])
def test_logic(p, q):
    assert NUMPY["and"](np.array(p), np.array(q)) == (p and q)
    assert NUMPY["not"](np.array(p)) == (not p)
    assert NUMPY["where"](np.array(p), 4, 5) == (4 if p else 5)


def narrow_counter():
    t = Trace("test", "int")
    v = t.state("v", 4)
    total = t.op("wrap", v + t.input, 4)
    held = t.op("clip", total, -3, 3)
    return t.finish({"v": total}, held > t.param("p"), held, graded=False)


def test_lossy_operations_report_where_they_changed_a_value():
    got = step(narrow_counter(), {"v": np.array([0, 6, 7, -8])}, {"p": np.array(0)}, np.array([1, 1, 1, -1]))
    assert got.states["v"].tolist() == [1, 7, -8, 7]
    assert got.membrane.tolist() == [1, 3, -3, 3]
    assert got.spikes.tolist() == [True, True, False, True]
    assert {name: mask.tolist() for name, mask in got.overflows.items()} == {
        "t1": [False, False, True, True],
        "t2": [False, True, True, True],
    }


def test_nothing_is_reported_when_nothing_was_lost():
    assert step(narrow_counter(), {"v": np.array([0, 1])}, {"p": np.array(0)}, np.array([1, 1])).overflows == {}


def test_states_are_updated_at_once():
    t = Trace("test", "float")
    u, v = t.state("u"), t.state("v")
    swapped = t.finish({"u": v, "v": u}, u > v, u, graded=False)
    got = step(swapped, {"u": np.array(1.0), "v": np.array(2.0)}, {}, np.array(0.0))
    assert [float(got.states[name]) for name in "uv"] == [2.0, 1.0]


def test_division_by_an_infinite_or_zero_threshold_is_quiet():
    t = Trace("test", "float")
    v = t.state("v")
    count = v // t.param("p")
    program = t.finish({"v": v}, count, v, graded=True)
    assert step(program, {"v": np.array(3.0)}, {"p": np.array(np.inf)}, np.array(0.0)).spikes == 0
    assert np.isnan(step(program, {"v": np.array(0.0)}, {"p": np.array(0.0)}, np.array(0.0)).spikes)
