"""``ranvier inspect --prove``: every register proved, refuted by inputs that can be simulated, or open."""

from pathlib import Path

import numpy as np
import pytest

from ranvier.app import App
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.proof import Open, Proved, Refuted, counterexamples, prove
from support.commands import Run
from support.verification import mlp_chip, population, program_of, row, with_params


@pytest.fixture(scope="module")
def leaking() -> ChipNetwork:
    return with_params(row([population("n", 2, 1, 100)], [np.array([[100, 40], [20, 60]])]), "n", dv=100)


@pytest.fixture(scope="module")
def sinking() -> ChipNetwork:
    """Two layers whose bias alone takes the membrane below 24 bits in some forty steps."""
    return with_params(with_params(mlp_chip(), "hidden", bias=-(4000 << 6)), "out", bias=-(4000 << 6))


def test_a_network_without_inhibition_is_proved_without_a_search(leaking: ChipNetwork) -> None:
    proof = prove(leaking, seconds=1)
    assert proof.proved
    assert all(isinstance(verdict, Proved) for verdict in proof.verdicts)
    assert counterexamples(proof).shape[0] == 0
    assert proof.verdict == f"overflow is impossible for every input: all {len(proof.verdicts)} registers are proved"


def test_what_overflows_is_refuted_in_its_place(sinking: ChipNetwork) -> None:
    proof = prove(sinking, seconds=60)
    assert [type(v) for v in (*proof.refuted, *proof.open)] == [Refuted, Refuted]
    first, second = proof.refuted
    assert (first.layer, second.layer) == ("hidden", "out")
    assert first.to_json()["status"] == "refuted"
    assert counterexamples(proof).shape == (2, max(first.step, second.step) + 1, 4)
    assert all(bound["register"] for bound in proof.to_json())


def test_what_is_neither_has_a_head_room() -> None:
    chip = row([population("a", 2, 1, 1), population("b", 1, 2, 131071)], [np.full((2, 1), 4), np.array([[100, -100]])])
    proof = prove(chip, seconds=0.5)
    (left,) = proof.open
    assert isinstance(left, Open)
    assert left.head_room == min(left.bound.most, -left.bound.least)
    assert proof.verdict.endswith("0 refuted by an input that overflows, 1 open")


def test_the_inputs_that_overflow_overflow_again_in_simulate(run: Run, tmp_path: Path, sinking: ChipNetwork) -> None:
    App(program_of(sinking)).save(tmp_path / "net.rnv")
    told = run("inspect", "net.rnv", "--prove", "--seconds", 60, "--counterexamples", "found.npz")
    assert told.code == 0
    assert "2 refuted by an input that overflows, 0 open" in told.out
    assert "the inputs that overflow are in found.npz" in told.out
    found = run("inspect", "net.rnv", "--prove", "--seconds", 60, "--json").json["proof"]
    refuted = [register for register in found["registers"] if register["status"] == "refuted"]
    assert [r["layer"] for r in refuted] == ["hidden", "out"]
    again = run("simulate", "net.rnv", "found.npz", "--json").json
    assert {d["place"] for d in again["diagnostics"]} >= {"hidden", "out"}


def test_inspect_does_not_search_unless_it_is_asked(run: Run, tmp_path: Path, sinking: ChipNetwork) -> None:
    App(program_of(sinking)).save(tmp_path / "net.rnv")
    assert "proof" not in run("inspect", "net.rnv", "--json").json
    assert run("inspect", "net.rnv", "--counterexamples", "absent/x.npz", "--json").codes == ["RV617"]
