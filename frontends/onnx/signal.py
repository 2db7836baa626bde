"""Tensors as polynomials: what an exported graph computes, followed element by element.

An *atom* is a quantity that is not taken apart further: an input, a membrane at a threshold, the spikes that the
threshold sends, the result of a layer with weights. Every element of every atom has a number of its own, so that moving
elements about (slices, stacks, reshapes) only moves numbers about. A :class:`Signal` is a constant plus a sum of terms,
each a coefficient times a product of atoms' elements, all with the tensor's shape.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.frontends.onnx.model import Array, OnnxNode

AtomKind = Literal[
    "input", "membrane", "spikes", "count", "layer", "lifted", "abs", "floor", "sign", "trunc", "maximum", "current"
]
MAX_TERMS = 6000
MAX_FACTORS = 4
ABSENT = -1
READOUT = b"readout"


@dataclass(frozen=True, eq=False)
class Atom:
    """``size`` elements numbered from ``base``; what else there is depends on its kind.

    ``value``: the polynomial of a membrane or current, the argument of a layer, what is lifted to 0 (``lifted``:
    max(value, 0)), or what a ``maximum`` is taken of along its first axis. ``digest``: equal for layers that
    compute the same; what membranes are that no threshold of the file looks at (relays of a layer, or readouts).
    ``of``: the membrane of spikes and counts; ``threshold``, ``strict``, ``limit``: their rule.
    """

    kind: AtomKind
    base: int
    shape: Shape
    name: str
    value: "Signal | None" = None
    of: "Atom | None" = None
    node: OnnxNode | None = None
    digest: bytes = b""
    threshold: Array = field(default_factory=lambda: np.zeros(()))
    strict: bool = True
    limit: int = 1

    @property
    def silent(self) -> bool:
        """Whether this is a membrane that no threshold of the file looks at."""
        return self.kind == "membrane" and bool(self.digest)

    @property
    def relay(self) -> bool:
        """Whether this is the membrane of a relay, which stands for a maximum of spikes."""
        return self.silent and not self.digest.startswith(READOUT)

    @property
    def elements(self) -> Array:
        """The numbers of its elements, in its shape."""
        return np.arange(self.base, self.base + size(self.shape), dtype=np.int32).reshape(self.shape)


@dataclass(eq=False)
class Term:
    """``coefficient`` times the product of the elements in ``factors``; all have the signal's shape."""

    coefficient: Array
    factors: tuple[Array, ...]

    @property
    def key(self) -> tuple[bytes, ...]:
        """Equal for terms that can be added."""
        return tuple(np.ascontiguousarray(f).tobytes() for f in self.factors)


@dataclass(eq=False)
class Signal:
    """``constant`` plus ``terms``."""

    constant: Array
    terms: tuple[Term, ...] = ()

    @property
    def shape(self) -> Shape:
        """The tensor's shape."""
        return tuple(self.constant.shape)

    def moved(self, move: Callable[[Array], Array]) -> "Signal":
        """The signal after ``move`` has rearranged its elements."""
        terms = (Term(move(t.coefficient), tuple(move(f) for f in t.factors)) for t in self.terms)
        return clean(move(self.constant), terms)

    def scaled(self, factor: Array) -> "Signal":
        """Times a constant."""
        shape = np.broadcast_shapes(self.shape, factor.shape)
        whole = self.spread(shape)
        return clean(whole.constant * factor, [Term(t.coefficient * factor, t.factors) for t in whole.terms])

    def spread(self, shape: Shape) -> "Signal":
        """Broadcast to ``shape``."""
        if shape == self.shape:
            return self
        terms = tuple(
            Term(np.broadcast_to(t.coefficient, shape), tuple(np.broadcast_to(f, shape) for f in t.factors))
            for t in self.terms
        )
        return Signal(np.broadcast_to(self.constant, shape), terms)


class TooComplexError(ValueError):
    """The polynomial is not one of a spiking network."""


def constant(values: Array) -> Signal:
    """A signal without atoms."""
    return Signal(np.asarray(values, np.float64))


def of_atom(atom: Atom) -> Signal:
    """The atom itself."""
    return Signal(np.zeros(atom.shape), (Term(np.ones(atom.shape), (atom.elements,)),))


def clean(total: Array, terms: Iterable[Term]) -> Signal:
    """Equal terms added, terms that are zero everywhere left out."""
    found: dict[tuple[bytes, ...], Term] = {}
    for term in terms:
        if not np.any(term.coefficient):
            continue
        key = term.key
        known = found.get(key)
        found[key] = term if known is None else Term(known.coefficient + term.coefficient, term.factors)
        if len(found) > MAX_TERMS:
            raise TooComplexError("it depends on too many things at once")
    return Signal(np.asarray(total), tuple(t for t in found.values() if np.any(t.coefficient)))


