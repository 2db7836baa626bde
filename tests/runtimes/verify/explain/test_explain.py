"""The whole explanation: stages, tables, causes, traces, JSON, refusals."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.program import Program
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes import oracle, reference
from ranvier.runtimes.verify import Asked, executors, verify
from ranvier.runtimes.verify.explain import explain, groups
from ranvier.runtimes.verify.statistics import confusion
from ranvier.targets.load import load_target
from support.faults import flipped_bit, random_network, wrong_decay
from support.verification import program_of

STEPS = 25


@cache
def deployed(weight_bits: int = 4) -> tuple[Program, object, np.ndarray, np.ndarray]:
    """A program with coarse weights, its network as imported, inputs, and the float network's answers as labels."""
    rng = np.random.default_rng(3)
    network = random_network(rng)
    source = prepare(network)
    inputs = (rng.random((12, STEPS, *source.inputs[0].shape)) < 0.4).astype(np.int64)
    chip = lower(source, load_target("loihi2"), None, Options(weight_bits=weight_bits))
    program = replace(program_of(chip), source=source)
    return program, network, inputs, reference.run(source, inputs).predictions


def explained(asked: Asked, weight_bits: int = 4, **options):
    program, network, inputs, labels = deployed(weight_bits)
    return verify(program, network, inputs, labels, runtimes=("simulator", "oracle"), explain=asked, **options)


def test_stages_follow_one_another_and_only_quantizing_costs():
    v = explained(Asked(samples=8))
    e = v.explanation
    assert (e.samples, e.steps) == (8, STEPS)
    assert [s.name for s in e.stages] == ["imported", "float", "quantized", "simulator", "oracle"]
    assert e.stages[0].accuracy == e.stages[1].accuracy == 1.0
    imported, quantized, _, last = e.chain
    for step in (imported, last):
        assert all(c.agreement == 1.0 and c.membrane_rms < 1e-9 for c in (*step.free.values(), *step.forced.values()))
    assert min(c.agreement for c in quantized.free.values()) < 1.0
    assert quantized.teacher == "float"
    assert last.teacher == "oracle"
    assert e.faults == ()
    for row in e.layers:
        assert row.forced.agreement >= row.free.agreement - 0.05
        assert row.accuracy_if_exact is not None


def test_coarse_weights_are_the_cause_and_making_them_exact_restores_the_spikes():
    e = explained(Asked()).explanation
    whole = {x.approximation: x for x in e.effects if x.layer is None}
    assert whole[groups.WEIGHTS].agreement_if_exact > 0.97 > whole[groups.WEIGHTS].agreement_alone
    assert whole[groups.WEIGHTS].accuracy_if_exact >= whole[groups.WEIGHTS].accuracy_alone
    assert whole[groups.ROUNDING].agreement_alone > 0.98
    first = e.causes[0]
    assert first.mode == "free"
    assert first.approximations == (groups.WEIGHTS,)
    share = next(s for s in first.shares if s.approximation == groups.WEIGHTS)
    assert share.restores
    assert share.reproduces
    assert abs(share.shift) == max(abs(s.shift) for s in first.shares)
    d = first.difference
    assert np.sign(d.distances[0]) != np.sign(d.distances[1])
    assert {x.layer for x in e.effects} == {None, "first", "middle", "last"}


def test_the_first_difference_is_where_the_recordings_part():
    program, _, inputs, _ = deployed()
    d = explained(Asked()).explanation.causes[0].difference
    left = reference.run(program.source, inputs, ("spikes", "membrane"))
    right = oracle.run(program.chip, inputs, ("spikes", "membrane"))
    spot = (d.sample, d.step, *d.neuron)
    assert d.values == (left.spikes[d.layer][spot], right.spikes[d.layer][spot])
    assert d.membranes[0] == pytest.approx(left.membrane[d.layer][spot])
    assert d.membranes[1] == pytest.approx(right.membrane[d.layer][spot] / program.chip.by_name[d.layer].scale)
    for name in left.spikes:
        same = left.spikes[name][:, : d.step] == right.spikes[name][:, : d.step]
        assert same.all()


def test_a_faithful_network_has_no_cause():
    """Everything exact but what no register loses: the network's own registers, deployed as they are."""
    e = explained(Asked(samples=2), weight_bits=8).explanation
    assert all(c.mode in ("free", "forced") for c in e.causes)
    assert all(not d.beyond for s in e.suspects for d in s.departures)


def test_wrong_registers_are_warned_of_with_their_place():
    program, _, inputs, labels = deployed(8)
    fault = wrong_decay(np.random.default_rng(1), program.chip)
    v = verify(replace(program, chip=fault.chip), None, inputs, labels, explain=Asked())
    told = next(d for d in v.diagnostics if d.code == "RV806")
    assert (told.place, told.severity) == (fault.layer, "warning")
    assert fault.cause in told.message
    assert "step" in told.message


