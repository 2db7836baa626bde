"""What all tests share: how many examples hypothesis draws, which names are no tests, the interpreter of Lava."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ranvier.compiler.diagnostics import RanvierError
from ranvier.runtimes.lava.environment import lava_python
from support.data import test_data

_SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)

settings.register_profile(
    "ci", max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile("all", max_examples=1000, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_pycollect_makeitem(obj: object) -> list[pytest.Item] | None:
    """Keep the helper ``test_data`` from being collected as a test by every module that imports it."""
    return [] if obj is test_data else None


@pytest.fixture(scope="session")
def lava() -> Path:
    """A Python 3.10 that has Lava; skips, telling why, where there is none and none can be made."""
    try:
        return lava_python()
    except RanvierError as problem:
        pytest.skip(str(problem))
