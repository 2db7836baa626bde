"""Lava and the oracle agree on every spike, state and membrane: Lava's own processes and the generated ones."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Port
from ranvier.compiler.ir.network import ReadoutKind
from ranvier.compiler.ir.programs import Features
from ranvier.runtimes import oracle
from ranvier.runtimes.lava import driver
from ranvier.runtimes.lava.emit import Project, emit
from ranvier.runtimes.lava.plan import plan
from support.lava_networks import assert_lava_agrees, connect, dense, legal_networks, lif, network, spikes
from support.networks import inputs_for

pytestmark = pytest.mark.usefixtures("lava")


@settings(max_examples=10, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_legal_networks(data: st.DataObject) -> None:
    chip = data.draw(legal_networks())
    assert_lava_agrees(chip, data.draw(inputs_for(chip)))


def test_stock_neurons_on_a_loop_run_each_sample_afresh() -> None:
    rng = np.random.default_rng(8)
    layers = [lif("hidden", (20,), 1, params={"du": 1000}), lif("out", (6,), 2)]
    wires = [connect("input", "hidden", dense(rng, 20, 10)), connect("hidden", "hidden", dense(rng, 20, 20), delay=1)]
    chip = network(Port("input", (10,)), layers, [*wires, connect("hidden", "out", dense(rng, 6, 20))])
    assert plan(chip).fresh
    inputs = spikes(rng, 3, 10, (10,))
    assert_lava_agrees(chip, inputs)
    assert not plan(chip, single_run=True).fresh
    assert_lava_agrees(chip, inputs, single_run=True)


def test_bias_that_spikes_before_the_first_step_does_not_leak() -> None:
    rng = np.random.default_rng(9)
    driven = {"bias": 4095 << 4, "vth": 600}
    layers = [lif("first", (8,), 1, params=driven), lif("looped", (8,), 4, params=driven)]
    wires = [connect("input", "first", dense(rng, 8, 5)), connect("first", "looped", dense(rng, 8, 8), delay=2)]
    chip = network(Port("input", (5,)), layers, [*wires, connect("looped", "looped", dense(rng, 8, 8))])
    assert [n.stock for n in plan(chip).neurons] == [True, False]
    assert_lava_agrees(chip, spikes(rng, 3, 6, (5,)))


@pytest.mark.parametrize("kind", ["first_spike", "last_membrane", "max_membrane"])
def test_readouts_of_stock_and_generated_neurons(kind: ReadoutKind) -> None:
    rng = np.random.default_rng(10)
    for f in (Features(), Features(reset="none")):
        chip = network(Port("input", (10,)), [lif("out", (4,), 1, f, {"bias": 64})],
                       [connect("input", "out", dense(rng, 4, 10))], kind)  # fmt: skip
        inputs = spikes(rng, 3, 8, (10,))
        got, wanted = driver.run(chip, inputs), oracle.run(chip, inputs)
        np.testing.assert_array_equal(got.outputs, wanted.outputs)
        np.testing.assert_array_equal(got.predictions, wanted.predictions)
        assert not got.spikes
        assert not got.stats


def test_inputs_that_do_not_fit_are_refused_before_lava_starts() -> None:
    rng = np.random.default_rng(11)
    chip = network(Port("input", (10,)), [lif("out", (4,), 1)], [connect("input", "out", dense(rng, 4, 10))])
    with pytest.raises(RanvierError, match="RV821"):
        driver.run(chip, spikes(rng, 1, 5, (9,)))


def test_failure_inside_the_emitted_network_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(12)
    chip = network(Port("input", (10,)), [lif("out", (4,), 1, Features(reset="none"))],
                   [connect("input", "out", dense(rng, 4, 10))])  # fmt: skip

    def broken(chip_: ChipNetwork, folder: Path, single_run: bool) -> Project:
        project = emit(chip_, folder, single_run)
        models = folder / "test_net_neurons" / "models.py"
        models.write_text(models.read_text().replace("return sent", "return sent.no_such_attribute"))
        return project

    monkeypatch.setattr("ranvier.runtimes.lava.driver.emit", broken)
    with pytest.raises(RanvierError, match="no_such_attribute") as caught:
        driver.run(chip, spikes(rng, 1, 5, (10,)), stall=20)
    assert caught.value.diagnostics[0].code == "RV704"
