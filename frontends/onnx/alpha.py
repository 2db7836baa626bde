"""snnTorch's Alpha neuron in a file: two synaptic currents, told by the module's class, and a membrane made of both.

With h(t) the membrane at the threshold, s(t) the spikes, e(t) and j(t) the excitatory and inhibitory current, and
everything reset to zero in the step after a spike, an unrolled neuron reads

    e(t) = a (1 - s(t-2)) e(t-1) + x(t)        j(t) = b (1 - s(t-2)) j(t-1) - x(t)
    h(t) = c (1 - s(t-1)) (e(t) + j(t))

which is the canonical neuron with a late current: decays b and a, gain c (a - b), one silent step. Without a reset the
factors with s are absent, and so is the silent step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.onnx.model import Array, OnnxGraph
from ranvier.frontends.onnx.signal import Atom, Signal, Space

if TYPE_CHECKING:
    from ranvier.frontends.onnx.populations import Describer, Population

CLASS = "snntorch._neurons.alpha.Alpha"
CLOSE = 1e-6
Known = dict[frozenset[int], Array]


class NotAlphaError(ValueError):
    """The polynomials are not those of this neuron."""


@dataclass(frozen=True, eq=False)
class Alpha:
    """The neuron, and what enters it: (elements of the input, factor)."""

    model: Lif
    inputs: tuple[tuple[Array, Array], ...]


def currents(graph: OnnxGraph) -> frozenset[str]:
    """The tensors that are synaptic currents: where something from outside enters an Alpha module."""
    places = {name: node.scope[:-1] for node in graph.nodes for name in node.outputs}
    inside = (n for n in graph.nodes if n.classes[-2:-1] == (CLASS,) and n.op in ("Add", "Sub"))
    return frozenset(
        n.outputs[0]
        for n in inside
        if any(name not in graph.constants and places.get(name) != n.scope[:-1] for name in n.inputs)
    )


def is_alpha(space: Space, population: "Population") -> bool:
    """Whether currents are in the membrane."""
    value = population.membranes[-1].value
    assert value is not None
    return any(a.kind == "current" for t in value.terms for f in t.factors for a, _ in space.split(f))


def read_alpha(space: Space, population: "Population", describer: "Describer") -> Alpha:
    """The neuron; ``NotAlphaError`` where a step is not what it should be."""
    steps = [_currents_of(space, m) for m in population.membranes]
    spikes, last = population.spikes, len(steps) - 1
    resets = any(spikes[-2].base in key for key in _sorted(space, population.membranes[-1])[0])
    height, inputs = np.ones(population.membranes[0].shape).ravel(), []
    decays: list[Array] = []
    for t, (rising, falling) in enumerate(steps):
        membrane, more = _sorted(space, population.membranes[t])
        height = membrane.get(frozenset({rising.base}), np.zeros(()))
        before = [spikes[t - 1].base] if resets and t > 0 else []
        _expect(membrane, {r.base: height for r in (rising, falling)}, before, bool(more))
        for index, current in enumerate((rising, falling)):
            known, entering = _sorted(space, current)
            inputs.append([(e, c if index == 0 else -c) for e, c in entering])
            earlier = {} if t == 0 else {steps[t - 1][index].base: _first(known)}
            decays += earlier.values()
            _expect(known, earlier, [spikes[t - 2].base] if resets and t > 1 else [], not entering)
    if not _steady(inputs, describer) or not _same(decays[0::2]) or not _same(decays[1::2]):
        raise NotAlphaError("its steps differ")
    slow, fast = decays[2 * last - 2], decays[2 * last - 1]
    rest = {"refractory": 1, "reset_current": True, "block_input": True} if resets else {"reset": "none"}
    model = Lif(
        keep_current=fast,
        keep_membrane=slow,
        gain=(slow - fast) * height,
        threshold=spikes[-1].threshold.ravel() if spikes[-1].threshold.ndim else spikes[-1].threshold,
        compare=">" if spikes[-1].strict else ">=",
        late_current=True,
        **rest,
    )
    return Alpha(model, tuple(inputs[2 * last]))


def before_without_reset(space: Space, membrane: Atom, membranes: Sequence[Atom]) -> Atom | None:
    """The membrane one step before where no reset leads to it: the one that is made of the currents' last values."""
    own = _current_atoms(space, membrane)
    earlier = {a.base for current in own for a in _current_atoms(space, current)}
    if not earlier:
        return None
    return next((m for m in membranes if earlier == {a.base for a in _current_atoms(space, m)}), None)


def _current_atoms(space: Space, atom: Atom) -> list[Atom]:
    """The currents in the value of ``atom``."""
    assert atom.value is not None
    found = {a.base: a for t in atom.value.terms for f in t.factors for a, _ in space.split(f)}
    return [a for a in found.values() if a.kind == "current"]


def _currents_of(space: Space, membrane: Atom) -> tuple[Atom, Atom]:
    """The current that the input raises, and the one that it lowers."""
    both = _current_atoms(space, membrane)
    both.sort(key=lambda a: -max((float(np.max(c)) for _, c in _sorted(space, a)[1]), default=0.0))
    if len(both) != 2:
        raise NotAlphaError(f"{len(both)} currents act on its membrane")
    return both[0], both[1]


def _sorted(space: Space, atom: Atom) -> tuple[Known, list[tuple[Array, Array]]]:
    """The terms that are products of currents and spikes, by their atoms; and the others."""
    value: Signal | None = atom.value
    assert value is not None
    if np.any(value.constant):
        raise NotAlphaError("a constant is added inside it")
    known: Known = {}
    entering = []
    for term in value.terms:
        atoms = [space.exactly(f) for f in term.factors]
        coefficient = np.broadcast_to(term.coefficient, value.shape).ravel()
        own = [a.base for a in atoms if a is not None and a.kind in ("current", "spikes")]
        if any(a is not None and a.kind == "current" for a in atoms) and len(own) == len(atoms):
            known[frozenset(own)] = coefficient
        elif len(atoms) == 1:
            entering.append((term.factors[0], coefficient))
        else:
            raise NotAlphaError("its inputs are multiplied with each other")
    return known, entering


def _first(known: Known) -> Array:
    return next((c for key, c in known.items() if len(key) == 1), np.zeros(()))


def _expect(known: Known, linear: dict[int, Array], spikes: Sequence[int], spoiled: bool) -> None:
    """``known`` must be the terms ``linear``, each blanked by ``spikes``."""
    wanted: Known = {frozenset({base}): c for base, c in linear.items()}
    wanted |= {frozenset({base, s}): -c for base, c in linear.items() for s in spikes}
    if spoiled or known.keys() != wanted.keys() or any(np.max(np.abs(known[k] - wanted[k])) > CLOSE for k in known):
        raise NotAlphaError("its currents are neither kept nor reset to zero one step after a spike")


def _same(values: Sequence[Array]) -> bool:
    return all(np.max(np.abs(v - values[-1])) <= CLOSE for v in values)


def _steady(inputs: Sequence[Sequence[tuple[Array, Array]]], describer: "Describer") -> bool:
    """Whether both currents receive the same in every step, seen from that step."""
    seen = []
    for i, entering in enumerate(inputs):
        described = [(describer.factor(e), c) for e, c in entering]
        seen.append({(d.key, None if d.step is None else i // 2 - d.step): c for d, c in described})
    return all(s.keys() == seen[-1].keys() and all(_same([s[k], seen[-1][k]]) for k in s) for s in seen)
