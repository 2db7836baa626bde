"""``ranvier explore``: the tables, the JSON, the picture, and what is refused."""

from pathlib import Path

import pytest

from support.commands import Run

READING = ("--dt", "1e-3", "--reset", "subtract")
SMALL = 'extends = "stems_1mb"\n[core.store.size_bits]\nv = 9000\n'


@pytest.fixture
def target(files: Path) -> Path:
    path = files / "small.toml"
    path.write_text(SMALL)
    return path


def test_a_model_without_data(run: Run, target: Path) -> None:
    answer = run("explore", "net.nir", *READING, "--steps", "4", "--target", target.name)
    assert answer.code == 0
    for text in ("ST-LBL", "TB-LF", "chosen", "state_io = dead", "W weights", "Pareto front"):
        assert text in answer.out
    found = run("explore", "net.nir", *READING, "--steps", "4", "--target", target.name, "--json").json
    assert found["exact"]
    assert found["executions"] == found["elisions"] == []
    assert found["chosen"]["energy_pj"] == min(point["energy_pj"] for point in found["uniform"].values())
    paid = [sum(layer["dram_pj"].values()) - layer["energy_pj"]["dram"] for layer in found["layers"]]
    assert max(map(abs, paid)) < 1e-6
    moved = sum(sum(layer["dram_bits"].values()) for layer in found["layers"])
    assert moved == found["chosen"]["dram_bits"]
    assert "uJ by operand and memory" in answer.out
    assert "all are taken to be non-zero" in answer.out
    assert found["density"]["basis"] == "assumed"
    assert {layer["density"] for layer in found["layers"]} == {None, 1.0}
    everything = found["compute_pj"] + sum(sum(levels.values()) for levels in found["memory_pj"].values())
    assert everything == pytest.approx(found["chosen"]["energy_pj"])
    for operand in ("weights", "states", "activations"):
        for level, pj in found["memory_pj"][operand].items():
            assert pj == pytest.approx(sum(layer["memory_pj"][operand][level] for layer in found["layers"]))
    assert found["bound"] <= found["chosen"]["energy_pj"]


@pytest.mark.parametrize("model", [("net.nir", *READING), ("net.rnv",)], ids=["network", "program"])
def test_with_data_schedules_are_carried_out_and_states_dropped(run: Run, target: Path, model: tuple[str, ...]) -> None:
    arguments = ("explore", *model, "--data", "data.npz", "--target", target.name, "--picture", "plan.svg")
    answer = run(*arguments)
    assert answer.code == 0
    assert "carried out on 2 samples" in answer.out
    assert "without states between steps" in answer.out
    assert "measured on 12 samples" in answer.out
    assert Path("plan.svg").read_text().startswith("<?xml")
    found = run(*arguments, "--json").json
    assert len(found["executions"]) == 5
    for execution in found["executions"]:
        assert execution["agrees"]
        assert execution["modelled_bits"] == execution["counted_bits"] > 0
        assert execution["differing"] == 0
    (elision,) = found["elisions"]
    assert elision["state_bits"] < found["state_bits"]
    assert 0.0 <= elision["accuracy"] <= 1.0
    assert found["accuracy"] is not None


@pytest.mark.usefixtures("files")
def test_choices_are_taken(run: Run) -> None:
    base = ("explore", "net.rnv", "--steps", "3")
    found = run(*base, "--schedule", "ST-LF", "--published-rules", "--json").json
    assert set(found["chosen"]["schedule"]) == {"ST-LF"}
    assert found["state_io"] == "charged"
    cheap = run(*base, "--objective", "traffic", "--json").json["chosen"]
    assert cheap["dram_bits"] == min(p["dram_bits"] for p in run(*base, "--json").json["uniform"].values())
    model = ("explore", "net.nir", *READING, "--steps", "3", "--json")
    half, dense = (run(*model, "--density", share).json for share in ("0.5", "1"))
    assert half["density"]["basis"] == "given"
    assert half["compute_pj"] == pytest.approx(dense["compute_pj"] / 2)
    assert run(*base, "--prove", "--json").json["exact"]
    wide, narrow = (run(*model, "--weight-bits", str(w), "--state-bits", str(s)).json for w, s in ((8, 24), (4, 12)))
    assert wide["weight_bits"] == 2 * narrow["weight_bits"]
    assert wide["state_bits"] == 2 * narrow["state_bits"]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("net.nir", *READING), "RV541"),
        (("net.rnv", "--steps", "3", "--target", "loihi2"), "RV530"),
        (("net.rnv", "--steps", "3", "--schedule", "fast"), "RV534"),
        (("net.rnv", "--steps", "3", "--elide", "nobody"), "RV850"),
        (("net.nir", *READING, "--steps", "3", "--elide", "nobody"), "RV540"),
        (("net.rnv", "--steps", "3", "--picture", "plan.txt"), "RV543"),
        (("absent.rnv", "--steps", "3"), "RV401"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, arguments: tuple[str, ...], code: str) -> None:
    answer = run("explore", *arguments, "--json")
    assert (answer.code, answer.codes) == (1, [code])
