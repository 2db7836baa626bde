"""Layers that need no state: what their memory and traffic would be without it, and what that does to the answers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import floats
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.passes.elide import Elide, can_leak
from ranvier.runtimes.recording import Recording

Array = NDArray[Any]


@dataclass(frozen=True)
class Elision:
    """A network whose ``layers`` keep nothing from step to step, against the network as it is, on the same data.

    ``state_bits`` of all layers, ``dram_bits`` and ``energy_pj`` of the best schedule found for it. ``agreement``: the
    share of neuron-steps with the same spikes; ``same_predictions`` and ``accuracy``: shares of the samples. They are
    None without data, ``accuracy`` without labels.
    """

    layers: tuple[str, ...]
    state_bits: int
    dram_bits: int
    energy_pj: float
    agreement: float | None = None
    same_predictions: float | None = None
    accuracy: float | None = None

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def without_states(network: Network | ChipNetwork, layers: Sequence[str]) -> Network | ChipNetwork:
    """``network`` with leaky integrate-and-fire ``layers`` that leak fully, so that nothing is kept between steps.

    Raises ``RanvierError`` RV540 for layers that are not there or have other neurons, RV850 and RV851 in chip networks.
    """
    if isinstance(network, ChipNetwork):
        return Elide(tuple(layers))(network)
    known = {node.name: node for node in network.populations}
    wrong = [name for name in layers if name not in known or not _leaks(known[name])]
    if wrong:
        able = [name for name, node in known.items() if _leaks(node)]
        text = "it is no layer of leaky integrate-and-fire neurons, whose states could leak fully"
        fix = f"choose among {', '.join(able)}" if able else "there is no such layer in this network"
        raise RanvierError(Diagnostic("RV540", name, text, fix) for name in wrong)
    nodes = [_leaking(node) if isinstance(node, Neurons) and node.name in layers else node for node in network.nodes]
    return replace(network, nodes=tuple(nodes))


def can_elide(network: Network | ChipNetwork, name: str) -> bool:
    """Whether the states of layer ``name`` can leak fully."""
    if isinstance(network, ChipNetwork):
        return any(p.name == name and can_leak(p) for p in network.populations)
    return any(node.name == name and _leaks(node) for node in network.populations)


def _leaks(node: Neurons) -> bool:
    return isinstance(node.model, Lif) and not node.model.refractory and not node.model.late_current


def _leaking(node: Neurons) -> Neurons:
    assert isinstance(node.model, Lif)
    return replace(node, model=replace(node.model, keep_current=floats(0.0), keep_membrane=floats(0.0)))


def compared(
    network: Network | ChipNetwork, before: Recording, after: Recording, labels: Array | None, elided: Elision
) -> Elision:
    """``elided`` with what it does to the answers: ``before`` and ``after`` are runs on the same data, with spikes."""
    same = [np.count_nonzero(_seen(before, network, n) == _seen(after, network, n)) for n in before.spikes]
    total = sum(array.size for array in before.spikes.values())
    return replace(
        elided,
        agreement=float(sum(same) / total),
        same_predictions=float(np.mean(before.predictions == after.predictions)),
        accuracy=None if labels is None else float(np.mean(after.predictions == labels)),
    )


def _seen(run: Recording, network: Network | ChipNetwork, name: str) -> Array:
    """What leaves a layer: its spikes, or its membrane where the answer is read from that."""
    answer = name == network.readout.node and not network.readout.reads_spikes
    return run.outputs if answer else run.spikes[name]
