"""Whether one node or synapse, taken alone, means anything: array ranks, lengths, positive sizes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ranvier.compiler.ir.arrays import IntArray, Shape, size
from ranvier.compiler.ir.chip import ChipSynapse, ConvSynapse, DenseSynapse, Population, Port, SparseSynapse
from ranvier.compiler.ir.coding import misplaced
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Linear, Pool, Scale, Sparse
from ranvier.compiler.ir.network import Input, Neurons, Node
from ranvier.compiler.ir.neurons import NUMERIC, Lif, Quantizer, array_fields

MAX_ELEMENTS = 2**31


def malformed(node: Node) -> Iterator[str]:
    """What is wrong with ``node`` by itself."""
    if isinstance(node, Input):
        yield from _bad_shape("shape", node.shape)
        yield from () if node.encoder is None else misplaced(node.encoder, node.shape, node.coding)
    elif isinstance(node, Neurons):
        yield from _bad_shape("shape", node.shape)
        yield from _bad_model(node)
    else:
        yield from _bad_linear(node)


def _bad_shape(name: str, shape: Shape) -> Iterator[str]:
    if not shape or min(shape) < 1 or float(np.prod([float(d) for d in shape])) > MAX_ELEMENTS:
        yield f"{name} {shape} is empty, not positive, or beyond {MAX_ELEMENTS} elements"


def _bad_model(node: Neurons) -> Iterator[str]:
    for name in array_fields(node.model):
        values = getattr(node.model, name)
        if values.shape not in ((), (size(node.shape),)):
            yield f"{name} has shape {values.shape} for {size(node.shape)} neurons"
        finite = values[np.isfinite(values)]
        if finite.size < values.size and not (name == "threshold" and bool((values[~np.isfinite(values)] > 0).all())):
            yield f"{name} contains NaN or infinity"
    yield from MODEL_CHECKS.get(type(node.model), _no_check)(node.model)


def _no_check(_model: Any) -> Iterator[str]:
    yield from ()


def _bad_lif(model: Any) -> Iterator[str]:
    if model.refractory < 0 or model.max_spikes < 0:
        yield "the refractory time and the number of spikes cannot be negative"
    if model.floor is not None and not np.isfinite(model.floor):
        yield "the floor is not finite"


def _bad_messages(model: Any) -> Iterator[str]:
    if bool(np.any(model.threshold < 0)):
        yield "the threshold of a message is negative"
    if not (np.isfinite(model.message_scale) and model.message_scale >= 0 and 0 <= model.message_bits <= 32):
        yield f"messages of {model.message_bits} bits and {model.message_scale} integers per unit"


def _bad_quantizer(model: Any) -> Iterator[str]:
    if model.step.size != 1 or not float(model.step.flat[0]) > 0 or not 2 <= model.message_bits <= 32:
        yield f"steps of {model.step} and {model.message_bits} bits: one step above zero and 2 to 32 bits are needed"


MODEL_CHECKS: Mapping[type, Callable[[Any], Iterator[str]]] = {
    Lif: _bad_lif,
    **dict.fromkeys(NUMERIC, _bad_messages),
    Quantizer: _bad_quantizer,
}


def _bad_linear(op: Linear) -> Iterator[str]:
    for name in ("weight", "bias", "data", "factor", "shift"):
        values = getattr(op, name, None)
        if isinstance(values, np.ndarray) and not bool(np.isfinite(values).all()):
            yield f"{name} contains NaN or infinity"
    if isinstance(op, Dense):
        yield from _bad_dense(op)
    elif isinstance(op, Conv | Pool):
        yield from _bad_windows(op)
    elif isinstance(op, ConvTranspose):
        yield from _bad_transposed(op)
    elif isinstance(op, Sparse):
        yield from _bad_shape("output", op.out_shape)
        yield from bad_rows(op.indices, op.indptr, op.data.shape, size(op.out_shape), op.in_size)
    elif isinstance(op, Scale):
        lengths = {1, op.shape[0] if op.shape else 1, size(op.shape)}
        if op.factor.size not in lengths or op.shift.size not in lengths:
            yield f"{op.factor.size} factors and {op.shift.size} shifts for shape {op.shape}"
    elif size(op.in_shape) != size(op.out_shape):
        yield f"{op.in_shape} and {op.out_shape} have different sizes"


def _bad_dense(op: Dense) -> Iterator[str]:
    if op.weight.ndim != 2 or 0 in op.weight.shape:
        yield f"the weight has shape {op.weight.shape}; (outputs, inputs) expected"
    elif op.bias is not None and op.bias.shape != (op.weight.shape[0],):
        yield f"the bias has shape {op.bias.shape} for {op.weight.shape[0]} outputs"


def _bad_windows(op: Conv | Pool) -> Iterator[str]:
    axes = len(op.in_shape) - 1
    given = {"kernel": op.kernel, "stride": op.stride, "dilation": op.dilation, "padding": op.padding}
    if axes not in (1, 2) or any(len(values) != axes for values in given.values()):
        yield f"{axes} spatial axes, but {', '.join(f'{k} {v}' for k, v in given.items())}"
        return
    if min(*op.in_shape, *op.kernel, *op.stride, *op.dilation) < 1:
        yield "shape, kernel, stride and dilation must be positive"
        return
    if isinstance(op, Conv):
        outputs, per_group = op.weight.shape[:2]
        if op.groups < 1 or outputs % op.groups or per_group * op.groups != op.in_shape[0]:
            yield f"{op.in_shape[0]} input channels, {op.groups} groups, weight {op.weight.shape}"
        if op.bias is not None and op.bias.shape != (outputs,):
            yield f"the bias has shape {op.bias.shape} for {outputs} channels"
    yield from _bad_shape("output", op.out_shape)


def _bad_transposed(op: ConvTranspose) -> Iterator[str]:
    axes = len(op.in_shape) - 1
    given = {n: getattr(op, n) for n in ("kernel", "stride", "dilation", "padding", "output_padding")}
    if axes not in (1, 2) or any(len(values) != axes for values in given.values()):
        yield f"{axes} spatial axes, but {', '.join(f'{k} {v}' for k, v in given.items())}"
        return
    if (
        min(*op.in_shape, *op.kernel, *op.stride, *op.dilation, op.groups) < 1
        or min(*op.padding, *op.output_padding) < 0
    ):
        yield "shape, kernel, stride, dilation and groups must be positive, padding not negative"
        return
    if op.weight.shape[0] != op.in_shape[0] or op.in_shape[0] % op.groups:
        yield f"{op.in_shape[0]} input channels, {op.groups} groups, weight {op.weight.shape}"
    if any(o >= max(s, d) for o, s, d in zip(op.output_padding, op.stride, op.dilation, strict=True)):
        yield f"the output padding {op.output_padding} reaches stride {op.stride} and dilation {op.dilation}"
    if op.bias is not None and op.bias.shape != (op.out_shape[0],):
        yield f"the bias has shape {op.bias.shape} for {op.out_shape[0]} channels"
    yield from _bad_shape("output", op.out_shape)


def bad_rows(indices: IntArray, indptr: IntArray, data: Shape, rows: int, columns: int) -> Iterator[str]:
    """What is wrong with compressed rows."""
    if indptr.shape != (rows + 1,) or indices.ndim != 1 or indices.shape != data:
        yield f"compressed rows of shapes {indptr.shape}, {indices.shape}, {data} for {rows} rows"
    elif indptr[0] != 0 or indptr[-1] != indices.size or bool((np.diff(indptr) < 0).any()):
        yield "the row pointers do not rise from 0 to the number of entries"
    elif indices.size and (indices.min() < 0 or indices.max() >= columns):
        yield f"a column outside 0..{columns - 1}"


def malformed_synapse(s: ChipSynapse) -> Iterator[str]:
    """What is wrong with a chip synapse by itself."""
    if isinstance(s, DenseSynapse):
        if s.weight.ndim != 2 or 0 in s.weight.shape:
            yield f"the weight has shape {s.weight.shape}; (targets, sources) expected"
    elif isinstance(s, SparseSynapse):
        if s.indptr.ndim != 1 or s.indptr.size < 2 or s.in_size < 1:
            yield "the compressed rows are empty"
        else:
            yield from bad_rows(s.indices, s.indptr, s.data.shape, s.indptr.size - 1, s.in_size)
    else:
        yield from _bad_conv_synapse(s)


def _bad_conv_synapse(s: ConvSynapse) -> Iterator[str]:
    if s.weight.ndim != 4:
        yield f"the weight has shape {s.weight.shape}; four axes expected"
        return
    plain = Conv("conv", s.weight.astype(np.float64), s.in_shape, None, s.stride, s.padding, s.dilation, s.groups)
    found = list(_bad_windows(plain))
    yield from found
    if not found and plain.out_shape != s.out_shape:
        yield f"the outputs have shape {plain.out_shape}, not {s.out_shape}"


def malformed_port(port: Port) -> Iterator[str]:
    """What is wrong with a port's shape, payload and coder."""
    if min(port.shape, default=0) < 1 or not (port.bits == 0 or 2 <= port.bits <= 32) or port.scale <= 0:
        yield f"shape {port.shape}, {port.bits} bits, scale {port.scale}"
    if port.encoder is not None:
        yield from misplaced(port.encoder, port.shape, "current" if port.bits else "spikes")


def malformed_population(p: Population) -> Iterator[str]:
    """What is wrong with a population's shape, parameters and states, taken alone."""
    yield from _bad_shape("shape", p.shape)
    states = tuple(s.name for s in p.program.states)
    for kind, wanted, given in (("parameter", p.program.params, p.params), ("state", states, p.initial)):
        if set(wanted) != set(given):
            yield f"{kind}s {sorted(given)}, the program needs {sorted(wanted)}"
        for name, values in given.items():
            if values.shape not in ((), (size(p.shape),)):
                yield f"{kind} {name} has shape {values.shape} for {size(p.shape)} neurons"
    if p.program.domain != "int" or p.program.graded != (p.bits > 0) or p.latency < 1 or not 0 <= p.bits <= 32:
        yield "domain, payload width or latency do not fit the program"
