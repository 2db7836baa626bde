"""Machine code lives in the chosen folder, are loaded again by the next process, and cannot be mixed up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes.simulator import machine
from ranvier.runtimes.simulator.ranges import Traits

LOAD = (
    "from ranvier.compiler.ir.programs import Features, float_lif\n"
    "from ranvier.runtimes.simulator import machine\n"
    "from ranvier.runtimes.simulator.ranges import Traits\n"
    "compiled, made = [], machine._compiled\n"
    "machine._compiled = lambda text: compiled.append(text) or made(text)\n"
    "machine.kernel(float_lif(Features(current=False)), Traits())\n"
    "print(len(compiled))"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(folder: Path) -> int:
    """How many kernels a fresh process compiles that needs one."""
    environment = {**os.environ, "RANVIER_CACHE": str(folder)}
    command = [sys.executable, "-c", LOAD]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    return int(done.stdout)


def test_the_next_process_finds_what_was_compiled(folder: Path) -> None:
    assert load(folder) == 1
    (code,) = folder.glob("kernels/*.o")
    assert load(folder) == 0
    code.unlink()
    assert load(folder) == 1
    assert not list(folder.rglob("*.part"))


def test_what_is_known_of_the_numbers_makes_another_kernel(folder: Path) -> None:
    program = chip_lif(Features(reset="subtract"))
    first, second = machine.kernel(program, Traits()), machine.kernel(program, Traits(32, frozenset()))
    assert first is not second
    assert machine.kernel(program, Traits()) is first
    assert len(list(folder.glob("kernels/*.o"))) == 2


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("RANVIER_CACHE", str(blocked))
    assert machine.store(b"code", blocked / "kernels" / "digest.o") == b"code"
    assert blocked.read_text() == "not a folder"
