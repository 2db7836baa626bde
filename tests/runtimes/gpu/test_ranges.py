"""32 bits are chosen only where nothing is lost in them, from intervals that no step of a layer leaves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.ranges import INT32, fits
from ranvier.compiler.ir.steps import INPUT, Op
from ranvier.runtimes.gpu.ranges import bounds, narrow
from ranvier.runtimes.simulator.plan import Layer

SMALL = st.integers(-(2**16), 2**16)


@pytest.mark.parametrize("kind", ["mul_shift", "shift_left", "shift_right"])
@given(x=SMALL, y=SMALL, n=st.integers(0, 62))
def test_narrow_operations_lose_nothing_in_32_bits(kind: str, x: int, y: int, n: int) -> None:
    operands = ("x", "y") if kind == "mul_shift" else ("x",)
    values = {"x": (min(x, 0), max(x, 0)), "y": (min(y, 0), max(y, 0))}
    if not narrow(Op("r", kind, (*operands, n)), values):
        return
    assert n < 32
    assert fits((x * y if kind == "mul_shift" else x,) * 2)
    assert kind != "shift_left" or fits((x << n,) * 2)


def test_narrow_looks_between() -> None:
    assert narrow(Op("r", "mul_shift", ("x", "y", 12)), {"x": (-1000, 1000), "y": (0, 4096)})
    assert not narrow(Op("r", "mul_shift", ("x", "y", 12)), {"x": (-(2**23), 2**23), "y": (0, 4096)})
    assert not narrow(Op("r", "shift_right", ("x", 32)), {"x": (-1, 1)})
    assert not narrow(Op("r", "wrap_once", ("x", 31)), {"x": (-(2**31), 0)})
    assert narrow(Op("r", "wrap_once", ("x", 31)), {"x": (-5, 5)})


def test_bounds_take_parameters_and_initial_states_of_all_neurons() -> None:
    program = chip_lif(Features())
    params, initial = np.array([[400] * 3, [300] * 3, [3] * 3, [5, 9, 7]]), np.array([[0, 0, 0], [-(2**30), 0, 8]])
    layer = Layer("out", (3,), replace(program, params=("du", "dv", "bias", "vth")), params, initial)
    found = bounds(layer)
    assert found["vth"] == (5, 9)
    assert found["v"][0] == -(2**30)
    assert found[INPUT] == INT32


def test_stock_states_take_32_bits() -> None:
    program = chip_lif(Features())
    values = {"du": 400, "dv": 300, "bias": 3, "vth": 20}
    params = np.array([[values[name]] for name in program.params])
    layer = Layer("out", (1,), program, params, np.zeros((2, 1), np.int64))
    found = bounds(layer, (-1000, 1000))
    assert fits(found["u"], (-(2**23), 2**23))
    assert fits(found["v"], (-(2**23), 2**23))
