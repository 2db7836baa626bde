"""XyloSim in an environment of its own and in a child process: malformed input crashes its interpreter."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.runtimes.cache import cache_folder

VERSION = "0.1.3"
CHILD = Path(__file__).parent / "xylo_child.py"
BUILD_SECONDS, RUN_SECONDS = 240, 120
Ints = NDArray[np.int64]


@cache
def interpreter() -> Path:
    """The interpreter of the environment, which is made at first use; skips the test where it cannot be made."""
    home = cache_folder() / "peers" / f"xylosim-{VERSION}-{sys.version_info.major}{sys.version_info.minor}"
    python, ready = home / "bin" / "python", home / "ready"
    if ready.is_file():
        return python
    shutil.rmtree(home, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install", "-qq", "--no-deps", "--disable-pip-version-check"]
    try:
        _run([sys.executable, "-m", "venv", str(home)], BUILD_SECONDS)
        _run([*pip, f"xylosim=={VERSION}"], BUILD_SECONDS)
    except (OSError, subprocess.SubprocessError) as problem:
        pytest.skip(f"no environment for xylosim {VERSION}: {getattr(problem, 'stderr', problem)}"[:300])
    ready.touch()
    return python


def simulate(cases: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Ints]]:
    """What XyloSim records for each case, (steps, neurons)."""
    python, asked, answered = interpreter(), folder / "cases.json", folder / "answer.json"
    asked.write_text(json.dumps(list(cases)))
    try:
        _run([str(python), str(CHILD), str(asked), str(answered)], RUN_SECONDS)
    except subprocess.CalledProcessError as problem:
        pytest.fail(f"the child failed ({problem.returncode}): {problem.stderr[-2000:]}")
    found = json.loads(answered.read_text())
    return [{name: np.asarray(values, dtype=np.int64) for name, values in one.items()} for one in found]


def case_of(chip: ChipNetwork, frames: NDArray[Any]) -> dict[str, Any]:
    """The configuration of a chip network for XyloSim, with one sample (steps, inputs) and time for it to pass."""
    read = chip.readout.node
    hidden = [p for p in chip.populations if p.name != read]
    (outputs,) = (p for p in chip.populations if p.name == read)
    inputs, count = int(np.prod(chip.ports[0].shape)), sum(p.size for p in hidden)
    w_in, w_rec = np.zeros((inputs, count), np.int64), np.zeros((count, count), np.int64)
    w_out = np.zeros((count, outputs.size), np.int64)
    first = slices(hidden)
    shifts = {"in": 0, "rec": 0, "out": 0}
    for c in chip.connections:
        weight = synapse_matrix(c.synapse).toarray().T // 2
        if c.target == read:
            w_out[first[c.source]], shifts["out"] = weight, c.exponent
        elif c.source in first:
            w_rec[first[c.source], first[c.target]], shifts["rec"] = weight, c.exponent
        else:
            w_in[:, first[c.target]], shifts["in"] = weight, c.exponent
    late = np.zeros((chip.latency, inputs), np.int64)
    return {
        "w_in": w_in.tolist(),
        "w_rec": w_rec.tolist(),
        "w_out": w_out.tolist(),
        "shifts": list(shifts.values()),
        "hidden": _registers(hidden),
        "outputs": _registers([outputs]),
        "input": np.concatenate([frames.reshape(len(frames), -1).astype(np.int64), late]).tolist(),
    }


def slices(populations: Sequence[Population]) -> dict[str, slice]:
    """Where each population lies in the pool of hidden neurons."""
    stops = np.cumsum([p.size for p in populations])
    return {p.name: slice(int(stop) - p.size, int(stop)) for p, stop in zip(populations, stops, strict=True)}


def _registers(populations: Sequence[Population]) -> dict[str, list[int]]:
    def joined(name: str) -> Ints:
        return np.concatenate([np.broadcast_to(p.params[name], (p.size,)) for p in populations])

    def dash(name: str) -> list[int]:
        return [int(divisor).bit_length() - 1 for divisor in joined(name)]

    return {
        "threshold": joined("threshold").tolist(),
        "bias": joined("bias").tolist(),
        "dash_mem": dash("divisor_mem"),
        "dash_syn": dash("divisor_syn"),
    }


def _run(command: list[str], seconds: float) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds)
