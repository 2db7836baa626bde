"""Rockpool in an environment of its own, because of its licence: a child process builds, runs and imports modules.

The child (``rockpool_child.py``) gets a list of cases and answers with arrays: inputs, what the live module fired, and
the imported network in text form.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.text import parse
from ranvier.runtimes.cache import cache_folder

VERSION = "3.1.0"
ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).parent / "rockpool_child.py"
BUILD_SECONDS, RUN_SECONDS = 240, 200
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answer:
    """One case: inputs and the spikes of the last neurons (batch, steps, ...), the network, or the refusal's codes."""

    x: Array
    spikes: Array
    network: Network | None
    codes: tuple[str, ...]


@cache
def interpreter() -> Path:
    """The interpreter of the environment, which is made at first use; skips the test where it cannot be made."""
    home = cache_folder() / "peers" / f"rockpool-{VERSION}-{sys.version_info.major}{sys.version_info.minor}"
    python, ready = home / "bin" / "python", home / "ready"
    if ready.is_file() and ready.read_text() == sysconfig.get_path("purelib"):
        return python
    shutil.rmtree(home, ignore_errors=True)
    packages = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    pip = [str(python), "-m", "pip", "install", "-qq", "--no-deps", "--no-build-isolation", f"rockpool=={VERSION}"]
    try:
        _run([sys.executable, "-m", "venv", str(home)], BUILD_SECONDS)
        paths = (sysconfig.get_path("purelib"), str(ROOT / "src"))
        (packages / "shared.pth").write_text("\n".join(paths) + "\n")
        _run(pip, BUILD_SECONDS)
    except (OSError, subprocess.SubprocessError) as problem:
        pytest.skip(f"no environment for Rockpool {VERSION}: {getattr(problem, 'stderr', problem)}"[:300])
    ready.write_text(sysconfig.get_path("purelib"))
    return python


def ask(cases: list[dict[str, Any]], folder: Path) -> list[Answer]:
    """Have the child build, run and import the modules of ``cases``."""
    python, answer = interpreter(), folder / "answer.npz"
    (folder / "cases.json").write_text(json.dumps(cases))
    try:
        _run([str(python), str(CHILD), str(folder / "cases.json"), str(answer)], RUN_SECONDS)
    except subprocess.CalledProcessError as problem:
        pytest.fail(f"the child failed: {problem.stderr[-2000:]}")
    with np.load(answer, allow_pickle=False) as arrays:
        return [_answer(f"{i}/", {name: arrays[name] for name in arrays.files}) for i in range(len(cases))]


def _answer(prefix: str, arrays: dict[str, NDArray[Any]]) -> Answer:
    mine = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    codes = tuple(str(mine["codes"]).split())
    tensors = {name.removeprefix("tensor:"): value for name, value in mine.items() if name.startswith("tensor:")}
    network = None if codes else parse(str(mine["text"]), tensors)
    assert network is None or isinstance(network, Network)
    return Answer(mine["x"], mine["spikes"], network, codes)


def _run(command: list[str], seconds: float) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds)
