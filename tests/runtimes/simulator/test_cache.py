"""Generated Python files live in the chosen folder, are written whole, and are replaced when they were changed."""

from pathlib import Path

import pytest

from ranvier.runtimes.simulator import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_module_is_stored_once_and_loaded(folder: Path) -> None:
    path = cache.store("x = 41 + 1\n", "digest")
    assert path == folder / "kernels" / "digest.py"
    assert cache.load(path).x == 42
    path.write_text("raise SystemExit('changed')", encoding="utf-8")
    assert cache.load(cache.store("x = 41 + 1\n", "digest")).x == 42
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
