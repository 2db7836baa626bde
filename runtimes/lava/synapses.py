"""How each connection is written in the emitted project: its process, its weights in Lava's order, its wires.

Layers have the shapes they have in the source network, (channels, height, width) for images; a Lava convolution works
on (width, height, channels), flips its kernel, and takes pairs as (x, y).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.chip import ConvSynapse, DenseSynapse
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.runtimes.lava.layers import Tensors
from ranvier.runtimes.lava.plan import Plan, Synapse

REVERSED_AXES = "transpose([2, 1, 0])"
Arguments = list[tuple[str, str]]


@dataclass(frozen=True)
class SynapseView:
    """A connection as the templates need it; ``before``: lines that prepare its arguments."""

    attribute: str
    process: str
    before: Sequence[str]
    arguments: Sequence[tuple[str, str]]


def synapse_view(synapse: Synapse, tensors: Tensors) -> SynapseView:
    """``synapse`` for the templates; its weights go into ``tensors``."""
    if synapse.process == "Conv":
        return SynapseView(synapse.attribute, "Conv", (), _conv(synapse, tensors))
    sign = f"SignMode.{synapse.connection.sign.upper()}"
    shared = [("sign_mode", sign), ("num_weight_bits", "8"), ("weight_exp", str(synapse.connection.exponent))]
    shared.append(("num_message_bits", str(synapse.message_bits)))
    make = _dense if synapse.process.endswith("Dense") else _sparse
    before, arguments = make(synapse, tensors)
    return SynapseView(synapse.attribute, synapse.process, before, [*arguments, *shared])


def wiring(chosen: Plan) -> list[str]:
    """The lines that connect layers with synapses and synapses with layers."""
    lines = []
    attributes = {n.population.name: n.attribute for n in chosen.neurons}
    for synapse in chosen.synapses:
        connection = synapse.connection
        source, target = (chosen.chip.by_name[name] for name in (connection.source, connection.target))
        sends = f"self.{attributes[source.name]}.s_out" if source.name in attributes else "proc.s_in"
        lines.append(f"{sends}{_into(synapse, source.shape)}.connect(self.{synapse.attribute}.s_in)")
        end = f"self.{attributes[target.name]}.a_in"
        lines.append(f"self.{synapse.attribute}.a_out{_out_of(synapse, target.shape)}.connect({end})")
    return lines


def _into(synapse: Synapse, shape: Shape) -> str:
    """From a layer of ``shape`` to the shape that the synapse takes."""
    if synapse.process == "Conv":
        wanted = _conv_synapse(synapse).in_shape
        return f".{REVERSED_AXES}" if shape == wanted else f".reshape({wanted}).{REVERSED_AXES}"
    return "" if len(shape) == 1 else ".flatten()"


def _out_of(synapse: Synapse, shape: Shape) -> str:
    """From what the synapse gives to a layer of ``shape``."""
    if synapse.process == "Conv":
        given = _conv_synapse(synapse).out_shape
        return f".{REVERSED_AXES}" if shape == given else f".{REVERSED_AXES}.reshape({shape})"
    return "" if len(shape) == 1 else f".reshape({shape})"


def _conv_synapse(synapse: Synapse) -> ConvSynapse:
    found = synapse.connection.synapse
    assert isinstance(found, ConvSynapse)
    return found


def _conv(synapse: Synapse, tensors: Tensors) -> Arguments:
    s, name = _conv_synapse(synapse), synapse.attribute
    tensors[name] = np.ascontiguousarray(s.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1))
    pairs = {"stride": s.stride, "padding": tuple(low for low, _ in s.padding), "dilation": s.dilation}
    swapped = [(key, repr(tuple(reversed(pair)))) for key, pair in pairs.items()]
    return [
        ("weight", f'w["{name}"]'),
        ("input_shape", repr(tuple(reversed(s.in_shape)))),
        *swapped,
        ("groups", str(s.groups)),
        ("num_message_bits", str(synapse.message_bits)),
    ]


def _dense(synapse: Synapse, tensors: Tensors) -> tuple[list[str], Arguments]:
    name, delay = synapse.attribute, synapse.connection.delay
    weights = synapse.connection.synapse
    assert isinstance(weights, DenseSynapse)
    tensors[name] = weights.weight
    arguments = [("weights", f'w["{name}"]')]
    if delay:
        arguments += [("delays", str(delay)), ("max_delay", str(delay))]
    return [], arguments


def _sparse(synapse: Synapse, tensors: Tensors) -> tuple[list[str], Arguments]:
    name, delay = synapse.attribute, synapse.connection.delay
    matrix = _compressed(synapse)
    tensors[f"{name}.data"] = matrix.data.astype(np.int32)
    tensors[f"{name}.indices"] = _int32(matrix.indices)
    tensors[f"{name}.indptr"] = _int32(matrix.indptr)
    before = [f'{name}_weights = sparse(w, "{name}", {matrix.shape})']
    arguments = [("weights", f"{name}_weights")]
    if delay:
        arguments += [("delays", f"uniform({name}_weights, {delay})"), ("max_delay", str(delay))]
    return before, arguments


def _compressed(synapse: Synapse) -> sparse.csr_array:
    """The connection's matrix without stored zeros, its columns in order."""
    matrix = sparse.csr_array(synapse_matrix(synapse.connection.synapse), copy=True)
    matrix.eliminate_zeros()
    matrix.sum_duplicates()
    return matrix


def _int32(values: NDArray[np.int64]) -> NDArray[np.int32]:
    return np.asarray(values, dtype=np.int32)
