"""``ranvier verify --perturb`` and ``compile --prune``: tables, JSON, the picture, the page, and refusals."""

from pathlib import Path

import pytest

from support.commands import Run


@pytest.mark.usefixtures("files")
def test_perturb_shows_tables_json_and_a_picture(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = ("verify", "net.rnv", "--data", "data.npz", "--perturb", "pcm", "--trials", "2", "--samples", "4")
    text = run(*arguments, "--curve", tmp_path / "curve.svg")
    assert text.code == 0
    for said in ("strength of all effects", "time since writing", "write noise", "Nandakumar"):
        assert said in text.out
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")
    found = run(*arguments, "--perturb-seed", "3", "--json").json["robustness"]
    assert (found["device"], found["trials"], found["seed"], found["samples"]) == ("pcm", 2, 3, 4)
    assert {c["name"] for c in found["curves"]} == {"noise", "time", "effects"}
    assert run("verify", "net.rnv", "--data", "data.npz", "--json").json["robustness"] is None


def test_the_page_has_a_section_of_it(run: Run, files: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    verified = run(
        "verify", files / "net.rnv", "-d", files / "data.npz", "--perturb", "stuck", "--trials", "2", "--json"
    )
    (tmp_path / "verified.json").write_text(verified.out)
    page = tmp_path / "page.html"
    assert run("report", files / "net.rnv", "--verification", tmp_path / "verified.json", "-o", page).code == 0
    text = page.read_text()
    assert 'id="robustness"' in text
    assert 'data-figure="robustness-noise"' in text
    assert "Chen et al." in text


def test_a_device_that_is_none_is_refused(run: Run, files: Path) -> None:
    refused = run("verify", files / "net.rnv", "-d", files / "data.npz", "--perturb", "flash", "--json")
    assert refused.code == 1
    assert refused.json["diagnostics"][0]["code"] == "RV550"


def test_compile_prunes_and_shows_memory_by_format(run: Run, files: Path, tmp_path: Path) -> None:
    reading = ("--dt", "1e-3", "--reset", "subtract")
    command = ("compile", files / "net.nir", *reading, "-o", tmp_path / "pruned.rnv")
    plain, pruned = run(*command, "--json").json, run(*command, "--prune", "1:4", "--json").json
    left = [sum(c["nonzero"] for c in found["report"]["formats"]) for found in (plain, pruned)]
    assert 0 < left[1] < left[0]
    assert any(note["code"] == "RV561" for note in pruned["report"]["notes"])
    assert "synaptic memory by format" in run(*command, "--prune", "1:4").out
    refused = run(*command, "--prune", "5:4", "--json")
    assert refused.json["diagnostics"][0]["code"] == "RV560"
