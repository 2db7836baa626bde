"""Rows of torch layers and of topologies."""

import torch
from torch import nn

from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.linear import Reshape
from ranvier.compiler.ir.network import Input, Network, Neurons, Node
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.torch import layers, pooling, rockpool, sinabs, spikingjelly
from support.page import layers as examples
from support.page.page import EMPTY, NO_EXAMPLE, TARGETS, Page, layers_alone
from support.topologies import in_a_row

KNOWN = {**layers.LAYERS, **pooling.LAYERS, **sinabs.LAYERS, **rockpool.LAYERS}
TEXT = (
    "All linear layers between two populations are folded into one. Weights as trained are rounded to 8 bits, biases "
    "to the register; sums, maxima and averages are exact. What the threshold behind a layer loses stands with the "
    "neurons. Layers of a framework's own are marked with its name."
)


def torch_layers(page: Page) -> None:
    """Every layer of torch.nn that is known, and some that are not."""
    alike: dict[str, list[str]] = {}
    for own, path in spikingjelly.LAYERS.items():
        alike.setdefault(path.rpartition(".")[2], []).append(own.rpartition(".")[2])
    rows = []
    for path in (*KNOWN, *sorted(layers.RESHAPES)):
        name = path.rpartition(".")[2]
        same = ", ".join(alike.get(name, ()))
        found = {key: made for key, made in examples.TORCH.items() if key.partition(":")[0] == name}
        for key, (make, shape) in found.items():
            network = _around(path, make(), shape)
            rows.append([name, key.partition(": ")[2], same, *page.of_layers(network)])
        if not found:
            rows.append([name, NO_EXAMPLE, same, "", *EMPTY])
    rows.append([", ".join(sorted(layers.ALIASES)), "", "Dropout, Dropout2d", "left out", *["exact"] * len(TARGETS)])
    page.section("## Layers\n\n### Of torch modules", TEXT,
                 ["layer", "options", "SpikingJelly's", "becomes", *TARGETS], [*rows, *_refused(page)])  # fmt: skip


def _refused(page: Page) -> list[list[str]]:
    """Layers that are refused for the same reason in one row."""
    reasons: dict[str, list[str]] = {}
    for name, build in examples.REFUSED.items():
        module = build()
        found = layers.refusal(module, name, f"{type(module).__module__}.{name}")
        assert found is not None, name
        reasons.setdefault(page.refused(found.diagnostics[0]).replace(name, "it"), []).append(name)
    return [[", ".join(names), "", "", why, *EMPTY] for why, names in reasons.items()]


def _around(path: str, module: nn.Module, shape: Shape) -> Network:
    """A layer between the input and neurons, as its frontend's table reads it."""
    made: tuple[Node, ...] = KNOWN[path](module, "layer", shape) if path in KNOWN else _reshaped(module, shape)
    last = made[-1]
    behind = () if isinstance(last, Neurons) else (Neurons("neurons", last.out_shape, Lif()),)
    return in_a_row((Input("input", shape, "spikes"), *made, *behind))


def _reshaped(module: nn.Module, shape: Shape) -> tuple[Node, ...]:
    return (Reshape("layer", shape, tuple(module(torch.zeros(1, *shape)).shape[1:])),)


def topology_rows(page: Page) -> None:
    """How layers may be connected."""
    rows = [[title, *page.on_targets(make(), layers_alone)] for title, make in examples.TOPOLOGIES.items()]
    text = "Weights are halves here, so that they are exact. Branches of unequal depth are delayed until they meet."
    page.section("### Topologies", text, ["what", *TARGETS], rows)
