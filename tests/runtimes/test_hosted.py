"""Parts on the chip and on the host: the same bits whoever runs the chip, and a folder that holds them all."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

import ranvier
from ranvier.compiler import artifact
from ranvier.compiler.analysis.equivalent import MAC_FACTOR
from ranvier.compiler.analysis.host import multiply_adds, operations
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.coding import Rate
from ranvier.compiler.ir.host_functions import operations as function_operations
from ranvier.compiler.ir.hosted import HostedNetwork, HostFunction, HostPart
from ranvier.compiler.ir.linear import Conv, Dense, Scale
from ranvier.compiler.ir.network import Edge, Input, Neurons, Readout
from ranvier.compiler.ir.neurons import GradedLif, Lif, NeuronModel, Quantizer
from ranvier.hosted import HostedApp
from ranvier.hosted_files import PLAN
from ranvier.runtimes.hosted import HostedRecording, host_values
from support.hosted_networks import frames_for, function, gated_network, hosted_networks, hosts

EVERYTHING = ("spikes", "states", "membrane")


def data(samples: int = 30, steps: int = 12) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    return (rng.random((samples, steps, 4)) < 0.4).astype(np.float64), rng.integers(0, 3, samples)


@pytest.fixture(scope="module")
def app() -> HostedApp:
    return ranvier.compile(gated_network(), calibrate=data()[0])


def assert_equal(a: HostedRecording, b: HostedRecording) -> None:
    """Every value of every part, and what crossed between them."""
    np.testing.assert_array_equal(a.outputs, b.outputs)
    np.testing.assert_array_equal(a.predictions, b.predictions)
    for left, right in zip(a.chips, b.chips, strict=True):
        assert left.spikes.keys() == right.spikes.keys()
        for name in left.spikes:
            np.testing.assert_array_equal(left.spikes[name], right.spikes[name])
            for state, values in right.states.get(name, {}).items():
                np.testing.assert_array_equal(left.states[name][state], values)
    assert a.sent.keys() == b.sent.keys()
    for name in a.sent:
        np.testing.assert_array_equal(a.sent[name], b.sent[name])


@given(hosted_networks(), st.integers(0, 2**32 - 1))
def test_simulator_and_oracle_give_the_same_bits(network: HostedNetwork, seed: int) -> None:
    inputs = frames_for(network, seed)
    try:
        compiled = ranvier.compile(network, calibrate=inputs)
    except RanvierError:  # a crossing that is always silent has no range, a drive may exceed its register
        assume(False)
    assert_equal(compiled.run(inputs, EVERYTHING), compiled.run(inputs, EVERYTHING, "oracle"))


def test_lava_gives_the_same_bits(app: HostedApp, lava: Path) -> None:
    assert lava.exists()
    inputs = data(2)[0]
    simulated = app.run(inputs, EVERYTHING)
    assert simulated.outputs.any()
    assert_equal(simulated, app.run(inputs, EVERYTHING, "lava"))
    assert_equal(simulated, app.run(inputs, EVERYTHING, "oracle"))


def test_a_sample_does_not_depend_on_those_beside_it(app: HostedApp) -> None:
    inputs, whole = data()[0], app.run(data()[0])
    for i in (0, 7):
        alone = app.run(inputs[i : i + 1])
        for name, values in alone.sent.items():
            np.testing.assert_array_equal(values, whole.sent[name][i : i + 1])
        np.testing.assert_array_equal(alone.outputs, whole.outputs[i : i + 1])


def test_the_host_works_in_pieces_that_fit_memory(app: HostedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    (part,), sent = hosts(app.parts), app.run(data()[0]).sent
    monkeypatch.setattr("ranvier.runtimes.hosted.CHUNK_BYTES", 1)
    np.testing.assert_array_equal(host_values(part, sent)["gate"], sent["gate"])


NUMBERS: dict[str, NeuronModel] = {
    "graded": GradedLif(threshold=0.25),
    "quantizer": Quantizer(step=0.125),
    "counts": Lif(threshold=0.25, reset="subtract", reset_amount=0.25, max_spikes=15),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_that_neurons_send_come_back_in_source_units(kind: str) -> None:
    nodes = (
        Input("input", (4,), "current"), Dense("in", np.eye(4) * 1.5), Neurons("graded", (4,), NUMBERS[kind]),
        function("relu", "relu", 4), Dense("fc", np.eye(4)), Neurons("out", (4,), Lif(threshold=0.5, reset="subtract")),
    )  # fmt: skip
    names = [node.name for node in nodes]
    ways = tuple(Edge(a, b) for a, b in pairwise(names))
    network = HostedNetwork("graded", nodes, ways, Readout("out"))
    inputs = np.random.default_rng(0).random((20, 8, 4))
    for per_channel in (False, True):
        compiled = ranvier.compile(network, calibrate=inputs, per_channel=per_channel)
        got, wanted = compiled.run(inputs).sent["graded"], compiled.run_float(inputs).sent["graded"]
        both = (got != 0) & (wanted != 0)
        assert both.sum() > 100
        assert np.abs(got - wanted)[both].mean() < 0.02 * np.abs(wanted[both]).mean()


def test_deployed_is_near_float_and_verify_says_how_near(app: HostedApp) -> None:
    inputs, labels = data()
    found = ranvier.verify(app, gated_network(), (inputs, labels), ("simulator", "oracle"))
    assert found.agrees
    assert found.disagreements == 0
    assert set(found.agreement) == {"lif1", "lif2", "out"}
    assert all(a.fraction > 0.95 for a in found.agreement.values())
    assert found.same_predictions is not None
    assert found.same_predictions >= 0.9
    assert found.accuracy == np.mean(app.run(inputs).predictions == labels)
    assert found.float_accuracy == np.mean(app.run_float(inputs).predictions == labels)
    assert json.loads(json.dumps(found.to_json()))["disagreements"] == 0


def test_verify_finds_a_chip_that_lies(app: HostedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    from ranvier.runtimes import oracle  # noqa: PLC0415 the executor that is made to err

    def flipped(chip, frames, record):
        ran = run(chip, frames, record)
        return replace(ran, spikes={**ran.spikes, "out": 1 - ran.spikes["out"]}) if "out" in ran.spikes else ran

    run = oracle.run
    monkeypatch.setattr(oracle, "run", flipped)
    found = ranvier.verify(app, None, data(), ("simulator", "oracle"))
    assert not found.agrees
    assert found.disagreements == data()[0].shape[0] * 12 * 3
    assert {d.code for d in found.diagnostics if d.severity == "error"} == {"RV802"}


def test_verify_refuses_another_network(app: HostedApp) -> None:
    for other in (gated_network(seed=1), replace(gated_network(), readout=Readout("lif2"))):
        with pytest.raises(RanvierError, match="RV605"):
            ranvier.verify(app, other, data())
    with pytest.raises(RanvierError, match="RV746"):
        ranvier.verify(app, None, data(), perturb=object())


def test_check_tells_all_problems_of_all_parts() -> None:
    network = gated_network()
    found = [(d.code, d.place) for d in ranvier.check(network, "loihi1") if d.severity == "error"]
    resets = [("RV390", "part1: lif1"), ("RV390", "part3: lif2"), ("RV390", "part3: out")]
    assert sorted(found) == [("RV381", "part3: arriving"), *resets]
    assert not [d for d in ranvier.check(network) if d.severity == "error"]
    assert [d.code for d in ranvier.check(replace(network, readout=Readout("up")))] == ["RV741"]


def test_a_part_with_unknown_ranges_wants_calibration_data() -> None:
    with pytest.raises(RanvierError) as refused:
        ranvier.compile(gated_network())
    (found,) = refused.value.diagnostics
    assert (found.code, found.place) == ("RV742", "part3")
    assert "lif1, gate" in found.message
    assert "calibrate" in found.fix


def test_problems_of_compiling_name_their_part() -> None:
    with pytest.raises(RanvierError) as refused:
        ranvier.compile(gated_network(), "loihi1", data()[0])
    assert {d.place.split(": ")[0] for d in refused.value.diagnostics} == {"part1", "part3"}
    with pytest.raises(RanvierError) as refused:
        ranvier.compile(gated_network(), calibrate=data()[0], layer_bits={"nobody": 4})
    assert {d.place.split(":")[0] for d in refused.value.diagnostics} == {"part1", "part3"}
    assert ranvier.compile(gated_network(), calibrate=data()[0], layer_bits={"head": 4, "embed": 4}).apps


def test_neurons_that_nothing_enters_and_those_that_nobody_reads() -> None:
    nodes = (
        Input("input", (3,), "current"), Neurons("clock", (4,), Lif(drive=0.3, reset="subtract")),
        function("soft", "softmax", 4), Dense("w", np.eye(3, 4)), Neurons("out", (3,), Lif(threshold=0.5)),
        Neurons("dead", (3,), Lif()),
    )  # fmt: skip
    ways = (("clock", "soft"), ("soft", "w"), ("w", "out"), ("input", "out"), ("input", "dead"))
    network = HostedNetwork("clock", nodes, tuple(Edge(a, b) for a, b in ways), Readout("out"))
    inputs = np.random.default_rng(0).random((5, 6, 3))
    compiled = ranvier.compile(network, calibrate=inputs)
    assert_equal(compiled.run(inputs), compiled.run(inputs, runtime="oracle"))
    np.testing.assert_array_equal(compiled.run(inputs).outputs, compiled.run_float(inputs).outputs)
    assert [part.holds for part in compiled.report().parts] == [("clock", "dead"), ("softmax (soft)",), ("out",)]


def test_numbers_without_axes_and_networks_without_functions() -> None:
    gate = HostFunction("gate", "sigmoid", ((),), ())
    first = (Input("input", (4,), "spikes"), Dense("a", np.full((1, 4), 0.5)), Neurons("n", (1,), Lif()))
    last = (Dense("b", np.ones((2, 1))), Neurons("out", (2,), Lif(threshold=0.4)))
    names = ("input", "a", "n", "gate", "b", "out")
    ways = tuple(Edge(a, b) for a, b in pairwise(names))
    whole = HostedNetwork("scalar", (*first, gate, *last), ways, Readout("out"))
    compiled = ranvier.compile(whole, calibrate=data()[0])
    np.testing.assert_array_equal(compiled.run(data()[0]).outputs, compiled.run_float(data()[0]).outputs)
    plain = HostedNetwork("plain", first, ways[:2], Readout("n"))
    alone = ranvier.compile(plain)
    assert [part.kind for part in alone.report().parts] == ["chip"]
    np.testing.assert_array_equal(alone.run(data()[0]).outputs, compiled.run(data()[0]).chips[0].spikes["n"])


def test_what_is_no_number_is_refused_where_it_arises() -> None:
    network = gated_network()
    huge = [replace(n, weight=n.weight * 1e308) if n.name == "up" else n for n in network.nodes]
    with pytest.raises(RanvierError) as refused:
        ranvier.compile(replace(network, nodes=tuple(huge)), calibrate=data()[0])
    (found,) = refused.value.diagnostics
    assert (found.code, found.place) == ("RV748", "gate")
    assert "first in sample" in found.message


def test_samples_are_encoded_once_for_all_parts(tmp_path: Path) -> None:
    network = gated_network()
    coded = replace(network.inputs[0], encoder=Rate(12, seed=3))
    coded_network = replace(network, nodes=(coded, *network.nodes[1:]))
    samples = np.random.default_rng(0).random((10, 4))
    compiled = ranvier.compile(coded_network, calibrate=samples)
    compiled.save(tmp_path / "net")
    back = ranvier.open(tmp_path / "net", host=True)
    assert_equal(back.run(samples), compiled.run(ranvier.encode.rate(samples, 12, seed=3)))
    with pytest.raises(RanvierError, match="RV605"):
        ranvier.verify(back, network, (samples, None))
    assert ranvier.verify(back, coded_network, (samples, None)).accuracy is None


def test_what_does_not_fit_the_input_is_refused(app: HostedApp) -> None:
    with pytest.raises(RanvierError, match="RV821"):
        app.run(np.zeros((2, 3, 5)))
    with pytest.raises(RanvierError, match="RV825"):
        app.run(np.full((2, 3, 4), 0.5))


def test_the_report_counts_both_sides(app: HostedApp) -> None:
    inputs = data()[0]
    recording = app.run(inputs)
    report = app.report(recording)
    first, host, last = report.parts
    assert [p.kind for p in report.parts] == ["chip", "host", "chip"]
    assert host.holds == ("rms_norm (norm)", "silu", "product (gate)")
    (part,) = hosts(app.parts)
    wanted = 36 + sum(function_operations(f) for f in gated_network().functions)  # up is 6 x 6, the rest only repeats
    assert operations(part) == wanted
    assert host.operations == 12 * wanted
    spikes = recording.chips[0].spikes["lif1"].sum()
    events = inputs.sum() * 6 / len(inputs)
    assert first.operations == pytest.approx(events)
    assert last.operations > spikes / len(inputs)
    assert sum(report.operation_share(p) or 0.0 for p in report.parts) == pytest.approx(1.0)
    assert sum(report.energy_share(p) or 0.0 for p in report.parts) == pytest.approx(1.0)
    pj = app.apps[0].target.energy.bases["loihi1.sanafe"].synapse_pj.v.dense
    assert host.energy_j == pytest.approx(1e-12 * MAC_FACTOR * pj * host.operations)
    assert "loihi1.sanafe" in report.basis
    assert first.energy_j == pytest.approx(1e-9 * report.chips[0].energy.dynamic_nj.value)
    assert json.loads(json.dumps(report.to_json()))["parts"][1]["operation_share"] == report.operation_share(host)
    still = app.report()
    assert [p.operations for p in still.parts] == [None] * 3
    assert still.energy_share(still.parts[0]) is None


def test_what_lies_beyond_the_calibrated_range_is_told(app: HostedApp) -> None:
    recording = app.run(data()[0])
    assert app.report(recording).parts[2].clipped < 0.01
    first, last = recording.entered
    louder = app.report(replace(recording, entered=(first, 2.0 * last)))
    port = app.apps[1].program.chip.ports[0]
    assert louder.parts[2].clipped == np.mean(np.abs(2.0 * last) * port.scale >= 127.5) > 0.05


def test_multiply_adds_are_weights_that_multiply() -> None:
    assert multiply_adds(Dense("d", np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]))) == 3
    assert multiply_adds(Conv("c", np.full((2, 1, 3, 3), 0.5), (1, 5, 5))) == 2 * 9 * 9


def test_a_saved_folder_comes_back(app: HostedApp, tmp_path: Path) -> None:
    app.save(tmp_path / "net")
    assert sorted(p.name for p in (tmp_path / "net").iterdir()) == ["hosted.rnv", "part1.rnv", "part3.rnv"]
    back = ranvier.open(tmp_path / "net", host=True)
    assert_equal(back.run(data()[0], EVERYTHING), app.run(data()[0], EVERYTHING))
    assert back.report(back.run(data()[0])).to_json() == app.report(app.run(data()[0])).to_json()
    app.save(tmp_path / "again")
    for name in ("hosted.rnv", "part1.rnv", "part3.rnv"):
        assert (tmp_path / "net" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    found = ranvier.verify(back, gated_network(), data())
    assert found.samples == 30
    with pytest.raises(RanvierError, match="RV745"):
        ranvier.open(tmp_path / "net")
    with pytest.raises(RanvierError, match="RV408"):
        ranvier.open(tmp_path / "net" / PLAN)
    (tmp_path / "file").write_text("")
    with pytest.raises(RanvierError, match="RV743"):
        app.save(tmp_path / "file")


def test_folders_that_are_not_whole_are_refused(app: HostedApp, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    app.save(folder)
    plan, part = (folder / PLAN).read_bytes(), (folder / "part1.rnv").read_bytes()
    flipped = bytearray(plan)
    flipped[len(plan) // 2] ^= 1
    other = (folder / "part3.rnv").read_bytes()
    for name, content, code in (
        (PLAN, plan[:-9], "RV403"), (PLAN, bytes(flipped), "RV40"), (PLAN, b"", "RV403"), (PLAN, part, "RV408"),
        ("part1.rnv", other, "RV744"), ("part1.rnv", plan, "RV408"), ("part1.rnv", None, "RV401"),
    ):  # fmt: skip
        (folder / PLAN).write_bytes(plan)
        (folder / "part1.rnv").write_bytes(part)
        (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
        with pytest.raises(RanvierError, match=code):
            ranvier.open(folder, host=True)
    with pytest.raises(RanvierError, match="RV401"):
        ranvier.open(tmp_path / "absent", host=True)


def _other_function(part: HostPart, **changed: object) -> HostPart:
    return replace(part, nodes=tuple(replace(n, **changed) if n.name == "norm" else n for n in part.nodes))


PLANS = {
    "axes is 2": lambda p: _other_function(p, options={"axes": 2.0, "eps": 1e-6}),
    "axes is nan": lambda p: _other_function(p, options={"axes": float("nan"), "eps": 1e-6}),
    "a constant or an option does not fit": lambda p: _other_function(p, constants={"weight": np.ones(5)}),
    "gives no number": lambda p: _other_function(p, constants={"weight": np.array([np.nan] * 6)}),
    "it has the options": lambda p: _other_function(p, options={}),
    "beyond": lambda p: _other_function(p, in_shapes=((2**40,),), out_shape=(2**40,)),
    "gives more than": lambda p: replace(p, nodes=(*p.nodes, Scale("x", (2**26 + 1,), np.ones(()), np.zeros(())))),
    "there is no host function": lambda p: _other_function(p, in_shapes=()),
    "computed later": lambda p: replace(p, nodes=p.nodes[::-1]),
    "no part before gives it": lambda p: replace(p, takes=(replace(p.takes[0], source="nobody"),)),
    "does not compute": lambda p: replace(p, gives=("nobody",)),
    "names an unknown node": lambda p: replace(p, edges=(*p.edges, Edge("x", "y"))),
}


@pytest.mark.parametrize("message", PLANS)
def test_hostile_plans_are_refused(message: str, app: HostedApp, tmp_path: Path) -> None:
    app.save(tmp_path / "net")
    plan, _ = artifact.read_plan(tmp_path / "net" / PLAN)
    parts = tuple(PLANS[message](p) if isinstance(p, HostPart) else p for p in plan.parts)
    artifact.save(replace(plan, parts=parts), tmp_path / "net" / PLAN)
    with pytest.raises(RanvierError) as refused:
        ranvier.open(tmp_path / "net", host=True)
    assert message in str(refused.value)
    assert all(d.code in {"RV741", "RV744"} for d in refused.value.diagnostics)


def test_lava_projects_come_with_the_cut_points(app: HostedApp, tmp_path: Path) -> None:
    folder = app.emit_lava(tmp_path / "lava")
    assert sorted(p.name for p in folder.iterdir()) == ["PARTS.md", "part1", "part3"]
    told = (folder / "PARTS.md").read_text()
    gate = app.parts.chips[1].takes[1]
    assert "* takes lif1 (6,): values 0 to 5 of the input\n" in told
    assert f"* takes gate (6,): values 6 to 11 of the input, each value divided by {gate.scale!r}" in told
    assert "* computes norm (6,) = rms_norm of up, axes 1, eps 1e-06, arguments (6,), one after the other" in told
    assert "* computes gate (6,) = product of silu.at + lif1.at" in told