def add(x: Signal, y: Signal, sign: float = 1.0) -> Signal:
    """``x + sign y``."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = x.spread(shape), y.spread(shape)
    if not y.terms:
        return Signal(x.constant + sign * y.constant, x.terms)
    terms = (*x.terms, *(Term(sign * t.coefficient, t.factors) for t in y.terms))
    return clean(x.constant + sign * y.constant, terms)


def concat(parts: Sequence[Signal], axis: int) -> Signal:
    """The parts one after the other; absent terms get the coefficient 0."""
    total = np.concatenate([p.constant for p in parts], axis=axis)
    widths = sorted({len(t.factors) for p in parts for t in p.terms})
    terms = []
    for width in widths:
        rows = [[t for t in p.terms if len(t.factors) == width] for p in parts]
        for k in range(max(len(r) for r in rows)):
            chosen = [r[k] if k < len(r) else _absent(p.shape, width) for r, p in zip(rows, parts, strict=True)]
            coefficient = np.concatenate(
                [np.broadcast_to(c.coefficient, p.shape) for c, p in zip(chosen, parts, strict=True)], axis
            )
            factors = tuple(np.concatenate([c.factors[i] for c in chosen], axis) for i in range(width))
            terms.append(Term(coefficient, factors))
    return clean(total, terms)


def _absent(shape: Shape, width: int) -> Term:
    return Term(np.zeros(shape), (np.full(shape, ABSENT, np.int32),) * width)


@dataclass(eq=False)
class Space:
    """All atoms of one reading, found by element number."""

    atoms: list[Atom] = field(default_factory=list)
    bases: list[int] = field(default_factory=list)
    known: dict[tuple[Any, ...], Atom] = field(default_factory=dict)

    def make(self, kind: AtomKind, shape: Shape, name: str, key: tuple[Any, ...] | None = None, **rest: Any) -> Atom:
        """A new atom, or the one with the same ``key``."""
        if key is not None and (kind, *key) in self.known:
            return self.known[(kind, *key)]
        base = self.atoms[-1].base + size(self.atoms[-1].shape) if self.atoms else 0
        if base + size(shape) >= 2**31:
            raise TooComplexError("it has more than two thousand million values")
        atom = Atom(kind, base, shape, name, **rest)
        self.atoms.append(atom)
        self.bases.append(base)
        if key is not None:
            self.known[(kind, *key)] = atom
        return atom

    def at(self, number: int) -> Atom:
        """The atom that has the element ``number``."""
        return self.atoms[int(np.searchsorted(self.bases, number, side="right")) - 1]

    def single(self, elements: Array) -> Atom | None:
        """The atom whose elements these are, in any order; None when there are several."""
        if elements.size == 0:
            return None
        low, high = int(elements.min()), int(elements.max())
        if low < 0:
            return None
        atom = self.at(low)
        return atom if high < atom.base + size(atom.shape) else None

    def exactly(self, elements: Array) -> Atom | None:
        """The atom whose elements these are, all of them in order; None otherwise."""
        atom = self.single(elements)
        whole = (
            atom is not None
            and elements.size == size(atom.shape)
            and bool(np.array_equal(elements.ravel(), atom.elements.ravel()))
        )
        return atom if whole else None

    def split(self, elements: Array) -> list[tuple[Atom, Array]]:
        """Every atom in ``elements`` with the flat places where it stands."""
        flat = elements.ravel()
        places = np.searchsorted(self.bases, flat, side="right") - 1
        return [(self.atoms[int(i)], np.flatnonzero(places == i)) for i in np.unique(places[flat >= 0])]

    def product(self, x: Signal, y: Signal) -> Signal:
        """``x y``, with what is known of products of spikes."""
        shape = np.broadcast_shapes(x.shape, y.shape)
        x, y = x.spread(shape), y.spread(shape)
        terms = [Term(a.coefficient * y.constant, a.factors) for a in x.terms]
        terms += [Term(b.coefficient * x.constant, b.factors) for b in y.terms]
        if len(x.terms) * len(y.terms) > MAX_TERMS:
            raise TooComplexError("it multiplies sums")
        for a in x.terms:
            terms += [Term(a.coefficient * b.coefficient, self._factors(a.factors + b.factors)) for b in y.terms]
        return clean(x.constant * y.constant, terms)

    def _factors(self, factors: tuple[Array, ...]) -> tuple[Array, ...]:
        """The factors in one order; squares of spikes are spikes, and counting is recognised."""
        kept: dict[bytes, Array] = {}
        for f in sorted(factors, key=lambda f: int(f.ravel()[0]) if f.size else 0):
            atom = self.single(f)
            if f.tobytes() in kept and (atom is None or atom.kind != "spikes"):
                raise TooComplexError("it squares a signal")
            kept[f.tobytes()] = f
        found = self._counted(list(kept.values()))
        if len(found) > MAX_FACTORS:
            raise TooComplexError("it multiplies many signals")
        return tuple(sorted(found, key=lambda f: int(f.ravel()[0]) if f.size else 0))

    def _counted(self, factors: list[Array]) -> list[Array]:
        """floor(abs q) sign(q) is trunc(q); trunc(q) where v > 0 is the number of spikes for q = v / threshold."""
        steps: tuple[tuple[AtomKind, AtomKind, AtomKind], ...]
        steps = (("floor", "sign", "trunc"), ("trunc", "spikes", "count"))
        for first, second, make in steps:
            atoms = [self.exactly(f) for f in factors]
            one = next((i for i, a in enumerate(atoms) if a is not None and a.kind == first), None)
            if one is None:
                continue
            first_atom = atoms[one]
            assert first_atom is not None
            two = next((i for i, a in enumerate(atoms) if _partners(first_atom, a, second)), None)
            if two is None:
                continue
            key = (first_atom.base,)
            rest = {"of": first_atom.of, "threshold": first_atom.threshold, "strict": False, "limit": 0}
            atom = self.make(make, first_atom.shape, first_atom.name, key, **rest)
            factors = [f for i, f in enumerate(factors) if i not in (one, two)]
            factors.append(atom.elements.reshape(first_atom.shape))
        return factors


def _partners(first: Atom, other: Atom | None, kind: str) -> bool:
    if other is None or other.kind != kind or other.of is not first.of:
        return False
    if kind == "spikes":
        return not np.any(other.threshold)
    return bool(
        np.array_equal(np.broadcast_to(other.threshold, first.shape), np.broadcast_to(first.threshold, first.shape))
    )
