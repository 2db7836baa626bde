"""Array files that verbs write."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import error


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write ``arrays`` by name to the ``.npz`` file ``path``; raises ``RanvierError`` RV617 if it cannot."""
    try:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as problem:
        message = f"cannot be written: {problem.strerror or problem}"
        raise error("RV617", str(path), message, "choose a folder that can be written") from problem
