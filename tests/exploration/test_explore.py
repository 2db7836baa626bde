"""Exploration from Python: float networks and chip networks, data, elision."""

import numpy as np
import pytest

import ranvier
from ranvier.compiler.analysis.states import chip_states
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.pipeline import prepare
from ranvier.compiler.schedule.choices import OWN
from ranvier.compiler.schedule.cost import costs
from ranvier.compiler.schedule.plan import planned
from ranvier.exploration import Wish, explore
from ranvier.exploration.elision import compared, without_states
from ranvier.runtimes import oracle, reference
from ranvier.targets.hierarchies import HierarchyCore
from ranvier.targets.load import load_hierarchy
from support.apps import small_data, small_network
from support.schedules import conv_network, events


def core() -> HierarchyCore:
    return load_hierarchy("stems_1mb").core


def test_a_float_network_with_its_data() -> None:
    inputs, labels = small_data()
    found = explore(small_network(), "stems_1mb", data=(inputs, labels))
    assert found.agrees
    assert found.workload.steps == inputs.shape[1]
    assert found.found.exact
    predictions = reference.run(prepare(small_network()), inputs).predictions
    assert found.accuracy == np.mean(predictions == labels)
    assert [e.layers for e in found.elisions] == [(layer.name,) for layer in found.workload.layers if layer.stateful]
    for elision in found.elisions:
        assert elision.state_bits < found.workload.state_bits
        assert elision.dram_bits <= found.chosen.dram_bits


def test_density_is_measured_on_the_data_and_scales_products_alone() -> None:
    inputs, labels = small_data()
    network = prepare(small_network())
    found = explore(small_network(), "stems_1mb", data=(inputs, labels))
    sent = reference.run(network, inputs, ("spikes",)).spikes
    shares = {network.inputs[0].name: np.mean(inputs != 0)} | {name: np.mean(s != 0) for name, s in sent.items()}
    assert found.density.basis == "measured"
    assert found.density.samples == len(inputs)
    assert dict(found.density.sent) == pytest.approx(shares)
    assert any(0.0 < share < 1.0 for share in shares.values())
    dense = explore(small_network(), "stems_1mb", inputs.shape[1])
    assert dense.density.basis == "assumed"
    assert set(dense.density.sent.values()) == {1.0}
    for layer, other in zip(found.workload.layers, dense.workload.layers, strict=True):
        (operand,) = layer.operands
        assert layer.density == pytest.approx(shares[operand.source])
        assert other.density == 1.0
    for choice, point in dense.found.uniform.items():
        scaled = found.found.uniform[choice]
        plans = (planned(exploration.workload, point.schedule, core(), OWN) for exploration in (dense, found))
        less = [costs(plan).level_pj("compute") for plan in plans]
        assert scaled.bits == point.bits
        assert scaled.cycles == point.cycles
        assert point.energy_pj - scaled.energy_pj == pytest.approx(less[0] - less[1])
        assert less[1] < less[0]


def test_a_density_that_is_given_holds_for_all_layers_even_with_data() -> None:
    found = explore(small_network(), "stems_1mb", data=(small_data()[0], None), wish=Wish(density=0.25))
    assert found.density.basis == "given"
    assert {layer.density for layer in found.workload.layers} == {0.25}
    assert found.agrees


def test_the_density_of_a_chip_network_is_that_of_its_integers() -> None:
    chip = conv_network(3)
    inputs = events(chip, 4)
    found = explore(chip, "stems_1mb", data=(inputs, None))
    sent = oracle.run(chip, inputs, ("spikes",)).spikes
    assert found.density.sent["in"] == np.mean(inputs != 0)
    assert all(found.density.sent[name] == np.mean(values != 0) for name, values in sent.items())


def test_a_proof_is_asked_for() -> None:
    found = explore(conv_network(3, (16, 16, 8, 8, 4, 2)), "stems_1mb", 4, wish=Wish(prove=True))
    assert found.found.exact
    assert found.found.bound <= found.chosen.energy_pj


def test_an_elided_layer_sends_what_a_layer_without_memory_sends() -> None:
    folded = prepare(small_network())
    name = folded.populations[0].name
    variant = without_states(folded, [name])
    assert isinstance(variant, Network)
    model = variant.populations[0].model
    assert isinstance(model, Lif)
    assert float(model.keep_membrane.max()) == float(model.keep_current.max()) == 0.0
    inputs, labels = small_data()
    found = explore(small_network(), "stems_1mb", data=(inputs, labels))
    one = next(e for e in found.elisions if e.layers == (name,))
    runs = [reference.run(network, inputs, ("spikes",)) for network in (folded, variant)]
    same = [np.mean(a == b) for a, b in zip(runs[0].spikes.values(), runs[1].spikes.values(), strict=True)]
    assert one.accuracy == np.mean(runs[1].predictions == labels)
    if len(same) == 1 and folded.readout.reads_spikes:
        assert one.agreement == pytest.approx(same[0])
    assert compared(folded, runs[0], runs[0], labels, one).agreement == 1.0


def test_a_program_in_its_own_integers() -> None:
    app = ranvier.compile(small_network(), calibrate=small_data()[0])
    found = explore(app.program.chip, "stems_1mb", data=small_data())
    assert found.agrees
    layers = chip_states(app.program.chip).layers
    kept = [layer.neurons * sum(s.register for s in layer.states if s.proved) for layer in layers]
    assert found.workload.state_bits == sum(kept) > 0


def test_layers_are_dropped_together() -> None:
    chip = conv_network(3)
    found = explore(chip, "stems_1mb", data=(events(chip, 4), None), wish=Wish(elide=("p0", "p1")))
    assert [e.layers for e in found.elisions] == [("p0",), ("p1",), ("p2",), ("p0", "p1")]
    together, first = found.elisions[3], found.elisions[0]
    assert together.state_bits < first.state_bits < found.workload.state_bits
    assert all(e.accuracy is None and e.agreement is not None for e in found.elisions)


@pytest.mark.parametrize(
    ("labels", "steps", "wish", "code"),
    [
        (None, None, Wish(density=1.5), "RV760"),
        (None, None, Wish(density=float("nan")), "RV760"),
        (np.zeros(3), None, Wish(), "RV542"),
        (None, None, Wish(elide=("nobody",)), "RV540"),
        (None, None, Wish(schedule="TB-LF,TB-LF,TB-LF,TB-LF,TB-LF"), "RV534"),
    ],
)
def test_what_does_not_fit_is_refused(labels: object, steps: int | None, wish: Wish, code: str) -> None:
    with pytest.raises(RanvierError, match=code):
        explore(small_network(), "stems_1mb", steps, (small_data()[0], labels), wish)  # type: ignore[arg-type]
