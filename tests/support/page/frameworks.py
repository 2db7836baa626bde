"""Rows of the neurons that live torch modules hold."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import floats
from ranvier.compiler.ir.linear import Dense
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node
from ranvier.frontends.onnx.load import UNREAD
from ranvier.frontends.torch import norse, own, rockpool, sinabs, snntorch, spikingjelly
from ranvier.frontends.torch.adapters import Adapter, Described
from ranvier.frontends.torch.isolate import class_path
from ranvier.frontends.torch.leaves import _refusals as refused_part
from ranvier.frontends.torch.load import load_torch
from ranvier.words import words
from support.page import layers, neurons
from support.page.page import EMPTY, NO_EXAMPLE, TARGETS, Page, neurons_alone
from support.topologies import in_a_row

FRAMEWORKS: Mapping[str, tuple[Mapping[str, Adapter], neurons.Examples]] = {
    "snnTorch": (snntorch.TABLE, neurons.SNNTORCH),
    "SpikingJelly": (spikingjelly.TABLE, neurons.SPIKINGJELLY),
    "Norse": (norse.TABLE, neurons.NORSE),
    "Sinabs": (sinabs.TABLE, neurons.SINABS),
    "Rockpool": (rockpool.TABLE, neurons.ROCKPOOL),
    "Ranvier": (own.TABLE, neurons.RANVIER),
}
"""Each framework's own table of adapters, which decides, and an example for its rows."""
TEXTS = {
    "Rockpool": "Read from the attributes that its modules show; it is tested in an environment of its own.",
    "Ranvier": "Beside it stands `IncrementalMatMul`, products of two spike trains over time ([how](transformers.md)).",
}


def frameworks(page: Page) -> None:
    """A table for each framework: one row for each example, and one for each class that has none."""
    page.parts.append("## Neurons of the frameworks\n")
    for framework, (adapters, examples) in FRAMEWORKS.items():
        rows = [row for path, adapter in adapters.items() for row in _class_rows(page, path, adapter, examples)]
        rows += _unknown(page, adapters, framework)
        page.section(f"### {framework}", TEXTS.get(framework, ""), ["class", "options", "becomes", *TARGETS], rows)


def _unknown(page: Page, adapters: Mapping[str, Adapter], framework: str) -> list[list[str]]:
    """The stateful classes that a framework shows and no adapter stands for, those of one reason in one row."""
    reasons: dict[str, list[str]] = {}
    for name, cls in sorted(neurons.NAMESPACES.get(framework, {}).items()):
        stateful = isinstance(cls, type) and issubclass(cls, neurons.STATEFUL) and cls not in neurons.STATEFUL
        if stateful and class_path(cls) not in adapters and "Base" not in name:
            found = next(refused_part(cls.__new__(cls), name))
            why = page.refused(found).replace(f"{name} of {framework}", "it").replace(name, "it")
            reasons.setdefault(why, []).append(name)
    return [[", ".join(names), "", why, *EMPTY] for why, names in reasons.items()]


def without_example() -> list[str]:
    """The classes of all tables that no example stands for."""
    return [path for adapters, examples in FRAMEWORKS.values() for path in adapters if not _examples_of(path, examples)]


def _examples_of(path: str, examples: neurons.Examples) -> dict[str, Callable[[], Any]]:
    name = path.rpartition(".")[2]
    return {key.partition(": ")[2]: make for key, make in examples.items() if key.partition(":")[0] == name}


def _class_rows(page: Page, path: str, adapter: Adapter, examples: neurons.Examples) -> Iterator[list[str]]:
    name, found = path.rpartition(".")[2], _examples_of(path, examples)
    for options, make in found.items():
        yield [name, options, *_described(page, adapter, make)]
    if not found:
        yield [name, NO_EXAMPLE, "", *EMPTY]


def _described(page: Page, adapter: Adapter, make: Callable[[], Any]) -> list[str]:
    """What the adapter makes of a live module, and the targets of that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = make()
    arriving = (2,) if hasattr(module, "input_weights") else (neurons.NEURONS,)
    try:
        found = adapter.describe(module, "neurons", arriving)
    except RanvierError as refused:
        return [page.refused(refused.diagnostics[0]), *EMPTY]
    model = found.model
    if found.silent:
        model = replace(model, threshold=floats(np.inf))
    back = ", recurrent weights" if found.recurrent is not None else ""
    return [words(model) + back, *page.on_targets(_around(found), neurons_alone)]


def _around(found: Described) -> Network:
    """A network of two inputs around the neurons that an adapter has described."""
    n = found.entry.out_shape[0] if found.entry is not None else neurons.NEURONS
    into = Dense("weights", np.where(np.arange(2 * n).reshape(n, 2) % 2, -0.25, 0.5))
    nodes: tuple[Node, ...] = (Input("input", (2,), "spikes"), into, Neurons("neurons", (n,), found.model))
    back = [op for op in (found.recurrent, found.feedback) if op is not None]
    loops = [edge for op in back for edge in (Edge("neurons", op.name, 1), Edge(op.name, "neurons"))]
    return replace(in_a_row(nodes, tuple(loops)), nodes=(*nodes, *back))


def hand_written(page: Page) -> None:
    """Neurons without a class."""
    rows = []
    for options, make in layers.HAND.items():
        network = load_torch(make(), sample=(torch.rand(6, 2, 6) < 0.5).float())
        model = network.populations[0].model
        rows.append([options, words(model), *page.on_targets(network, neurons_alone)])
    text = (
        "A leaky integrate-and-fire neuron written out in `forward` is recognised; a class of your own takes "
        "[ten lines](own_neurons.md). In ONNX files too neurons are recognised by what they compute, with or without "
        "names, on the same terms as here. By the names of their modules alone, which torch writes, are known: "
        "snnTorch's Alpha (reset to zero or none) and neurons that are fed by others with no layer between. Maxima of "
        "binary spikes (MaxPool, GlobalMaxPool) become neurons that relay them. Refused in ONNX files, RV288: "
        f"{_unread()}; their modules can be read."
    )
    page.section("### Plain torch and ONNX", text, ["step", "becomes", *TARGETS], rows)


def _unread() -> str:
    """Neurons that are not read from ONNX files, with why."""
    short = {path.split(".")[0] + " " + path.rstrip(".").rpartition(".")[2]: why for path, why in UNREAD.items()}
    return "; ".join(f"{name} ({why})" for name, why in short.items())
