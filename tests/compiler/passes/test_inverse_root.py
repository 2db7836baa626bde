"""Second moments that miss being positive still give a root to round with."""

import numpy as np
import pytest

from ranvier.compiler.passes.rounding import _inverse_root


@pytest.mark.parametrize("shift", [1.0, 0.0, -1e-9])
def test_a_root_is_found_whatever_rounding_did_to_the_moments(shift: float) -> None:
    drawn = np.random.default_rng(0).normal(size=(2, 5, 3))
    second = drawn @ drawn.transpose(0, 2, 1) + shift * np.eye(5)
    root = _inverse_root(second)
    assert np.isfinite(root).all()
    np.testing.assert_array_equal(root, np.tril(root))
    if shift > 0:
        np.testing.assert_allclose(
            root @ root.transpose(0, 2, 1) @ second, np.broadcast_to(np.eye(5), (2, 5, 5)), atol=1e-9
        )
