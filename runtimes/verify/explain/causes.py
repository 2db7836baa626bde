"""Why one spike differs: every approximation is swapped alone, then the smallest set that restores it is sought."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ranvier.runtimes.verify.explain import groups
from ranvier.runtimes.verify.explain.bench import Bench
from ranvier.runtimes.verify.explain.results import Cause, Share
from ranvier.runtimes.verify.explain.views import View, flat_neuron
from ranvier.runtimes.verify.results import Difference

Outcome = tuple[float, float]
"""What was sent, and the membrane, at the spot."""
Trial = Callable[[frozenset[str]], Outcome]


@dataclass(frozen=True)
class _Spot:
    """The outcomes at one spot: ``wanted`` of the float network; ``level`` is the threshold, or 1."""

    trial: Trial
    names: tuple[str, ...]
    wanted: float
    level: float

    def restored(self, exact: frozenset[str]) -> bool:
        """Whether the spike is the float network's with ``exact`` made exact."""
        return self.trial(exact)[0] == self.wanted


def cause_of(bench: Bench, teacher: View, found: Difference, mode: str) -> Cause:
    """The cause of ``found``, a differing spike of a layer that both networks gave the same spikes of ``teacher``."""
    neuron, layer = flat_neuron(bench.frame, found), found.layer
    cut = slice(found.sample, found.sample + 1), slice(0, found.step + 1)
    known: dict[frozenset[str], Outcome] = {}
    graded = layer in bench.frame.payloads

    def trial(exact: frozenset[str]) -> Outcome:
        if exact not in known:
            wires = bench.wires(teacher, groups.INPUT in exact)
            given = {name: values[cut] for name, values in wires.items()}
            sent, membrane = bench.forced(layer, exact, given)
            value = float(sent[0, -1, neuron])
            known[exact] = float(value != 0) if graded else value, float(membrane[0, -1, neuron])
        return known[exact]

    wanted = float(teacher.sent[layer][found.sample, found.step, neuron])
    threshold = abs(float(bench.frame.thresholds[layer][neuron]))
    level = threshold if np.isfinite(threshold) and threshold > 0 else 1.0
    names = bench.active[layer]
    reads_input = any(c.source == bench.port for c in bench.chip.into[layer])
    if bench.input_active and reads_input:
        names = (groups.INPUT, *names)
    spot = _Spot(trial, names, float(wanted != 0) if graded else wanted, level)
    return Cause(mode, found, smallest(spot), _shares(spot))


def smallest(spot: _Spot) -> tuple[str, ...]:
    """The fewest approximations that restore the spike: one if any does, else from the strongest down, then thinned."""
    ordered = sorted(spot.names, key=lambda name: -abs(_shift(spot, name)))
    alone = [name for name in ordered if spot.restored(frozenset({name}))]
    if alone:
        making = [name for name in alone if not spot.restored(_all_but(spot, name))]
        return ((making or alone)[0],)
    chosen: list[str] = []
    for name in ordered:
        chosen.append(name)
        if spot.restored(frozenset(chosen)):
            return _thinned(spot, chosen)
    return ()


def _thinned(spot: _Spot, chosen: Sequence[str]) -> tuple[str, ...]:
    """``chosen`` without those that are not needed, the weakest first."""
    kept = list(chosen)
    for name in reversed(chosen):
        rest = frozenset(kept) - {name}
        if rest and spot.restored(rest):
            kept.remove(name)
    return tuple(kept)


def _all_but(spot: _Spot, name: str) -> frozenset[str]:
    return frozenset(spot.names) - {name}


def _shift(spot: _Spot, name: str) -> float:
    """How far ``name`` alone moves the membrane from the exact one, in thresholds."""
    exact, alone = spot.trial(frozenset(spot.names))[1], spot.trial(_all_but(spot, name))[1]
    return (alone - exact) / spot.level


def _shares(spot: _Spot) -> tuple[Share, ...]:
    return tuple(
        Share(name, spot.restored(frozenset({name})), not spot.restored(_all_but(spot, name)), _shift(spot, name))
        for name in spot.names
    )
