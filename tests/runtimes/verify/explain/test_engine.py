"""Layers in any mixture of parts: all deployed they equal the oracle, all exact the float network."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes import oracle, reference
from ranvier.runtimes.observe import observe
from ranvier.runtimes.recording import encode
from ranvier.runtimes.verify.explain import groups
from ranvier.runtimes.verify.explain.arithmetic import comparing, comparison, same_structure
from ranvier.runtimes.verify.explain.bench import Bench
from ranvier.runtimes.verify.explain.engine import forced, run
from ranvier.runtimes.verify.explain.layers import mixed, pairs_of_chips, units
from ranvier.targets.load import load_target
from support import kinds
from support.faults import random_network
from support.networks import Limits, chip_networks, inputs_for

RECORD = ("spikes", "membrane")


def flat(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(*values.shape[:2], -1)


def wires_of(chip: ChipNetwork, inputs: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    port = chip.ports[0]
    return port.name, flat(encode(port, inputs)).astype(np.float64)


@given(st.data())
def test_deployed_layers_equal_the_oracle_in_every_membrane(data: st.DataObject) -> None:
    chip = data.draw(chip_networks(Limits(max_neurons=8)))
    inputs = data.draw(inputs_for(chip))
    wanted = oracle.run(chip, inputs, RECORD)
    port, frames = wires_of(chip, inputs)
    layers = [mixed(pair, groups.NOTHING) for pair in pairs_of_chips(chip, chip)]
    got = run(layers, port, frames, [layer.name for layer in layers])
    wires = {port: frames} | {name: flat(v) for name, v in wanted.spikes.items()}
    for layer in layers:
        sent, membrane = forced(layer, wires)
        np.testing.assert_array_equal(got.sent[layer.name], flat(wanted.spikes[layer.name]))
        np.testing.assert_array_equal(got.membrane[layer.name], flat(wanted.membrane[layer.name]) / layer.unit)
        np.testing.assert_array_equal(sent, got.sent[layer.name])
        np.testing.assert_array_equal(membrane, got.membrane[layer.name])


@pytest.mark.parametrize("kind", kinds.MODELS)
def test_exact_layers_equal_the_float_network_of_every_kind(kind: str) -> None:
    source, chip, inputs = kinds.lowered(kind)
    check_exact(Bench(chip, source, inputs))


@pytest.mark.parametrize(
    "options", [Options(), Options(per_channel=True), Options(weight_bits=3), Options(exponent_groups=3)], ids=str
)
@pytest.mark.parametrize("seed", range(4))
def test_exact_layers_equal_the_float_network(options: Options, seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = prepare(random_network(rng, on_lattice=seed == 3))
    inputs = (rng.random((3, 25, *source.inputs[0].shape)) < 0.4).astype(np.int64)
    check_exact(Bench(lower(source, load_target("loihi2"), observe(source, inputs), options), source, inputs))


def check_exact(bench: Bench) -> None:
    """All exact: the float network's spikes and membranes; all deployed: the oracle's."""
    exact, deployed = bench.run(groups.EVERYTHING, bench.pairs), bench.run(groups.NOTHING, bench.pairs)
    wanted, chip = reference.run(bench.source, bench.inputs, RECORD), oracle.run(bench.chip, bench.inputs, RECORD)
    np.testing.assert_array_equal(exact.predictions, wanted.predictions)
    np.testing.assert_array_equal(deployed.predictions, chip.predictions)
    for p in bench.chip.populations:
        payload = bench.frame.payloads.get(p.name, 1.0)
        np.testing.assert_allclose(exact.sent[p.name] / payload, flat(wanted.spikes[p.name]), atol=1e-9)
        np.testing.assert_allclose(exact.membrane[p.name], flat(wanted.membrane[p.name]), rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(deployed.sent[p.name], flat(chip.spikes[p.name]))
        np.testing.assert_array_equal(deployed.membrane[p.name], flat(chip.membrane[p.name]) / units(p))


def test_one_part_alone_is_between_the_two() -> None:
    """With the weights alone as deployed, the membrane error is that of the weights: the float network with them."""
    rng = np.random.default_rng(5)
    source = prepare(random_network(rng))
    inputs = (rng.random((3, 25, *source.inputs[0].shape)) < 0.4).astype(np.int64)
    bench = Bench(lower(source, load_target("loihi2"), None, Options(weight_bits=4)), source, inputs)
    exact = bench.run(groups.EVERYTHING, bench.pairs)
    alone = bench.run(groups.EVERYTHING - {groups.WEIGHTS}, bench.pairs)
    chip_weights = bench.run(groups.NOTHING, bench.pairs)
    first = next(iter(bench.pairs))
    moved = np.abs(alone.membrane[first][:, 0] - exact.membrane[first][:, 0]).max()
    assert moved > 1e-3
    np.testing.assert_allclose(alone.membrane[first][:, 0], chip_weights.membrane[first][:, 0], atol=1e-3)
    assert groups.WEIGHTS in bench.active[first]
    assert groups.DELAY not in bench.active[first]


def test_comparisons_are_told_and_changed_whatever_the_neuron() -> None:
    for kind in kinds.MODELS:
        _, chip, _ = kinds.lowered(kind)
        for p in chip.populations:
            kept = comparison(p.program)
            if kept is None:
                assert kind == "quantizer"
                continue
            other = comparing(p.program, "ge" if kept == "gt" else "gt")
            assert comparison(other) != kept
            assert same_structure(other, p.program)
            assert comparing(other, kept).ops == p.program.ops
