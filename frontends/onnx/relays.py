"""Maxima of spikes: the largest of zeros and ones is one where their sum is above 1/2, which a relay neuron computes.

A relay has no memory: its steps are told apart by the spikes that it passes on.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ranvier.frontends.onnx.signal import Atom, Signal, Space, TooComplexError

MAXIMUM = "it takes a maximum, which can be had of single spikes, one a step each"


def height_of(space: Space, value: Signal) -> float:
    """The one height of the spikes that ``value`` consists of; ``TooComplexError`` where it is anything else."""
    total, heights = np.zeros(value.shape), set()
    for term in value.terms:
        present = np.broadcast_to(term.coefficient, value.shape)
        total = total + (present != 0)
        heights |= set(np.unique(present[present != 0]).tolist())
        atoms = [a for f in term.factors for a, _ in space.split(f[present != 0])]
        if len(term.factors) != 1 or any(a.kind != "spikes" for a in atoms):
            raise TooComplexError(f"{MAXIMUM}, not of anything else")
    if np.any(value.constant) or np.any(total > 1) or len(heights) != 1 or min(heights) <= 0:
        raise TooComplexError(f"{MAXIMUM}, not of sums of them")
    return float(heights.pop())


def passed_on(space: Space, relay: Atom, before: Mapping[int, Atom | None]) -> Any:
    """What a relay passes on: its windows and the membranes that fired, or, in ``before``, those of the last step."""
    assert relay.value is not None
    (layer,) = (a for t in relay.value.terms for a, _ in space.split(t.factors[0]))
    assert layer.value is not None
    parts = []
    for term in layer.value.terms:
        for atom, places in space.split(term.factors[0]):
            assert atom.of is not None
            source: Atom | None = before.get(atom.of.base) if before else atom.of
            taken = term.factors[0].ravel()[places] - atom.base
            parts.append((None if source is None else source.base, places.tobytes(), taken.tobytes()))
    return relay.digest, layer.shape, tuple(sorted(parts, key=repr))
