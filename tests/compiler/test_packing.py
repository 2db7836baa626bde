"""Packed weights are the weights, bit for bit, and small; damaged ones are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.linear import SignMode
from ranvier.compiler.ir.weight_levels import weight_levels
from ranvier.compiler.packing import LEVELS, packed, unpacked

SIGNS: tuple[SignMode, ...] = ("mixed", "excitatory", "inhibitory")


@given(
    st.integers(1, 8),
    st.sampled_from(SIGNS),
    st.lists(st.integers(1, 12), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_every_array_comes_back(bits: int, sign: SignMode, shape: list[int], seed: int) -> None:
    levels, rng = weight_levels(bits, sign), np.random.default_rng(seed)
    values = levels.low + levels.step * rng.integers(0, levels.count, shape)
    arrays = {"w": values.astype(np.int32), "other": rng.normal(0, 1, 3), "none": np.zeros((0, 4), np.int32)}
    back = unpacked(packed(arrays))
    assert set(back) == set(arrays)
    for key, wanted in arrays.items():
        assert (back[key].dtype, back[key].shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(back[key], wanted)


@pytest.mark.parametrize(("values", "bits"), [([-128, 128], 1), ([-128, 0, 128], 2), ([-3, 4, 11, 18], 2), ([7, 7], 1)])
def test_bits_an_element(values: list[int], bits: int) -> None:
    weights = np.resize(np.array(values, np.int32), (64, 33))
    assert packed({"w": weights})["w"].nbytes == 64 * 33 * bits // 8


def test_many_levels_and_small_arrays_stay() -> None:
    arrays = {"wide": np.arange(100, dtype=np.int32), "small": np.ones(8, np.int32), "long": np.ones(100, np.int64)}
    assert packed(arrays) == arrays


@pytest.mark.parametrize(
    ("data", "levels"),
    [
        (np.zeros(8, np.uint8), [0, 1, 1, 65]),
        (np.zeros(8, np.uint8), [0, 1, 0, 64]),
        (np.zeros(8, np.uint8), [0, 1, 9, 64]),
        (np.zeros(8, np.uint8), [0, 1]),
        (np.zeros(8, np.uint8), [0, 1, 1, -64]),
        (np.zeros(8, np.uint8), [0, 1, 1, 2**62, 2**62]),
        (np.zeros(8, np.uint8), [2**31, 1, 1, 64]),
        (np.zeros(8, np.int32), [0, 1, 1, 64]),
    ],
)
def test_what_contradicts_itself_is_refused(data: np.ndarray, levels: list[int]) -> None:
    with pytest.raises(ValueError, match="w "):
        unpacked({"w": data, "w" + LEVELS: np.array(levels, np.int64)})


def test_levels_without_an_array_are_refused() -> None:
    with pytest.raises(ValueError, match="no array"):
        unpacked({"w" + LEVELS: np.array([0, 1, 1, 64])})
