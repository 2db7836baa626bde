"""Comparing recordings: planted differences are found at the right place, and nothing else is."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.chip import ChipNetwork, DenseSynapse
from ranvier.compiler.ir.network import Neurons
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.runtimes import oracle
from ranvier.runtimes.recording import Recording
from ranvier.runtimes.verify.compare import Side, compare_deployed, compare_executors, first_spot
from ranvier.runtimes.verify.levels import Level, chip_levels, network_levels
from ranvier.runtimes.verify.results import Difference, earliest
from support.networks import Limits, chip_networks, inputs_for
from support.verification import layered_chip, mlp_chip, with_connection, with_params

ALL = ("spikes", "states", "membrane")


def compare(chip: ChipNetwork, other: ChipNetwork, inputs, offset=0):
    levels = chip_levels(chip, source_units=False)
    sides = [Side(n, oracle.run(c, inputs, ALL), levels) for n, c in (("base", chip), ("other", other))]
    return compare_executors(sides[0], sides[1], [p.name for p in chip.populations], offset)


@given(st.data())
def test_equal_runs_agree_in_every_value_of_every_layer(data):
    chip = data.draw(chip_networks(Limits(max_neurons=8)))
    inputs = data.draw(inputs_for(chip))
    found = compare(chip, chip, inputs)
    neurons = sum(p.size for p in chip.populations)
    states = sum(p.size * (len(p.program.states) + 1) for p in chip.populations)
    steps = inputs.shape[0] * inputs.shape[1]
    assert found.agrees
    assert (found.spikes, found.states) == (neurons * steps, states * steps)
    assert (found.disagreements, found.first_difference, found.missing) == (0, None, ())


@given(st.data())
def test_a_single_changed_value_is_found_and_counted(data):
    chip = mlp_chip()
    inputs = data.draw(inputs_for(chip))
    base = oracle.run(chip, inputs, ALL)
    layer = data.draw(st.sampled_from(["hidden", "out"]))
    place = tuple(data.draw(st.integers(0, n - 1)) for n in base.membrane[layer].shape)
    changed = base.membrane[layer].copy()
    changed[place] += 1
    other = replace(base, membrane={**base.membrane, layer: changed})
    levels = chip_levels(chip, source_units=False)
    found = compare_executors(Side("a", base, levels), Side("b", other, levels), ["hidden", "out"], 100)
    first = found.first_difference
    assert found.disagreements == 1
    assert (first.layer, first.quantity, first.sample - 100, first.step, *first.neuron) == (layer, "membrane", *place)
    assert first.values == first.membranes == (changed[place] - 1, changed[place])
    threshold = 64 * chip.by_name[layer].params["vth"]
    assert first.distances == (changed[place] - 1 - threshold, changed[place] - threshold)


def test_a_flipped_weight_is_seen_in_its_layer_when_its_wire_first_fires():
    chip = layered_chip()
    weight = np.array(chip.connections[1].synapse.weight)
    weight[1, 2] = -weight[1, 2]
    other = with_connection(chip, "to middle", DenseSynapse(weight))
    inputs = np.zeros((2, 6, 4))
    inputs[1, 2:, 2] = 1
    found = compare(chip, other, inputs)
    first = found.first_difference
    assert (first.layer, first.step, first.sample, first.neuron) == ("middle", 2, 1, (1,))
    assert first.quantity == "membrane"
    assert first.membranes[0] == -first.membranes[1] == 64 * chip.connections[1].synapse.weight[1, 2]


@pytest.mark.parametrize(
    ("parameter", "value", "quantity", "step"),
    [
        ("dv", 100, "membrane", 2),  # the first step with something to leak
        ("du", 2000, "membrane", 2),  # the current of step 1 is still there
        ("vth", 5, "spikes", 1),  # the membrane is the same, the comparison is not
        ("bias", 3, "membrane", 0),
    ],
)
def test_a_wrong_register_is_located(parameter, value, quantity, step):
    chip = layered_chip()
    other = with_params(chip, "middle", **{parameter: value})
    inputs = np.zeros((1, 5, 4))
    inputs[0, 1, :] = 1
    first = compare(chip, other, inputs).first_difference
    assert (first.layer, first.quantity, first.step, first.sample) == ("middle", quantity, step, 0)


def test_the_earliest_step_wins_over_the_earlier_layer():
    chip = layered_chip()
    other = with_params(with_params(chip, "first", du=2000), "last", bias=64)
    inputs = np.zeros((1, 5, 4))
    inputs[0, 1, :] = 1
    found = compare(chip, other, inputs).first_difference
    assert compare(chip, with_params(chip, "first", du=2000), inputs).first_difference.step == 2
    assert (found.layer, found.step) == ("last", 0)
    same_step = compare(chip, with_params(with_params(chip, "first", bias=64), "last", bias=64), inputs)
    assert (same_step.first_difference.layer, same_step.first_difference.step) == ("first", 0)


def test_missing_or_misshapen_spikes_are_no_agreement():
    chip = mlp_chip()
    base = oracle.run(chip, np.ones((1, 3, 4)), ALL)
    levels = chip_levels(chip, source_units=False)

    def against(other: Recording):
        return compare_executors(Side("a", base, levels), Side("b", other, levels), ["hidden", "out"])

    lacking = against(replace(base, spikes={"hidden": base.spikes["hidden"]}))
    assert (lacking.agrees, lacking.missing) == (False, ("spikes of out",))
    misshapen = against(replace(base, membrane={**base.membrane, "out": base.membrane["out"][:, :1]}))
    assert (misshapen.agrees, misshapen.missing) == (False, ("membrane of out",))
    fewer = against(replace(base, membrane={}, states={}))
    assert (fewer.agrees, fewer.states) == (True, 0)


def test_batches_join_to_the_same_result():
    chip, other = layered_chip(), with_params(layered_chip(), "middle", dv=100)
    inputs = np.random.default_rng(0).integers(0, 2, (6, 8, 4))
    whole = compare(chip, other, inputs)
    parts = [compare(chip, other, inputs[i : i + 2], i) for i in (0, 2, 4)]
    assert whole.disagreements > 0
    assert parts[0].joined(parts[1]).joined(parts[2]) == whole


def test_first_spot_is_the_earliest_step_then_sample():
    different = np.zeros((3, 4, 2, 2), bool)
    assert first_spot(different) is None
    different[0, 3, 0, 0] = different[2, 1, 0, 0] = different[1, 1, 1, 0] = True
    assert first_spot(different) == (1, 1, 2)


def test_agreement_counts_equal_spikes_and_rates_and_shows_both_membranes_in_source_units():
    spikes = {"n": np.array([[[0.0, 1.0], [2.0, 0.0]]])}
    membrane = {"n": np.array([[[0.5, 1.5], [2.5, -1.0]]])}
    none = np.zeros(1, np.int64)
    source = Side("float", Recording(none, none, spikes, membrane), {"n": Level(np.ones(2))})
    sent = {"n": np.array([[[0, 0], [2, 0]]])}
    reached = {"n": np.array([[[640, 1216], [3200, -1280]]])}
    chip = Side("oracle", Recording(none, none, sent, reached), {"n": Level(np.full(2, 1280.0), 1280.0)})
    found = compare_deployed(source, chip, ["absent", "n"])
    assert set(found) == {"n"}
    agreement = found["n"]
    assert (agreement.compared, agreement.equal, agreement.fraction) == (4, 3, 0.75)
    assert (agreement.float_rate, agreement.rate, agreement.rate_error) == (0.75, 0.5, -0.25)
    first = agreement.first_difference
    assert (first.step, first.neuron, first.values, first.membranes) == (0, (1,), (1.0, 0.0), (1.5, 0.95))
    assert first.distances == pytest.approx((0.5, -0.05))


def test_levels_of_integrators_are_infinite_and_come_out_as_none():
    model = Lif(threshold=np.inf)
    network = type("N", (), {"populations": (Neurons("n", (2,), model),)})()
    assert network_levels(network)["n"].threshold.tolist() == [np.inf] * 2
    registers = RegisterLif(np.array(0), np.array(0), np.array([1, 2]))
    network = type("N", (), {"populations": (Neurons("n", (2,), registers),)})()
    assert network_levels(network)["n"].threshold.tolist() == [64, 128]
    base = Recording(np.zeros(1), np.zeros(1, np.int64), {"n": np.zeros((1, 1, 2))}, {"n": np.zeros((1, 1, 2))})
    other = replace(base, spikes={"n": np.ones((1, 1, 2))})
    levels = {"n": Level(np.full(2, np.inf))}
    first = compare_deployed(Side("a", base, levels), Side("b", other, levels), ["n"])["n"].first_difference
    assert first.distances == (-np.inf, -np.inf)
    assert first.to_json()["distances"] == [None, None]


def test_earliest_goes_by_step_then_layer_then_sample():
    def at(step, position, sample):
        return Difference(position, "n", "spikes", step, sample, (0,), (0, 1), (None, None), (None, None))

    ordered = [at(0, 1, 9), at(1, 0, 3), at(1, 0, 4), at(1, 1, 0), at(2, 0, 0)]
    for earlier, later in pairwise(ordered):
        assert earliest(earlier, later) == earliest(later, earlier) == earlier
    assert earliest(None, ordered[0]) == earliest(ordered[0], None) == ordered[0]
    assert earliest(None, None) is None


def test_a_difference_in_a_later_batch_is_kept():
    chip = layered_chip()
    inputs = np.zeros((2, 3, 4))
    inputs[1, 1] = 1
    other = with_params(chip, "middle", vth=5)
    quiet, loud = (compare(chip, other, inputs[i : i + 1], i) for i in (0, 1))
    assert quiet.agrees
    assert quiet.joined(loud).first_difference == loud.first_difference
    assert loud.first_difference.sample == 1


def test_real_numbers_agree_with_the_integers_that_stand_for_them_where_both_send() -> None:
    base = oracle.run(mlp_chip(), np.ones((1, 4, *mlp_chip().ports[0].shape), np.int32), ALL)
    real = np.zeros(base.spikes["hidden"].shape)
    real[:, 1], real[:, 2] = 0.75, -0.25
    whole = np.rint(real * 100)
    whole[0, 3, 0] = 7
    sides = [Side(n, replace(base, spikes={"hidden": v}), {}) for n, v in (("float", real), ("chip", whole))]
    agreement = compare_deployed(sides[0], sides[1], ["hidden"])["hidden"]
    assert agreement.compared - agreement.equal == 1
    assert agreement.first_difference.step == 3
