"""The script that every make target starts with names all that is missing in one message."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "prerequisites.sh"


def check(home: Path, programs: tuple[str, ...], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script in a checkout below ``home``, on a machine that has only these programs."""
    (home / "bin").mkdir()
    for name in programs:
        (home / "bin" / name).symlink_to(str(shutil.which(name)))
    (home / "checkout" / "scripts").mkdir(parents=True)
    script = shutil.copy(SCRIPT, home / "checkout" / "scripts")
    environment = {"HOME": str(home), "PATH": str(home / "bin"), **variables}
    command = ["/bin/sh", script]
    return subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=60)


BASIC = ("dirname", "df", "awk", "grep")


def test_all_that_is_missing_is_named_at_once_with_its_fix(tmp_path: Path) -> None:
    result = check(tmp_path, BASIC, RANVIER_LAVA_PYTHON="/bin/false")
    assert result.returncode == 1
    for missing in ("Python 3.11", "GNU make", "RANVIER_LAVA_PYTHON"):
        assert missing in result.stderr
    assert result.stderr.count("fix: ") == 3


def test_a_python_that_does_not_run_does_not_count(tmp_path: Path) -> None:
    shim = tmp_path / "shim"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    result = check(tmp_path, (*BASIC, "make"), PYTHON=str(shim))
    assert result.returncode == 1
    assert "Python 3.11" in result.stderr


def test_a_complete_machine_passes(tmp_path: Path) -> None:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the development set is for Python 3.11")
    result = check(tmp_path, (*BASIC, "make"), PYTHON=sys.executable)
    assert (result.returncode, "Missing" in result.stderr) == (0, False), result.stderr
