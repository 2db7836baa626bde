"""The verifier: what every level of the IR may contain. It runs between all passes.

A finding here is either a user's network that means nothing (loops without delay, shapes that do
not meet, NaN weights) or a bug of a pass; both are reported with the node's name.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, Connection, SparseSynapse
from ranvier.compiler.ir.linear import SYNAPSES, Conv, Dense, Grid, Sparse
from ranvier.compiler.ir.network import Input, Network, Neurons, ReadoutKind
from ranvier.compiler.ir.order import loop_without_delay
from ranvier.compiler.ir.steps import problems
from ranvier.compiler.ir.weight_levels import FULL_BITS, weight_levels
from ranvier.compiler.ir.wellformed import malformed, malformed_population, malformed_port, malformed_synapse

Level = Literal["imported", "folded", "retimed", "quantized"]
Check = Callable[[Network], list[Diagnostic]]
WEIGHT_BITS = range(1, FULL_BITS + 1)
MEND = "mend the network, or report it if a tool wrote it"


def _bad(code: str, place: str, message: str, fix: str = MEND) -> Diagnostic:
    return Diagnostic(code, place, message, fix)


def check_network(network: Network, level: Level) -> Network:
    """``network`` itself if it is legal at ``level``; raises ``RanvierError`` with all findings otherwise.

    Later checks rely on earlier ones, so the first check that finds anything is the last to run.
    """
    for check in LEVELS[level]:
        found = check(network)
        if found:
            raise RanvierError(found)
    return network


def _references(n: Network) -> list[Diagnostic]:
    names = [node.name for node in n.nodes]
    found = [
        _bad("RV310", name, "two nodes have this name") for name in sorted({x for x in names if names.count(x) > 1})
    ]
    for edge in n.edges:
        missing = [end for end in (edge.source, edge.target) if end not in names]
        found += [
            _bad("RV311", end, f"the edge {edge.source} -> {edge.target} names an unknown node") for end in missing
        ]
        if edge.delay < 0:
            found.append(_bad("RV312", edge.target, f"the edge from {edge.source} has delay {edge.delay}"))
        if isinstance(n.by_name.get(edge.target), Input):
            found.append(_bad("RV312", edge.target, f"the edge from {edge.source} ends at an input"))
    if len(n.inputs) != 1:
        fix = "join the inputs into one tensor"
        found.append(_bad("RV313", n.name, f"{len(n.inputs)} inputs; exactly one is supported", fix))
    if not isinstance(n.by_name.get(n.readout.node), Neurons):
        fix = "end the network with spiking or integrating neurons"
        found.append(_bad("RV314", n.readout.node, "the readout is no population of neurons of the network", fix))
    if n.readout.kind not in get_args(ReadoutKind):
        fix = f"use one of {', '.join(get_args(ReadoutKind))}"
        found.append(_bad("RV365", n.readout.node, f"there is no readout {n.readout.kind!r}", fix))
    return found


def _wellformed(n: Network) -> list[Diagnostic]:
    fix = "check the training run or the file"
    return [_bad("RV315", node.name, text, fix) for node in n.nodes for text in malformed(node)]


def _shapes(n: Network) -> list[Diagnostic]:
    found = []
    for node in n.nodes:
        if isinstance(node, Input):
            continue
        wanted = size(node.shape) if isinstance(node, Neurons) else node.in_size
        for edge in n.into[node.name]:
            given = n.by_name[edge.source].out_shape
            if size(given) != wanted:
                text = f"{edge.source} gives {given} = {size(given)} values, {node.name} takes {wanted}"
                found.append(_bad("RV316", node.name, text))
        if not isinstance(node, Neurons) and not n.into[node.name]:
            found.append(_bad("RV317", node.name, "nothing enters this layer"))
    return found


def _loops(n: Network) -> list[Diagnostic]:
    loop = loop_without_delay(n)
    if not loop:
        return []
    text = f"the loop {' -> '.join(loop)} has no delay: its value would depend on itself"
    return [_bad("RV319", loop[0], text, "delay the recurrent edge by one step, as the frameworks do")]


def _folded(n: Network) -> list[Diagnostic]:
    found = []
    for node in n.nodes:
        if not isinstance(node, (*SYNAPSES, Input, Neurons)):
            found.append(_bad("RV320", node.name, f"{type(node).__name__} should have been folded"))
        elif isinstance(node, SYNAPSES):
            into, out_of = n.into[node.name], n.out_of[node.name]
            ends = [n.by_name[e.source] for e in into] + [n.by_name[e.target] for e in out_of]
            if len(into) != 1 or len(out_of) != 1 or not all(isinstance(e, Input | Neurons) for e in ends):
                found.append(_bad("RV321", node.name, "a synapse needs one source and one population as target"))
            if getattr(node, "bias", None) is not None:
                found.append(_bad("RV322", node.name, "the bias belongs to the neurons after folding"))
            if isinstance(node, Conv) and len(node.in_shape) != 3:
                found.append(_bad("RV323", node.name, "a convolution over one axis was not widened"))
    return found


def _retimed(n: Network) -> list[Diagnostic]:
    return [_bad("RV324", p.name, "the population has no latency") for p in n.populations if p.latency < 0]


def _quantized(n: Network) -> list[Diagnostic]:
    found = [_bad("RV325", p.name, "the population has no scale") for p in n.populations if p.scale <= 0]
    for node in n.nodes:
        if isinstance(node, Dense | Sparse | Conv):
            values = node.data if isinstance(node, Sparse) else node.weight
            if node.grid is None:
                found.append(_bad("RV326", node.name, "the weights are not quantized"))
            elif off_grid(values, node.grid):
                text = f"weights are off the {node.grid.bits}-bit {node.grid.sign} grid"
                found.append(_bad("RV327", node.name, text))
    return found


def off_grid(values: NDArray[Any], grid: Grid | Connection) -> bool:
    """Whether any of ``values`` is no weight of the chip in this width and sign mode."""
    if grid.bits not in WEIGHT_BITS:
        return True
    given = np.asarray(values, np.float64)
    return bool(np.any((weight_levels(grid.bits, grid.sign).nearest(given) != given) & (given != 0)))


_ALWAYS: tuple[Check, ...] = (_references, _wellformed, _shapes, _loops)
LEVELS: Mapping[Level, tuple[Check, ...]] = {
    "imported": _ALWAYS,
    "folded": (*_ALWAYS, _folded),
    "retimed": (*_ALWAYS, _folded, _retimed),
    "quantized": (*_ALWAYS, _folded, _retimed, _quantized),
}


def check_chip(chip: ChipNetwork) -> ChipNetwork:
    """``chip`` itself if it is well formed; raises ``RanvierError`` with all findings otherwise."""
    for check in (_chip_references, _chip_parts, _chip_connections):
        found = check(chip)
        if found:
            raise RanvierError(found)
    return chip


def _chip_references(chip: ChipNetwork) -> list[Diagnostic]:
    names = [*(p.name for p in chip.ports), *(p.name for p in chip.populations), *(c.name for c in chip.connections)]
    nodes, populations = {p.name for p in chip.ports}, {p.name for p in chip.populations}
    found = [_bad("RV330", n, "two parts have this name") for n in sorted({x for x in names if names.count(x) > 1})]
    if len(chip.ports) != 1:
        found.append(_bad("RV331", chip.name, f"{len(chip.ports)} input ports; exactly one is supported"))
    lost = [c for c in chip.connections if c.source not in nodes | populations or c.target not in populations]
    found += [_bad("RV332", c.name, f"it joins {c.source} and {c.target}, which do not both exist") for c in lost]
    if chip.readout.node not in populations:
        found.append(_bad("RV333", chip.readout.node, "the readout is no population"))
    return found


def _chip_parts(chip: ChipNetwork) -> list[Diagnostic]:
    found = [_bad("RV340", p.name, text) for p in chip.populations for text in problems(p.program)]
    found += [_bad("RV341", p.name, text) for p in chip.populations for text in malformed_population(p)]
    found += [_bad("RV336", c.name, text) for c in chip.connections for text in malformed_synapse(c.synapse)]
    found += [_bad("RV342", port.name, text) for port in chip.ports for text in malformed_port(port)]
    return found


def _chip_connections(chip: ChipNetwork) -> list[Diagnostic]:
    return [problem for c in chip.connections for problem in _connection(chip, c)]


def _connection(chip: ChipNetwork, c: Connection) -> list[Diagnostic]:
    s, found = c.synapse, []
    if s.in_size != size(chip.by_name[c.source].shape) or s.out_size != size(chip.by_name[c.target].shape):
        found.append(_bad("RV334", c.name, f"{s.in_size} -> {s.out_size} synapses between populations of other sizes"))
    if off_grid(s.data if isinstance(s, SparseSynapse) else s.weight, c):
        found.append(_bad("RV335", c.name, f"weights are off the {c.bits}-bit {c.sign} grid"))
    if c.exponent and s.kind == "conv":
        found.append(_bad("RV337", c.name, "a convolution has no weight exponent"))
    if c.delay < 0 or chip.network_delay(c) < 0 or not -24 <= c.exponent <= 24:
        found.append(_bad("RV338", c.name, f"delay {c.delay}, exponent {c.exponent}: impossible timing or scale"))
    return found
