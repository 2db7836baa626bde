"""Draws depend on what they are for, and on nothing else."""

import numpy as np
import pytest

from ranvier.runtimes.perturb.draws import Key

KEY = Key(7, 3)


def test_fewer_numbers_are_the_beginning_of_more():
    np.testing.assert_array_equal(KEY.normal("read", "fc", 5), KEY.normal("read", "fc", 64)[:5])
    np.testing.assert_array_equal(KEY.uniform("stuck", "fc", 5), KEY.uniform("stuck", "fc", 64)[:5])


def test_samples_may_come_in_any_batches():
    together = KEY.normals("read", "fc", 9, range(12), step=11)
    for sample in range(12):
        np.testing.assert_array_equal(together[sample], KEY.normals("read", "fc", 9, range(sample, sample + 1), 11)[0])


@pytest.mark.parametrize(
    "other",
    [
        Key(8, 3).normals("read", "fc", 64, range(1)),
        Key(7, 4).normals("read", "fc", 64, range(1)),
        KEY.normals("write", "fc", 64, range(1)),
        KEY.normals("read", "fc2", 64, range(1)),
        KEY.normals("read", "fc", 64, range(1, 2)),
        KEY.normals("read", "fc", 64, range(1), step=1),
    ],
    ids=["seed", "trial", "effect", "layer", "sample", "step"],
)
def test_every_part_of_the_key_gives_numbers_of_its_own(other):
    own = KEY.normals("read", "fc", 64, range(1))
    assert not np.intersect1d(own, other).size


def test_numbers_are_distributed_as_they_should_be():
    normal, uniform = KEY.normal("a", "b", 200_001), KEY.uniform("a", "c", 200_000)
    assert abs(normal.mean()) < 0.01
    assert abs(normal.std() - 1) < 0.01
    assert abs((normal**4).mean() - 3) < 0.1
    assert abs(np.mean(np.abs(normal) < 1.959964) - 0.95) < 0.003
    assert 0 <= uniform.min() < 1e-4
    assert 1 - 1e-4 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(normal[0:-1:2], normal[1::2])[0, 1]) < 0.01


def test_numbers_are_known():
    """A golden value: curves stay what they were, whatever the version of numpy."""
    np.testing.assert_allclose(Key(0, 0).uniform("read", "fc", 2), GOLDEN, rtol=0, atol=1e-15)


GOLDEN = (0.2307542169049429, 0.8549168789198126)
