"""``ranvier verify --explain``: tables for people, everything as JSON, a reference beside it."""

from pathlib import Path

import pytest

from support.commands import Run


@pytest.mark.usefixtures("files")
def test_explain_shows_tables_and_json(run: Run) -> None:
    arguments = ("verify", "net.rnv", "--data", "data.npz", "--explain", "--explain-samples", "3")
    text = run(*arguments)
    assert text.code == 0
    assert "explained on 3 samples" in text.out
    assert "one approximation at a time" in text.out
    assert "layer by layer" in run(*arguments, "-v").out
    data = run(*arguments, "--traces", "1", "--json").json
    assert data["explanation"]["samples"] == 3
    assert len(data["explanation"]["traces"]) == 1
    assert run("verify", "net.rnv", "--data", "data.npz", "--json").json["explanation"] is None


def test_a_program_is_its_own_reference(run: Run, files: Path) -> None:
    found = run("verify", files / "net.rnv", "-d", files / "data.npz", "--reference", files / "net.rnv", "--json").json
    assert found["explanation"]["suspects"] == []


def test_no_samples_explain_nothing(run: Run, files: Path) -> None:
    assert run("verify", files / "net.rnv", "-d", files / "data.npz", "--explain-samples", "0").code == 2
