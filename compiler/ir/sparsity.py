"""Patterns of zeros: which weights a layer keeps, and whether a layer keeps to a pattern.

A layer is a matrix of rows (a row is all that ends on a neuron; of a convolution, on a channel, its kernel in C order)
and columns (inputs). Patterns, by how they are written:

* ``magnitude:S``: the share S of the layer's weights that are smallest is zero (Han et al., NeurIPS 2015).
* ``N:M``: of M columns that follow each other, N at most are not zero in a row (2:4: Mishra et al., arXiv:2104.08378).
* ``V:N:M``: of M columns that follow each other, only 4 are used in a block of V rows, and of these, N at most are not
  zero in a row (Zhao et al., arXiv:2410.16135).
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranvier.compiler.diagnostics import Diagnostic, error
from ranvier.compiler.ir.arrays import FloatArray, IntArray

USED = 4
LARGEST = 65536
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Entries:
    """The stored weights of a layer: the ``rows`` and ``columns`` that they are in, and their absolute ``sizes``."""

    rows: IntArray
    columns: IntArray
    sizes: FloatArray


@dataclass(frozen=True)
class Magnitude:
    """The ``share`` of the weights that are smallest is zero."""

    share: float

    def kept(self, entries: Entries) -> BoolArray:
        """Which of ``entries`` stay; of equal ones the later."""
        order = np.argsort(entries.sizes, kind="stable")
        kept = np.ones(order.size, np.bool_)
        kept[order[: round(self.share * order.size)]] = False
        return kept

    def violations(self, _entries: Entries) -> IntArray:
        """It asks for no layout, so there are none."""
        return np.empty(0, np.int64)


@dataclass(frozen=True)
class NOfM:
    """Of ``m`` columns that follow each other ``n`` at most are not zero, in every row."""

    n: int
    m: int

    def kept(self, entries: Entries) -> BoolArray:
        """Which of ``entries`` stay: the largest of each group, of equal ones the first."""
        return _rank(self._groups(entries), entries.sizes) < self.n

    def violations(self, entries: Entries) -> IntArray:
        """The numbers of the ``entries`` that are too many in their group."""
        used = np.flatnonzero(entries.sizes)
        return used[_rank(self._groups(entries)[used], np.zeros(used.size)) >= self.n]

    def _groups(self, entries: Entries) -> IntArray:
        return _numbered(entries.rows, entries.columns // self.m)


@dataclass(frozen=True)
class BlocksOfM:
    """In blocks of ``v`` rows and ``m`` columns only ``USED`` columns are used, ``n`` of them at most in every row."""

    v: int
    n: int
    m: int

    def kept(self, entries: Entries) -> BoolArray:
        """Which of ``entries`` stay: the columns of each block with the largest sums, in them the largest weights."""
        blocks, columns = self._blocks(entries)
        sums = np.bincount(columns, entries.sizes).astype(np.float64)
        chosen = _rank(*_firsts(blocks, columns, sums)) < USED
        kept = np.flatnonzero(chosen[columns])
        inner = _rank(_numbered(entries.rows, entries.columns // self.m)[kept], entries.sizes[kept]) < self.n
        found = np.zeros(entries.rows.size, np.bool_)
        found[kept[inner]] = True
        return found

    def violations(self, entries: Entries) -> IntArray:
        """The numbers of the ``entries`` that lie in a column too many, or are too many in their row."""
        used = np.flatnonzero(entries.sizes)
        blocks, columns = self._blocks(Entries(entries.rows[used], entries.columns[used], entries.sizes[used]))
        late = _rank(*_firsts(blocks, columns, np.zeros(int(columns.max(initial=-1)) + 1))) >= USED
        rows = _numbered(entries.rows[used], entries.columns[used] // self.m)
        return used[late[columns] | (_rank(rows, np.zeros(used.size)) >= self.n)]

    def _blocks(self, entries: Entries) -> tuple[IntArray, IntArray]:
        """The block of each entry, and its column among all columns of all blocks, numbered in their order."""
        blocks = _numbered(entries.rows // self.v, entries.columns // self.m)
        return blocks, _numbered(blocks, entries.columns % self.m)


Pattern = Magnitude | NOfM | BlocksOfM


def parse_pattern(text: str) -> Pattern:
    """The pattern written as ``text``; raises ``RanvierError`` RV560 if there is none like that."""
    found = re.fullmatch(r"magnitude:(\d*\.?\d+)|(?:(\d{1,5}):)?(\d{1,5}):(\d{1,5})", text)
    if found is None:
        raise _refused(text, "it is no pattern")
    if found[1] is not None:
        if not 0 < float(found[1]) < 1:
            raise _refused(text, "the share lies between 0 and 1")
        return Magnitude(float(found[1]))
    v, n, m = (0 if part is None else int(part) for part in found.group(2, 3, 4))
    if found[2] is None:
        if not 0 < n < m <= LARGEST:
            raise _refused(text, f"{n} of {m} weights leave none away, or none behind")
        return NOfM(n, m)
    if not (0 < v <= LARGEST and 0 < n <= USED < m <= LARGEST):
        raise _refused(text, f"V:N:M takes N up to {USED} and M above it")
    return BlocksOfM(v, n, m)


def check_layout(weights: ArrayLike, pattern: str, layer: str = "weights") -> list[Diagnostic]:
    """What is wrong with a matrix (rows, columns, ...) that should have ``pattern``: RV562, or nothing.

    A pattern says what may be, not what must: weights may be zero beyond it. Raises ``RanvierError`` RV560.
    """
    matrix = np.asarray(weights)
    matrix = matrix.reshape(matrix.shape[0], -1)
    entries = entries_of(matrix)
    wrong = parse_pattern(pattern).violations(entries)
    if not wrong.size:
        return []
    row, column = int(entries.rows[wrong[0]]), int(entries.columns[wrong[0]])
    text = f"{wrong.size} weights are too many for {pattern}, the first at row {row}, column {column}"
    figures = {"weights": int(wrong.size), "row": row, "column": column}
    return [Diagnostic("RV562", layer, text, f"prune to {pattern} before", figures=figures)]


def entries_of(matrix: NDArray[np.generic]) -> Entries:
    """All entries of a matrix (rows, columns), zeros too."""
    rows, columns = np.indices(matrix.shape)
    return Entries(rows.reshape(-1), columns.reshape(-1), np.abs(matrix.astype(np.float64)).reshape(-1))


def _refused(text: str, why: str) -> Exception:
    fix = "write magnitude:0.8 (a share), 2:4 (N:M) or 64:2:5 (V:N:M)"
    return error("RV560", "prune", f"{text[:60]!r}: {why}", fix)


def _numbered(outer: IntArray, inner: IntArray) -> IntArray:
    """One number for each pair, in their order."""
    pairs = outer * (int(inner.max(initial=0)) + 1) + inner
    return np.asarray(np.unique(pairs, return_inverse=True)[1].reshape(-1), np.int64)


def _rank(groups: IntArray, sizes: FloatArray) -> IntArray:
    """The place of each element in its group, the largest first, of equal ones the first."""
    order = np.lexsort((np.arange(groups.size), -sizes, groups))
    ordered = groups[order]
    first = np.searchsorted(ordered, ordered, side="left")
    ranks = np.empty(groups.size, np.int64)
    ranks[order] = np.arange(groups.size) - first
    return ranks


def _firsts(blocks: IntArray, columns: IntArray, sums: FloatArray) -> tuple[IntArray, FloatArray]:
    """The block of every column, and what it is judged by."""
    owner = np.zeros(sums.size, np.int64)
    owner[columns] = blocks
    return owner, sums
