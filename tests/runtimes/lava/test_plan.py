"""Where stock neurons are exact and where they are not, and what no Lava process computes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Port
from ranvier.compiler.ir.programs import Features
from ranvier.runtimes.lava.plan import bias_registers, plan
from ranvier.runtimes.lava.preamble import early_spikers
from support.lava_networks import connect, conv, dense, legal_networks, lif, network

RNG = np.random.default_rng(0)
INPUT = Port("input", (5,))


@given(st.lists(st.integers(-4095, 4095), min_size=1), st.lists(st.integers(0, 7), min_size=1))
def test_bias_registers_hold_every_bias_that_has_some(mantissas: list[int], exponents: list[int]) -> None:
    bias = np.array([m << exponents[i % len(exponents)] for i, m in enumerate(mantissas)], np.int64)
    found = bias_registers(lif("n", bias.shape, 1, params={"bias": bias}))
    assert found is not None
    mantissa, exponent = found
    np.testing.assert_array_equal(mantissa << exponent, bias)
    assert np.abs(mantissa).max() <= 4095
    assert exponent.min() >= 0
    assert exponent.max() <= 7


@pytest.mark.parametrize("bias", [4097, -8193, 4096 << 7])
def test_bias_that_no_register_holds_needs_a_generated_process(bias: int) -> None:
    population = lif("out", (3,), 1, params={"bias": bias})
    assert bias_registers(population) is None
    assert not plan(network(INPUT, [population], [connect("input", "out", dense(RNG, 3, 5))])).neurons[0].stock


def test_biases_share_an_exponent_where_they_can() -> None:
    found = bias_registers(lif("n", (2,), 1, params={"bias": np.array([4095 << 3, 8])}))
    assert found is not None
    np.testing.assert_array_equal(found[1], [3, 3])
    found = bias_registers(lif("n", (2,), 1, params={"bias": np.array([4095 << 3, 1])}))
    assert found is not None
    np.testing.assert_array_equal(found[1], [3, 0])


def test_stock_neurons_start_from_zero_and_reset_to_zero() -> None:
    layers = [
        lif("stock", (3,), 1),
        lif("started", (3,), 1, initial={"v": 5}),
        lif("soft", (3,), 1, Features("subtract")),
    ]
    chip = network(INPUT, layers, [connect("input", layer.name, dense(RNG, 3, 5)) for layer in layers])
    assert [n.stock for n in plan(chip).neurons] == [True, False, False]


def test_delay_that_balances_a_longer_branch_keeps_one_run_without_drain() -> None:
    layers = [lif("a", (4,), 1), lif("b", (4,), 2), lif("c", (4,), 3)]
    wires = [connect("input", "a", dense(RNG, 4, 5)), connect("a", "b", dense(RNG, 4, 4))]
    wires += [connect("b", "c", dense(RNG, 4, 4)), connect("a", "c", dense(RNG, 4, 4), delay=1)]
    chosen = plan(network(INPUT, layers, wires))
    assert (chosen.fresh, chosen.drain) == (False, 0)
    assert all(n.stock for n in chosen.neurons)
    assert chosen.synapses[3].process == "DelayDense"


def test_recurrent_generated_neurons_drain_for_as_long_as_their_spikes_travel() -> None:
    layers = [lif("a", (4,), 1, Features("subtract"))]
    wires = [connect("input", "a", dense(RNG, 4, 5)), connect("a", "a", dense(RNG, 4, 4), delay=3)]
    chosen = plan(network(INPUT, layers, wires))
    assert (chosen.fresh, chosen.drain) == (False, 4)


def test_silent_preamble_is_told_from_a_noisy_one() -> None:
    for bias, noisy in ((600 * 64 // 4 + 64, True), (600 * 64 // 4, False)):
        layer = lif("late", (2,), 4, params={"bias": bias, "dv": 0, "vth": 600})
        chip = network(INPUT, [layer], [connect("input", "late", dense(RNG, 2, 5), delay=3)])
        assert early_spikers(chip, frozenset({"late"})) == (frozenset({"late"}) if noisy else frozenset())
    assert early_spikers(chip, frozenset()) == frozenset()


def test_long_delay_is_refused() -> None:
    chip = network(INPUT, [lif("late", (2,), 64)], [connect("input", "late", dense(RNG, 2, 5), delay=63)])
    with pytest.raises(RanvierError, match=r"RV706.*input_late.*63 steps"):
        plan(chip)


def test_unrolled_convolution_whose_sums_might_wrap_is_refused() -> None:
    synapse = conv(RNG, (1, 5, 5), 2)
    port = Port("input", (1, 5, 5), bits=16)
    chip = network(port, [lif("out", synapse.out_shape, 2)], [connect("input", "out", synapse, delay=1)])
    with pytest.raises(RanvierError, match=r"RV706.*beyond the 24 bits"):
        plan(chip)


@given(legal_networks())
def test_single_run_never_needs_fresh_networks(chip: ChipNetwork) -> None:
    assert not plan(chip, single_run=True).fresh
