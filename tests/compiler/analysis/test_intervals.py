"""Ranges of step programs and networks: nothing that runs ever leaves them, and resets bound the membrane."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.analysis.boxes import inductive_box
from ranvier.compiler.analysis.intervals import RULES, Interval, exactly, step_range
from ranvier.compiler.analysis.overflow import Overflows, overflows
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.interpret import NUMPY
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import STATE_MAX, Features, chip_lif
from ranvier.compiler.ir.steps import OPS
from ranvier.runtimes import oracle
from support.networks import chip_networks, inputs_for

CONSTANTS = {
    "clip": (-1000, 700),
    "wrap": (11,),
    "wrap_once": (11,),
    "mul_shift": (3,),
    "shift_left": (2,),
    "shift_right": (2,),
}


@given(st.data())
@pytest.mark.parametrize("kind", [kind for kind in RULES if kind in NUMPY])
def test_each_rule_covers_its_operation(kind: str, data: st.DataObject) -> None:
    boolean = kind in {"and", "not"}
    bound = st.integers(0, 1) if boolean else st.integers(-3000, 3000)
    ranges, points = [], []
    for index in range(OPS[kind].operands):
        positive = kind == "divide_floor" and index == 1
        ends = sorted(data.draw(st.integers(1, 50) if positive else bound) for _ in range(2))
        ranges.append(Interval(np.array([ends[0]]), np.array([ends[1]])))
        points.append(np.array([data.draw(st.integers(*ends))]))
    covered = RULES[kind](*ranges, *CONSTANTS.get(kind, ()))
    typed = [p.astype(bool) for p in points] if boolean else points
    value = NUMPY[kind](*typed, *CONSTANTS.get(kind, ())).astype(np.int64)
    assert covered.low <= value <= covered.high


@settings(max_examples=max(8, settings.default.max_examples // 2))
@given(st.data())
def test_no_run_leaves_its_ranges_and_what_is_proved_never_overflows(data: st.DataObject) -> None:
    chip = data.draw(chip_networks())
    found = overflows(chip)
    run = oracle.run(chip, data.draw(inputs_for(chip, max_samples=2, max_steps=40)), ("states",))
    for population in chip.populations:
        for name, box in found.states[population.name].items():
            values = run.states[population.name][name].reshape(-1, population.size)
            assert (values >= box.low).all(), (population.name, name)
            assert (values <= box.high).all(), (population.name, name)
    proved = {(b.population, b.where) for b in found.bounds if b.proved}
    assert not proved & {(event.population, event.where) for event in run.overflows}


def dense(weights: list[list[int]], bits: int = 0, **params: int) -> ChipNetwork:
    """One dense layer of stock neurons."""
    matrix = np.array(weights, np.int32)
    registers = {"du": 4095, "dv": 0, "vth": 100, "bias": 0} | params
    values = {name: np.array(value) for name, value in registers.items()}
    start = {"u": np.array(0), "v": np.array(0)}
    neurons = Population("n", (matrix.shape[0],), chip_lif(Features()), values, start, 1)
    sign = "mixed" if matrix.min() < 0 else "excitatory"
    synapses = Connection("w", "in", "n", DenseSynapse(matrix), 0, sign, 0)
    return ChipNetwork("t", "loihi2", (Port("in", (matrix.shape[1],), bits),), (neurons,), (synapses,), Readout("n"))


def only(found: Overflows) -> dict[str, Interval]:
    return dict(found.states["n"])


def test_the_threshold_bounds_the_membrane_from_above() -> None:
    found = overflows(dense([[200, 100]]))
    assert found.proved
    box = only(found)["v"]
    assert [int(box.low[0]), int(box.high[0])] == [0, 64 * 100]


def test_without_leak_inhibition_can_reach_the_clip_and_the_bound_says_where() -> None:
    found = overflows(dense([[200, 100], [-100, 50]]))
    (clipped,) = found.open
    assert (clipped.where, clipped.neuron) == ("t13", 1)
    assert clipped.low < -STATE_MAX <= clipped.high
    assert only(found)["v"].low.tolist() == [0, -STATE_MAX]


def test_a_leak_bounds_it_by_the_geometric_series() -> None:
    found = overflows(dense([[-100, 50]], dv=1024))
    assert found.proved
    low = int(only(found)["v"].low[0])
    assert -4 * 64 * 100 - 8 <= low <= -4 * 64 * 100 + 8


def test_a_slow_current_is_bounded_close_to_its_limit() -> None:
    found = overflows(dense([[200, 55]], du=40, dv=4096))
    limit = 64 * 255 * 4096 / 41
    reached = oracle.run(dense([[200, 55]], du=40, dv=4096), np.ones((1, 3000, 2)), ("states",)).states["n"]["u"].max()
    assert reached <= int(only(found)["u"].high[0]) <= limit * 1.01 + 64
    assert reached > 0.95 * limit


def test_the_classic_silent_overflow_is_possible_and_said() -> None:
    chip = dense([[254] * 512], du=-1)
    assert any(b.where == "t6" for b in overflows(chip).open)
    assert oracle.run(chip, np.ones((1, 4, 512))).overflows


def test_refractory_neurons_are_bounded_through_their_hold() -> None:
    f = Features(refractory=True)
    params = {"du": 4095, "dv": 0, "bias": 0, "threshold": 5000, "reset_value": 0, "refractory": 3}
    start = {state.name: np.array(0) for state in chip_lif(f).states}
    population = Population("n", (1,), chip_lif(f), {k: np.array(v) for k, v in params.items()}, start, 1)
    box = inductive_box(population, Interval(np.array([0]), np.array([200])))
    assert box["v"].high[0] == 5000
    assert (box["rest"].low[0], box["rest"].high[0]) == (0, 3)


def test_a_step_from_a_point_is_that_step() -> None:
    program = chip_lif(Features())
    states = {"u": exactly(np.array([100])), "v": exactly(np.array([-50]))}
    params = {name: np.array([value]) for name, value in {"du": 409, "dv": 819, "bias": 7, "vth": 50}.items()}
    after = step_range(program, states, params, exactly(np.array([3])))
    assert after.states["u"].low == after.states["u"].high == 281
    assert after.states["v"].low == after.states["v"].high == 281 + 7 - 40
