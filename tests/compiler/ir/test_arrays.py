"""Arrays of the IR are exact, read-only and compact."""

import numpy as np
import pytest

from ranvier.compiler.ir.arrays import compact, floats, frozen_mapping, integers, size


def test_arrays_are_typed_read_only_copies():
    mine = np.array([1.0, 2.0])
    taken = floats(mine)
    mine[0] = 9
    assert taken.tolist() == [1.0, 2.0]
    assert taken.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        taken[0] = 3
    assert integers([1.0, -2.0]).dtype == np.int64
    assert floats(np.asfortranarray(np.ones((2, 3)))).flags.c_contiguous


@pytest.mark.parametrize("values", [1.5, [1, np.nan], [np.inf], 2.0**62, "7", [1j]])
def test_registers_take_whole_numbers_only(values):
    with pytest.raises(AssertionError):
        integers(values)


@pytest.mark.parametrize("values", ["7", [1j], [None]])
def test_floats_take_real_numbers_only(values):
    with pytest.raises(AssertionError):
        floats(values)


def test_equal_entries_become_one():
    assert compact(integers([3, 3, 3])).shape == ()
    assert compact(integers([3, 3, 4])).shape == (3,)
    assert compact(integers([])).shape == (0,)
    assert compact(floats(2.0)).shape == ()
    assert not compact(integers([3, 3])).flags.writeable


def test_mappings_are_read_only_copies():
    mine = {"a": 1}
    taken = frozen_mapping(mine)
    mine["b"] = 2
    assert dict(taken) == {"a": 1}
    with pytest.raises(TypeError):
        taken["a"] = 2  # type: ignore[index]


def test_sizes():
    assert (size(()), size((2, 3)), size((0, 5))) == (1, 6, 0)
