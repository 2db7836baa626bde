"""Progress, diagnostics and the doctor's findings."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from ranvier.cli import doctor
from ranvier.cli.output import Output, clean, drawn
from ranvier.compiler.diagnostics import Diagnostic


def written(output: Output, stream: io.StringIO) -> str:
    with output.working("verifying") as tick:
        tick("lava", 3, 10)
    output.say("a remark")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("terminal", "quiet", "as_json", "bar", "remark"),
    [
        (True, False, False, True, True),
        (False, False, False, False, True),
        (True, True, False, False, False),
        (True, False, True, False, False),
    ],
)
def test_bars_are_for_terminals(terminal: bool, quiet: bool, as_json: bool, bar: bool, remark: bool) -> None:
    stream = io.StringIO()
    output = Output(as_json, quiet, err=Console(file=stream, force_terminal=terminal))
    text = written(output, stream)
    assert ("verifying" in text) is bar
    assert ("lava" in text) is bar
    assert ("a remark" in text) is remark


def test_a_note_needs_no_fix() -> None:
    lines = [str(part) for part in drawn([Diagnostic("RV001", "a", "b", "c", s) for s in ("note", "error")])]
    assert lines == ["note RV001 a: b", "error RV001 a: b", "      fix: c"]


def test_clean_keeps_words_and_drops_controls() -> None:
    assert clean("Größe 3\nµm") == "Größe 3\nµm"
    assert clean("\x1b[31m\x9b\u202e") == "\\x1b[31m\\x9b\\x202e"


def test_the_doctor_sees_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RANVIER_LAVA_PYTHON", str(tmp_path / "none"))
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "requires", lambda _: ["numpy>=1", "absent_one", "absent-two>=1; extra == 'torch'"])
    monkeypatch.setattr(doctor, "PYTHONS", ((3, 98), (3, 99)))
    for fix in (False, True):
        answer = doctor.doctor(Output(quiet=True), fix=fix)
        found = {f["name"]: f for f in answer.data["findings"]}  # type: ignore[attr-defined]
        states = {name: f["state"] for name, f in found.items() if name != "GPU"}
        assert states == {
            "Python": "problem",
            "numpy": "ok",
            "absent_one": "problem",
            "absent-two": "missing",
            "Lava": "problem",
            "cache": "ok",
        }
        assert all(f["fix"] for f in found.values() if f["state"] == "problem")
        assert found["absent-two"]["fix"] == "pip install 'ranvier[torch]'"
        assert not answer.ok


@pytest.mark.parametrize(
    ("script", "state", "text"),
    [
        ("echo 'GPU 0: H100 (UUID: GPU-1)'", "ok", "GPU 0: H100"),
        ("exit 1", "missing", "none: programs run on the CPU"),
    ],
)
def test_the_doctor_looks_for_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, state: str, text: str
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = doctor._gpu()
    assert (found.state, found.value) == (state, text)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert doctor._gpu().state == "missing"


def test_a_cache_that_cannot_be_written_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert doctor._cache().state == "problem"
