"""Generated kernels live in the chosen folder, are loaded again by the next process, and cannot be mixed up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ranvier.compiler.ir.programs import Features, float_lif
from ranvier.runtimes.simulator import cache
from ranvier.runtimes.simulator.emit import kernel_source

PROGRAM = float_lif(Features(current=False))
LOAD = (
    "from ranvier.compiler.ir.programs import Features, float_lif\n"
    "from ranvier.runtimes.simulator.cache import kernel\n"
    "advance = kernel(float_lif(Features(current=False)))\n"
    "print(sum(advance.stats.cache_hits.values()), sum(advance.stats.cache_misses.values()))"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(folder: Path) -> list[str]:
    """Cache hits and misses of a fresh process that needs the kernel."""
    command = [sys.executable, "-c", LOAD]
    environment = {**os.environ, "RANVIER_CACHE": str(folder)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout.split()


def test_the_next_process_finds_what_was_compiled(folder: Path) -> None:
    assert load(folder) == ["0", "1"]
    (module,) = folder.glob("kernels/*.py")
    assert module.read_text(encoding="utf-8") == kernel_source(PROGRAM)
    assert load(folder) == ["1", "0"]
    module.write_text("raise SystemExit('changed')", encoding="utf-8")
    load(folder)
    assert module.read_text(encoding="utf-8") == kernel_source(PROGRAM)
    assert not list(folder.rglob("*.part"))


def test_the_folder_is_chosen_by_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.cache_folder() == folder
    monkeypatch.delenv("RANVIER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.cache_folder() == Path("/somewhere/ranvier")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_folder() == Path.home() / ".cache" / "ranvier"


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("RANVIER_CACHE", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = cache.store("x = 1\n", "digest")
    assert path.read_text(encoding="utf-8") == "x = 1\n"
    assert blocked not in path.parents
