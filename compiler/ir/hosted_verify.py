"""What a hosted network, and its parts, may contain: what ``verify.py`` is for a network of neurons alone."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.host_functions import DEFINITIONS, compute
from ranvier.compiler.ir.hosted import ChipPart, Crossing, HostedNetwork, HostedNode, HostFunction, HostPart, Parts
from ranvier.compiler.ir.linear import LINEAR
from ranvier.compiler.ir.network import Edge, Input, Neurons, Readout
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.ir.wellformed import malformed

MEND = "mend the network, or report it if a tool wrote it"
MAX_FRAME = 2**26
"""Numbers of one frame that the host takes or gives at most: a hostile file is refused before it computes."""


def check_hosted(network: HostedNetwork) -> HostedNetwork:
    """``network`` itself if it means something; raises ``RanvierError`` RV741 with all findings otherwise.

    Loops are the pass ``Cut``'s to refuse.
    """
    _raise(_nodes(network.nodes))
    given = {node.name: size(node.out_shape) for node in network.nodes}
    found = _edges(network.nodes, network.edges, given)
    found += [_bad(e.target, f"the edge from {e.source} ends at an input") for e in _into_inputs(network)]
    if len(network.inputs) != 1:
        found.append(_bad(network.name, f"{len(network.inputs)} inputs; exactly one is supported"))
    if not any(isinstance(node, Neurons) for node in network.nodes):
        found.append(_bad(network.name, "it has no spiking neurons: nothing of it would run on a chip"))
    found += _readout(network.readout, {n.name: n for n in network.nodes})
    _raise(found)
    return network


def check_parts(parts: Parts) -> Parts:
    """``parts`` themselves if each is legal and finds what it takes; raises ``RanvierError`` with all findings."""
    _raise(_nodes((parts.source,)))
    sent: dict[str, HostedNode] = {parts.source.name: parts.source}
    for part in parts.parts:
        found = [] if isinstance(part, ChipPart) else _host_part(part)
        if isinstance(part, ChipPart):
            check_network(part.network, "imported")
            found += _entering(part)
        found += [*_crossings(part.takes, sent), *_read(part, parts.readout)]
        by_name: Mapping[str, HostedNode] = {node.name: node for node in _held(part)}
        found += [_bad(name, "the part gives what it does not compute") for name in part.gives if name not in by_name]
        found += [_bad(name, "two parts have a node of this name") for name in part.gives if name in sent]
        _raise(found)
        sent |= {name: by_name[name] for name in part.gives}
    _raise(_readout(parts.readout, sent))
    return parts


def bad_function(f: HostFunction) -> Iterator[str]:
    """What is wrong with ``f`` by itself."""
    for shape in (*f.in_shapes, f.out_shape):
        if any(n < 1 for n in shape) or float(np.prod([float(n) for n in shape])) > MAX_FRAME:
            yield f"shape {shape} is not positive, or beyond {MAX_FRAME} elements"
            return
    known = DEFINITIONS.get(f.kind)
    if known is None or len(f.in_shapes) != known.arguments:
        yield f"there is no host function {f.kind!r} of {len(f.in_shapes)} arguments"
        return
    for what, wanted, given in (("options", known.options, f.options), ("constants", known.constants, f.constants)):
        if set(wanted) != set(given):
            yield f"it has the {what} {sorted(given)}, {f.kind} has {sorted(wanted)}"
            return
    if problem := _bad_axes(f):
        yield problem
    elif _result(f) != f.out_shape:
        yield f"it gives shape {f.out_shape}; {f.kind} makes {_result(f)} of {f.in_shapes}"
    elif not _computes(f):
        yield "it gives no number for arguments of 1: a constant or an option does not fit its shape"


def _bad_axes(f: HostFunction) -> str:
    """What is wrong with the axes that ``f`` sums over; empty where nothing is."""
    axes, low = len(f.in_shapes[0]), {"axis": 0, "axes": 1}
    for name in set(low) & set(f.options):
        value, high = f.options[name], axes - 1 + low[name]
        if value not in range(low[name], high + 1):
            return f"{name} is {value:g}, of {axes} axes it may be {low[name]} to {high}"
    return ""


def _result(f: HostFunction) -> Shape | None:
    """The shape of what ``f`` computes; None where its arguments do not go together."""
    if len(f.in_shapes) == 1:
        return f.in_shapes[0]
    x, y = f.in_shapes
    try:
        if f.kind in ("product", "quotient"):
            return np.broadcast_shapes(x, y)
        return (*np.broadcast_shapes(x[:-2], y[:-2]), x[-2], y[-1]) if x[-1] == y[-2] else None
    except (ValueError, IndexError):
        return None


def _computes(f: HostFunction) -> bool:
    """Whether ``f`` gives numbers for arguments of 1, its constants being no larger than its argument."""
    argument = f.in_shapes[0]
    try:
        if any(np.broadcast_shapes(c.shape, argument) != argument for c in f.constants.values()):
            return False
        with np.errstate(all="ignore"):
            return bool(np.isfinite(compute(f, np.ones((1, f.in_size)))).all())
    except (ValueError, TypeError):
        return False


def _nodes(nodes: Iterable[HostedNode]) -> list[Diagnostic]:
    names = [node.name for node in nodes]
    found = [_bad(name, "two nodes have this name") for name in sorted({x for x in names if names.count(x) > 1})]
    for node in nodes:
        texts = bad_function(node) if isinstance(node, HostFunction) else malformed(node)
        found += [_bad(node.name, text) for text in texts]
    return found


def _edges(nodes: Iterable[HostedNode], edges: Iterable[Edge], given: Mapping[str, int]) -> list[Diagnostic]:
    """Edges from nowhere or to nowhere, of another size, into the future; layers that nothing enters."""
    wanted = {node.name: _takes(node) for node in nodes}
    found = []
    for edge in edges:
        missing = edge.source not in given or edge.target not in wanted
        if missing:
            found.append(_bad(edge.target, f"the edge {edge.source} -> {edge.target} names an unknown node"))
        elif given[edge.source] != wanted[edge.target] and wanted[edge.target]:
            text = f"{edge.source} gives {given[edge.source]} values, {edge.target} takes {wanted[edge.target]}"
            found.append(_bad(edge.target, text))
        if edge.delay < 0:
            found.append(_bad(edge.target, f"the edge from {edge.source} has delay {edge.delay}"))
    entered = {edge.target for edge in edges}
    alone = [node.name for node in nodes if isinstance(node, (*LINEAR, HostFunction)) and node.name not in entered]
    return [*found, *(_bad(name, "nothing enters this layer") for name in alone)]


def _takes(node: HostedNode) -> int:
    if isinstance(node, Input):
        return 0
    return size(node.shape) if isinstance(node, Neurons) else node.in_size


def _into_inputs(network: HostedNetwork) -> list[Edge]:
    inputs = {node.name for node in network.inputs}
    return [edge for edge in network.edges if edge.target in inputs]


def _readout(readout: Readout, nodes: Mapping[str, HostedNode]) -> list[Diagnostic]:
    node = nodes.get(readout.node)
    if isinstance(node, HostFunction) and readout.kind != "spike_count":
        return [_bad(node.name, f"a function of the host is summed over the steps, not read by {readout.kind}")]
    if not isinstance(node, Neurons | HostFunction):
        return [_bad(readout.node, "the readout is neither a population of neurons nor a host function")]
    return []


def _host_part(part: HostPart) -> list[Diagnostic]:
    _raise(_nodes(part.nodes))
    large = [n.name for n in part.nodes if size(n.out_shape) > MAX_FRAME]
    _raise([_bad(name, f"it gives more than {MAX_FRAME} values") for name in large])
    outside = {c.source: size(c.shape) for c in part.takes}
    found = _edges(part.nodes, part.edges, outside | {n.name: size(n.out_shape) for n in part.nodes})
    at = {node.name: position for position, node in enumerate(part.nodes)}
    late = [e for e in part.edges if e.source in at and e.target in at and at[e.source] >= at[e.target]]
    found += [_bad(e.target, f"{e.source}, which it needs, is computed later") for e in late]
    return [*found, *(_bad(n, "it enters the part and is computed in it") for n in sorted(set(outside) & set(at)))]


def _entering(part: ChipPart) -> list[Diagnostic]:
    (port,), taken = part.network.inputs, sum(size(c.shape) for c in part.takes)
    found = [] if size(port.shape) == taken else [_bad(port.name, f"it takes {size(port.shape)} values of {taken}")]
    scales = [c for c in part.takes if not (np.isfinite(c.scale) and c.scale > 0)]
    return [*found, *(_bad(c.source, f"it is divided by {c.scale}") for c in scales)]


def _read(part: ChipPart | HostPart, readout: Readout) -> list[Diagnostic]:
    if isinstance(part, HostPart) or readout.node not in part.gives or part.network.readout == readout:
        return []
    return [_bad(readout.node, "it is the readout of all parts, and not of its own")]


def _crossings(takes: Iterable[Crossing], sent: Mapping[str, HostedNode]) -> list[Diagnostic]:
    unknown = [c for c in takes if c.source not in sent or sent[c.source].out_shape != c.shape]
    return [_bad(c.source, "a part takes it, and no part before gives it in this shape") for c in unknown]


def _held(part: ChipPart | HostPart) -> tuple[HostedNode, ...]:
    """The nodes whose values ``part`` may give."""
    if isinstance(part, ChipPart):
        return part.network.populations
    return tuple(node for node in part.nodes if isinstance(node, HostFunction))


def _bad(place: str, message: str) -> Diagnostic:
    return Diagnostic("RV741", place, message, MEND)


def _raise(found: list[Diagnostic]) -> None:
    if found:
        raise RanvierError(found)
