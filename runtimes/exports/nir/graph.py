"""From a network to the graph that NIR sees: one node per node, and nodes that edges need."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError
from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.linear import LINEAR
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Note
from ranvier.compiler.ir.order import evaluation_order
from ranvier.runtimes.exports.nir.carry import carried
from ranvier.runtimes.exports.nir.layers import flatten, layer, takes_flat
from ranvier.runtimes.exports.nir.neurons import Written, neuron
from ranvier.runtimes.exports.nir.readers import Reader

_FIX = "change the network, write for another reader, or write a file that is not portable"


@dataclass
class Graph:
    """The NIR nodes and edges of ``network`` for ``reader``, and what that reader makes different.

    ``beside``: IR objects that the metadata of a node hold in its place, by the node's name; ``plain``: what stands in
    its metadata for other programs.
    """

    network: Network
    reader: Reader
    dt: float
    beside: Mapping[str, object] = field(default_factory=dict)
    plain: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    losses: list[Diagnostic] = field(default_factory=list)
    hints: list[Note] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)
    _shapes: dict[str, Shape] = field(default_factory=dict)

    def build(self) -> None:
        """Fill nodes, edges and losses. Raises ``RanvierError`` with everything that NIR cannot hold at all."""
        problems: list[Diagnostic] = list(self._unsupported())
        self._names |= _nir_names([node.name for node in self.network.nodes])
        for name in [] if problems else evaluation_order(self.network):
            try:
                self._add(self.network.by_name[name])
            except RanvierError as found:
                problems += found.diagnostics
        if problems:
            raise RanvierError(problems)
        back = _returning(self.network)
        for edge in sorted(self.network.edges, key=lambda e: e not in back):
            self._connect(edge)
        self._end()

    def _unsupported(self) -> Iterator[Diagnostic]:
        pairs = [(e.source, e.target, e.delay) for e in self.network.edges]
        for source, target, delay in sorted({p for p in pairs if pairs.count(p) > 1}):
            text = f"it is there {pairs.count((source, target, delay))} times; NIR has no repeated edges"
            yield Diagnostic("RV685", f"edge {source} -> {target}", text, "scale the weights instead")

    def _add(self, node: Node) -> None:
        import nir  # noqa: PLC0415 - spares the start what only this export needs

        if isinstance(node, Input):
            written, shape = Written(nir.Input({"input": np.array(node.shape)}), hints=_coder(node)), node.shape
        else:
            arriving = self._arriving(node)
            if isinstance(node, Neurons):
                written, shape = neuron(node, arriving, self.reader, self.dt), arriving
            else:
                written, shape = layer(node, self.reader, arriving)
        fields = vars(written.node)
        held = carried(self.beside.get(node.name, node), fields)
        written.node.metadata = {**written.node.metadata, **self.plain.get(node.name, {}), **held}
        self.nodes[self._names[node.name]] = written.node
        self._shapes[node.name] = shape
        self.losses += [_loss(node.name, text) for text in written.losses]
        self.hints += [Note("RV687", node.name, text) for text in written.hints]

    def _arriving(self, node: Any) -> Shape:
        """The shape in which values reach ``node`` in NIR: the longest of the sources that stand before it."""
        known = [self._shapes[e.source] for e in self.network.into[node.name] if e.source in self._shapes]
        if isinstance(node, Neurons):
            return max(known, key=len, default=node.shape)
        shape = max(known, key=len, default=getattr(node, "in_shape", (node.in_size,)))
        return (size(shape),) if takes_flat(node, self.reader, shape) else shape

    def _connect(self, edge: Edge) -> None:
        """The edge, through a Delay if it has one that NIR does not imply, and a Flatten before a matrix."""
        last, shape = self._names[edge.source], self._shapes[edge.source]
        if edge.delay and not self.reader.loops and self._implied(edge):
            self.losses.append(_loss(f"edge {edge.source} -> {edge.target}", "it cannot import recurrent layers"))
        if edge.delay and not self._implied(edge):
            last = self._via(last, f"{last}_delay{edge.delay}", self._delay(edge, shape))
        target = self.network.by_name[edge.target]
        if isinstance(target, LINEAR) and len(shape) > 1 and takes_flat(target, self.reader, shape):
            last = self._via(last, f"{last}_flat", flatten(shape))
            shape = (size(shape),)
        if isinstance(target, Neurons) and shape != self._shapes[target.name]:
            text = f"values of shape {shape} from {edge.source} enter neurons of shape {self._shapes[target.name]}"
            self.losses.append(_loss(target.name, text))
        self.edges.append((last, self._names[edge.target]))

    def _via(self, last: str, name: str, written: Written) -> str:
        """Lead from node ``last`` to a new node ``name`` (or the one that is there), and go on from it."""
        if name not in self.nodes:
            self.nodes[name] = written.node
            self.edges.append((last, name))
        return name

    def _delay(self, edge: Edge, shape: Shape) -> Written:
        import nir  # noqa: PLC0415 - spares the start what only this export needs

        if "Delay" not in self.reader.types:
            place = f"edge {edge.source} -> {edge.target}"
            self.losses.append(_loss(place, f"it has no delays (here {edge.delay} steps)"))
        return Written(nir.Delay(np.full(shape, edge.delay * self.dt)))

    def _implied(self, edge: Edge) -> bool:
        """Whether every reader takes the edge to carry one step: spikes that only come back to their own neurons."""
        source = self.network.by_name[edge.source]
        if edge.delay != 1 or not isinstance(source, Neurons):
            return False
        seen, pending = set(), [edge]
        while pending:
            target = pending.pop().target
            if target == source.name or target in seen:
                continue
            if isinstance(self.network.by_name[target], Neurons) or not self.network.out_of[target]:
                return False
            seen.add(target)
            pending += self.network.out_of[target]
            if any(e.delay for e in self.network.out_of[target]):
                return False
        return True

    def _end(self) -> None:
        import nir  # noqa: PLC0415 - spares the start what only this export needs

        end = self.network.readout.node
        name = _free("output", set(self.nodes))
        self.nodes[name] = nir.Output({"output": np.array(self._shapes[end])})
        self.edges.append((self._names[end], name))


def _coder(source: Input) -> tuple[str, ...]:
    """What other programs do not see of an input whose frames a coder makes from samples."""
    if source.encoder is None:
        return ()
    kind = type(source.encoder).__name__
    return (f"NIR has no input coder: {kind} stands in the metadata for Ranvier; other programs need its frames",)


def _loss(place: str, text: str) -> Diagnostic:
    return Diagnostic("RV686", place, text, _FIX)


def _returning(network: Network) -> set[Edge]:
    """The edges that carry a step and those that lead on from them to neurons.

    They are written first: the importers of Norse and Sinabs take what they reach last for the output.
    """
    found = {edge for edge in network.edges if edge.delay}
    pending = list(found)
    while pending:
        target = pending.pop().target
        more = set() if isinstance(network.by_name[target], Neurons) else set(network.out_of[target]) - found
        found |= more
        pending += more
    return found


def _nir_names(names: list[str]) -> dict[str, str]:
    """A name for every node that all readers take: letters, digits and underscores."""
    taken: set[str] = set()
    made = {}
    for name in names:
        made[name] = _free(re.sub(r"\W", "_", name, flags=re.ASCII) or "node", taken)
        taken.add(made[name])
    return made


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def suffix_checked(path: str | Path) -> Path:
    """``path`` if it ends in ``.nir``, which is how readers know the format."""
    if Path(path).suffix != ".nir":
        text, fix = "a NIR file's name ends in .nir", f"write {Path(path).with_suffix('.nir').name}"
        raise RanvierError([Diagnostic("RV680", str(path), text, fix)])
    return Path(path)
