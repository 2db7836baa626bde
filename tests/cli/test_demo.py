"""The demo: the whole way on the network that ships with Ranvier, with Lava and without."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ranvier.runtimes.lava.environment import VARIABLE, lava_status

COMMAND = (sys.executable, "-c", "from ranvier.cli import main; main()", "demo")


def demo(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100"} | environment,
        check=False,
    )


def sound(values: dict[str, Any]) -> None:
    """What every demo must show."""
    verification = values["verification"]
    assert verification["agrees"] is True
    assert verification["disagreements"] == 0
    assert verification["accuracy"] >= verification["float_accuracy"] - 0.01
    assert verification["float_accuracy"] > 0.9
    low, high = verification["interval"]
    assert low < verification["accuracy"] < high
    assert values["report"]["cores"] >= 1
    assert values["report"]["energy"]["dynamic_nj"]["value"] > 0
    assert values["next"].startswith("ranvier check ")


def test_the_demo_without_lava(tmp_path: Path) -> None:
    done = demo(tmp_path, "--no-lava", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    sound(values)
    assert [c["runtime"] for c in values["verification"]["comparisons"]] == ["oracle"]
    assert list(tmp_path.iterdir()) == []


def test_the_demo_says_what_to_do_when_lava_cannot_be_had(tmp_path: Path) -> None:
    done = demo(tmp_path, **{VARIABLE: str(tmp_path / "no-python")})
    assert done.returncode == 1
    for word in (
        "float accuracy",
        "deployed accuracy",
        "Wilson",
        "spikes compared",
        "disagreements",
        "cores",
        "memory",
    ):
        assert word in done.stdout
    for word in ("energy", "ranvier check my_model.py", "--no-lava", VARIABLE):
        assert word in done.stdout
    assert "Traceback" not in done.stderr


def test_the_demo_with_lava(tmp_path: Path) -> None:
    if not lava_status().ready:
        pytest.skip("the Lava environment is not there: run 'ranvier doctor --fix'")
    done = demo(tmp_path, "--json", "--lava-samples", "20")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    sound(values)
    lava = values["verification"]["comparisons"][-1]
    assert (lava["runtime"], lava["samples"], lava["disagreements"]) == ("lava", 20, 0)
    assert lava["states_compared"] > lava["spikes_compared"] > 0
