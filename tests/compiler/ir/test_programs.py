"""The LIF family: integer steps against plain integers, float steps against the equations, naming."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.programs import CUBA_LIF, Features, chip_lif, features, float_lif
from ranvier.compiler.ir.steps import StepProgram, problems
from support import scalar

CHOICES = [
    Features(reset, compare, spikes, *flags)
    for reset, compare, spikes in product(("value", "subtract", "none"), (">", ">="), (1, 3, 0))
    for flags in product((False, True), repeat=6)
] + [
    Features(reset, refractory=True, late_current=late, reset_current=cleared, block_input=blocked)
    for reset in ("value", "subtract", "none")
    for late, cleared, blocked in product((False, True), repeat=3)
    if late or cleared or blocked
]
EDGES = [0, 1, -1, 2**23 - 1, -(2**23) + 1, 2**22]


def near(low: int, high: int) -> st.SearchStrategy[int]:
    """Whole numbers with the ends and the middle more often."""
    return st.one_of(st.sampled_from([low, high, (low + high) // 2]), st.integers(low, high))


@st.composite
def moments(draw: st.DrawFn) -> tuple[Features, dict[str, int], dict[str, int], int]:
    """A neuron, its parameters and states, and what arrives."""
    f = scalar.FEATURES[draw(st.sampled_from(sorted(scalar.FEATURES)))]
    program = chip_lif(f)
    ranges = {
        "du": (-1, 4095),
        "dv": (0, 4096),
        "bias": (-(2**31), 2**31 - 1),
        "vth": (0, 131071),
        "threshold": (1, 2**23 - 1),
        "reset_value": (-(2**23) + 1, 2**23 - 1),
        "reset_amount": (0, 2**23 - 1),
        "floor": (-(2**23) + 1, 0),
        "refractory": (1, 100),
    }
    params = {name: draw(near(*ranges[name])) for name in program.params}
    top = 2**23 - 1
    value = st.one_of(st.sampled_from(EDGES), st.integers(-top, top))
    states = {s.name: draw(value) if s.name != "rest" else draw(st.integers(0, 3)) for s in program.states}
    arriving = draw(st.one_of(st.sampled_from([0, 2**17, -(2**17), 2**25 - 1, -(2**25)]), st.integers(-(2**26), 2**26)))
    return f, params, states, arriving


@given(st.lists(moments(), min_size=20, max_size=20))
def test_integer_steps_equal_plain_integers(drawn):
    for f, params, states, arriving in drawn:
        arrays = [{k: np.array([v]) for k, v in group.items()} for group in (states, params)]
        got = step(chip_lif(f), arrays[0], arrays[1], np.array([arriving]))
        sent, membrane, after = scalar.lif(f, params, states, arriving)
        assert int(got.spikes[0]) == sent
        assert int(got.membrane[0]) == membrane
        assert {name: int(value[0]) for name, value in got.states.items()} == after


def test_every_program_of_the_family_is_legal():
    for f in CHOICES:
        assert problems(float_lif(f)) == []
        assert problems(chip_lif(f)) == []


def test_only_the_plain_neuron_is_stock():
    plain = chip_lif(Features())
    assert plain.semantics == CUBA_LIF
    assert [f for f in CHOICES if replace(chip_lif(f), semantics=CUBA_LIF) == plain] == [Features()]


@pytest.mark.parametrize("build", [float_lif, chip_lif])
def test_a_semantic_id_means_one_program(build):
    named: dict[str, StepProgram] = {}
    for f in CHOICES:
        program = build(f)
        assert named.setdefault(program.semantics, program) == program


def test_programs_ask_for_the_parameters_they_use_and_no_more():
    assert chip_lif(Features()).params == ("du", "dv", "bias", "vth")
    assert set(chip_lif(Features(reset="subtract")).params) == {"du", "dv", "bias", "threshold", "reset_amount"}
    assert float_lif(Features(reset="none", current=False)).params == (
        "keep_membrane",
        "gain",
        "drive",
        "threshold",
    )
    for f in CHOICES:
        for program in (chip_lif(f), float_lif(f)):
            used = {arg for op in program.ops for arg in op.args}
            assert set(program.params) <= used | {program.spikes, program.membrane}


def test_features_are_read_from_a_model():
    assert features(Lif()) == Features(current=False)
    drive = np.array([0.0, 0.1])
    model = Lif(keep_current=0.5, max_spikes=0, reset="subtract", compare=">=", refractory=2, floor=-1.0)
    model = replace(model, late_guard=True, current_drive=drive)
    assert features(model) == Features("subtract", ">=", 0, True, True, True, True, True)
