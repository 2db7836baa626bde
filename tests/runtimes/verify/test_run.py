"""The whole verification on small networks: figures, comparisons, findings, refusals."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.runtimes import oracle, reference
from ranvier.runtimes.verify import executors, run, verify
from ranvier.runtimes.verify.findings import of_accuracy
from ranvier.runtimes.verify.results import Agreement
from ranvier.runtimes.verify.statistics import Paired, mcnemar, wilson
from support.verification import mlp_chip, population, program_of, row, with_params


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, ChipNetwork], list[int]]:
    """Lets an executor's name run the oracle on a given chip; returns the numbers of samples it was given."""

    def install(name: str, chip: ChipNetwork) -> list[int]:
        given: list[int] = []

        def other(_chip, inputs, record):
            given.append(len(inputs))
            return oracle.run(chip, inputs, record)

        monkeypatch.setitem(executors.RUNTIMES, name, lambda: other)
        return given

    return install


def source_of(chip: ChipNetwork) -> Network:
    """The float network of the same structure, in units of the threshold: exactly what ``chip`` computes."""
    nodes = [Input("input", chip.ports[0].shape, "spikes")]
    edges = []
    for c in chip.connections:
        p = chip.by_name[c.target]
        nodes += [
            Dense(f"w_{c.name}", c.synapse.weight / float(p.params["vth"])),
            Neurons(p.name, p.shape, Lif(threshold=1.0)),
        ]
        edges += [Edge(c.source, f"w_{c.name}"), Edge(f"w_{c.name}", c.target)]
    return Network("float", tuple(nodes), tuple(edges), Readout(chip.readout.node))


@pytest.fixture
def inputs():
    return np.random.default_rng(1).integers(0, 2, (12, 10, 4))


def test_a_faithful_deployment_agrees_everywhere(inputs):
    chip = mlp_chip()
    labels = reference.run(source_of(chip), inputs).predictions
    labels[:3] = (labels[:3] + 1) % 3
    result = verify(program_of(chip), source_of(chip), inputs, labels, runtimes=("oracle",))
    assert (result.float_accuracy, result.accuracy, result.same_predictions) == (0.75, 0.75, 1.0)
    assert result.interval == wilson(9, 12)
    assert (result.paired.both, result.paired.neither, result.paired.p_value) == (9, 3, 1.0)
    assert {name: a.fraction for name, a in result.agreement.items()} == {"hidden": 1.0, "out": 1.0}
    assert result.agreement["hidden"].compared == 12 * 10 * 5
    assert result.agreement["hidden"].rate > 0
    assert (result.runtime, result.samples, result.steps) == ("oracle", 12, 10)
    assert (result.comparisons, result.diagnostics, result.overflows) == ((), (), ())
    assert (result.first_difference, result.first_deviation) == (None, None)
    assert set(result.seconds) == {"float", "oracle"}


def test_a_deployment_that_loses_accuracy_is_explained():
    """A deployed hidden layer that forgets its membrane each step fires less, and answers turn."""
    rng = np.random.default_rng(1)
    chip, inputs = mlp_chip(seed=2), rng.integers(0, 2, (60, 10, 4))
    source = source_of(chip)
    deployed = with_params(chip, "hidden", dv=4096)
    float_right = reference.run(source, inputs).predictions
    result = verify(program_of(deployed), source, inputs, float_right, runtimes=("oracle",))
    assert result.float_accuracy == 1.0
    predictions = oracle.run(deployed, inputs).predictions
    assert result.accuracy == np.mean(predictions == float_right)
    assert result.same_predictions == result.accuracy
    assert result.paired.p_value == mcnemar(int(np.sum(predictions != float_right)), 0)
    first = result.first_deviation
    assert (first.layer, first.quantity) == ("hidden", "spikes")
    before = reference.run(source, inputs, ("spikes",)).spikes["hidden"]
    after = oracle.run(deployed, inputs, ("spikes",)).spikes["hidden"]
    assert first.step == np.argwhere((before != after).any(axis=(0, 2)))[0, 0]
    assert result.agreement["hidden"].fraction == np.mean(before == after)
    assert result.agreement["hidden"].rate_error == pytest.approx(after.mean() - before.mean())
    (told,) = result.diagnostics
    assert (told.code, told.severity) == ("RV805", "warning")
    assert told.place == min(result.agreement, key=lambda layer: result.agreement[layer].fraction)


