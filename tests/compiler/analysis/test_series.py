"""Rates: how densely neurons can fire, what decays make of such trains, and that no run does more."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.analysis.overflow import Bound, Overflows, accumulator_bounds, overflows
from ranvier.compiler.analysis.series import worst_train
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.ir.trace import Trace
from ranvier.runtimes import oracle
from support.networks import Limits, chip_networks, inputs_for
from support.verification import population, row, with_params

EXAMPLES = max(8, settings.default.max_examples // 3)
"""Each example is a whole analysis."""


def lif(name: str, neurons: int, latency: int, f: Features, **values: int) -> Population:
    """Integer neurons with these features, at rest at 0."""
    program = chip_lif(f)
    params = {"du": 4095, "dv": 0, "bias": 0, "threshold": 64, "reset_value": 0} | values
    params["vth"] = params["threshold"] // 64
    start = {state.name: np.array(0) for state in program.states}
    return Population(name, (neurons,), program, {n: np.array(params[n]) for n in program.params}, start, latency)


def rated(refractory: int, weight: int, **target: int) -> ChipNetwork:
    """Eight neurons that rest after every spike, onto one stock neuron that never fires."""
    senders = lif("a", 8, 1, Features(refractory=True), refractory=refractory)
    chip = row([senders, population("b", 1, 2, 131071)], [np.eye(8) * 4, np.full((1, 8), weight)])
    return with_params(chip, "b", **target)


def box(found: Overflows, state: str) -> tuple[int, int]:
    held = found.states["b"][state]
    return int(held.low[0]), int(held.high[0])


def bound(found: Overflows, name: str, where: str) -> Bound:
    return next(b for b in found.bounds if (b.population, b.where) == (name, where))


def gaps(sent: NDArray[np.int64]) -> NDArray[np.int64]:
    """(wires,) the fewest steps between two messages of each wire of (samples, steps, wires)."""
    least = np.full(sent.shape[2], sent.shape[1] + 64)
    for sample, wire in product(range(sent.shape[0]), range(sent.shape[2])):
        steps = np.flatnonzero(sent[sample, :, wire])
        if steps.size > 1:
            least[wire] = min(least[wire], np.diff(steps).min())
    return least


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.integers(1, 4))
def test_the_worst_train_is_the_best_choice_of_ages(values: list[int], period: int) -> None:
    answer = np.array(values, np.float64)[:, None]
    choices = [
        sum(v for v, taken in zip(values, chosen, strict=True) if taken)
        for chosen in product((0, 1), repeat=len(values))
        if np.diff(np.flatnonzero(chosen)).min(initial=period) >= period
    ]
    assert worst_train(answer, np.zeros(1), period)[0] == max(choices)


def test_the_tail_counts_as_one_more_that_keeps_the_distance() -> None:
    answer = np.array([[5.0], [4.0], [3.0]])
    assert worst_train(answer, np.array([10.0]), 1)[0] == 22.0
    assert worst_train(answer, np.array([10.0]), 2)[0] == 18.0


@pytest.mark.parametrize("bias", [0, 5])
def test_neurons_without_memory_have_no_series(bias: int) -> None:
    """Whether anything but the comparison follows the input or not."""
    t = Trace("relay", "int")
    arriving = t.input + t.param("bias") if bias else t.input
    relay = t.finish({}, spikes=arriving > 0, membrane=arriving, graded=False)
    params = {name: np.array(bias) for name in relay.params}
    senders = lif("a", 8, 1, Features(refractory=True), refractory=3)
    chip = row([senders, Population("b", (1,), relay, params, {}, 2)], [np.eye(8) * 4, np.full((1, 8), 6)])
    found = overflows(chip)
    assert found.proved
    assert (bound(found, "b", "to b").low, bound(found, "b", "to b").high) == (0, 48)
    assert found.sent["b"].values.high.tolist() == [1]


@pytest.mark.parametrize("rest", [1, 2, 4, 7])
def test_a_refractory_sender_fires_once_in_as_many_steps(rest: int) -> None:
    chip = rated(rest, -100)
    found = overflows(chip).sent["a"]
    assert (found.period == rest + 1).all()
    sent = oracle.run(chip, np.ones((1, 50, 8)), ("spikes",)).spikes["a"]
    assert (gaps(sent) == rest + 1).all()


def test_a_reset_from_which_the_threshold_is_five_steps_away_makes_five_steps() -> None:
    chip = row([population("a", 2, 1, 200), population("b", 1, 2, 131071)], [np.diag([41, 60]), np.full((1, 2), 2)])
    assert overflows(chip).sent["a"].period.tolist() == [5, 4]
    sent = oracle.run(chip, np.ones((1, 60, 2)), ("spikes",)).spikes["a"]
    assert gaps(sent).tolist() == [5, 4]


def test_neurons_that_cannot_fire_send_nothing() -> None:
    chip = row([population("a", 2, 1, 200), population("b", 1, 2, 50)], [np.diag([-4, 4]), np.array([[100, 2]])])
    found = overflows(chip)
    assert found.sent["a"].values.high.tolist() == [0, 1]
    assert bound(found, "b", "to b").high == 2


def test_the_current_is_bounded_by_the_geometric_series_of_the_train() -> None:
    """64 * 8 * 100 every fourth step, 3686/4096 of it left each step."""
    found = overflows(rated(3, -100, du=409, dv=4096))
    keep = (4096 - 410) / 4096
    low, high = box(found, "u")
    assert high == 0
    assert low == np.ceil(-64 * 800 / (1 - keep**4))


@pytest.mark.parametrize(("du", "dv"), [(409, 409), (4095, 40), (40, 100), (1200, 30)])
def test_the_membrane_is_bounded_by_the_worst_train_through_both_decays(du: int, dv: int) -> None:
    chip = rated(3, -60, du=du, dv=dv)
    found = overflows(chip)
    run = oracle.run(chip, np.ones((1, 1500, 8)), ("states",)).states["b"]
    low = box(found, "v")[0]
    assert low <= run["v"].min() <= 0.999 * low
    assert box(found, "u")[0] <= run["u"].min() <= 0.999 * box(found, "u")[0]


def test_rates_prove_what_single_steps_cannot() -> None:
    """-8.7 million at every step, -2.2 million at every fourth: only the latter fits into 24 bits."""
    resting, busy = rated(3, -170, du=4095, dv=41), rated(0, -170, du=4095, dv=41)
    assert not overflows(busy).proved
    assert overflows(resting).proved
    drive = np.ones((1, 3000, 8))
    assert oracle.run(busy, drive).overflows
    assert not oracle.run(resting, drive).overflows


def test_floors_of_negative_exponents_add_up_when_senders_take_turns() -> None:
    """-2 / 16 is -1 in every step, although all senders together are only -1 in four steps."""
    chip = rated(3, -2, du=2047, dv=4096)
    moved = tuple(replace(c, exponent=-4) if c.target == "b" else c for c in chip.connections)
    turns = (np.arange(80)[:, None] % 4 == np.arange(8) % 4).astype(np.int64)[None]
    found = overflows(replace(chip, connections=moved))
    reached = oracle.run(replace(chip, connections=moved), turns, ("states",)).states["b"]["u"].min()
    assert box(found, "u")[0] <= reached <= -120


def test_accumulator_bounds_are_the_sums_of_magnitudes() -> None:
    chip = row([population("a", 2, 1, 200)], [np.array([[3, -4], [10, 5]])])
    assert accumulator_bounds(chip) == {"to a": 15, "a": 15}


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_accumulators_stay_below_their_bounds(data: st.DataObject) -> None:
    chip = data.draw(chip_networks(Limits(max_neurons=8)))
    found = accumulator_bounds(chip)
    assert set(found) == {c.name for c in chip.connections} | {p.name for p in chip.populations}
    exact = overflows(chip)
    assert all(max(-b.low, b.high) <= found[b.where] for b in exact.bounds if b.where in found)


@st.composite
def rate_limited(draw: st.DrawFn) -> ChipNetwork:
    """Senders that rest, or need several steps to their threshold, and sometimes hear each other; a target with any
    decays, resets and weights, sometimes behind negative exponents.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    target = draw(
        st.builds(
            Features,
            reset=st.sampled_from(["value", "subtract", "none"]),
            refractory=st.booleans(),
            floor=st.booleans(),
            late_current=st.booleans(),
            reset_current=st.booleans(),
            block_input=st.booleans(),
        )
    )
    values = {"refractory": draw(st.integers(1, 6)), "threshold": int(rng.integers(64, 4000)), "reset_amount": 900}
    senders = lif("a", 6, 1, Features(refractory=draw(st.booleans())), **values)
    slow = {"du": draw(st.sampled_from([4095, 2000, 400, 30])), "dv": draw(st.sampled_from([0, 20, 300, 4096]))}
    level = {"threshold": draw(st.sampled_from([3000, 80_000, 8_000_000])), "bias": int(rng.integers(-300, 300))}
    receiver = lif("b", 3, 2, target, **values | slow | level, floor=-400_000)
    chip = row([senders, receiver], [np.diag(rng.integers(2, 40, 6)), rng.integers(-120, 121, (3, 6)) * 2])
    loop = DenseSynapse(rng.integers(-20, 21, (6, 6)).astype(np.int32) * 2)
    extra = (Connection("loop", "a", "a", loop, 0, "mixed", 0),) if draw(st.booleans()) else ()
    exponent = draw(st.integers(-2, 3))
    moved = tuple(
        Connection(c.name, c.source, c.target, c.synapse, exponent if c.target == "b" else 0, c.sign, c.delay)
        for c in chip.connections
    )
    return ChipNetwork("rated", "loihi2", chip.ports, chip.populations, (*moved, *extra), chip.readout)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_no_run_leaves_what_rates_allow(data: st.DataObject) -> None:
    chip = data.draw(rate_limited())
    found = overflows(chip)
    inputs = data.draw(inputs_for(chip, max_samples=2, max_steps=100))
    inputs = np.concatenate([inputs, np.ones_like(inputs[:1]), np.zeros_like(inputs[:1])])
    run = oracle.run(chip, inputs, ("states", "spikes"))
    for name, held in found.states.items():
        for state, range_ in held.items():
            values = run.states[name][state]
            assert (values >= range_.low).all(), (name, state)
            assert (values <= range_.high).all(), (name, state)
        assert (gaps(run.spikes[name]) >= found.sent[name].period).all(), name
    proved = {(b.population, b.where) for b in found.bounds if b.proved}
    assert not proved & {(event.population, event.where) for event in run.overflows}


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_neurons_of_all_kinds_keep_their_distance_and_range(data: st.DataObject) -> None:
    chip = data.draw(chip_networks(Limits(max_neurons=8)))
    found = overflows(chip)
    run = oracle.run(chip, data.draw(inputs_for(chip, max_samples=2, max_steps=30)), ("spikes",))
    for p in chip.populations:
        sent, flat = found.sent[p.name], run.spikes[p.name].reshape(*run.outputs.shape[:2], -1)
        assert (gaps(flat) >= sent.period).all(), p.name
        assert (flat >= sent.values.low).all(), p.name
        assert (flat <= sent.values.high).all(), p.name


def test_sums_beyond_32_bits_are_bounds_of_the_wrapped_sum() -> None:
    """Two connections of 1.5 * 2^30 each: their sum wraps to a negative number, which the box has to contain."""
    chip = row([population("b", 1, 1, 131071)], [np.full((1, 1), 3 * 2**29)])
    (only,) = chip.connections
    more = Connection("more", "input", "b", only.synapse, 0, "mixed", 0)
    both = ChipNetwork("t", "loihi2", chip.ports, chip.populations, (only, more), chip.readout)
    found = overflows(both)
    whole = bound(found, "b", "a")
    assert (whole.low, whole.high, whole.most, whole.proved) == (0, 3 * 2**30, 2**31 - 1, False)
    run = oracle.run(both, np.ones((1, 4, 1)), ("states",))
    assert run.overflows[0].where == "a"
    assert (run.states["b"]["u"] >= box(found, "u")[0]).all()
