"""Counter-examples: found where overflow is possible, confirmed by the oracle, and never beyond what is proved."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.analysis.overflow import Bound, overflows
from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.runtimes import oracle
from ranvier.runtimes.counterexample import (
    Effort,
    Suspect,
    changed,
    path_weights,
    replayed,
    search,
    seeds,
    upstream,
)
from ranvier.runtimes.operands import incoming, operands
from ranvier.runtimes.recording import encode
from support.networks import Limits, chip_networks, inputs_for
from support.verification import mlp_chip, population, row, with_params

EXAMPLES = max(6, settings.default.max_examples // 4)
QUICK = Effort(seconds=20.0, rounds=1, steps=16)


def suspected(bound: Bound) -> Suspect:
    ends = tuple(end for end, out in ((1, bound.high > bound.most), (-1, bound.low < bound.least)) if out)
    return Suspect(bound.population, bound.where, bound.neuron, bound.least, bound.most, ends or (1, -1))


def only_open(chip: ChipNetwork) -> Suspect:
    (bound,) = overflows(chip).open
    return suspected(bound)


def test_a_slow_current_is_driven_until_it_wraps() -> None:
    """Only wires of positive weight add up: all of them for 40 steps would cancel."""
    weight = np.concatenate([np.full(32, 126), np.full(32, -126)])[None]
    chip = with_params(row([population("n", 1, 1, 131071)], [weight]), "n", du=-1, dv=4096)
    suspect = replace(suspected(next(b for b in overflows(chip).open if b.high > b.most)), ends=(1,))
    witness = search(chip, suspect).witness
    assert witness is not None
    assert 64 * 126 * 32 * (witness.step + 1) >= witness.value > 2**23 - 1
    assert witness.inputs.shape == (1, witness.step + 1, 64)
    assert not oracle.run(chip, np.ones((1, 100, 64))).overflows


def test_inhibition_through_a_hidden_layer_reaches_the_clip() -> None:
    chip = mlp_chip()
    for bound in overflows(chip).open:
        witness = search(chip, suspected(bound)).witness
        assert witness is not None
        event = replayed(chip, bound.population, bound.where, witness.inputs)
        assert event is not None
        assert (event.step, event.neuron) == (witness.step, witness.neuron)
        assert not bound.least <= witness.value <= bound.most


def test_what_no_input_can_do_is_not_found_and_its_extremes_are_measured() -> None:
    """The first layer fires only in all or none of its neurons; the bound takes them one by one."""
    chip = row([population("a", 2, 1, 1), population("b", 1, 2, 131071)], [np.full((2, 1), 4), np.array([[100, -100]])])
    (bound,) = overflows(chip).open
    outcome = search(chip, suspected(bound), Effort(seconds=30, rounds=2, steps=64))
    assert outcome.witness is None
    assert (outcome.low, outcome.high) == (0, 0)


def test_searches_with_the_same_seed_are_the_same() -> None:
    chip = with_params(mlp_chip(3), "hidden", dv=400)
    first, second = (search(chip, only_open(chip), QUICK) for _ in "ab")
    assert (first.low, first.high) == (second.low, second.high)
    assert first.low < -10_000


def test_drives_follow_the_signs_of_paths() -> None:
    chip = row([population("a", 2, 1, 1), population("b", 1, 2, 1)], [np.array([[4, -2], [0, 6]]), np.array([[3, -5]])])
    suspect = Suspect("b", "to b", 0, -1, 1)
    assert np.sign(path_weights(chip, suspect)).tolist() == [1.0, -1.0]
    frames = seeds(chip, suspect, 4, np.random.default_rng(0))
    assert any((f == [1, 0]).all() for f in frames)
    assert any((f == [0, 1]).all() for f in frames)


def test_changes_keep_the_values_that_the_port_takes() -> None:
    port = replace(mlp_chip().ports[0], bits=6)
    frames = changed(np.zeros((9, 4), np.int64), port, np.random.default_rng(1), 20)
    assert frames.shape == (20, 9, 4)
    assert set(np.unique(frames)) <= {-31, 0, 31}
    assert frames.any()


def test_only_what_leads_to_the_register_is_run() -> None:
    chip = mlp_chip()
    part = upstream(chip, "hidden")
    assert [p.name for p in part.populations] == ["hidden"]
    assert [c.name for c in part.connections] == ["to hidden"]


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_operands_are_what_the_oracle_calls_overflow(data: st.DataObject) -> None:
    chip = data.draw(chip_networks(Limits(max_neurons=6)))
    inputs = data.draw(inputs_for(chip))
    recording = oracle.run(chip, inputs, ("spikes", "states"))
    frames = encode(chip.ports[0], inputs).astype(np.int64).reshape(*inputs.shape[:2], -1)
    registers = {(b.population, b.where): (b.least, b.most) for b in overflows(chip).bounds}
    for event in recording.overflows:
        neurons = chip.by_name[event.population]
        assert isinstance(neurons, Population)
        rows = incoming(chip, event.population, event.neuron)
        values = operands(chip, neurons, event.neuron, rows, frames, recording)
        least, most = registers[event.population, event.where]
        assert not least <= values[event.where][event.sample, event.step] <= most
    told = {(e.population, e.where) for e in recording.overflows}
    last = chip.populations[-1]
    values = operands(chip, last, 0, incoming(chip, last.name, 0), frames, recording)
    for where, value in values.items():
        least, most = registers[last.name, where]
        inside = bool(((value >= least) & (value <= most)).all())
        assert inside or (last.name, where) in told


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_adversarial_inputs_never_leave_a_bound_and_what_they_refute_is_open(data: st.DataObject) -> None:
    chip = data.draw(chip_networks(Limits(stock_only=True, max_neurons=6)))
    bounds = overflows(chip).bounds
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    for bound in [bounds[int(k)] for k in rng.choice(len(bounds), min(4, len(bounds)), replace=False)]:
        outcome = search(chip, suspected(bound), QUICK)
        if outcome.witness is None:
            assert bound.low <= outcome.low <= outcome.high <= bound.high
            continue
        assert not bound.proved
        assert bound.low <= outcome.witness.value <= bound.high
        event = replayed(chip, bound.population, bound.where, outcome.witness.inputs)
        assert event is not None
        assert (event.neuron, event.step) == (outcome.witness.neuron, outcome.witness.step)


@pytest.mark.parametrize("weight", [-1000, 1000])
def test_graded_inputs_are_searched_in_both_directions(weight: int) -> None:
    chip = row([population("n", 1, 1, 131071)], [np.full((1, 200), weight)])
    chip = replace(chip, ports=(replace(chip.ports[0], bits=16, scale=2.0),))
    found = {b.where for b in overflows(chip).open if search(chip, suspected(b)).witness is not None}
    assert "to n" in found
