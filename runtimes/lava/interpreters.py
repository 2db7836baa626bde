"""Finds a Python 3.10, which is the only version that Lava runs on.

A candidate counts only if it runs and says that it is 3.10: a pyenv shim on the PATH may do neither.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VERSION = "3.10"
PROBE = "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3])"
PROBE_SECONDS = 20.0
INSTALL_SECONDS = 600.0


@dataclass(frozen=True)
class Attempt:
    """One thing that was tried and what came of it."""

    what: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.what}: {self.outcome}"


def candidates() -> Iterator[Path]:
    """Every file that may be a Python 3.10: on the PATH, in pyenv's versions folder, among uv's own."""
    seen: set[Path] = set()
    for path in (
        *_on_path(f"python{VERSION}"),
        *_in_pyenv(),
        *_in_uv(),
        *_on_path("python3"),
        *_on_path("python"),
    ):
        if path.is_file() and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def probe(python: Path) -> Attempt | str:
    """The version of ``python`` when it is a 3.10 that runs and can make environments, else why not."""
    answer = capture([str(python), "-I", "-c", PROBE], PROBE_SECONDS)
    if isinstance(answer, Attempt):
        return Attempt(str(python), answer.outcome)
    if not answer.startswith(f"{VERSION}."):
        return Attempt(str(python), f"is Python {answer}")
    return answer


def find(tried: list[Attempt]) -> Path | None:
    """The first candidate that is a working Python 3.10; what was tried goes into ``tried``."""
    for path in candidates():
        answer = probe(path)
        if isinstance(answer, str):
            tried.append(Attempt(str(path), f"is Python {answer}"))
            return path
        tried.append(answer)
    tried.append(Attempt("PATH, pyenv's versions folder and uv's folder", f"hold no further Python {VERSION}"))
    return None


def provide(tried: list[Attempt]) -> Path | None:
    """Let uv install a Python 3.10 in its own folder; what was tried goes into ``tried``."""
    command = uv_command()
    if command is None:
        tried.append(Attempt("uv", "is not installed (pip install uv)"))
        return None
    answer = capture([*command, "python", "install", VERSION], INSTALL_SECONDS)
    if isinstance(answer, Attempt):
        tried.append(Attempt(f"uv python install {VERSION}", answer.outcome))
        return None
    for path in _in_uv():
        if isinstance(probe(path), str):
            tried.append(Attempt(f"uv python install {VERSION}", f"installed {path}"))
            return path
    tried.append(Attempt(f"uv python install {VERSION}", f"left no working Python in {_uv_folder()}"))
    return None


def uv_command() -> list[str] | None:
    """How uv is started: its program on the PATH, or its package in our own environment."""
    program = shutil.which("uv")
    if program:
        return [program]
    beside = Path(sys.executable).with_name("uv")
    return [str(beside)] if beside.is_file() else None


def capture(command: list[str], limit: float) -> str | Attempt:
    """The standard output of ``command``, or why there is none."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Attempt(command[0], f"gave no answer within {limit:g} s")
    except OSError as problem:
        return Attempt(command[0], f"does not start: {problem.strerror}")
    if done.returncode:
        return Attempt(command[0], f"fails with exit code {done.returncode}: {_telling_line(done.stderr)}")
    return done.stdout.strip()


def _telling_line(stderr: str) -> str:
    """The end of a traceback, or the beginning of any other message."""
    lines = stderr.strip().splitlines() or ["no message"]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _on_path(name: str) -> Iterator[Path]:
    for folder in os.get_exec_path():
        yield Path(folder) / name


def _in_pyenv() -> Iterator[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in sorted((root / "versions").glob(f"{VERSION}*"), reverse=True):
        yield version / "bin" / f"python{VERSION}"


def _in_uv() -> Iterator[Path]:
    for version in sorted(_uv_folder().glob(f"*-{VERSION}*"), reverse=True):
        yield version / "bin" / f"python{VERSION}"


def _uv_folder() -> Path:
    named = os.environ.get("UV_PYTHON_INSTALL_DIR")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(named) if named else data / "uv" / "python"
