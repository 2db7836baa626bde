"""The benchmark's networks, judging, and one tiny run of our own executor from end to end."""

import importlib.util
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from benchmarks.speed import growth, page, workloads
from benchmarks.speed.child import Bench, Effort, Truth, judge
from benchmarks.speed.environments import Recipe, UnavailableError, interpreter
from benchmarks.speed.exact import convolved
from benchmarks.speed.peers import CHILDREN, OURS, PEERS, absence
from benchmarks.speed.record import empty, passed, problems, row_of
from benchmarks.speed.run import measure_workload, measured

from ranvier.runtimes import oracle, reference, simulator

TINY = Effort(seconds=0.1, repeats=2, limit=120.0, checked=2)


def child_module(name: str) -> ModuleType:
    """A child's file as a module."""
    spec = importlib.util.spec_from_file_location(name, CHILDREN / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_integers_and_floats_fire_together_without_leak() -> None:
    chip, network = workloads.mlp((20, 30, 5), vth=300, dv=0)
    inputs = workloads.spikes(np.random.default_rng(0), (3, 40, 20), 0.2)
    exact, real = oracle.run(chip, inputs, ("spikes",)), reference.run(network, inputs, ("spikes",))
    assert all(np.array_equal(exact.spikes[n], real.spikes[n]) and exact.spikes[n].any() for n in exact.spikes)


def test_large_networks_are_checked_as_exactly_as_small_ones() -> None:
    small = workloads.sew(16, 16, 6, 1)
    spikes, states = convolved(small, small.inputs, floats=True), convolved(small, small.inputs, floats=False)
    exact = oracle.run(small.chip, small.inputs, ("spikes", "states"))
    assert small.network is not None
    real = reference.run(small.network, small.inputs, ("spikes",))
    assert exact.spikes["lif2"].any()
    for name in exact.spikes:
        assert np.array_equal(states[f"spikes:{name}"], exact.spikes[name])
        assert np.array_equal(states[f"v:{name}"], exact.states[name]["v"])
        assert np.array_equal(spikes[f"spikes:{name}"], real.spikes[name])


def test_the_residual_network_has_a_million_neurons() -> None:
    assert sum(p.size for p in workloads.sew(samples=1, steps=1).chip.populations) > 1_000_000


def test_xylo_neurons_run_the_same_in_oracle_and_simulator() -> None:
    made = workloads.xylo(samples=3, steps=50)
    exact = oracle.run(made.chip, made.inputs, ("spikes", "states"))
    fast = simulator.run(made.chip, made.inputs, ("spikes", "states"))
    assert exact.spikes["hidden"].max() > 1
    assert all(np.array_equal(exact.states[n]["v"], fast.states[n]["v"]) for n in exact.states)


@pytest.mark.parametrize(
    ("samples", "steps", "cost", "limit", "wanted"),
    [(256, 100, 1e-6, 10, (256, 100)), (256, 100, 1e-3, 10, (100, 100)), (256, 100, 1.0, 20, (1, 20)),
     (256, 100, 100.0, 1, (1, 10)), (4, 5, 100.0, 1, (1, 5))],
)  # fmt: skip
def test_slow_peers_get_less_to_do(
    samples: int, steps: int, cost: float, limit: float, wanted: tuple[int, int]
) -> None:
    assert child_module("common").fitting(samples, steps, cost, limit) == wanted


def truth(**arrays: list[int]) -> Truth:
    """Answers to be equalled, under the names with a colon in place of an underscore."""
    exact = {name.replace("_", ":"): np.array(value) for name, value in arrays.items()}
    return Truth(1, 2, exact, {"spikes:a": np.array([0, 1] * 100)})


def test_judges_are_strict() -> None:
    wanted = truth(spikes_a=[0, 1], v_a=[3, 4])
    right = {"spikes:a": np.array([0, 1]), "v:a": np.array([3, 4])}
    wrong = right | {"v:a": np.array([3, 5])}
    lava, sanafe = PEERS["Lava fixed_pt"], PEERS["SANA-FE"]
    assert judge("w", lava, right, wanted).passed
    assert (judge("w", lava, wrong, wanted).passed, judge("w", lava, wrong, wanted).differing) == (False, 1)
    assert judge("w", sanafe, wrong, wanted).passed
    assert not judge("w", lava, {"spikes:a": right["spikes:a"]}, wanted).passed
    assert not judge("w", lava, right | {"v:a": np.zeros(7)}, wanted).passed
    assert not judge("w", lava, {}, Truth(1, 1, {}, {})).passed


def test_float_peers_may_differ_a_little() -> None:
    given = np.array([0, 1] * 100)
    given[:2] = 1, 1
    assert judge("w", PEERS["Norse"], {"spikes:a": given}, truth()).passed
    given[:6] = 1
    found = judge("w", PEERS["Norse"], {"spikes:a": given}, truth())
    assert (found.passed, found.differing) == (False, 3)


def test_peers_are_asked_what_they_can_answer() -> None:
    assert absence(PEERS["XyloSim"], "xylo", 71, has_floats=False) == ""
    assert "fit" in absence(PEERS["XyloSim"], "mlp 10%", 522, has_floats=True)
    assert absence(PEERS["SANA-FE"], "mlp 10%", 522, has_floats=True) == ""
    assert "fit" in absence(PEERS["SANA-FE"], "mlp 5%", 522, has_floats=True)
    assert "integers only" in absence(PEERS["Norse"], "xylo", 71, has_floats=False)
    assert "too long" in absence(PEERS["Lava fixed_pt"], "sew", 10**6, has_floats=True)


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"no Python 3\.99"):
        interpreter(Recipe("nothing", "3.99", ()))


