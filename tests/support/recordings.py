"""Recordings compared whole."""

from typing import Any

import numpy as np

from ranvier.runtimes.recording import Recording


def assert_equal(found: Recording, expected: Recording) -> None:
    """Both recordings hold the same, whatever the width of their integers."""
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    for name in ("spikes", "membrane"):
        _same_arrays(getattr(found, name), getattr(expected, name))
    assert set(found.states) == set(expected.states)
    for population, states in expected.states.items():
        _same_arrays(found.states[population], states)
    assert dict(found.stats) == dict(expected.stats)
    assert found.overflows == expected.overflows


def _same_arrays(found: Any, expected: Any) -> None:
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
