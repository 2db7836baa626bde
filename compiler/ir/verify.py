"""The verifier: what every level of the IR may contain. It runs between all passes.

A finding here is either a user's network that means nothing (loops without delay, shapes that do
not meet, NaN weights) or a bug of a pass; both are reported with the node's name.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import size
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, Population, SparseSynapse
from ranvier.compiler.ir.linear import SYNAPSES, Conv, Dense, Pool, Scale, Sparse
from ranvier.compiler.ir.network import Input, Network, Neurons
from ranvier.compiler.ir.neurons import PARAMETERS, Lif
from ranvier.compiler.ir.order import loop_without_delay
from ranvier.compiler.ir.steps import problems

Level = Literal["imported", "folded", "retimed", "quantized"]
Check = Callable[[Network], list[Diagnostic]]
WEIGHT_RANGE = {"mixed": (-256, 254), "excitatory": (0, 255), "inhibitory": (-255, 0)}


def _bug(
    code: str, place: str, message: str, fix: str = "mend the network, or report it if a tool wrote it"
) -> Diagnostic:
    return Diagnostic(code, place, message, fix)


def check_network(network: Network, level: Level) -> Network:
    """``network`` itself if it is legal at ``level``; raises ``RanvierError`` with all findings otherwise."""
    found: list[Diagnostic] = []
    for check in LEVELS[level]:
        found += check(network)
        if found and check is _references:
            break
    if found:
        raise RanvierError(found)
    return network


def _references(n: Network) -> list[Diagnostic]:
    names = [node.name for node in n.nodes]
    found = [_bug("RV310", name, "two nodes have this name") for name in {x for x in names if names.count(x) > 1}]
    for edge in n.edges:
        missing = [end for end in (edge.source, edge.target) if end not in names]
        found += [
            _bug("RV311", end, f"the edge {edge.source} -> {edge.target} names an unknown node") for end in missing
        ]
        if edge.delay < 0:
            found.append(_bug("RV312", edge.target, f"the edge from {edge.source} has delay {edge.delay}"))
    if len(n.inputs) != 1:
        found.append(
            _bug(
                "RV313",
                n.name,
                f"{len(n.inputs)} inputs; exactly one is supported",
                "join the inputs into one tensor",
            )
        )
    if not isinstance(n.by_name.get(n.readout.node), Neurons):
        found.append(_bug("RV314", n.readout.node, "the readout is no population of neurons of the network",
                          "end the network with spiking or integrating neurons"))  # fmt: skip
    return found


def _shapes(n: Network) -> list[Diagnostic]:
    found = []
    for node in n.nodes:
        if any(d < 1 for d in node.out_shape):
            found.append(_bug("RV315", node.name, f"its output has shape {node.out_shape}"))
        elif not isinstance(node, Input):
            wanted = size(node.shape) if isinstance(node, Neurons) else node.in_size
            for edge in n.into[node.name]:
                given = n.by_name[edge.source].out_shape
                if size(given) != wanted:
                    text = f"{edge.source} gives {given} = {size(given)} values, {node.name} takes {wanted}"
                    found.append(_bug("RV316", node.name, text))
    return found


def _values(n: Network) -> list[Diagnostic]:
    found = []
    for node in n.nodes:
        arrays = {f: getattr(node, f, None) for f in ("weight", "bias", "data", "factor", "shift")}
        if isinstance(node, Neurons) and isinstance(node.model, Lif):
            arrays |= {p: getattr(node.model, p) for p in PARAMETERS}
            for name in PARAMETERS:
                length = getattr(node.model, name).size
                if length not in (1, size(node.shape)):
                    found.append(_bug("RV317", node.name, f"{name} has {length} values for {size(node.shape)} neurons"))
        for name, array in arrays.items():
            allowed_infinite = name == "threshold"
            if array is not None and bool(np.isnan(array).any() or (not allowed_infinite and np.isinf(array).any())):
                found.append(
                    _bug(
                        "RV318",
                        node.name,
                        f"{name} contains NaN or infinity",
                        "check the training run or the file",
                    )
                )
    return found


def _loops(n: Network) -> list[Diagnostic]:
    loop = loop_without_delay(n)
    if not loop:
        return []
    text = f"the loop {' -> '.join(loop)} has no delay: its value would depend on itself"
    return [_bug("RV319", loop[0], text, "delay the recurrent edge by one step, as the frameworks do")]


def _folded(n: Network) -> list[Diagnostic]:
    found = []
    for node in n.nodes:
        into, out_of = n.into[node.name], n.out_of[node.name]
        if isinstance(node, Pool | Scale) or (not isinstance(node, (*SYNAPSES, Input, Neurons))):
            found.append(_bug("RV320", node.name, f"{type(node).__name__} should have been folded"))
        elif isinstance(node, SYNAPSES):
            ends = [n.by_name[e.source] for e in into] + [n.by_name[e.target] for e in out_of]
            if len(into) != 1 or len(out_of) != 1 or not all(isinstance(e, Input | Neurons) for e in ends):
                found.append(_bug("RV321", node.name, "a synapse needs one source and one population as target"))
            if getattr(node, "bias", None) is not None:
                found.append(_bug("RV322", node.name, "the bias belongs to the neurons after folding"))
            if isinstance(node, Conv) and len(node.in_shape) != 3:
                found.append(
                    _bug(
                        "RV323",
                        node.name,
                        f"a convolution over {len(node.in_shape) - 1} axes was not widened",
                    )
                )
    return found


def _retimed(n: Network) -> list[Diagnostic]:
    return [_bug("RV324", p.name, "the population has no latency") for p in n.populations if p.latency < 0]


def _quantized(n: Network) -> list[Diagnostic]:
    found = [_bug("RV325", p.name, "the population has no scale") for p in n.populations if p.scale <= 0]
    for node in n.nodes:
        if isinstance(node, Dense | Sparse | Conv):
            values = node.data if isinstance(node, Sparse) else node.weight
            if node.grid is None:
                found.append(_bug("RV326", node.name, "the weights are not quantized"))
            elif off_grid(values, node.grid.sign):
                found.append(_bug("RV327", node.name, f"weights are off the {node.grid.sign} grid"))
    return found


def off_grid(values: np.ndarray, sign: str) -> bool:
    """Whether any of ``values`` is no weight of the chip in sign mode ``sign`` (mixed ones are even)."""
    low, high = WEIGHT_RANGE[sign]
    step = 2 if sign == "mixed" else 1
    return bool(values.size) and bool(((values < low) | (values > high) | (values % step != 0)).any())


_ALWAYS: tuple[Check, ...] = (_references, _shapes, _values, _loops)
LEVELS: Mapping[Level, tuple[Check, ...]] = {
    "imported": _ALWAYS,
    "folded": (*_ALWAYS, _folded),
    "retimed": (*_ALWAYS, _folded, _retimed),
    "quantized": (*_ALWAYS, _folded, _retimed, _quantized),
}


def check_chip(chip: ChipNetwork) -> ChipNetwork:
    """``chip`` itself if it is well formed; raises ``RanvierError`` with all findings otherwise."""
    found = _chip_references(chip)
    if not found:
        found = [d for c in chip.connections for d in _connection(chip, c)]
        found += [d for p in chip.populations for d in _population(p)]
    if found:
        raise RanvierError(found)
    return chip


def _chip_references(chip: ChipNetwork) -> list[Diagnostic]:
    names = [*(p.name for p in chip.ports), *(p.name for p in chip.populations)]
    populations = {p.name for p in chip.populations}
    found = [_bug("RV330", n, "two parts have this name") for n in {x for x in names if names.count(x) > 1}]
    if len(chip.ports) != 1:
        found.append(_bug("RV331", chip.name, f"{len(chip.ports)} input ports; exactly one is supported"))
    lost = [c for c in chip.connections if c.source not in names or c.target not in populations]
    found += [_bug("RV332", c.name, f"it joins {c.source} and {c.target}, which do not both exist") for c in lost]
    if chip.readout.node not in populations:
        found.append(_bug("RV333", chip.readout.node, "the readout is no population"))
    return found


def _connection(chip: ChipNetwork, c: Connection) -> list[Diagnostic]:
    s, target, name = c.synapse, chip.by_name[c.target], c.name
    values = s.data if isinstance(s, SparseSynapse) else s.weight
    found = []
    if s.in_size != size(chip.by_name[c.source].shape) or s.out_size != size(target.shape):
        found.append(_bug("RV334", name, f"{s.in_size} -> {s.out_size} synapses between populations of other sizes"))
    if off_grid(values, c.sign):
        found.append(_bug("RV335", name, f"weights are off the {c.sign} grid"))
    if isinstance(s, SparseSynapse) and _bad_rows(s):
        found.append(_bug("RV336", name, "the compressed rows are inconsistent"))
    if isinstance(s, ConvSynapse) and (c.exponent or not _conv_fits(s)):
        found.append(_bug("RV337", name, "the convolution's shapes do not fit, or it has an exponent"))
    if c.delay < 0 or chip.network_delay(c) < 0 or not -24 <= c.exponent <= 24:
        found.append(_bug("RV338", name, f"delay {c.delay}, exponent {c.exponent}: impossible timing or scale"))
    return found


def _bad_rows(s: SparseSynapse) -> bool:
    rows = s.indptr
    if rows.ndim != 1 or rows.size < 1 or rows[0] != 0 or rows[-1] != s.indices.size or s.indices.size != s.data.size:
        return True
    bad_columns = s.indices.size > 0 and (s.indices.min() < 0 or s.indices.max() >= s.in_size)
    return bool((np.diff(rows) < 0).any()) or bool(bad_columns)


def _conv_fits(s: ConvSynapse) -> bool:
    axes = (s.in_shape, s.out_shape)
    if any(len(a) != 3 for a in axes) or s.weight.ndim != 4 or min(*s.stride, *s.dilation, s.groups) < 1:
        return False
    if (
        s.weight.shape[0] != s.out_shape[0]
        or s.weight.shape[1] * s.groups != s.in_shape[0]
        or s.out_shape[0] % s.groups
    ):
        return False
    spans = [d * (k - 1) + 1 for d, k in zip(s.dilation, s.weight.shape[2:], strict=True)]
    sizes = [
        (n + lo + hi - span) // st + 1
        for n, (lo, hi), span, st in zip(s.in_shape[1:], s.padding, spans, s.stride, strict=True)
    ]
    return tuple(sizes) == s.out_shape[1:]


def _population(p: Population) -> list[Diagnostic]:
    program = p.program
    found = [_bug("RV340", p.name, text) for text in problems(program)]
    states = tuple(s.name for s in program.states)
    for kind, wanted, given in (("parameter", program.params, p.params), ("state", states, p.initial)):
        if set(wanted) != set(given):
            text = f"{kind}s {sorted(given)}, the program needs {sorted(wanted)}"
            found.append(_bug("RV341", p.name, text))
        wrong = [f"{kind} {k} has {v.size} values" for k, v in given.items() if v.size not in (1, p.size)]
        found += [_bug("RV342", p.name, text) for text in wrong]
    if program.domain != "int" or program.graded != (p.bits > 0) or p.latency < 1:
        found.append(_bug("RV343", p.name, "domain, payload width or latency do not fit the program"))
    return found
