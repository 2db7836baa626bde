"""Networks as plain arrays, which a child under another Python can read with numpy alone.

A job folder holds ``network.npz`` and ``job.json``. The archive holds JSON texts beside the arrays they name:

* ``chip``: the integer network, every connection as compressed rows over its targets (``describe_chip``);
* ``graph``: the float network, one operation a node (``describe_graph``);
* ``chip text`` and ``float text``: both in Ranvier's own text form, for the children that import Ranvier.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, ConvSynapse
from ranvier.compiler.ir.linear import Conv, Dense, Pool, Reshape
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.network import Input, Network, Neurons, Node
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.order import evaluation_order
from ranvier.compiler.ir.text import dump

Arrays = dict[str, NDArray[Any]]
MOST_SYNAPSES = 2_000_000
"""Connections with more synapses than this are not written out one by one."""


def synapses(chip: ChipNetwork) -> int:
    """The number of synapses, each counted where it arrives."""
    return sum(_count(c.synapse) for c in chip.connections)


def _count(synapse: Any) -> int:
    if isinstance(synapse, ConvSynapse):
        taps = synapse.weight.shape[1] * synapse.weight.shape[2] * synapse.weight.shape[3]
        return size(synapse.out_shape) * int(taps)
    return int(synapse.weight.size if synapse.kind == "dense" else synapse.data.size)


def describe_chip(chip: ChipNetwork, arrays: Arrays) -> dict[str, Any]:
    """``chip`` in words and numbers; its weights go into ``arrays``."""
    for c in chip.connections:
        matrix = synapse_matrix(c.synapse).tocsr()
        arrays |= {f"{c.name}.{part}": np.asarray(getattr(matrix, part)) for part in ("data", "indices", "indptr")}
    return {
        "port": {"name": chip.ports[0].name, "size": size(chip.ports[0].shape)},
        "latency": chip.latency,
        "populations": [
            {
                "name": p.name, "size": p.size, "latency": p.latency, "semantics": p.program.semantics,
                "params": {k: v.tolist() for k, v in p.params.items()},
                "initial": {k: v.tolist() for k, v in p.initial.items()},
            }
            for p in chip.populations
        ],
        "connections": [
            {"name": c.name, "source": c.source, "target": c.target, "delay": c.delay, "exponent": c.exponent}
            for c in chip.connections
        ],
    }  # fmt: skip


def describe_graph(network: Network, arrays: Arrays) -> list[dict[str, Any]]:
    """The nodes of ``network`` in running order; a synapse from a population to itself is written at the population."""
    loops = {e.target: e.source for e in network.edges if e.delay == 1}
    nodes = []
    for name in evaluation_order(network):
        if name not in loops:
            row = _node(network.by_name[name], arrays)
            row["sources"] = [e.source for e in network.into[name] if e.source not in loops]
            back = [e.source for e in network.into[name] if e.source in loops]
            row["recurrent"] = _recurrent(network.by_name[back[0]], arrays) if back else None
            nodes.append(row)
    return nodes


def _recurrent(op: Node, arrays: Arrays) -> dict[str, Any]:
    assert isinstance(op, Dense), "loops other than dense ones"
    return _node(op, arrays)


def _node(node: Node, arrays: Arrays) -> dict[str, Any]:
    row: dict[str, Any] = {"name": node.name, "kind": type(node).__name__.lower(), "shape": list(node.out_shape)}
    if isinstance(node, Dense | Conv):
        arrays[f"{node.name}.weight"] = node.weight
        if node.bias is not None:
            arrays[f"{node.name}.bias"] = node.bias
    if isinstance(node, Conv):
        (top, bottom), (left, right) = node.padding
        assert (top, left) == (bottom, right), "one-sided padding"
        row |= {"stride": list(node.stride), "padding": [top, left], "groups": node.groups}
    elif isinstance(node, Pool):
        row |= {"kernel": list(node.kernel), "stride": list(node.stride), "average": node.kind == "average"}
    elif isinstance(node, Neurons):
        row |= _neurons(node)
    else:
        assert isinstance(node, Dense | Input | Reshape), type(node)
    return row


def _neurons(node: Neurons) -> dict[str, Any]:
    m = node.model
    assert isinstance(m, Lif), "leaky integrate-and-fire neurons only"
    plain = Lif(**{k: getattr(m, k) for k in ("keep_current", "keep_membrane", "gain", "threshold", "compare")})
    assert all(np.array_equal(getattr(plain, k), getattr(m, k)) for k in Lif.__dataclass_fields__), node.name
    numbers = {k: getattr(m, k) for k in ("keep_current", "keep_membrane", "gain", "threshold")}
    assert all(v.size == 1 for v in numbers.values()), f"{node.name} has parameters of each neuron"
    return {k: float(v.item()) for k, v in numbers.items()} | {"compare": m.compare}


def write_network(path: Path, chip: ChipNetwork, network: Network | None) -> None:
    """Write what children need of ``chip`` and of the float ``network`` it stands for."""
    arrays: Arrays = {}
    texts: dict[str, str] = {}
    if synapses(chip) <= MOST_SYNAPSES:
        texts["chip"] = json.dumps(describe_chip(chip, arrays))
    if network is not None:
        texts["graph"] = json.dumps(describe_graph(network, arrays))
    for label, value in (("chip", chip), ("float", None if network is None else folded(network))):
        if value is not None:
            text, tensors = dump(value)
            texts[f"{label} text"] = text
            arrays |= {f"{label} tensor:{name}": tensor for name, tensor in tensors.items()}
    np.savez(path, **arrays, **{k: np.array(v) for k, v in texts.items()})  # type: ignore[arg-type]


def folded(network: Network) -> Network:
    """``network`` as the simulator takes it, with calibration's marks left out."""
    from ranvier.compiler.pipeline import prepare  # noqa: PLC0415 - loads every pass

    return replace(prepare(network), observed={})


def spikes_by_name(arrays: Mapping[str, NDArray[Any]], what: str) -> dict[str, NDArray[Any]]:
    """The arrays called ``<what>:<population>``."""
    return {name.partition(":")[2]: value for name, value in arrays.items() if name.startswith(f"{what}:")}
