"""State fitting: widths that keep the spikes are found, are the smallest, and elision is measured."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ranvier
from ranvier.compiler.analysis.states import chip_states, width
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout, ReadoutKind
from ranvier.compiler.ir.neurons import AdaptiveLif, Lif
from ranvier.compiler.passes.narrow import Narrow
from ranvier.runtimes import oracle
from ranvier.states import StateFit, elided, fit_states, narrowed
from support.apps import CLASSES, small_data, small_network
from support.cases import braille
from support.networks import Limits, chip_networks, inputs_for
from support.registers import counter

HALF, NONE = np.array(0.5), np.array(0.0)
MODELS = (
    Lif(keep_membrane=NONE),
    Lif(keep_membrane=np.array(0.75), keep_current=HALF, gain=HALF),
    Lif(keep_membrane=np.array(0.02)),
)


def chain(loop: bool = False, kind: ReadoutKind = "spike_count") -> Network:
    """Three populations: full leak, two slow states, nearly full leak; with ``loop`` the second feeds back."""
    rng = np.random.default_rng(5)
    nodes: list[Node] = [Input("input", (6,), "spikes")]
    for index, model in enumerate(MODELS):
        nodes += [Dense(f"fc{index}", rng.normal(0.5, 0.4, (6, 6))), Neurons(f"n{index}", (6,), model)]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    if loop:
        nodes.append(Dense("back", rng.normal(0.0, 0.3, (6, 6))))
        edges += [Edge("n1", "back", 2), Edge("back", "n0")]
    return Network("chain", tuple(nodes), tuple(edges), Readout("n2", kind))


def compiled(network: Network) -> tuple[ChipNetwork, np.ndarray]:
    data = (np.random.default_rng(1).random((20, 30, 6)) < 0.5).astype(np.int8)
    return ranvier.compile(network, "loihi2", data).program.chip, data


def spikes(chip: ChipNetwork, data: np.ndarray) -> dict[str, np.ndarray]:
    recording = oracle.run(chip, data, ("spikes",))
    return {**recording.spikes, "output": recording.outputs}


def same(chip: ChipNetwork, data: np.ndarray, variant: ChipNetwork) -> bool:
    full, narrow = spikes(chip, data), spikes(variant, data)
    return all(np.array_equal(full[name], narrow[name]) for name in full)


@pytest.fixture(scope="module", params=[False, True], ids=["chain", "loop"])
def fitted(request: Any) -> tuple[ChipNetwork, np.ndarray, StateFit]:
    chip, data = compiled(chain(request.param))
    return chip, data, fit_states(chip, data)


def test_every_width_keeps_the_spikes_in_the_oracle(fitted: Any) -> None:
    chip, data, fit = fitted
    assert min(values.mean() for values in spikes(chip, data).values()) > 0.05
    for column in ("proved", "measured", "fitted"):
        assert fit.verified[column].differing == 0
        assert fit.verified[column].bits == fit.memory.bits(column)
        assert same(chip, data, narrowed(chip, fit.memory, column))


def test_widths_fall_from_the_register_to_what_the_data_need(fitted: Any) -> None:
    _, _, fit = fitted
    for layer in fit.memory.layers:
        for s in layer.states:
            assert s.fitted <= s.measured <= s.proved <= s.register
    assert fit.memory.bits("fitted") < fit.memory.bits("measured") <= fit.memory.bits("proved")


@pytest.mark.parametrize("end", ["top", "bottom"])
def test_one_bit_less_than_fitted_changes_a_spike(fitted: Any, end: str) -> None:
    chip, data, fit = fitted
    stored, dropped = fit.memory.widths("fitted"), fit.memory.widths("dropped")
    tried = 0
    for name, states in stored.items():
        for state, bits in states.items():
            if bits > 1:
                whole = {n: {s: b + dropped[n][s] for s, b in own.items()} for n, own in stored.items()}
                less = {n: dict(own) for n, own in dropped.items()}
                if end == "top":
                    whole[name][state] -= 1
                else:
                    less[name][state] += 1
                assert not same(chip, data, Narrow(whole, less)(chip))
                tried += 1
    assert tried >= 2


def test_membranes_that_are_multiples_lose_their_low_bits() -> None:
    model = Lif(threshold=np.array(4.0))
    nodes = (Input("input", (6,), "spikes"), Dense("fc", np.eye(6)), Neurons("n", (6,), model))
    chip, data = compiled(Network("net", nodes, (Edge("input", "fc"), Edge("fc", "n")), Readout("n")))
    fit = fit_states(chip, data)
    (states,) = fit.memory.layers
    v = next(s for s in states.states if s.name == "v")
    assert v.measured == 17
    assert (v.dropped or 0) >= 6, "membranes are multiples of 64"
    assert (v.fitted or 0) + (v.dropped or 0) <= 17
    assert fit.verified["fitted"].differing == 0


def test_a_state_that_is_carried_but_never_matters_is_fitted_to_nothing() -> None:
    model = Lif(threshold=np.array(0.9), keep_membrane=np.array(0.05))
    weights = np.diag([1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    nodes = (Input("input", (6,), "spikes"), Dense("fc", weights), Neurons("n", (6,), model))
    chip, data = compiled(Network("net", nodes, (Edge("input", "fc"), Edge("fc", "n")), Readout("n")))
    fit = fit_states(chip, data)
    assert spikes(chip, data)["n"].any()
    v = next(s for s in fit.memory.layers[0].states if s.name == "v")
    assert (v.proved or 0) > 0
    assert (v.measured or 0) > 0
    assert (v.fitted, v.dropped) == (0, 0)
    assert fit.elisions[0].differing == 0


def test_measured_widths_hold_every_value_and_are_tight(fitted: Any) -> None:
    chip, data, fit = fitted
    states = oracle.run(chip, data, ("states",)).states
    for layer in fit.memory.layers:
        for s in layer.states:
            if s.measured:
                top = max(int(states[layer.name][s.name].max()), -int(states[layer.name][s.name].min()) - 1)
                assert 2 ** (s.measured - 2) <= top < 2 ** (s.measured - 1)


def test_elision_is_measured_layer_by_layer(fitted: Any) -> None:
    chip, data, fit = fitted
    assert [layer.elided for layer in fit.memory.layers] == [True, False, False]
    exact, slow, nearly = fit.elisions
    assert (exact.layers, exact.differing, exact.same_predictions) == (("n0",), 0, 1.0)
    assert slow.differing > nearly.differing >= 0
    full = spikes(chip, data)
    dropped = spikes(Narrow({"n1": {"u": 0, "v": 0}})(chip), data)
    assert slow.differing == sum(np.count_nonzero(full[n] != dropped[n]) for n in ("n0", "n1", "n2"))
    assert slow.compared == 20 * 30 * 18
    assert slow.bits == fit.memory.bits("register") - 6 * 48


@settings(max_examples=8)
@given(st.data())
def test_fitted_widths_of_random_networks_keep_their_spikes(data: st.DataObject) -> None:
    chip = data.draw(chip_networks(Limits(stock_only=True, max_neurons=8)))
    x = data.draw(inputs_for(chip))
    fit = fit_states(chip, x)
    assert same(chip, x, narrowed(chip, fit.memory, "fitted"))
    assert [trial.differing for trial in fit.verified.values()] == [0, 0, 0]


def test_measured_widths_hold_the_start() -> None:
    fit = fit_states(counter(dv=4000, start=-5000), np.ones((1, 5, 1), np.int8))
    v = next(s for s in fit.memory.layers[0].states if s.name == "v")
    assert v.measured == width(-5000, 0)


def test_layers_can_be_elided_together() -> None:
    chip, data = compiled(chain())
    together = fit_states(chip, data, elide=("n0", "n2")).elisions[-1]
    assert together.layers == ("n0", "n2")
    assert together.bits == 6 * 48


def test_a_membrane_that_is_read_counts_as_a_spike_does() -> None:
    chip, data = compiled(chain(kind="last_membrane"))
    fit = fit_states(chip, data)
    assert fit.verified["fitted"].differing == 0
    assert same(chip, data, narrowed(chip, fit.memory, "fitted"))
    full = oracle.run(chip, data).outputs
    assert fit.elisions[2].differing == np.count_nonzero(full != oracle.run(_without(chip, "n2"), data).outputs) > 0


def test_a_program_without_the_states_does_as_was_measured() -> None:
    inputs, _ = small_data()
    app = ranvier.compile(chain(), "loihi2", inputs)
    trial = fit_states(app.program.chip, inputs, elide=("n1", "n2")).elisions[-1]
    shorter = elided(app, ("n1", "n2"))
    full, dropped = spikes(app.program.chip, inputs), spikes(shorter.program.chip, inputs)
    assert trial.differing == sum(np.count_nonzero(full[n] != dropped[n]) for n in ("n0", "n1", "n2"))
    assert trial.differing > 0
    assert shorter.provenance["elided"] == "n1, n2"
    assert {note.place for note in shorter.program.chip.notes if note.code == "RV852"} == {"n1", "n2"}
    assert all(layer.elided for layer in chip_states(shorter.program.chip).layers)


def test_neurons_without_such_registers_are_cleared() -> None:
    model = AdaptiveLif(keep_membrane=HALF, keep_adaptation=HALF, adaptation=HALF)
    net = chain()
    nodes = tuple(replace(n, model=model) if isinstance(n, Neurons) and n.name == "n1" else n for n in net.nodes)
    chip, data = compiled(Network("adaptive", nodes, net.edges, net.readout))
    trial = fit_states(chip, data[:4]).elisions[1]
    cleared = Narrow({"n1": {s.name: 0 for s in next(p for p in chip.populations if p.name == "n1").program.states}})(
        chip
    )
    full, dropped = spikes(chip, data[:4]), spikes(cleared, data[:4])
    assert trial.differing == sum(np.count_nonzero(full[n] != dropped[n]) for n in ("n0", "n1", "n2")) > 0
    assert trial.bits == 2 * 6 * 48


def test_accuracy_with_labels() -> None:
    inputs, labels = small_data()
    chip = ranvier.compile(small_network(), "loihi2", inputs).program.chip
    fit = fit_states(chip, inputs, labels)
    assert fit.accuracy == 1.0
    dropped = oracle.run(_without(chip, "out"), inputs).predictions
    assert fit.elisions[0].accuracy == np.mean(dropped == labels)
    with pytest.raises(RanvierError, match="RV813"):
        fit_states(chip, inputs, labels + CLASSES)


def test_unknown_layers_and_wrong_data_are_refused() -> None:
    inputs, _ = small_data()
    chip = ranvier.compile(small_network(), "loihi2", inputs).program.chip
    with pytest.raises(RanvierError, match="RV850") as refused:
        fit_states(chip, inputs, elide=("hidden",))
    assert "out" in refused.value.diagnostics[0].fix
    with pytest.raises(RanvierError, match="RV821"):
        fit_states(chip, inputs[:, :, :3])
    with pytest.raises(RanvierError, match="RV822"):
        fit_states(chip, inputs[:0])


def test_a_published_network_keeps_its_spikes_with_smaller_states() -> None:
    case = braille("bias, reset to zero")
    chip = ranvier.compile(case.network, "loihi2", case.calibration).program.chip
    fit = fit_states(chip, case.inputs[:64], case.labels[:64])
    register, found = fit.memory.bits("register"), fit.memory.bits("fitted")
    assert register is not None
    assert found is not None
    assert found < 0.8 * register
    assert [trial.differing for trial in fit.verified.values()] == [0, 0, 0]


def _without(chip: ChipNetwork, name: str) -> ChipNetwork:
    return Narrow({name: {"u": 0, "v": 0}})(chip)
