"""Xylo configurations as Rockpool's XyloSim runs them: in Rockpool's environment, beside the one of XyloSim."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support import rockpool_environment, xylo_environment

CHILD = Path(__file__).with_name("xylo_file_child.py")
SECONDS = 120


def simulate_file(file: Path, frames: NDArray[Any]) -> Mapping[str, NDArray[np.int64]]:
    """What Rockpool's XyloSim records for the configuration in ``file``, each (steps, neurons)."""
    python, core = rockpool_environment.interpreter(), xylo_environment.interpreter()
    packages = next((core.parents[1] / "lib").glob("python*/site-packages"))
    asked, answer = file.with_suffix(".frames.npy"), file.with_suffix(".npz")
    np.save(asked, frames)
    command = [str(python), str(CHILD), str(file), str(asked), str(answer)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages)])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    if done.returncode:
        pytest.fail(f"Rockpool refused the file ({done.returncode}): {done.stderr[-2000:]}")
    with np.load(answer, allow_pickle=False) as held:
        return {name: held[name].astype(np.int64) for name in held.files}
