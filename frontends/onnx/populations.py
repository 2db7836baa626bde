"""Thresholds in the order of time: which membranes are one population, and what each receives in each step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir.arrays import Shape, size
from ranvier.frontends.onnx.alpha import before_without_reset
from ranvier.frontends.onnx.model import Array
from ranvier.frontends.onnx.relays import passed_on
from ranvier.frontends.onnx.signal import Atom, Signal, Space

MAX_DEPTH = 200
FIRING = ("spikes", "count")


@dataclass(eq=False)
class Population:
    """A population: its membranes at the threshold in every step, and the spikes that each sent."""

    name: str
    shape: Shape
    membranes: list[Atom]
    spikes: list[Atom]
    classes: tuple[str, ...] = ()
    relay: bool = False


@dataclass(frozen=True, eq=False)
class Frames:
    """How the graph's input holds frames: ``axis`` of time (None: the same in every step), one atom per step or one.

    ``batched``: what is left without the axis of time starts with a batch axis of one.
    """

    shape: Shape
    axis: int | None
    per_step: bool = False
    batched: bool = True

    @property
    def frame(self) -> Shape:
        """Shape of one frame, without time and batch."""
        rest = tuple(n for a, n in enumerate(self.shape) if a != self.axis)
        return rest[1:] if self.batched else rest

    def locate(self, atom: Atom, flat: Array) -> tuple[int | None, Array] | None:
        """(step, elements of the frame) of the elements ``flat`` of the input; None where several steps mix."""
        if self.per_step:
            return int(atom.name), flat
        if self.axis is None:
            return None if flat.size == 0 else (None, flat)
        where = np.unravel_index(flat, self.shape)
        step = where[self.axis]
        if flat.size == 0 or np.any(step != step[0]):
            return None
        rest = [a for a in range(len(self.shape)) if a != self.axis]
        sizes = tuple(self.shape[a] for a in rest)
        inside = np.ravel_multi_index(tuple(where[a] for a in rest), sizes) if rest else np.zeros_like(flat)
        return int(step[0]), np.asarray(inside)


@dataclass(frozen=True, eq=False)
class Piece:
    """Part of what a layer or population receives: elements ``taken`` of ``source`` put to ``places``, times a factor.

    ``source`` is ("input",), ("population", name) or ("layer", key); ``step`` is when it was sent (None: always).
    """

    source: tuple[Any, ...]
    step: int | None
    taken: Array
    places: Array
    factor: Array


@dataclass(frozen=True, eq=False)
class Described:
    """A sum of pieces and a constant, relative to ``step``, the latest step in it; equal keys mean equal layers."""

    key: tuple[Any, ...]
    step: int | None
    pieces: tuple[Piece, ...]
    constant: Array


class UnsteadyError(ValueError):
    """The input cannot be frames in this way."""


def chains(space: Space, file: str) -> list[Population]:
    """The populations, each with its membranes in order of time."""
    membranes = [a for a in space.atoms if a.kind == "membrane"]
    fired = _fired(space, file)
    before = _all_before(space, membranes, file)
    taken = [b.base for b in before.values() if b is not None]
    if len(set(taken)) != len(taken):
        raise _odd(file, membranes[0], "one membrane is continued in two ways")
    after = {b.base: m for m in membranes if (b := before[m.base]) is not None}
    found: list[Population] = []
    for first in (m for m in membranes if before[m.base] is None):
        line: list[Atom] = [first]
        while (following := after.get(line[-1].base)) is not None:
            line.append(following)
        spikes = [fired[m.base] for m in line if m.base in fired]
        if len(spikes) == len(line):
            node = line[-1].node  # in the first step an exporter leaves out what it knows of the state
            scope = node.scope[-2] if node is not None and len(node.scope) > 1 else ""
            taken_names = {p.name for p in found} | {"input"}
            name = _unique(_title(space, line[-1], scope) or f"neurons{len(found) + 1}", taken_names)
            classes = node.classes if node is not None else ()
            found.append(Population(name, sample_shape(first.shape), line, spikes, classes, line[-1].relay))
    return found


def _title(space: Space, membrane: Atom, scope: str) -> str:
    """The module's name; a readout that is nothing but a layer leaves the layer its own."""
    assert membrane.value is not None
    (first, *more) = membrane.value.terms
    atom = space.single(first.factors[0])
    bare = membrane.silent and not more and atom is not None and atom.kind == "layer"
    return f"{scope}.membrane" if bare and scope and not membrane.relay else scope


