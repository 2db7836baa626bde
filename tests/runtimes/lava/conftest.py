"""The interpreter of the Lava environment, built once per machine in the cache folder."""

from pathlib import Path

import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.runtimes.lava.environment import lava_python


@pytest.fixture(scope="session")
def lava() -> Path:
    """A Python 3.10 that has Lava; skips, telling why, where there is none and none can be made."""
    try:
        return lava_python()
    except RanvierError as problem:
        pytest.skip(str(problem))
