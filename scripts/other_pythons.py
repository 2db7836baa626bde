"""Run the tests that need no torch under the other supported Pythons, with the newest packages they can get.

Looks for Python 3.12 and 3.13 on PATH and in pyenv's versions folder; what is not found is listed, not failed.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
WANTED = ("3.12", "3.13")
TESTS = (
    "tests/compiler",
    "tests/golden",
    "tests/targets",
    "tests/runtimes/simulator",
    "tests/runtimes/verify",
    "tests/runtimes/test_oracle.py",
    "tests/runtimes/test_reference.py",
    "tests/runtimes/test_recording.py",
    "tests/test_data.py",
)
TOOLS = ("pytest", "pytest-timeout", "pytest-xdist", "hypothesis")


def interpreter(version: str) -> Path | None:
    """A Python of ``version`` that runs, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    named = shutil.which(f"python{version}")
    candidates = [*([Path(named)] if named else []), *sorted(pyenv.glob(f"{version}*/bin/python"), reverse=True)]
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        done = subprocess.run([candidate, "-c", code], check=False, capture_output=True, text=True, timeout=30)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def run_tests(python: Path, folder: Path) -> None:
    """Install Ranvier without constraints in a new environment and run the tests there."""
    subprocess.run([str(python), "-m", "venv", str(folder)], check=True)
    own = str(folder / "bin" / "python")
    install = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, str(ROOT), *TOOLS], check=True, timeout=900)
    subprocess.run([own, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *TESTS], check=True, cwd=ROOT)


def main() -> None:
    """Every wanted version in turn; ends with what was not found."""
    missing = []
    for version in WANTED:
        python = interpreter(version)
        if python is None:
            missing.append(version)
            continue
        print(f"Python {version}", flush=True)
        with tempfile.TemporaryDirectory(prefix="ranvier-python-") as folder:
            run_tests(python, Path(folder))
    for version in missing:
        print(f"SKIPPED Python {version}: not found on PATH or in pyenv's versions folder")


if __name__ == "__main__":
    main()
