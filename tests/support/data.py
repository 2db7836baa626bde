"""The real networks and recordings that tests may use, which are not part of the repository."""

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]


def test_data(*parts: str) -> Path:
    """Path of a file or folder of the test data; skips the calling test where it is absent.

    The data lie in the folder that the variable RANVIER_TEST_DATA names, else in ``../shared/data``
    beside the repository.
    """
    root = Path(os.environ.get("RANVIER_TEST_DATA") or _REPOSITORY.parent / "shared" / "data")
    path = root.joinpath(*parts)
    if not path.exists():
        wanted = "/".join(parts) or "folder"
        pytest.skip(f"test data {wanted} not found: set RANVIER_TEST_DATA to the folder that holds it")
    return path