def _all_before(space: Space, membranes: Sequence[Atom], file: str) -> dict[int, Atom | None]:
    """For each membrane, by its base, that of the same population one step before."""
    found: dict[int, Atom | None] = {}
    last: dict[Any, Atom] = {}
    for m in membranes:
        if m.relay:
            found[m.base] = last.get(passed_on(space, m, found))
            last[passed_on(space, m, {})] = m
        elif m.silent:
            found[m.base] = last.get(m.digest)
            last[m.digest] = m
        else:
            found[m.base] = _before(space, m, file) or before_without_reset(space, m, membranes)
    return found


def sample_shape(shape: Shape) -> Shape:
    """Without a leading batch axis of one."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def _unique(name: str, taken: set[str]) -> str:
    tries = (name if i == 1 else f"{name}_{i}" for i in range(1, len(taken) + 2))
    return next(n for n in tries if n not in taken)


def _fired(space: Space, file: str) -> dict[int, Atom]:
    """The spikes of each membrane; counts stand before the comparisons they are made of."""
    found: dict[int, list[Atom]] = {}
    for atom in space.atoms:
        if atom.kind in FIRING and atom.of is not None:
            found.setdefault(atom.of.base, []).append(atom)
    chosen = {}
    for base, atoms in found.items():
        counts = [a for a in atoms if a.kind == "count"]
        limited = [a for a in counts if a.limit] or counts or atoms
        if len(limited) > 1:
            raise _odd(file, limited[0], "two different thresholds act on one membrane")
        chosen[base] = limited[0]
    return chosen


def factors_of(space: Space, signal: Signal) -> Iterator[tuple[Atom, ...]]:
    """The atoms of every term that consists of whole atoms in order."""
    for term in signal.terms:
        atoms = [space.exactly(f) for f in term.factors]
        if all(a is not None for a in atoms):
            yield tuple(a for a in atoms if a is not None)


def _before(space: Space, membrane: Atom, file: str) -> Atom | None:
    """The membrane of the same population one step before."""
    assert membrane.value is not None
    found: dict[int, Atom] = {}
    fired: dict[int, Atom] = {}
    for atoms in factors_of(space, membrane.value):
        for atom in atoms:
            inner = factors_of(space, atom.value) if atom.kind == "lifted" and atom.value is not None else ((atom,),)
            for part in (a for parts in inner for a in parts):
                if part.kind == "membrane":
                    found[part.base] = part
                elif part.kind in FIRING and part.of is not None and _same_scope(part.of, membrane):
                    fired[part.of.base] = part.of
    candidates = found or fired
    if len(candidates) > 1:
        raise _odd(file, membrane, "its membrane depends on several membranes")
    return next(iter(candidates.values()), None)


def _same_scope(x: Atom, y: Atom) -> bool:
    return (
        x.node is not None and y.node is not None and len(x.node.scope) > 1 and x.node.scope[:-1] == y.node.scope[:-1]
    )


def _odd(file: str, atom: Atom, why: str) -> RanvierError:
    scope, classes = ((), ()) if atom.node is None else (atom.node.scope[-2:-1], atom.node.classes[-2:-1])
    place = f"{'.'.join(scope) or atom.name}{f' ({classes[0]})' if classes else ''}"
    return error(
        "RV288",
        f"{place} of {file}",
        f"the neuron is none that can be read: {why}.",
        "Use leaky integrate-and-fire neurons (snnTorch Leaky or Synaptic, SpikingJelly IFNode or LIFNode, Norse "
        "LIFCell, Sinabs LIF or IAF), or give the torch module itself.",
    )


@dataclass(eq=False)
class Describer:
    """Says of what the elements of a tensor are made, relative in time, so that steps can be compared."""

    space: Space
    frames: Frames
    populations: Sequence[Population]
    layers: dict[tuple[Any, ...], tuple[Atom, Described]] = field(default_factory=dict)
    known: dict[int, Described] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.senders = {s.base: (p.name, t) for p in self.populations for t, s in enumerate(p.spikes)}

    def signal(self, signal: Signal, depth: int = 0) -> Described:
        """A linear signal as pieces; ``UnsteadyError`` where frames mix or it is not linear in spikes and frames."""
        if depth > MAX_DEPTH:
            raise UnsteadyError("more than 200 layers follow one another without a neuron")
        pieces: list[Piece] = []
        for term in signal.terms:
            if len(term.factors) != 1:
                raise UnsteadyError("it multiplies signals")
            pieces += self._pieces(term.factors[0], np.broadcast_to(term.coefficient, signal.shape), depth)
        steps = [p.step for p in pieces if p.step is not None]
        latest = max(steps, default=None)
        return Described(_key(pieces, latest, signal.constant), latest, tuple(pieces), np.array(signal.constant))

    def factor(self, elements: Array) -> Described:
        """One factor of a population's input."""
        shape = elements.shape
        one = Signal(np.zeros(shape), ())
        pieces = self._pieces(elements, np.ones(shape), 0)
        steps = [p.step for p in pieces if p.step is not None]
        latest = max(steps, default=None)
        return Described(_key(pieces, latest, one.constant), latest, tuple(pieces), one.constant)

    def _pieces(self, elements: Array, factor: Array, depth: int) -> list[Piece]:
        flat, factors = elements.ravel(), np.asarray(factor).ravel()
        found = []
        for atom, places in self.space.split(elements):
            keep = places[factors[places] != 0]
            if keep.size == 0:
                continue
            source, step, taken = self._source(atom, flat[keep] - atom.base, depth)
            found.append(Piece(source, step, taken, keep, factors[keep]))
        return found

    def _source(self, atom: Atom, taken: Array, depth: int) -> tuple[tuple[Any, ...], int | None, Array]:
        if atom.kind == "input":
            located = self.frames.locate(atom, taken)
            if located is None:
                raise UnsteadyError("it takes elements of several steps at once")
            return ("input",), located[0], located[1]
        if atom.base in self.senders:
            name, step = self.senders[atom.base]
            return ("population", name), step, taken
        if atom.kind == "layer" and atom.value is not None:
            if atom.base not in self.known:
                self.known[atom.base] = self.signal(atom.value, depth + 1)
            inside = self.known[atom.base]
            key = (atom.digest, inside.key)
            self.layers.setdefault(key, (atom, inside))
            return ("layer", key), inside.step, taken
        raise UnsteadyError(f"it takes the {atom.kind} {atom.name!r} of a neuron, not its spikes")


def _key(pieces: Sequence[Piece], latest: int | None, constant: Array) -> tuple[Any, ...]:
    parts = []
    for p in pieces:
        age = None if p.step is None or latest is None else latest - p.step
        factor = np.round(p.factor / _unit(p.factor), 9) * _unit(p.factor)
        parts.append((p.source, age, p.taken.tobytes(), p.places.tobytes(), np.float32(factor).tobytes()))
    return (*sorted(parts, key=repr), np.float32(constant).tobytes(), size(tuple(constant.shape)))


def _unit(values: Array) -> float:
    return float(np.max(np.abs(values), initial=0.0)) or 1.0
