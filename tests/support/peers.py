"""Other simulators as judges of our integers: each in its own environment, asked through a child process.

The children and recipes are those of ``benchmarks/speed``; a test is skipped where an environment cannot be made.
"""

import json
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.runtimes.lava.child import run_child

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)
SECONDS = 120.0


@dataclass(frozen=True, eq=False)
class Answer:
    """``spikes:<population>`` and the states likewise, (samples, steps, neurons); or why there are none."""

    arrays: dict[str, NDArray[Any]]
    refused: str = ""


@cache
def _interpreter(environment: str) -> Path | str:
    from benchmarks.speed.environments import RECIPES, UnavailableError, interpreter  # noqa: PLC0415 - outside tests

    try:
        return interpreter(RECIPES[environment])
    except UnavailableError as problem:
        return str(problem)


def ask(name: str, chip: ChipNetwork, frames: NDArray[Any], folder: Path) -> Answer:
    """What the peer ``name`` of the benchmark records for ``chip`` on ``frames``; skips without its environment."""
    from benchmarks.speed.exchange import write_network  # noqa: PLC0415 - outside tests
    from benchmarks.speed.peers import CHILDREN, PEERS  # noqa: PLC0415 - outside tests

    peer = PEERS[name]
    python = _interpreter(peer.environment or "")
    if isinstance(python, str):
        pytest.skip(python)
    write_network(folder / "network.npz", chip, None)
    np.save(folder / "inputs.npy", frames)
    job = {"batches": [], "checked": len(frames), "seconds": 1.0, "repeats": 1, "threads": 1, "spawned": time.time()}
    (folder / "job.json").write_text(json.dumps(job))
    command = [str(python), str(CHILDREN / peer.script), str(folder), *peer.arguments]
    ended = run_child(command, folder / "log.txt", SECONDS)
    assert (folder / "result.json").is_file(), (ended, (folder / "log.txt").read_text()[-2000:])
    result = json.loads((folder / "result.json").read_text())
    if "refused" in result:
        return Answer({}, result["refused"])
    assert "failed" not in result, result["failed"]
    with np.load(folder / "checked.npz", allow_pickle=False) as held:
        return Answer({key: held[key] for key in held.files})
