"""Neurons beyond the leaky integrate-and-fire family: fold, quantize and fit, on a programmable and on a fixed chip."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Conv, Dense
from ranvier.compiler.ir.models import FORMS, levels, multipliers
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import (
    AdaptiveLif,
    FeedbackLif,
    Lif,
    NeuronModel,
    RegisterLif,
    Resonator,
    SigmaDelta,
    TwoCompartment,
)
from ranvier.compiler.ir.text import KINDS, dump, equal, parse
from ranvier.compiler.passes.demands import DEMANDS
from ranvier.compiler.passes.fit import FITS
from ranvier.compiler.passes.fold import RULES
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes import oracle, reference
from ranvier.runtimes.observe import observe
from ranvier.runtimes.recording import Records
from ranvier.runtimes.simulator import run
from ranvier.targets.load import load_target
from support.kinds import MODELS, data, lowered, network

ALL: Records = ("spikes", "states", "membrane")
AGREEMENT = 0.93
"""Share of neuron-steps that must be alike after quantizing to 8-bit weights, in nets that feed back on themselves."""


def single(model: NeuronModel, weights: NDArray[np.float64], bias: NDArray[np.float64] | None = None) -> Network:
    """Input, one dense layer, neurons."""
    nodes = (
        Input("in", (weights.shape[1],), "spikes"),
        Dense("w", weights, bias),
        Neurons("n", (len(weights),), model),
    )
    return Network("single", nodes, (Edge("in", "w"), Edge("w", "n")), Readout("n", "last_membrane"))


def test_every_model_has_its_row_everywhere() -> None:
    models = set(FORMS) | {Lif, RegisterLif}
    assert models == set(RULES) == set(FITS)
    assert set(DEMANDS) == models - {RegisterLif}
    assert {model.__name__ for model in models} <= set(KINDS)


@pytest.mark.parametrize("kind", MODELS)
def test_folding_gains_and_biases_changes_nothing(kind: str) -> None:
    plain, inputs = network(kind), data(kind)
    wanted, got = (reference.run(n, inputs, ALL) for n in (plain, prepare(plain)))
    np.testing.assert_allclose(got.membrane["hidden"], wanted.membrane["hidden"], atol=1e-12)
    np.testing.assert_allclose(got.spikes["hidden"], wanted.spikes["hidden"], atol=1e-12)


@pytest.mark.parametrize("kind", MODELS)
def test_the_integer_network_follows_the_float_one(kind: str) -> None:
    _, chip, inputs = lowered(kind)
    wanted, got = reference.run(network(kind), inputs, ALL), oracle.run(chip, inputs, ALL)
    assert not got.overflows
    alike = (wanted.spikes["hidden"] != 0) == (got.spikes["hidden"] != 0)
    assert np.mean(alike) >= AGREEMENT
    assert 0.02 < np.mean(wanted.spikes["hidden"] != 0) < 0.6
    population = chip.populations[0]
    first = got.membrane["hidden"][:, :3] / population.scale
    np.testing.assert_allclose(first, wanted.membrane["hidden"][:, :3], atol=0.08)
    simulated = run(chip, inputs, ALL)
    for name in got.spikes:
        np.testing.assert_array_equal(simulated.spikes[name], got.spikes[name])
        for state, values in got.states[name].items():
            np.testing.assert_array_equal(simulated.states[name][state], values)


@pytest.mark.parametrize("kind", [k for k in MODELS if k != "sigma_delta"])
def test_a_fixed_chip_refuses_with_the_way_out(kind: str) -> None:
    plain = network(kind)
    no_readout = tuple(
        replace(n, model=Lif()) if n.name == "out" and isinstance(n, Neurons) else n for n in plain.nodes
    )
    with pytest.raises(RanvierError) as refused:
        lower(prepare(replace(plain, nodes=no_readout)), load_target("loihi1"), None, Options())
    (found,) = refused.value.diagnostics
    assert found.code == ("RV390" if kind == "alpha" else "RV620")
    assert found.place == "hidden"
    assert "loihi2" in found.fix


def test_registers_are_the_rounded_parameters_and_every_rounding_is_recorded() -> None:
    model = TwoCompartment(keep_dendrite=0.3, from_soma=-0.77, keep_soma=1.2, from_dendrite=0.41, dendrite_reset=0.333)
    chip = lower(prepare(single(model, np.eye(2))), load_target("loihi2"), None, Options())
    (population,) = chip.populations
    worst = {r.parameter: r.worst for r in chip.roundings}
    for name in multipliers(model):
        if name != "gain":
            assert int(population.params[name]) == round(float(getattr(model, name)) * 4096)
            assert worst.get(name, 0.0) <= 0.5 / 4096
    for name in levels(model):
        if name in population.params:
            assert int(population.params[name]) == round(float(getattr(model, name)) * population.scale)
            assert worst.get(name, 0.0) <= 0.5 / population.scale + 1e-12
    assert {"keep_dendrite", "from_soma", "keep_soma", "from_dendrite"} <= set(worst)


def test_coefficients_beyond_the_multiplier_are_refused() -> None:
    with pytest.raises(RanvierError, match="RV621"):
        lower(prepare(single(Resonator(rotate_real=2.5), np.eye(2))), load_target("loihi2"), None, Options())


def test_a_constant_into_a_current_that_is_cleared_is_refused() -> None:
    model = Lif(keep_current=0.5, reset_current=True)
    with pytest.raises(RanvierError, match="RV622"):
        lower(prepare(single(model, np.eye(2), np.ones(2))), load_target("loihi2"), None, Options())


def test_uncalibrated_messages_say_so_and_saturate_without_loss() -> None:
    chip = lower(prepare(single(SigmaDelta(), 40 * np.eye(2))), load_target("loihi2"), None, Options())
    assert {"RV624", "RV625"} <= {note.code for note in chip.notes}
    frames = np.zeros((1, 40, 2))
    frames[:, 0] = 1
    result = oracle.run(chip, frames, ALL)
    assert result.overflows
    told = result.states["n"]["v"][0, -1]
    np.testing.assert_allclose(told / chip.populations[0].scale, 40, rtol=0.01)


def test_messages_through_convolutions() -> None:
    """A convolution has no exponent: its scale and that of the messages must meet all the same."""
    rng, shape = np.random.default_rng(4), (2, 6, 6)
    model = SigmaDelta(threshold=0.02)
    nodes = (
        Input("in", shape, "current"),
        Neurons("encoder", shape, replace(model, integrate=False, activation="unit")),
        Conv("c1", rng.normal(0, 0.4, (3, 2, 3, 3)), shape, None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
        Neurons("hidden", (3, 6, 6), model),
        Dense("w", rng.normal(0, 0.3, (4, 108))),
        Neurons("out", (4,), replace(model, threshold=0.0, activation="unit")),
    )
    edges = tuple(Edge(a.name, b.name) for a, b in itertools.pairwise(nodes))
    plain = Network("sdnn", nodes, edges, Readout("out", "last_membrane"))
    inputs = np.repeat(np.rint(rng.uniform(-1, 1, (2, 1, *shape)) * 15) / 15, 12, axis=1)
    prepared = prepare(plain)
    chip = lower(prepared, load_target("loihi2"), observe(prepared, inputs), Options())
    wanted, got = reference.run(plain, inputs, ALL), oracle.run(chip, inputs, ALL)
    assert not got.overflows
    error = np.abs(got.outputs / chip.populations[-1].scale - wanted.outputs)[:, -1]
    assert error.max() < 0.05 * np.abs(wanted.outputs).max()
    np.testing.assert_array_equal(got.predictions, wanted.predictions)


@pytest.mark.parametrize("kind", MODELS)
def test_text_and_back(kind: str) -> None:
    for value in (network(kind), lowered(kind)[1]):
        assert equal(parse(*dump(value)), value)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (AdaptiveLif(adaptation=np.nan), "adaptation contains NaN"),
        (TwoCompartment(from_soma=np.arange(3.0)), "from_soma has shape"),
        (FeedbackLif(feedback=-np.inf), "feedback contains"),
        (SigmaDelta(threshold=-0.1), "negative"),
        (SigmaDelta(message_scale=-1.0), "integers per unit"),
    ],
)
def test_models_without_meaning_are_refused_by_name(model: NeuronModel, words: str) -> None:
    with pytest.raises(RanvierError, match=words) as refused:
        prepare(single(model, np.eye(2)))
    assert refused.value.diagnostics[0].place == "n"
