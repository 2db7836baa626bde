"""Groups of equal neurons and sums without matrices: every bound is the one that each neuron by itself and each synapse
as a matrix give."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.analysis import alike as grouping
from ranvier.compiler.analysis import arrivals
from ranvier.compiler.analysis.alike import alike
from ranvier.compiler.analysis.arrivals import Arrival, any_train, arrival
from ranvier.compiler.analysis.intervals import Interval
from ranvier.compiler.analysis.overflow import Overflows, accumulator_bounds, overflows
from ranvier.compiler.analysis.spread import EXACT, spread
from ranvier.compiler.ir.chip import ChipNetwork, ChipSynapse, Connection, ConvSynapse, DenseSynapse, Population, Port
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from support.networks import Limits, chip_networks


def by_matrix(synapse: ChipSynapse, sent: Interval) -> Interval:
    """Sums of every row of the synapse's matrix, each sender at its worst."""
    matrix = synapse_matrix(synapse)
    positive, negative = matrix.maximum(0), matrix.minimum(0)
    return Interval(positive @ sent.low + negative @ sent.high, positive @ sent.high + negative @ sent.low)


def each_alone(_: object, neurons: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every neuron is a group."""
    return np.arange(neurons), np.arange(neurons)


def plain(found: Overflows) -> dict[str, Any]:
    """Everything that was found, as lists."""

    def ends(value: Interval) -> list[list[int]]:
        return [value.low.tolist(), value.high.tolist()]

    return {
        "bounds": found.bounds,
        "states": {p: {state: ends(value) for state, value in box.items()} for p, box in found.states.items()},
        "sent": {name: (*ends(trains.values), trains.period.tolist()) for name, trains in found.sent.items()},
    }


@settings(max_examples=max(8, settings.default.max_examples // 3))  # each is a whole analysis, four times
@given(chip_networks(Limits(max_neurons=40)))
def test_bounds_are_those_of_every_neuron_by_itself(chip: ChipNetwork) -> None:
    found, sums = plain(overflows(chip)), accumulator_bounds(chip)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "_groups", each_alone)
        patch.setattr(arrivals, "spread", by_matrix)
        assert plain(overflows(chip)) == found
        assert accumulator_bounds(chip) == sums


@st.composite
def synapses(draw: st.DrawFn) -> ConvSynapse | DenseSynapse:
    """Any geometry; weights and messages up to where sums in float64 are not exact any more."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    most = draw(st.sampled_from([3, 255, 2**31 - 1]))
    if draw(st.booleans()):
        shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
        return DenseSynapse(rng.integers(-most, most + 1, shape).astype(np.int32))
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups, (outputs, inputs) = draw(st.integers(1, 3)), draw(pairs)
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    sides = st.tuples(st.integers(0, 4), st.integers(0, 4))
    padding, extra = (draw(sides), draw(sides)), draw(st.tuples(st.integers(0, 5), st.integers(0, 5)))
    extents = [
        max(1, (k - 1) * d + 1 - sum(p) + e) for k, d, p, e in zip(kernel, dilation, padding, extra, strict=True)
    ]
    pixels = [
        (n + sum(p) - (k - 1) * d - 1) // t + 1
        for n, k, d, p, t in zip(extents, kernel, dilation, padding, stride, strict=True)
    ]
    weight = rng.integers(-most, most + 1, (groups * outputs, inputs, *kernel)).astype(np.int32)
    whole = (groups * inputs, *extents), (groups * outputs, *pixels)
    return ConvSynapse(weight, *whole, stride, padding, dilation, groups)


@given(synapses(), st.sampled_from([1, 2**23, 2**40]), st.integers(0, 2**32))
def test_sums_are_those_of_the_matrix(synapse: ConvSynapse | DenseSynapse, most: int, seed: int) -> None:
    ends = np.sort(np.random.default_rng(seed).integers(-most, most + 1, (2, synapse.in_size)), axis=0)
    found, expected = spread(synapse, Interval(*ends)), by_matrix(synapse, Interval(*ends))
    np.testing.assert_array_equal(found.low, expected.low)
    np.testing.assert_array_equal(found.high, expected.high)


def test_a_sum_that_floats_would_round_is_exact() -> None:
    synapse = DenseSynapse(np.array([[2**30, 1]], np.int32))
    sent = np.array([EXACT >> 30, 1])
    assert spread(synapse, Interval(sent, sent)).high.tolist() == [EXACT + 1]


def test_a_channel_is_analysed_at_its_corners_edges_and_inside() -> None:
    """Nine groups of a 3 x 3 kernel over zeros at the border, for each of two channels with a threshold of its own."""
    shape = (2, 12, 12)
    weight = (2 * np.arange(1, 19)).reshape(2, 1, 3, 3).astype(np.int32)
    synapse = ConvSynapse(weight, (1, 12, 12), shape, (1, 1), ((1, 1), (1, 1)), (1, 1), 1)
    params = {"du": np.array(4095), "dv": np.array(0), "bias": np.array(0), "vth": np.repeat([40, 60], 144)}
    layer = Population("b", shape, chip_lif(Features()), params, {"u": np.array(0), "v": np.array(0)}, 1)
    links = (Connection("c", "in", "b", synapse, 0, "mixed", 0),)
    chip = ChipNetwork("net", "loihi2", (Port("in", (1, 12, 12)),), (layer,), links, Readout("b"))
    found = alike(layer, arrival(chip, layer, {"in": any_train(chip.ports[0])}))
    assert found.population.shape == (18,)
    assert found.group.reshape(shape)[:, 1:-1, 1:-1].reshape(2, -1).tolist() == [[4] * 100, [13] * 100]
    assert found.first.tolist() == sorted(found.first.tolist())
    assert (found.group[found.first] == np.arange(18)).all()


@pytest.mark.parametrize("what", ["params", "initial", "current", "exact", "trains"])
def test_neurons_are_apart_by_whatever_bounds_depend_on(what: str) -> None:
    odd, same = np.array([0, 0, 5, 0, 5]), np.zeros(5, np.int64)
    params = {"du": np.array(4095), "dv": np.array(0), "bias": odd if what == "params" else same, "vth": np.array(40)}
    start = {"u": np.array(0), "v": odd if what == "initial" else np.array(0)}
    layer = Population("b", (5,), chip_lif(Features()), params, start, 1)
    current = Interval(same - 3, odd if what == "current" else same)
    exact = odd == 0 if what == "exact" else same == 0
    trains = {2: np.stack([same, -odd if what == "trains" else same]).astype(float)}
    found = alike(layer, Arrival((), Interval(same, same), current, exact, trains))
    assert (found.group.tolist(), found.first.tolist()) == ([0, 0, 1, 0, 1], [0, 2])
    kept = {"params": found.population.params["bias"], "initial": found.population.initial["v"]}
    assert kept.get(what, np.zeros(2)).tolist() == ([0, 5] if what in kept else [0, 0])
    assert found.everywhere(found.arriving.current).high.tolist() == current.high.tolist()