def test_a_tiny_run_from_end_to_end() -> None:
    record = empty(quick=True, gpu="")
    tiny = workloads.mlp_at(0.2, steps=15, samples=3, sizes=(20, 30, 5))
    measure_workload(record, replace(tiny, name="tiny", batches=(1, 4)), TINY, [PEERS[OURS], PEERS["XyloSim"]])
    assert problems(record) == []
    assert passed(record, "tiny", OURS)
    row = row_of(record, "tiny", OURS)
    assert row is not None
    assert (row["batch"], row["samples"], row["steps"], row["extrapolated"]) == (4, 3, 15, True)
    assert len(row["seconds"]) == 2
    assert min(row["seconds"]) > 0
    assert 20 < row["peak_mb"] < 5000
    assert {"ranvier", "numba", "python"} <= record["versions"][OURS].keys()
    assert [a["peer"] for a in record["absent"]] == ["XyloSim"]


def test_a_child_that_hangs_or_fails_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, code in (("hangs.py", "import time; time.sleep(60)"), ("fails.py", "raise SystemExit('no such thing')")):
        (tmp_path / name).write_text(code)
    monkeypatch.setattr("benchmarks.speed.child.CHILDREN", tmp_path)
    bench = Bench(workloads.mlp_at(0.2, steps=3, samples=2, sizes=(4, 5, 3)), replace(TINY, limit=1.5))
    started = time.monotonic()
    answers = [bench.ask(replace(PEERS[OURS], script=name), (1,)) for name in ("hangs.py", "fails.py")]
    assert [a.reason for a in answers] == ["no answer within 1.5 s", "ended with code 1: no such thing"]
    assert time.monotonic() - started < 20
    bench.close()
    assert not bench.folder.exists()


def test_growth_is_measured_and_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "SWEEPS", growth.SWEEPS[:1])
    (law,) = growth.measure(0.01, 2, points=2)
    assert (law["law"], law["x"]) == ("steps", [50.0, 100.0])
    assert len(law["seconds"]) == 2
    found = growth.neuron_update(0.01, 2, neurons=64, steps=5)
    assert found["neuron_update_share"] == pytest.approx(found["copy_ns"] / found["neuron_update_ns"])


def test_without_its_data_a_workload_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RANVIER_TEST_DATA", str(tmp_path))
    kept: list[int] = []
    record = measured(True, ("braille",), (OURS,), keep=lambda part: kept.append(len(part["absent"])))
    assert (record["rows"], kept) == ([], [1, 1])
    assert "RANVIER_TEST_DATA" in page.text(record)
