"""Random networks for planted faults, and where a fault shows first."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes.recording import Recording
from ranvier.targets.load import load_target
from support.faults import random_network

Values = NDArray[Any]


@cache
def made(seed: int, on_lattice: bool) -> tuple[Network, ChipNetwork, Values]:
    """A random float network, its chip network, and spikes for it."""
    rng = np.random.default_rng(seed)
    source = prepare(random_network(rng, on_lattice))
    inputs = (rng.random((3, 24, *source.inputs[0].shape)) < 0.4).astype(np.int64)
    return source, lower(source, load_target("loihi2"), None, Options()), inputs


def first_shown(right: Recording, wrong: Recording, layers: list[str]) -> tuple[int, str] | None:
    """(step, layer) where two runs of the oracle part first, in membrane or spikes; None if they never do."""
    found = []
    for position, layer in enumerate(layers):
        steps = [
            np.argwhere((a[layer] != b[layer]).reshape(*a[layer].shape[:2], -1).any(axis=(0, 2)))
            for a, b in ((right.membrane, wrong.membrane), (right.spikes, wrong.spikes))
        ]
        found += [(int(s[0, 0]), position, layer) for s in steps if s.size]
    return None if not found else (min(found)[0], min(found)[2])
