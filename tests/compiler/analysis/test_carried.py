"""Which states matter from step to step: by example, and against the interpreter on random programs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis.carried import carried
from ranvier.compiler.ir.interpret import step
from ranvier.compiler.ir.neuron_steps.adaptive import adaptive_lif
from ranvier.compiler.ir.programs import Features, chip_lif, float_lif
from ranvier.compiler.ir.trace import Trace
from support.networks import RANGES, Limits, programs

STOCK = chip_lif(Features())
FULL_LEAK = {"du": 4095, "dv": 4096, "bias": 7, "vth": 10}


def kept(program, membrane_read: bool = False, **params: float) -> set[str]:
    return set(carried(program, {name: np.asarray(value) for name, value in params.items()}, membrane_read))


@pytest.mark.parametrize(
    ("du", "dv", "states"),
    [(4095, 4096, set()), (4095, 4095, {"v"}), (4094, 4096, {"u"}), (0, 0, {"u", "v"})],
)
def test_full_leak_of_the_stock_neuron(du: int, dv: int, states: set[str]):
    assert kept(STOCK, **{**FULL_LEAK, "du": du, "dv": dv}) == states


def test_one_neuron_that_keeps_its_membrane_keeps_the_layer():
    assert kept(STOCK, **{**FULL_LEAK, "dv": np.array([4096, 4096, 4095])}) == {"v"}


def test_a_late_current_is_kept_even_if_it_decays_at_once():
    program = chip_lif(Features(late_current=True))
    given_ = {"du": 4095, "dv": 4096, "bias": 0, "threshold": 10, "reset_value": 0}
    assert kept(program, **given_) == {"u"}


def test_a_state_that_a_spike_sets_is_kept_without_any_decay():
    program = adaptive_lif("int", ">", "none", False, False)
    params = dict.fromkeys(program.params, 0)
    assert kept(program, **params) == {"z"}
    assert kept(program, **{**params, "keep_membrane": 1}) == {"v", "z"}


def test_states_behind_states_are_kept():
    t = Trace("test.line", "int")
    first, second, third = (t.state(name, 24) for name in ("first", "second", "third"))
    line = t.finish({"first": t.input + 0, "second": first + 0, "third": second + 0}, third > 0, third, graded=False)
    assert kept(line) == {"first", "second", "third"}


def test_a_membrane_counts_only_where_it_is_read():
    t = Trace("test.aside", "int")
    v = t.state("v", 24) + t.input
    aside = t.finish({"v": v}, t.input > 0, v, graded=False)
    assert kept(aside) == set()
    assert kept(aside, membrane_read=True) == {"v"}


def test_a_gain_of_zero_cuts_the_current_off():
    program = float_lif(Features(reset="none", compare=">", current=True))
    params = {"keep_current": 0.5, "keep_membrane": 0.0, "gain": 0.0, "drive": 0.0, "threshold": 1.0}
    assert kept(program, **params) == set()
    assert kept(program, **{**params, "gain": 1.0}) == {"u"}


@given(st.data())
def test_what_is_not_carried_changes_no_spike(data: st.DataObject):
    program = data.draw(programs(Limits()))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    zeroed = data.draw(st.booleans())
    params = {name: np.asarray(_register(rng, name, zeroed)) for name in program.params}
    states = carried(program, params)
    draws = [{s.name: rng.integers(-9000, 9000, 8) for s in program.states} for _ in range(2)]
    same = {name: draws[0][name] for name in states}
    runs = [draws[0], {**draws[1], **same}]
    for _ in range(6):
        current = rng.integers(-300, 300, 8)
        results = [step(program, held, params, current) for held in runs]
        np.testing.assert_array_equal(results[0].spikes, results[1].spikes)
        runs = [dict(result.states) for result in results]


def _register(rng: np.random.Generator, name: str, zeroed: bool) -> int:
    """A random register; with ``zeroed`` those that keep something from step to step keep nothing."""
    if zeroed and (name in {"du", "dv"} or name.startswith("keep")):
        return {"du": 4095, "dv": 4096}.get(name, 0)
    low, high = RANGES.get(name, (-1000, 1000))
    return int(rng.integers(low, high, endpoint=True))
