"""Exploration from Python: float networks and chip networks, data, elision."""

import numpy as np
import pytest

import ranvier
from ranvier.compiler.analysis.states import chip_states
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.pipeline import prepare
from ranvier.exploration import Wish, explore
from ranvier.exploration.elision import compared, without_states
from ranvier.runtimes import reference
from support.apps import small_data, small_network
from support.schedules import conv_network, events


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
    assert compared(folded, inputs, labels, one, folded).agreement == 1.0


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
        (np.zeros(3), None, Wish(), "RV542"),
        (None, None, Wish(elide=("nobody",)), "RV540"),
        (None, None, Wish(schedule="TB-LF,TB-LF,TB-LF,TB-LF,TB-LF"), "RV534"),
    ],
)
def test_what_does_not_fit_is_refused(labels: object, steps: int | None, wish: Wish, code: str) -> None:
    with pytest.raises(RanvierError, match=code):
        explore(small_network(), "stems_1mb", steps, (small_data()[0], labels), wish)  # type: ignore[arg-type]
