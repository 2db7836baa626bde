"""The Lava environment is found, built once, rebuilt when broken, and explained when it cannot be made."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.runtimes.lava import environment, interpreters
from ranvier.runtimes.lava.environment import VARIABLE, Recipe, lava_python, lava_status

SMALL = Recipe((), "import json, sys; print(json.dumps({'python': '%d.%d.%d' % sys.version_info[:3]}))")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder and a PATH with nothing in them, and a cache of its own."""
    for name in (VARIABLE, "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "elsewhere" / "python"))
    return tmp_path


@pytest.fixture(scope="session")
def python310() -> Path:
    """A real Python 3.10 of this machine."""
    found = interpreters.find([])
    if found is None:
        pytest.skip("no Python 3.10 on this machine")
    return found.resolve()


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _link(path: Path, target: Path) -> Path:
    return _program(path, f'exec "{target}" "$@"')


def test_real_environment_has_the_pinned_lava(lava: Path) -> None:
    status = lava_status()
    assert status.ready
    assert status.python == lava
    assert status.versions["lava-nc"] == environment.LAVA_VERSION
    assert status.versions["python"].startswith("3.10.")
    assert status.versions["numpy"].startswith("1.")


def test_environment_is_built_once(machine: Path, python310: Path) -> None:
    _link(machine / "bin" / "python3.10", python310)
    assert not lava_status(SMALL).ready
    python = lava_python(recipe=SMALL)
    assert python == SMALL.python
    before = python.lstat().st_mtime_ns
    assert lava_python(recipe=SMALL).lstat().st_mtime_ns == before
    assert lava_status(SMALL).versions["python"].startswith("3.10.")


def test_broken_environment_is_seen_and_rebuilt(machine: Path, python310: Path) -> None:
    _link(machine / "bin" / "python3.10", python310)
    python = lava_python(recipe=SMALL)
    python.unlink()
    _program(python, "exit 3")
    environment._verified.cache_clear()
    status = lava_status(SMALL)
    assert not status.ready
    assert "broken" in status.problem
    assert "exit code 3" in str(status.tried[0])
    with pytest.raises(RanvierError, match="broken"):
        lava_python(create=False, recipe=SMALL)
    assert lava_python(recipe=SMALL) == python
    assert subprocess.run([python, "-c", ""], check=True).returncode == 0


def test_two_builders_do_not_collide(machine: Path, python310: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _link(machine / "bin" / "python3.10", python310)
    built: list[Recipe] = []
    build = environment._build

    def counted(recipe: Recipe) -> None:
        built.append(recipe)
        build(recipe)

    monkeypatch.setattr(environment, "_build", counted)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: lava_python(recipe=SMALL), range(2)))
    assert answers == [SMALL.python] * 2
    assert len(built) == 1


def test_shim_that_cannot_run_is_passed_over(machine: Path, python310: Path) -> None:
    _program(machine / "bin" / "python3.10", "echo 'pyenv: python3.10: command not found' >&2; exit 127")
    real = _link(machine / ".pyenv" / "versions" / "3.10.99" / "bin" / "python3.10", python310)
    tried: list[interpreters.Attempt] = []
    assert interpreters.find(tried) == real
    assert "exit code 127: pyenv: python3.10: command not found" in tried[0].outcome


def test_other_version_is_passed_over(machine: Path) -> None:
    _program(machine / "bin" / "python3", "echo 3.12.1")
    tried: list[interpreters.Attempt] = []
    assert interpreters.find(tried) is None
    assert tried[0].outcome == "is Python 3.12.1"


def test_uv_provides_a_python_where_none_is_found(machine: Path, python310: Path) -> None:
    home = machine / ".local" / "share" / "uv" / "python" / "cpython-3.10.20-linux" / "bin"
    script = f'/bin/mkdir -p "{home}" && /bin/ln -s "{python310}" "{home}/python3.10"'
    _program(machine / "bin" / "uv", f'test "$*" = "python install 3.10" && {script}')
    assert lava_python(recipe=SMALL) == SMALL.python


def test_everything_tried_is_told_when_all_fail(machine: Path) -> None:
    _program(machine / "bin" / "python3.10", "exit 127")
    _program(machine / "bin" / "uv", "echo 'error: no network' >&2; exit 2")
    with pytest.raises(RanvierError) as caught:
        lava_python(recipe=SMALL)
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.code == "RV701"
    assert "bin/python3.10: fails with exit code 127" in diagnostic.message
    assert "uv python install 3.10: fails with exit code 2: error: no network" in diagnostic.message


def test_missing_uv_is_told(machine: Path) -> None:
    del machine
    with pytest.raises(RanvierError, match="uv: is not installed"):
        lava_python(recipe=SMALL)


def test_failed_installation_is_told_and_leaves_nothing(machine: Path, python310: Path) -> None:
    _link(machine / "bin" / "python3.10", python310)
    recipe = Recipe((str(machine / "no_such_package.whl"),), SMALL.check)
    with pytest.raises(RanvierError, match="no_such_package"):
        lava_python(recipe=recipe)
    assert [entry.suffix for entry in recipe.folder.parent.iterdir()] == [".lock"]


def test_named_interpreter_is_taken(lava: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(lava))
    assert lava_python() == lava


def test_named_interpreter_without_lava_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, sys.executable)
    with pytest.raises(RanvierError, match="cannot run Lava") as caught:
        lava_python()
    assert "No module named 'lava'" in str(caught.value)


def test_named_interpreter_with_another_lava_is_an_error(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = _program(machine / "python", 'echo \'{"python": "3.10.1", "lava-nc": "0.9.0"}\'')
    monkeypatch.setenv(VARIABLE, str(python))
    with pytest.raises(RanvierError, match=r"lava-nc is 0\.9\.0, not 0\.10\.0"):
        lava_python()


def test_cache_folder_follows_the_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RANVIER_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert environment.cache_folder() == Path(os.environ["HOME"]) / ".cache" / "ranvier"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert environment.cache_folder() == tmp_path / "ranvier"
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "own"))
    assert environment.cache_folder() == tmp_path / "own"
