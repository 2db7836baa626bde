"""Patterns of zeros: what they keep, the layouts that are legal, and how they are written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.sparsity import BlocksOfM, Magnitude, NOfM, check_layout, entries_of, parse_pattern

PATTERNS = ["2:4", "1:4", "1:3", "3:7", "64:2:5", "8:1:16", "3:4:9"]


def matrices() -> st.SearchStrategy[np.ndarray]:
    def made(rows, columns, seed, ties):
        values = np.random.default_rng(seed).normal(size=(rows, columns))
        return np.rint(values * 2) if ties else values

    return st.builds(made, st.integers(1, 130), st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans())


def pruned(matrix: np.ndarray, pattern: str) -> np.ndarray:
    return np.where(parse_pattern(pattern).kept(entries_of(matrix)).reshape(matrix.shape), matrix, 0.0)


def legal(matrix: np.ndarray, v: int, n: int, m: int) -> bool:
    """The layout checked block by block: V:N:M, or N:M if ``v`` is 0."""
    used = matrix != 0
    for start in range(0, matrix.shape[1], m):
        group = used[:, start : start + m]
        if (group.sum(axis=1) > n).any():
            return False
        if v and any(group[r : r + v].any(axis=0).sum() > 4 for r in range(0, len(used), v)):
            return False
    return True


@given(matrices(), st.sampled_from(PATTERNS))
def test_what_is_kept_is_legal_and_checked_so(matrix, pattern):
    parts = [int(part) for part in pattern.split(":")]
    v, n, m = parts if len(parts) == 3 else (0, *parts)
    found = pruned(matrix, pattern)
    assert legal(found, v, n, m)
    assert check_layout(found, pattern) == []
    assert bool(check_layout(matrix, pattern)) == (not legal(matrix, v, n, m))


@given(matrices(), st.integers(1, 6), st.integers(1, 3))
def test_of_every_group_the_largest_are_kept(matrix, more, n):
    m = n + more
    found = pruned(matrix, f"{n}:{m}")
    for row, kept in zip(np.abs(matrix), np.abs(found), strict=True):
        for start in range(0, row.size, m):
            largest = np.sort(row[start : start + m])[::-1][:n]
            assert np.sort(kept[start : start + m]).sum() == pytest.approx(largest.sum())


@given(matrices(), st.integers(1, 70), st.integers(1, 4), st.integers(5, 9))
def test_of_every_block_the_largest_columns_and_of_these_the_largest_weights_are_kept(matrix, v, n, m):
    found = np.abs(pruned(matrix, f"{v}:{n}:{m}"))
    for top in range(0, len(matrix), v):
        for left in range(0, matrix.shape[1], m):
            block, kept = (np.abs(part[top : top + v, left : left + m]) for part in (matrix, found))
            used = np.argsort(-block.sum(axis=0), kind="stable")[:4]
            assert not np.delete(kept, used, axis=1).any()
            largest = np.sort(block[:, used], axis=1)[:, ::-1][:, :n]
            assert kept.sum(axis=1) == pytest.approx(largest.sum(axis=1))


@given(matrices(), st.floats(0.01, 0.99))
def test_by_magnitude_the_share_is_exact_and_no_kept_weight_is_smaller(matrix, share):
    kept = Magnitude(share).kept(entries_of(matrix)).reshape(matrix.shape)
    assert (~kept).sum() == round(share * matrix.size)
    if kept.any() and not kept.all():
        assert np.abs(matrix)[kept].min() >= np.abs(matrix)[~kept].max()
    assert check_layout(matrix, f"magnitude:{share:.3f}") == []


def generated(seed: int) -> np.ndarray:
    """A full 64:2:5 matrix, drawn without the code that is tested: 4 columns of 5 used, two in every row."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((128, 20))
    for top in range(0, 128, 64):
        for left in range(0, 20, 5):
            columns = left + rng.permutation(5)[:4]
            for row in range(top, top + 64):
                matrix[row, rng.permutation(columns)[:2]] = rng.normal(size=2)
            for column, row in zip(columns, range(top, top + 64), strict=False):
                matrix[row, left : left + 5] = 0.0
                matrix[row, [column, columns[(list(columns).index(column) + 1) % 4]]] = 1.0
    return matrix


@given(st.integers(0, 1000), st.data())
def test_a_generated_matrix_is_accepted_and_one_more_weight_anywhere_refused(seed, data):
    matrix = generated(seed)
    assert check_layout(matrix, "64:2:5") == []
    zeros = np.argwhere(matrix == 0)
    row, column = zeros[data.draw(st.integers(0, len(zeros) - 1))]
    matrix[row, column] = 0.5
    (problem,) = check_layout(matrix, "64:2:5", "fc")
    assert problem.code == "RV562"
    assert problem.place == "fc"
    assert problem.figures["weights"] >= 1


def test_a_fifth_column_of_a_block_is_refused_though_every_row_is_legal():
    matrix = np.eye(5)
    (problem,) = check_layout(matrix, "64:2:5")
    assert (problem.figures["row"], problem.figures["column"], problem.figures["weights"]) == (4, 4, 1)
    assert check_layout(matrix, "4:2:5") == []
    assert check_layout(matrix, "2:5") == []


def test_the_first_weight_too_many_is_named():
    matrix = np.zeros((2, 8))
    matrix[1, 4:7] = 1.0
    (problem,) = check_layout(matrix, "2:4")
    assert (problem.figures["row"], problem.figures["column"], problem.figures["weights"]) == (1, 6, 1)
    assert check_layout(np.zeros((2, 8)), "64:2:5") == []


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("magnitude:0.8", Magnitude(0.8)),
        ("magnitude:.5", Magnitude(0.5)),
        ("2:4", NOfM(2, 4)),
        ("64:2:5", BlocksOfM(64, 2, 5)),
    ],
)
def test_patterns_are_read(text, pattern):
    assert parse_pattern(text) == pattern


@pytest.mark.parametrize(
    "text",
    ["", "magnitude", "magnitude:0", "magnitude:1", "magnitude:1.5", "magnitude:-1", "4:4", "0:4", "5:4", "64:2:4",
     "0:2:5", "64:5:8", "64:0:5", "1:2:3:4", "2:99999", "2:4 ", "two:four", "magnitude:nan"],
)  # fmt: skip
def test_other_texts_are_refused(text):
    with pytest.raises(RanvierError) as caught:
        parse_pattern(text)
    assert caught.value.diagnostics[0].code == "RV560"
