"""Fold: everything between two populations becomes one synapse, every constant a drive of the neurons."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import error
from ranvier.compiler.ir.arrays import FloatArray, integers, size
from ranvier.compiler.ir.compose import as_synapse, compose
from ranvier.compiler.ir.linear import Conv, Dense, Linear, Reshape, Sparse, Synapse
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset
from ranvier.compiler.ir.models import FORMS
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node
from ranvier.compiler.ir.neurons import Lif, NeuronModel, RegisterLif

MAX_PATHS = 1000


@dataclass(frozen=True)
class _Path:
    """A chain of linear layers from ``source`` (an input or a population), composed, with its summed delay."""

    source: str
    delay: int
    op: Linear | None


@dataclass(frozen=True)
class Fold:
    """Compose the linear layers on every path between populations; move biases and gains to their place.

    After it the network holds inputs, populations and one ``Dense``, ``Sparse`` or ``Conv`` per path, without
    bias. A bias b before a neuron without synaptic current becomes ``drive``; before one with a current it
    becomes ``current_drive``. A neuron's input gain goes into the weights. All in float64.
    """

    def __call__(self, network: Network) -> Network:
        """The folded network; raises ``RanvierError`` for loops without neurons and delayed biases."""
        folder = _Folder(network)
        nodes: list[Node] = list(network.inputs)
        edges: list[Edge] = []
        names = {n.name for n in network.inputs} | {n.name for n in network.populations}
        for population in network.populations:
            synapses = []
            for path in folder.paths(population.name):
                synapse = _unique(_apply_gain(_synapse(path, population), population), names)
                synapses.append(synapse)
                edges.append(Edge(path.source, synapse.name, path.delay))
                edges.append(Edge(synapse.name, population.name))
            nodes += [*synapses, _with_drive(population, folder.offset(population.name))]
        return replace(network, nodes=tuple(nodes), edges=tuple(edges))


@dataclass
class _Folder:
    network: Network
    offsets: dict[str, FloatArray] = field(default_factory=dict)
    known: dict[str, tuple[_Path, ...]] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def paths(self, name: str) -> tuple[_Path, ...]:
        """All paths of linear layers that end at the input of node ``name``."""
        if name not in self.known:
            if name in self.open:
                raise error("RV360", name, f"the loop {' -> '.join(self.open)} passes through no neuron",
                            "put spiking neurons into every recurrent loop")  # fmt: skip
            self.open.append(name)
            found = tuple(path for edge in self.network.into[name] for path in self._along(edge))
            self.open.pop()
            if len(found) > MAX_PATHS:
                raise error("RV361", name, f"{len(found)} paths of linear layers end here",
                            "put spiking neurons between the branches", paths=len(found))  # fmt: skip
            self.known[name] = found
        return self.known[name]

    def _along(self, edge: Edge) -> Iterator[_Path]:
        source = self.network.by_name[edge.source]
        if isinstance(source, Input | Neurons):
            yield _Path(source.name, edge.delay, None)
            return
        for path in self.paths(source.name):
            yield _Path(path.source, path.delay + edge.delay, source if path.op is None else compose(path.op, source))

    def offset(self, name: str) -> FloatArray:
        """The constant part of what arrives at node ``name``, flat."""
        if name not in self.offsets:
            node = self.network.by_name[name]
            width = size(node.shape) if isinstance(node, Neurons) else node.in_size  # type: ignore[union-attr]
            total = np.zeros(width)
            for edge in self.network.into[name]:
                source = self.network.by_name[edge.source]
                if isinstance(source, Input | Neurons):
                    continue
                before, given = self.offset(source.name), linear_offset(source)
                if np.any(before):
                    given = linear_matrix(source) @ before + given
                if edge.delay and np.any(given):
                    raise error("RV362", source.name, f"its bias reaches {name} with a delay of {edge.delay} steps",
                                "put the delay before the layer that adds the bias", delay=edge.delay)  # fmt: skip
                total += given
            self.offsets[name] = total
        return self.offsets[name]


def _synapse(path: _Path, population: Neurons) -> Synapse:
    op = path.op
    if op is None or isinstance(op, Reshape):
        count = size(population.shape)
        one = np.ones(count)
        return Sparse(
            f"{path.source}_to_{population.name}",
            one,
            np.arange(count),
            np.arange(count + 1),
            count,
            (count,),
        )
    synapse = as_synapse(op)
    return synapse if isinstance(synapse, Sparse) else replace(synapse, bias=None)


def _unique(synapse: Synapse, names: set[str]) -> Synapse:
    name, number = synapse.name, 2
    while name in names:
        name, number = f"{synapse.name}_{number}", number + 1
    names.add(name)
    return replace(synapse, name=name)


def _apply_gain(synapse: Synapse, population: Neurons) -> Synapse:
    """``synapse`` with its weights multiplied by the input gain of the neurons it reaches."""
    gain = RULES[type(population.model)].gain(population.model)
    if bool(np.all(gain == 1.0)):
        return synapse
    per_neuron = np.broadcast_to(gain.reshape(-1), (size(population.shape),))
    if isinstance(synapse, Dense):
        return replace(synapse, weight=synapse.weight * per_neuron[:, None])
    if isinstance(synapse, Conv):
        by_channel = per_neuron.reshape(synapse.out_shape[0], -1)
        if bool((by_channel == by_channel[:, :1]).all()):
            return replace(synapse, weight=synapse.weight * by_channel[:, :1, None, None])
    sparse = synapse if isinstance(synapse, Sparse) else _unrolled(synapse)
    return replace(sparse, data=sparse.data * np.repeat(per_neuron, np.diff(sparse.indptr)))


def _unrolled(conv: Conv | Dense) -> Sparse:
    rows = linear_matrix(conv)
    return Sparse(conv.name, rows.data, rows.indices, rows.indptr, conv.in_size, conv.out_shape)


def _with_drive(population: Neurons, offset: FloatArray) -> Neurons:
    rule = RULES[type(population.model)]
    return replace(population, model=rule.absorb(population.name, population.model, offset))


@dataclass(frozen=True)
class _Rule:
    """How a kind of neurons takes what stands before it: ``gain(model)`` goes into the weights, and
    ``absorb(name, model, offset)`` is the model with gain 1 and the constant ``offset`` in its drive.
    """

    gain: Callable[[Any], FloatArray]
    absorb: Callable[[str, Any, FloatArray], NeuronModel]


def _gain(model: Any) -> FloatArray:
    given: FloatArray = model.gain
    return given


def _no_gain(_model: Any) -> FloatArray:
    return np.ones(())


def _lif_drive(_name: str, model: Lif, offset: FloatArray) -> Lif:
    current = model.gain * (model.current_drive + offset)
    if not model.has_current:
        return replace(model, drive=model.drive + current, current_drive=np.zeros(()), gain=np.ones(()))
    return replace(model, current_drive=current, gain=np.ones(()))


def _entry_drive(_name: str, model: Any, offset: FloatArray) -> NeuronModel:
    entry = FORMS[type(model)].entry(model)
    changed: NeuronModel = replace(model, **{entry: getattr(model, entry) + model.gain * offset}, gain=np.ones(()))
    return changed


def _register_bias(name: str, model: RegisterLif, offset: FloatArray) -> RegisterLif:
    """A constant in integer units arrives as ``64 a`` in the membrane: that is a bias, if the current decays fully."""
    if not np.any(offset):
        return model
    if bool(np.any(model.du != 4095)) or bool(np.any(offset != np.rint(offset))):
        text = "a bias before a neuron given in registers is no whole number, or passes a slow current"
        raise error("RV363", name, text, "write the bias into the neuron's bias register")
    return replace(model, bias=integers(model.bias + 64 * np.rint(offset)))


RULES: Mapping[type, _Rule] = {
    Lif: _Rule(_gain, _lif_drive),
    RegisterLif: _Rule(_no_gain, _register_bias),
    **dict.fromkeys(FORMS, _Rule(_gain, _entry_drive)),
}
