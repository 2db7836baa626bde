"""Data files: ready inputs and events, and what is refused."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.data import load_data

EVENTS: dict[str, Any] = {
    "x": np.array([0, 3, 3, 1, 2, 2], np.uint8),
    "y": np.array([1, 1, 1, 0, 2, 2], np.uint8),
    "p": np.array([0, 1, 1, 0, 1, 1], np.uint8),
    "t_us": np.array([500, 600, 1499, 1600, 100, 2300], np.uint32),
    "offsets": np.array([0, 4, 4, 6]),
    "labels": np.array([2, 0, 1]),
}


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path / "d.npz", **arrays)
    return path / "d.npz"


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(RanvierError) as found:
        load_data(path, **options)
    (diagnostic,) = found.value.diagnostics
    return diagnostic.code


def test_ready_inputs_and_labels(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5, 7, 3))
    data = load_data(saved(tmp_path, inputs=x, labels=np.arange(5, dtype=np.uint8)), steps=4)
    np.testing.assert_array_equal(data.inputs, x[:, :4])
    assert data.labels is not None
    assert (data.labels.tolist(), data.labels.dtype.name, len(data)) == ([0, 1, 2, 3, 4], "int64", 5)
    assert len(data[:2]) == 2
    assert load_data(saved(tmp_path, inputs=x)).labels is None


def test_events_are_binned_by_polarity_row_and_column(tmp_path: Path) -> None:
    path = saved(tmp_path, **EVENTS)
    counts = load_data(path, bin_us=1000, binary=False)
    assert counts.inputs.shape == (3, 3, 2, 3, 4)
    wanted = np.zeros((3, 3, 2, 3, 4))
    wanted[0, 0, 0, 1, 0] = 1
    wanted[0, 0, 1, 1, 3] = 2
    wanted[0, 1, 0, 0, 1] = 1
    wanted[2, 0, 1, 2, 2] = 1
    wanted[2, 2, 1, 2, 2] = 1
    np.testing.assert_array_equal(counts.inputs, wanted)
    np.testing.assert_array_equal(load_data(path, bin_us=1000).inputs, wanted > 0)
    np.testing.assert_array_equal(load_data(path, bin_us=1000, steps=2).inputs, wanted[:, :2] > 0)
    larger = load_data(path, bin_us=1000, shape=(2, 5, 6)).inputs
    np.testing.assert_array_equal(larger[..., :3, :4], wanted > 0)


def test_time_zero_may_be_the_recordings_own(tmp_path: Path) -> None:
    frames = load_data(saved(tmp_path, **EVENTS), bin_us=1000, start="zero", binary=False).inputs
    assert (frames[0, 0].sum(), frames[0, 1].sum(), frames[2, 0].sum(), frames[2, 2].sum()) == (2, 2, 1, 1)


@pytest.mark.parametrize(
    ("changed", "options", "code"),
    [
        ({}, {}, "RV166"),
        ({}, {"bin_us": -1.0}, "RV166"),
        ({}, {"bin_us": 1000, "steps": 0}, "RV166"),
        ({}, {"bin_us": 1e-9}, "RV161"),
        ({}, {"bin_us": 1000, "shape": (1, 3, 4)}, "RV167"),
        ({"x": np.zeros(5, int)}, {"bin_us": 1000}, "RV167"),
        ({"x": np.full(6, 0.5)}, {"bin_us": 1000}, "RV167"),
        ({"y": np.full(6, -1)}, {"bin_us": 1000}, "RV167"),
        ({"offsets": np.array([0, 4, 3, 6])}, {"bin_us": 1000}, "RV167"),
        ({"offsets": np.array([0, 4, 5])}, {"bin_us": 1000}, "RV167"),
        ({"labels": np.array([1, 2])}, {"bin_us": 1000}, "RV164"),
        ({"labels": np.array([0.5, 1, 2])}, {"bin_us": 1000}, "RV164"),
    ],
)  # fmt: skip
def test_wrong_events_are_refused(tmp_path: Path, changed: dict[str, Any], options: Any, code: str) -> None:
    assert refused(saved(tmp_path, **(EVENTS | changed)), **options) == code


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.npz") == "RV160"
    assert refused(saved(tmp_path, images=np.zeros(3))) == "RV162"
    assert refused(saved(tmp_path, inputs=np.zeros(3))) == "RV165"
    assert refused(saved(tmp_path, inputs=np.full((2, 2), np.nan))) == "RV165"
    assert refused(saved(tmp_path, inputs=np.zeros((2, 2))), bin_us=10) == "RV166"
    objects = np.array([{"a": 1}, None], dtype=object)
    assert refused(saved(tmp_path, inputs=np.zeros((2, 2)), labels=objects)) == "RV163"
    whole = saved(tmp_path, **EVENTS).read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "cut.npz").write_bytes(whole[:cut])
        assert refused(tmp_path / "cut.npz", bin_us=10) == "RV160"


def test_arrays_that_claim_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, inputs=np.zeros((4, 4)))
    with zipfile.ZipFile(path) as archive:
        raw = archive.read("inputs.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inputs.npy", raw.replace(b"(4, 4)", b"(9,99)"))
    assert refused(path) == "RV161"


def test_flipped_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    whole = saved(tmp_path, **EVENTS).read_bytes()
    dice = np.random.default_rng(1)
    codes: list[str] = []
    for _ in range(150):
        data = bytearray(whole)
        data[dice.integers(len(data))] ^= 1 << int(dice.integers(8))
        (tmp_path / "flip.npz").write_bytes(bytes(data))
        try:
            load_data(tmp_path / "flip.npz", bin_us=1000)
        except RanvierError as found:
            codes += [d.code for d in found.diagnostics]
    assert len(codes) > 50
    assert all(code.startswith("RV16") for code in codes)