def test_membranes_of_both_sides_are_in_source_units(inputs):
    chip = mlp_chip()
    scaled = [replace(p, scale=64.0 * p.params["vth"]) for p in chip.populations]
    deployed = with_params(replace(chip, populations=tuple(scaled)), "hidden", vth=80)
    result = verify(program_of(deployed), source_of(chip), inputs, runtimes=("oracle",))
    first = result.agreement["hidden"].first_difference
    assert first.membranes[0] == pytest.approx(first.membranes[1])
    assert first.distances == pytest.approx((first.membranes[0] - 1, first.membranes[0] - 80 / 60))
    assert first.distances[0] > 0 > first.distances[1]
    assert (result.accuracy, result.interval, result.paired) == (None, None, None)


def test_executors_that_differ_are_located(inputs, stand_in):
    chip = mlp_chip()
    stand_in("lava", with_params(chip, "out", bias=5))
    result = verify(program_of(chip), None, inputs, runtimes=("lava", "oracle"))
    (comparison,) = result.comparisons
    assert (comparison.runtime, comparison.against, result.runtime) == ("lava", "oracle", "oracle")
    assert not result.agrees
    assert result.disagreements == comparison.disagreements > 0
    first = result.first_difference
    assert (first.layer, first.quantity, first.step, first.sample, first.neuron) == ("out", "membrane", 0, 0, (0,))
    assert first.membranes[1] - first.membranes[0] == 5
    (told,) = result.diagnostics
    assert (told.code, told.place, told.severity) == ("RV802", "out", "error")
    assert "step 0 of sample 0" in told.message
    assert "from the threshold" in told.message
    assert (result.agreement, result.float_accuracy, result.same_predictions) == ({}, None, None)


def test_lava_gets_its_own_number_of_samples(inputs, stand_in):
    chip = mlp_chip()
    given = stand_in("lava", chip)
    result = verify(program_of(chip), None, inputs, runtimes=("oracle", "lava"), samples_lava=5)
    assert sum(given) == 5
    assert result.agrees
    assert result.comparisons[0].samples == 5
    assert result.spikes_compared == result.comparisons[0].spikes == 5 * 10 * 8
    assert result.comparisons[0].states == 5 * 10 * 8 * 3
    calls = []
    everything = verify(program_of(chip), None, inputs, runtimes=("oracle", "lava"), samples_lava=500,
                        progress=lambda *call: calls.append(call))  # fmt: skip
    assert everything.comparisons[0].samples == 12
    assert calls == [("deployed against float", 12, 12), ("lava against oracle", 12, 12)]


def test_batches_change_nothing(inputs, stand_in, monkeypatch):
    chip, source = mlp_chip(), source_of(mlp_chip())
    deployed = with_params(chip, "hidden", vth=75)
    given = stand_in("lava", with_params(deployed, "out", bias=1))
    labels = np.arange(12) % 3
    calls = []
    whole = verify(program_of(deployed), source, inputs, labels, runtimes=("oracle", "lava"))
    assert given == [12]
    monkeypatch.setattr(run, "BATCH_BYTES", 8 * 10 * 8 * 10 * 5)
    parts = verify(program_of(deployed), source, inputs, labels, runtimes=("oracle", "lava"),
                   progress=lambda *call: calls.append(call))  # fmt: skip
    assert given[1:] == [5, 5, 2]
    assert not whole.agrees
    assert replace(whole, seconds={}) == replace(parts, seconds={})
    assert calls[-1] == ("lava against oracle", 12, 12)
    assert calls[0] == ("deployed against float", 12, 12)


def test_the_folded_source_goes_before_the_given_network(inputs, monkeypatch):
    chip = mlp_chip()
    asked = []

    def float_run(folded):
        asked.append(folded)
        return reference.run

    monkeypatch.setattr(run, "float_executor", float_run)
    program = replace(program_of(chip), source=source_of(chip))
    other = source_of(mlp_chip(seed=5))
    assert verify(program, other, inputs, runtimes=("oracle",)).agreement["out"].fraction == 1.0
    assert verify(program_of(chip), other, inputs, runtimes=("oracle",)).agreement["out"].fraction < 1.0
    assert set(asked) == {True, False}


def test_overflows_of_a_later_batch_keep_their_sample(monkeypatch):
    chip = row([population("layer", 1, 1, 131071)], [np.full((1, 512), 126)])
    inputs = np.zeros((4, 3, 512), int)
    inputs[2] = 1
    monkeypatch.setattr(run, "BATCH_BYTES", 1)
    (found,) = verify(
        program_of(with_params(chip, "layer", du=-1, dv=4096)), None, inputs, runtimes=("oracle",)
    ).overflows
    assert (found.register, found.sample, found.step, found.neuron) == ("u", 2, 2, (0,))


@pytest.mark.parametrize("counts", [Paired(5, 0, 9, 1), Paired(5, 4, 2, 1), Paired(5, 0, 0, 1)])
def test_gains_and_chance_are_no_findings(counts):
    assert of_accuracy(counts, {}) == []
    assert [d.place for d in of_accuracy(Paired(5, 9, 0, 1), {})] == ["network"]


