"""What is concluded about the size of numbers holds in every run, and gives narrow lanes to usual neurons."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.interpret import NUMPY
from ranvier.compiler.ir.programs import Features, chip_lif, float_lif
from ranvier.compiler.ir.steps import INPUT, OPS, Op, State, StepProgram
from ranvier.runtimes.simulator.ranges import RESULTS, Traits, traits

PARAMS = {"du": (0, 4095), "dv": (0, 4095), "vth": (0, 2**17 - 1), "bias": (-(2**12), 2**12)}
ZERO = {"u": (0, 0), "v": (0, 0)}
NUMBERS = st.integers(-(2**40), 2**40)


def test_a_stock_neuron_with_moderate_input_has_narrow_lanes() -> None:
    found = traits(chip_lif(Features()), PARAMS, ZERO, 2**16)
    assert found.bits == 32
    kinds = {op.result: op.kind for op in chip_lif(Features()).ops}
    assert {kinds[name] for name in found.lossless} == {"wrap"}


@pytest.mark.parametrize(
    ("params", "initial", "most"),
    [(PARAMS, ZERO, 2**31), (PARAMS, ZERO | {"u": (0, 2**30)}, 100), (PARAMS | {"du": (-9, 0)}, ZERO, 2**25)],
)
def test_what_cannot_be_shown_gets_wide_lanes(
    params: dict[str, tuple[int, int]], initial: dict[str, tuple[int, int]], most: int
) -> None:
    assert traits(chip_lif(Features()), params, initial, most).bits == 64


def test_float_programs_have_no_traits() -> None:
    assert traits(float_lif(Features(current=False)), {}, {}, 0) == Traits()


@given(st.sampled_from(sorted(set(RESULTS) - {"and", "not", "where"})), st.data())
def test_results_lie_in_their_ranges(kind: str, data: st.DataObject) -> None:
    spec = OPS[kind]
    constants = {"clip": (-500, 900)}.get(kind, (data.draw(st.integers(2, 12)),))[: spec.constants]
    ranges = [tuple(sorted(data.draw(st.tuples(NUMBERS, NUMBERS)))) for _ in range(spec.operands)]
    if kind in {"mul", "mul_shift"}:
        ranges = [(low >> 12, high >> 12) for low, high in ranges]
    drawn = [data.draw(st.integers(*r)) for r in ranges]
    low, high = RESULTS[kind](*ranges, *((c, c) for c in constants))
    with np.errstate(divide="ignore"):
        found = NUMPY[kind](*(np.array(x) for x in drawn), *constants)
    assert low <= int(found) <= high


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