def test_a_reference_takes_the_place_of_the_nearest_registers():
    program, _, inputs, _ = deployed(8)
    fault = flipped_bit(np.random.default_rng(2), program.chip, lowest=1)
    wrong = replace(program, chip=fault.chip)
    found = verify(wrong, None, inputs, explain=Asked(reference=program.chip)).explanation
    assert [(s.layer, s.cause) for s in found.suspects] == [(fault.layer, (groups.WEIGHTS,))]
    assert "flipped" in found.suspects[0].departures[0].examples[0]
    assert verify(program, None, inputs, explain=Asked(reference=program.chip)).explanation.suspects == ()


def test_an_executor_that_differs_is_explained(monkeypatch):
    program, _, inputs, _ = deployed(8)
    fault = wrong_decay(np.random.default_rng(4), program.chip)
    monkeypatch.setitem(executors.RUNTIMES, "lava", lambda: lambda _chip, x, record: oracle.run(fault.chip, x, record))
    v = verify(program, None, inputs, runtimes=("oracle", "lava"), samples_lava=5, explain=Asked())
    (found,) = v.explanation.faults
    assert (found.runtime, found.layer, found.cause) == ("lava", fault.layer, fault.cause)
    assert v.explanation.stages[-1].samples == 5
    forced = v.explanation.chain[-1].forced
    assert [name for name, c in forced.items() if c.first_membrane is not None] == [fault.layer]


def test_traces_show_what_was_recorded():
    program, _, inputs, _ = deployed()
    e = explained(Asked(traces=3)).explanation
    assert len(e.traces) == 3
    assert e.traces[0]["sample"] == e.causes[0].difference.sample
    trace = e.traces[0]
    right = oracle.run(program.chip, inputs, ("spikes", "membrane"))
    for layer in trace["layers"]:
        sent = right.spikes[layer["layer"]][trace["sample"]]
        assert layer["deployed"]["spikes"] == np.argwhere(sent).tolist()
        assert layer["deployed"]["total"] == int(sent.sum())
        for shown in layer["membranes"]:
            steps = slice(layer["from_step"], layer["from_step"] + len(shown["deployed"]))
            scale = program.chip.by_name[layer["layer"]].scale
            wanted = right.membrane[layer["layer"]][trace["sample"], steps, shown["neuron"]] / scale
            np.testing.assert_allclose(shown["deployed"], wanted)
    assert explained(Asked(samples=2)).explanation.traces == ()


def test_the_explanation_is_json_as_documented():
    plain = json.loads(json.dumps(explained(Asked(traces=1)).to_json(), allow_nan=False))
    e = plain["explanation"]
    wanted = "samples steps stages chain layers effects causes suspects faults traces meanings"
    assert set(e) == set(wanted.split())
    assert set(e["layers"][0]) == {"layer", "free", "forced", "accuracy_if_exact", "accuracy_if_only_deployed"}
    assert set(e["causes"][0]["shares"][0]) == {"approximation", "restores", "reproduces", "shift"}
    assert set(e["traces"][0]) == {"sample", "label", "predictions", "input", "layers"}
    assert set(e["meanings"]) >= {x["approximation"] for x in e["effects"]}
    table = np.array(plain["confusion"]["deployed"])
    assert table.sum() == plain["samples"]
    assert np.trace(table) / table.sum() == plain["accuracy"]
    assert json.loads(json.dumps(explained(Asked(samples=1)).to_json()))["explanation"]["traces"] == []


def test_confusion_counts_rows_by_right_class():
    assert confusion(np.array([0, 0, 2, 1]), np.array([0, 1, 2, 1])) == ((1, 1, 0), (0, 1, 0), (0, 0, 1))


def test_memory_bounds_the_samples():
    program, *_ = deployed()
    assert explain.affordable(program.chip, STEPS, 32) == 32
    assert explain.affordable(program.chip, explain.BUDGET, 32) == 1


def test_what_cannot_be_explained_is_refused_all_at_once():
    program, _, inputs, _ = deployed()
    other = replace(program.chip, populations=program.chip.populations[:1], connections=())
    asked = Asked(samples=0, traces=-1, reference=other)
    with pytest.raises(RanvierError) as refused:
        verify(replace(program, source=None), None, inputs, explain=asked)
    assert [d.code for d in refused.value.diagnostics] == ["RV815", "RV816", "RV817", "RV818"]


def test_progress_is_told():
    seen = []
    explained(Asked(samples=2), progress=lambda *what: seen.append(what))
    assert [done for name, done, _ in seen if name == "explaining"] == [1, 2, 3, 4, 5, 6]
