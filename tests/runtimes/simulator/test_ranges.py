"""What is concluded about the size of numbers holds in every run, and gives narrow lanes to usual neurons."""

import pytest

from ranvier.compiler.ir.programs import Features, chip_lif, float_lif
from ranvier.compiler.ir.steps import INPUT, Op, State, StepProgram
from ranvier.runtimes.simulator.ranges import Traits, traits

PARAMS = {"du": (0, 4095), "dv": (0, 4095), "vth": (0, 2**17 - 1), "bias": (-(2**12), 2**12)}
ZERO = {"u": (0, 0), "v": (0, 0)}


def test_a_stock_neuron_with_moderate_input_has_narrow_lanes() -> None:
    found = traits(chip_lif(Features()), PARAMS, ZERO, 2**16)
    assert found.bits == 32
    kinds = {op.result: op.kind for op in chip_lif(Features()).ops}
    assert {kinds[name] for name in found.lossless} == {"wrap"}


@pytest.mark.parametrize(
    ("params", "initial", "most"),
    [(PARAMS, ZERO, 2**31), (PARAMS, ZERO | {"u": (0, 2**40)}, 100), (PARAMS | {"du": (-9, 0)}, ZERO, 2**25)],
)
def test_what_cannot_be_shown_gets_wide_lanes(
    params: dict[str, tuple[int, int]], initial: dict[str, tuple[int, int]], most: int
) -> None:
    assert traits(chip_lif(Features()), params, initial, most).bits == 64


def test_initial_states_beyond_their_register_are_followed() -> None:
    found = traits(chip_lif(Features()), PARAMS, ZERO | {"u": (0, 2**30)}, 100)
    kinds = {op.result: op.kind for op in chip_lif(Features()).ops}
    assert found.bits == 32
    assert "wrap_once" not in {kinds[name] for name in found.lossless}


def test_float_programs_have_no_traits() -> None:
    assert traits(float_lif(Features(current=False)), {}, {}, 0) == Traits()


def narrow_program(factor: int, bits: int) -> StepProgram:
    """A state that is multiplied and shifted: narrow where the factor is small and not negative."""
    ops = (
        Op("t0", "mul_shift", ("x", factor, bits)),
        Op("t1", "add", ("t0", INPUT)),
        Op("t2", "clip", ("t1", -999, 999)),
    )
    return StepProgram("test.narrow", "int", (State("x", 16),), (), ops, (("x", "t2"),), "t2", "t1", graded=True)


@pytest.mark.parametrize(("factor", "bits", "lanes"), [(4000, 12, 32), (-4000, 12, 64), (2**20, 12, 64), (1, 40, 64)])
def test_products_need_small_positive_factors(factor: int, bits: int, lanes: int) -> None:
    assert traits(narrow_program(factor, bits), {}, {"x": (0, 0)}, 50).bits == lanes


@pytest.mark.parametrize(("factor", "lanes"), [(2**10, 32), (2**20, 64)])
def test_every_value_between_must_fit(factor: int, lanes: int) -> None:
    ops = (Op("t0", "mul", (INPUT, factor)), Op("t1", "shift_right", ("t0", 24)))
    program = StepProgram("test.between", "int", (State("x", 16),), (), ops, (("x", "t1"),), "t1", "t1", graded=True)
    assert traits(program, {}, {"x": (0, 0)}, 2**16).bits == lanes
