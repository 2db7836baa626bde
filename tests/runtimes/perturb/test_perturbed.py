"""Networks on cells: off, hooks change nothing; any executor runs what was written; cells do what their file says."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.analysis.overflow import overflows
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import (
    ACCUMULATOR_BITS,
    ChipNetwork,
    Connection,
    DenseSynapse,
    Population,
    Port,
)
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import oracle, simulator
from ranvier.runtimes.perturb import reading
from ranvier.runtimes.perturb.cells import written
from ranvier.runtimes.perturb.device import Device
from ranvier.runtimes.perturb.draws import Key
from ranvier.runtimes.perturb.load import load_device
from ranvier.runtimes.perturb.network import perturbed
from ranvier.runtimes.perturb.strength import ALONE, FULL, OFF
from support.networks import chip_networks, inputs_for
from support.recordings import assert_equal

ALL = ("spikes", "states", "membrane")
KEY = Key(1, 0)
PCM, MEMRISTOR, STUCK = (load_device(name) for name in ("pcm", "memristor", "stuck"))
DEVICES = st.sampled_from([PCM, MEMRISTOR, STUCK])
DAY = 86400.0
SOURCE = {"src": "mine", "basis": "policy", "conf": "high"}


def device(**parts) -> Device:
    """A device with nothing but ``parts``, which hold plain values."""
    base = {"name": "mine", "g_max_uS": 1.0, "levels": 0, "drift": {"law": "none"}, "timing": {"step_s": 1.0}}
    sources = {"mine": {"cite": "test", "basis": "policy", "conf": "high"}}
    return Device.model_validate({**_known({**base, **parts}), "sources": sources, "file": "test"})


def _known(value, key=""):
    if key in {"name", "law"}:
        return value
    if isinstance(value, dict) and key not in {"nu_mean", "nu_spread"}:
        return {name: _known(inner, name) for name, inner in value.items()}
    if isinstance(value, tuple) and value and isinstance(value[0], dict):
        return tuple(_known(inner) for inner in value)
    return {"v": value, **SOURCE}


def one_layer() -> ChipNetwork:
    params = {name: np.array(value) for name, value in (("du", 4095), ("dv", 0), ("vth", 1), ("bias", 0))}
    initial = {"u": np.array(0), "v": np.array(0)}
    layer = Population("layer", (2,), chip_lif(Features()), params, initial, 1)
    synapses = Connection("fc", "input", "layer", DenseSynapse(np.array([[2, -4, 6], [8, 0, 2]])), 0, "mixed", 0)
    return ChipNetwork("one", "loihi2", (Port("input", (3,)),), (layer,), (synapses,), Readout("layer"))


@given(st.data(), DEVICES)
def test_with_all_hooks_off_the_network_is_the_chips_own(data, kind):
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip))
    made = perturbed(chip, kind, KEY, OFF)
    assert made.network is chip
    assert not made.by_step
    assert_equal(reading.run(made, inputs, ALL, reading.largest_sums(chip, inputs)), oracle.run(chip, inputs, ALL))


@given(st.data(), DEVICES)
def test_errors_of_no_size_give_the_bit_accurate_run_through_cells_and_sums(data, kind):
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip))
    made = perturbed(chip, kind, KEY, replace(OFF, spread=1e-12, read=1e-12, drift=1e-15))
    assert made.network is not chip
    found, wanted = reading.run(made, inputs, ALL), oracle.run(chip, inputs, ALL)
    assert_equal(replace(found, stats={}), replace(wanted, stats={}))


@settings(max_examples=12)
@given(st.data(), DEVICES)
def test_what_was_written_runs_the_same_in_every_executor(data, kind):
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip))
    made = perturbed(chip, kind, KEY, replace(FULL, read=0.0, converter=False))
    assert not made.by_step
    by_oracle = oracle.run(made.network, inputs, ALL)
    assert_equal(simulator.run(made.network, inputs, ALL), by_oracle)
    assert_equal(reading.run(made, inputs, ALL), by_oracle)


@settings(max_examples=6)
@given(st.data(), DEVICES)
def test_the_finer_unit_adds_no_overflow_of_a_sum(data, kind):
    chip = data.draw(chip_networks())
    made = perturbed(chip, kind, KEY)
    for before, after in zip(chip.connections, made.network.connections, strict=True):
        bits = chip.by_name[before.source].bits
        most = 2 ** (bits - 1) if bits else 1
        sums = np.abs(synapse_matrix(after.synapse)).sum(axis=1).max(initial=0) * most
        assert made.fine[before.name] == 0 or sums < 2 ** (ACCUMULATOR_BITS[before.synapse.kind] - 1)
        assert after.exponent == before.exponent - made.fine[before.name]
    assert overflows(made.network).bounds


@given(st.data(), DEVICES, st.integers(0, 5))
def test_the_same_key_gives_the_same_spikes_in_batches_of_any_size(data, kind, cut):
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip, max_samples=6))
    ranges = reading.largest_sums(chip, inputs)
    whole, again = (reading.run(perturbed(chip, kind, KEY), inputs, ALL, ranges) for _ in range(2))
    assert_equal(again, whole)
    cut = min(cut, len(inputs) - 1)
    rest = reading.run(perturbed(chip, kind, KEY), inputs[cut:], ALL, ranges, first=cut)
    np.testing.assert_array_equal(rest.outputs, whole.outputs[cut:])
    for name, spikes in rest.spikes.items():
        np.testing.assert_array_equal(spikes, whole.spikes[name][cut:])
    shorter = reading.run(perturbed(chip, kind, KEY), inputs[:, : inputs.shape[1] // 2 + 1], ALL, ranges)
    np.testing.assert_array_equal(shorter.outputs, whole.outputs[:, : shorter.outputs.shape[1]])


def test_the_order_of_connections_is_of_no_consequence():
    weights = np.arange(-8.0, 8.0)
    alone = written(weights, "fc", PCM, FULL, KEY, DAY).weights(0.0)
    written(weights, "conv", PCM, FULL, KEY, DAY)
    np.testing.assert_array_equal(written(weights, "fc", PCM, FULL, KEY, DAY).weights(0.0), alone)
    assert not np.array_equal(written(weights, "fc", PCM, FULL, Key(1, 1), DAY).weights(0.0), alone)


def test_pcm_is_written_with_the_published_spread():
    wanted = np.full(40_000, 127.0)
    wanted[0] = 254.0
    g = written(wanted, "fc", PCM, ALONE["write noise"], KEY, 0.0).written[0, 1:]
    sigma = (0.26348 + 1.9650 * 0.5 - 1.1731 * 0.25) / 25.0
    assert abs(g.mean() - 0.5) < 1e-3
    assert abs(g.std() / sigma - 1) < 0.02


def test_memristors_spread_as_measured_last_before_the_run():
    wanted = np.full(40_000, 254.0)
    for after, sigma in ((0.0, 1.103), (DAY - 1, 1.103), (DAY, 2.651), (400_000.0, 2.677)):
        cells = written(wanted, "fc", MEMRISTOR, ALONE["write noise"], KEY, after)
        assert abs(cells.written[0].std() / (sigma / 40.0) - 1) < 0.02


def test_power_drift_and_its_compensation():
    line = {"slope": 0.0, "offset": 0.05, "low": 0.05, "high": 0.05}
    none = {"slope": 0.0, "offset": 0.0, "low": 0.0, "high": 0.0}
    drift = {"law": "power", "t0_s": 20.0, "nu_mean": line, "nu_spread": none}
    weights = np.array([254.0, -100.0, 0.0])
    plain = written(weights, "fc", device(drift=drift), FULL, KEY, 2000.0)
    np.testing.assert_allclose(plain.weights(0.0), weights * 100.0**-0.05, rtol=1e-12)
    np.testing.assert_allclose(plain.weights(18_000.0), weights * 1000.0**-0.05, rtol=1e-12)
    early = written(weights, "fc", device(drift=drift), FULL, KEY, 3.0)
    np.testing.assert_allclose(early.weights(0.0), weights, rtol=1e-12)
    held = written(weights, "fc", device(drift={**drift, "compensated": True}), FULL, KEY, 2000.0)
    np.testing.assert_allclose(held.weights(0.0), weights, rtol=1e-12)
    assert np.all(np.abs(held.weights(18_000.0)[:2]) < np.abs(weights[:2]))


def test_exponential_decay_goes_on_from_step_to_step():
    drift = {"law": "exponential", "tau_s": 3.0, "kept": 0.25, "in_run": True}
    cells = written(np.array([200.0]), "fc", device(drift=drift), FULL, KEY, 0.0)
    for seconds in (0.0, 1.0, 7.0):
        np.testing.assert_allclose(cells.weights(seconds), 200.0 * (0.25 + 0.75 * np.exp(-seconds / 3.0)), rtol=1e-12)


@settings(max_examples=10)
@given(st.data())
def test_a_decay_within_the_run_is_that_of_every_step_by_itself(data):
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip, max_steps=5))
    drift = {"law": "exponential", "tau_s": 3.0, "kept": 0.0, "in_run": True}
    made = perturbed(chip, device(drift=drift), KEY, FULL, 0.0)
    assert made.by_step
    at = {t: perturbed(chip, device(drift={**drift, "in_run": False}), KEY, FULL, float(t)) for t in range(5)}

    def sums(connection, step, values, _total):
        now = at[min(max(step, 0), 4)]
        weights = np.rint(now.cells[connection.name].weights(0.0) * 2.0 ** made.fine[connection.name])
        return np.asarray((reading.matrix_of(connection.synapse, weights.astype(np.int64)) @ values.T).T)

    assert_equal(reading.run(made, inputs, ALL), oracle.run(made.network, inputs, ALL, sums))


def test_stuck_cells_are_as_many_as_said_and_stay_what_they_are():
    weights = np.tile([254.0, -128.0, 0.0, 64.0], 10_000)
    plain = written(weights, "fc", STUCK, OFF, KEY, 0.0).written
    few, more = (written(weights, "fc", STUCK, replace(OFF, stuck=f), KEY, DAY).written for f in (0.5, 1.0))
    for cells, factor in ((few, 0.5), (more, 1.0)):
        high = np.mean((cells == 1.0)[plain < 1.0])
        low = np.mean((cells == 0.0)[plain > 0.0])
        assert abs(high - 0.0904 * factor) < 0.004
        assert abs(low - 0.0175 * factor) < 0.003
    assert np.all((few == plain) | (few == more))


def test_pairs_hold_as_many_levels_as_said():
    weights = np.arange(-254.0, 255.0)
    cells = written(weights, "fc", device(levels=8), FULL, KEY, 0.0)
    found = np.unique(np.round(cells.weights(0.0), 9))
    np.testing.assert_allclose(found, 254.0 * np.arange(-7, 8) / 7, atol=1e-8)
    assert np.abs(cells.weights(0.0) - weights).max() <= 254.0 / 14 + 1e-9
    assert np.all((cells.written == 0.0).any(axis=0))


@pytest.mark.parametrize("bits", [2, 4, 8, 12])
def test_converters_are_off_by_half_a_step_within_their_reach(bits):
    sums, most = np.arange(-3000, 3001), 2047
    found = reading.converted(sums, bits, most)
    step = most / (2 ** (bits - 1) - 1)
    inside = np.abs(sums) <= most
    assert np.abs(found - sums)[inside].max() <= step / 2 + 0.5
    assert np.abs(found).max() == most
    assert len(np.unique(found)) == min(2**bits - 1, 2 * most + 1)
    np.testing.assert_array_equal(found, -found[::-1])


def test_noise_of_sums_is_that_of_their_cells_drawn_one_by_one():
    """The standard deviation of a sum against cells drawn by themselves, and none where nothing is sent."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-254, 255, 30).astype(np.float64)
    cells = written(weights, "fc", MEMRISTOR, ALONE["read noise"], KEY, 0.0)
    sent = rng.integers(0, 2, 30)
    by_cell = 0.01 * rng.standard_normal((20_000, 2, 30))
    one_by_one = ((by_cell[:, 0] - by_cell[:, 1]) * cells.unit) @ sent
    assert abs(np.sqrt(cells.variance() @ sent**2) / one_by_one.std() - 1) < 0.02


def test_slow_and_fast_noise_of_pcm_are_the_whole_spectrum():
    cells = written(np.full(2, 254.0), "fc", PCM, ALONE["read noise"], KEY, DAY)
    whole = np.log((DAY + 250e-9) / 500e-9)
    fast = cells.variance()[0] / (0.0088 * 254.0) ** 2
    slow = ((cells.conductances(0.0)[0, 0] - 1.0) / (0.0088 * cells.slow[0, 0])) ** 2
    np.testing.assert_allclose(fast + slow, whole, rtol=1e-9)
    np.testing.assert_allclose(fast, np.log((1e-3 + 250e-9) / 500e-9), rtol=1e-9)


def test_times_and_keys_out_of_range_are_refused():
    chip = one_layer()
    with pytest.raises(RanvierError, match="RV552"):
        perturbed(chip, PCM, KEY, FULL, -1.0)
    with pytest.raises(RanvierError, match="RV552"):
        perturbed(chip, PCM, KEY, FULL, float("nan"))
    with pytest.raises(RanvierError, match="RV553"):
        perturbed(chip, PCM, Key(-1, 0))
