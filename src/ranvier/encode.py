"""Input coding: the coders of the IR, as nodes of a network and as plain functions.

A coder (``Rate(32, seed=0)``) given to ``load``, ``convert`` or ``with_encoder`` stands at the network's input, so that
the compiled program takes samples as they are. The functions give the frames themselves: ``samples`` (samples, *shape)
to (samples, steps, *shape). What each coder computes, and where it comes from, is said at its class in
``ranvier.compiler.ir.coding``.
"""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.coding import (
    CODERS,
    Burst,
    Delta,
    Direct,
    Encoder,
    Frames,
    Latency,
    Phase,
    Rate,
    checked,
    coder,
    described,
    encode,
    misplaced,
    sends,
)
from ranvier.compiler.ir.hosted import HostedNetwork
from ranvier.compiler.ir.network import Network, Note

__all__ = [
    "CODERS", "Burst", "Delta", "Direct", "Encoder", "Frames", "Latency", "Phase", "Rate",
    "burst", "coder", "delta", "direct", "encode", "latency", "phase", "rate", "with_encoder",
]  # fmt: skip

Net = TypeVar("Net", bound=Network | HostedNetwork)


def with_encoder(network: Net, encoder: Encoder) -> Net:
    """``network`` with ``encoder`` at its input, which then takes samples.

    An input for currents takes spikes from now on if the coder sends spikes, unless its integers on the wire are fixed
    already. A note (RV356) says so in every report. Raises ``RanvierError`` RV350 to RV351 for the coder, RV355 where
    it does not fit the input.
    """
    checked(encoder)
    nodes = []
    for node in network.inputs:
        found = list(misplaced(encoder, node.shape, node.coding))
        if found:
            fix = "choose another coder, or load the network with coding='current' for real numbers"
            raise error("RV355", node.name, "; ".join(found), fix)
        nodes.append(replace(node, coding=node.coding if node.payload else sends(encoder), encoder=encoder))
    changed: dict[str, Any] = {node.name: node for node in nodes}
    text = f"samples enter by {described(encoder)}, as {sends(encoder)}"
    notes = (*(n for n in network.notes if n.code != "RV356"), *(Note("RV356", name, text) for name in changed))
    return replace(network, nodes=tuple(changed.get(n.name, n) for n in network.nodes), notes=notes)


def direct(samples: ArrayLike, steps: int) -> Frames:
    """The frames of ``Direct``: the sample itself in every step, float32."""
    return encode(Direct(steps), samples)


def rate(samples: ArrayLike, steps: int, seed: int = 0) -> Frames:
    """The frames of ``Rate``: a spike in each step with probability x; x from 0 to 1."""
    return encode(Rate(steps, seed), samples)


def latency(samples: ArrayLike, steps: int) -> Frames:
    """The frames of ``Latency``: one spike, the earlier the larger x; x from 0 to 1."""
    return encode(Latency(steps), samples)


def delta(samples: ArrayLike, threshold: float) -> Frames:
    """The frames of ``Delta``: signals (samples, steps, channels, ...) to (samples, steps, 2 channels, ...)."""
    return encode(Delta(_steps(samples), threshold), samples)


def phase(samples: ArrayLike, steps: int, bits: int = 8) -> Frames:
    """The frames of ``Phase``: the binary digits of x, most significant first; x from 0 to 1."""
    return encode(Phase(steps, bits), samples)


def burst(samples: ArrayLike, steps: int, longest: int = 5, gap: int = 2) -> Frames:
    """The frames of ``Burst``: more spikes, and closer ones, the larger x; x from 0 to 1."""
    return encode(Burst(steps, longest, gap), samples)


def _steps(signals: ArrayLike) -> int:
    """The length of ``signals``; 1 where they have no axis for it, which ``encode`` then refuses."""
    shape = np.shape(signals)
    return max(shape[1], 1) if len(shape) > 1 else 1
