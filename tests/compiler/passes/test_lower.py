"""Quantize and fit: exact where exactness is possible, recorded where it is not, refused where it cannot be."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.linear import Dense, Sparse
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Observed, Readout
from ranvier.compiler.ir.neurons import Lif, RegisterLif
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.passes.calibrate import Calibrate
from ranvier.compiler.passes.fit import Fit
from ranvier.compiler.passes.quantize import Quantize
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes import oracle, reference
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_target
from support.float_networks import dyadic_inputs, float_networks

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")
OPTIONS = Options()


def single(model: Lif, weights: np.ndarray | None = None, coding: str = "spikes") -> Network:
    """One dense layer into one population."""
    w = np.array([[1.0, -0.5], [0.25, 0.75]]) if weights is None else weights
    nodes = (Input("input", (w.shape[1],), coding), Dense("d", w), Neurons("n", (w.shape[0],), model))
    return Network("single", nodes, (Edge("input", "d"), Edge("d", "n")), Readout("n"))


def lowered(network: Network, target: object = LOIHI2, **observed: Observed) -> ChipNetwork:
    return lower(prepare(network), target, observed or None, OPTIONS)


def without_loss(network: Network) -> Network:
    """``network`` with neurons whose arithmetic is exact on the chip: no decay, no drive."""

    def exact(model: Lif) -> Lif:
        return replace(model, keep_current=0.0, keep_membrane=1.0, drive=0.0, initial=0.0)

    nodes = tuple(replace(n, model=exact(n.model)) if isinstance(n, Neurons) else n for n in network.nodes)
    plain = tuple(replace(n, bias=None) if hasattr(n, "bias") else n for n in nodes)
    zero_shift = tuple(replace(n, shift=np.zeros(())) if hasattr(n, "shift") else n for n in plain)
    return replace(network, nodes=zero_shift)


@given(float_networks(), st.integers(0, 2**32 - 1))
def test_where_weights_land_on_the_grid_the_chip_spikes_exactly_like_the_float_network(
    network: Network, seed: int
) -> None:
    network = without_loss(network)
    inputs = dyadic_inputs(network, seed)
    assume(np.abs(inputs).max() > 0)
    prepared = prepare(network)
    observed = observe(prepared, inputs)
    quantized = Quantize(LOIHI2)(Calibrate(observed)(prepared))
    assume(all(_lossless(prepared, quantized, op.name) for op in prepared.linears))
    assume(all(_whole(p.model, q.scale) for p, q in zip(prepared.populations, quantized.populations, strict=True)))
    chip = Fit(LOIHI2)(quantized)
    float_run, chip_run = reference.run(prepared, inputs, ("spikes",)), oracle.run(chip, inputs, ("spikes",))
    assume(not chip_run.overflows)
    for name, spikes in float_run.spikes.items():
        np.testing.assert_array_equal(spikes, chip_run.spikes[name])


def _lossless(before: Network, after: Network, name: str) -> bool:
    real, rounded = before.by_name[name], after.by_name[name]
    source = after.by_name[after.into[name][0].source]
    payload = source.payload.scale if isinstance(source, Input) and source.payload else 1.0
    grid = rounded.grid
    key = "data" if isinstance(real, Sparse) else "weight"
    back = getattr(rounded, key) * 64 * 2.0**grid.exponent / grid.scale * payload
    return bool(np.allclose(back, getattr(real, key), rtol=1e-12, atol=0))


def _whole(model: object, scale: float) -> bool:
    assert isinstance(model, Lif)
    values = [model.threshold, model.reset_amount, np.array(model.floor or 0.0)]
    return all(bool(np.allclose(v * scale, np.rint(v * scale), rtol=0, atol=1e-9)) for v in values)


@pytest.mark.parametrize(("compare", "spikes"), [(">", 0), (">=", 1)])
def test_a_membrane_exactly_at_threshold_follows_the_comparison(compare: str, spikes: int) -> None:
    for reset in ("value", "subtract"):
        network = single(Lif(threshold=1.0, compare=compare, reset=reset), np.eye(2))
        chip = lowered(network)
        run = oracle.run(chip, np.ones((1, 1, 2)), ("spikes",))
        assert run.spikes["n"].sum() == 2 * spikes


def test_every_rounding_is_recorded_and_within_half_a_register_step() -> None:
    chip = lowered(single(Lif(keep_current=0.3, keep_membrane=0.7, threshold=0.9, drive=0.01)))
    worst = {r.parameter: r.worst for r in chip.roundings}
    scale = chip.populations[0].scale
    assert {"weight", "du", "dv", "bias"} <= set(worst) <= {"weight", "du", "dv", "bias", "vth"}
    assert worst["du"] <= 0.5 / 4096
    assert worst["dv"] <= 0.5 / 4096
    assert worst.get("vth", 0.0) <= 32 / scale + 1e-12
    assert worst["bias"] <= 0.5 / scale + 1e-12


def test_a_constant_into_a_slow_current_has_its_transient_on_the_chip() -> None:
    network = single(
        Lif(keep_current=0.75, keep_membrane=0.5, current_drive=np.array([0.5, -0.25]), threshold=1e3), np.eye(2)
    )
    chip = lowered(network)
    zeros = np.zeros((1, 30, 2))
    wanted = reference.run(prepare(network), zeros, ("membrane",)).membrane["n"]
    got = oracle.run(chip, zeros, ("membrane",)).membrane["n"] / chip.populations[0].scale
    np.testing.assert_allclose(got, wanted, atol=3e-3)


def test_calibration_keeps_states_within_their_registers() -> None:
    network = single(Lif(keep_membrane=1.0, threshold=4000.0), np.full((1, 50), 1.0))
    inputs = np.ones((1, 60, 50))
    prepared = prepare(network)
    plain = oracle.run(lower(prepared, LOIHI2, None, OPTIONS), inputs)
    fitted = oracle.run(lower(prepared, LOIHI2, observe(prepared, inputs), OPTIONS), inputs)
    assert not fitted.overflows
    assert plain.outputs.sum() == fitted.outputs.sum() == 0


def test_uncalibrated_networks_say_so() -> None:
    assert [n.code for n in lowered(single(Lif())).notes] == ["RV380"]


def test_real_inputs_need_a_range_and_exact_levels_are_found() -> None:
    network = single(Lif(threshold=2.0), coding="current")
    with pytest.raises(RanvierError, match="RV382"):
        lowered(network)
    inputs = np.arange(17).repeat(2).reshape(1, 17, 2) / 16
    prepared = prepare(network)
    chip = lower(prepared, LOIHI2, observe(prepared, inputs), OPTIONS)
    port = chip.ports[0]
    assert port.scale % 16 == 0
    np.testing.assert_array_equal(np.rint(inputs * port.scale), inputs * port.scale)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Lif(reset="subtract"), "soft reset"),
        (Lif(reset="none"), "no reset"),
        (Lif(max_spikes=0, reset="subtract"), "several spikes"),
        (Lif(floor=-1.0), "lower bound"),
        (Lif(reset_value=0.5), "reset value"),
    ],
)
def test_loihi1_refuses_what_it_has_no_hardware_for(model: Lif, words: str) -> None:
    with pytest.raises(RanvierError, match=words) as refused:
        lowered(single(model), LOIHI1)
    assert refused.value.diagnostics[0].code == "RV390"
    assert "loihi2" in refused.value.diagnostics[0].fix


def test_loihi1_refuses_real_inputs() -> None:
    with pytest.raises(RanvierError, match="RV381"):
        lowered(single(Lif(), coding="current"), LOIHI1)


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (Lif(keep_membrane=1.5), "RV393"),
        (Lif(keep_current=1.0, current_drive=1.0), "RV394"),
        (Lif(threshold=-1.0), "RV396"),
    ],
)
def test_what_no_register_can_hold_is_refused(model: Lif, code: str) -> None:
    with pytest.raises(RanvierError, match=code):
        lowered(single(model))


def test_all_problems_come_at_once() -> None:
    nodes: tuple[Node, ...] = (
        Input("input", (2,), "spikes"),
        Dense("a", np.eye(2)),
        Neurons("n1", (2,), Lif(keep_membrane=1.5)),
        Dense("b", np.eye(2)),
        Neurons("n2", (2,), Lif(threshold=-1.0)),
    )
    edges = tuple(Edge(x.name, y.name) for x, y in itertools.pairwise(nodes))
    with pytest.raises(RanvierError) as refused:
        lowered(Network("bad", nodes, edges, Readout("n2")))
    assert {d.place for d in refused.value.diagnostics} == {"n1", "n2"}


def test_registers_pass_through_untouched() -> None:
    model = RegisterLif(np.array(409), np.array(410), np.array(64), np.array(0))
    nodes = (Input("input", (3,), "spikes"), Dense("d", np.array([[2.0, -4, 254]])), Neurons("n", (1,), model))
    network = Network("given", nodes, (Edge("input", "d"), Edge("d", "n")), Readout("n"))
    chip = lowered(network)
    (population,), (connection,) = chip.populations, chip.connections
    assert {k: int(v) for k, v in population.params.items()} == {"du": 409, "dv": 410, "vth": 64, "bias": 0}
    np.testing.assert_array_equal(connection.synapse.weight, [[2, -4, 254]])
    with pytest.raises(RanvierError, match="RV383"):
        lowered(replace(network, nodes=(nodes[0], Dense("d", np.array([[0.3, 1, 2]])), nodes[2])))


def test_small_weights_beside_large_ones_get_their_own_exponent() -> None:
    nodes = (
        Input("input", (2,), "spikes"),
        Dense("big", np.array([[64.0, -64.0]])),
        Dense("small", np.array([[1.0, -0.37]])),
        Neurons("n", (1,), Lif(threshold=10.0)),
    )
    edges = (Edge("input", "big"), Edge("input", "small"), Edge("big", "n"), Edge("small", "n"))
    chip = lowered(Network("two", nodes, edges, Readout("n")))
    exponents = {c.name: c.exponent for c in chip.connections}
    assert exponents["small"] == 0
    assert exponents["big"] >= 6


def test_the_quantized_level_is_checked() -> None:
    prepared = prepare(single(Lif()))
    quantized = Quantize(LOIHI2)(Calibrate(None)(prepared))
    dense = quantized.by_name["d"]
    assert isinstance(dense, Dense)
    broken = replace(
        quantized, nodes=tuple(replace(n, weight=dense.weight + 1) if n is dense else n for n in quantized.nodes)
    )
    with pytest.raises(RanvierError, match="RV327"):
        check_network(broken, "quantized")


def test_problems_of_the_input_and_of_the_neurons_come_together() -> None:
    with pytest.raises(RanvierError) as refused:
        lowered(single(Lif(reset="subtract"), coding="current"), LOIHI1)
    assert [d.code for d in refused.value.diagnostics] == ["RV381", "RV390"]