def test_a_folded_source_runs_in_the_simulator(inputs):
    chip = mlp_chip()
    program = replace(program_of(with_params(chip, "hidden", vth=75)), source=source_of(chip))
    fast = verify(program, None, inputs, runtimes=("simulator", "oracle"))
    plain = verify(replace(program, source=None), source_of(chip), inputs, runtimes=("oracle",))
    assert fast.agrees
    assert fast.agreement == plain.agreement
    assert fast.agreement["hidden"].fraction < 1.0


def test_overflows_are_in_the_result(inputs):
    chip = with_params(mlp_chip(), "out", bias=4095 << 7, vth=131071)
    result = verify(program_of(chip), None, inputs[:, :2].repeat(15, axis=1), runtimes=("oracle",))
    assert [(o.population, o.register, o.operation) for o in result.overflows] == [("out", "membrane", "clip")]
    assert [(d.code, d.place) for d in result.diagnostics] == [("RV801", "out")]
    assert result.agrees


def test_a_float_network_that_diverges_is_told(inputs):
    chip = mlp_chip()
    source = source_of(chip)
    grown = Neurons("hidden", (5,), Lif(keep_membrane=1e200, threshold=np.inf, drive=1.0))
    nodes = tuple(grown if n.name == "hidden" else n for n in source.nodes)
    result = verify(program_of(chip), replace(source, nodes=nodes), inputs, runtimes=("oracle",))
    (told,) = result.diagnostics
    assert (told.code, told.place, told.figures["step"], told.figures["sample"]) == ("RV804", "hidden", 2, 0)


def test_the_result_is_json(inputs, stand_in):
    chip = with_params(mlp_chip(), "out", bias=4095 << 7, vth=131071)
    stand_in("lava", with_params(chip, "hidden", vth=3))
    source = source_of(mlp_chip())
    result = verify(program_of(chip), source, inputs.repeat(2, axis=1), np.zeros(12), runtimes=("oracle", "lava"))
    plain = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert plain["accuracy"] == result.accuracy
    assert plain["interval"] == list(result.interval)
    assert plain["disagreements"] == result.disagreements > 0
    assert plain["first_difference"]["layer"] == "hidden"
    assert plain["comparisons"][0]["agrees"] is False
    assert plain["agreement"]["hidden"]["fraction"] == result.agreement["hidden"].fraction
    assert plain["overflows"][0]["register"] == "membrane"
    assert {d["code"] for d in plain["diagnostics"]} >= {"RV801", "RV802"}
    assert [d["severity"] for d in plain["diagnostics"]] == sorted(d["severity"] for d in plain["diagnostics"])


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (np.zeros(11), "RV811"),
        (np.zeros((12, 3)), "RV811"),
        (np.full(12, 0.5), "RV812"),
        (np.full(12, np.nan), "RV812"),
        (["cat"] * 12, "RV812"),
        (np.full(12, 3), "RV813"),
        (np.full(12, -1), "RV813"),
    ],
)
def test_labels_that_mean_nothing_are_refused(inputs, labels, code):
    with pytest.raises(RanvierError, match=code):
        verify(program_of(mlp_chip()), None, inputs, labels, runtimes=("oracle",))


def test_other_mistakes_are_refused_before_anything_runs(inputs, stand_in):
    program = program_of(mlp_chip())
    given = stand_in("oracle", program.chip)
    with pytest.raises(RanvierError, match=r"RV810.*\n.*oracle, simulator, .*lava"):
        verify(program, None, inputs, runtimes=("oracle", "loihi"))
    with pytest.raises(RanvierError, match="RV814"):
        verify(program, None, inputs, runtimes=("oracle", "lava"), samples_lava=0)
    with pytest.raises(RanvierError, match="RV821"):
        verify(program, None, inputs[:, :, :3], runtimes=("oracle",))
    with pytest.raises(RanvierError, match="RV824"):
        verify(program, None, np.where(inputs == 1, np.nan, 0.0), runtimes=("oracle",))
    assert given == []


def test_agreement_is_a_frozen_value():
    assert Agreement(4, 2, 1.0, 2.0, None).joined(Agreement(4, 4, 1.0, 0.0, None)) == Agreement(8, 6, 2.0, 2.0, None)


def test_every_runtime_of_the_table_runs_the_same_program(inputs):
    result = verify(program_of(mlp_chip()), None, inputs, runtimes=("simulator", "oracle"))
    assert (result.runtime, result.agrees, result.spikes_compared) == ("simulator", True, 12 * 10 * 8)
