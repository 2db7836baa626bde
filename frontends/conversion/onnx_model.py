"""ReLU networks in ONNX files as graphs: operator by operator, all constants in float64."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.linear import Conv, Dense, Pool, Reshape, Scale, Sparse
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.graph import Activation, Entry, Graph, MaxPool, Op, check_shapes
from ranvier.frontends.conversion.pooling import pruned
from ranvier.frontends.conversion.staircase import staircases
from ranvier.frontends.onnx.evaluate import evaluate
from ranvier.frontends.onnx.graph import read_graph
from ranvier.frontends.onnx.model import OnnxGraph, OnnxNode

RESHAPING = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
LAST = ("Softmax", "LogSoftmax")
UNBOUNDED = 1e30
TOLERANCE = 1e-9


def read_onnx(path: Path) -> Graph:
    """The graph of the ReLU network in the file at ``path``.

    Raises ``RanvierError`` RV665 naming every operator that has no counterpart, RV660 for shapes that do not
    fit, RV667 where the graph does not give the file's own answers.
    """
    source = read_graph(path)
    if len(source.inputs) != 1:
        raise error("RV665", str(path), f"it has {len(source.inputs)} inputs: {', '.join(source.inputs)}",
                    "export the network with a single input")  # fmt: skip
    reader = _Reader(source)
    problems: list[Diagnostic] = []
    stairs = {s.nodes[-1]: s for s in staircases(source)}
    inside = {node for s in stairs.values() for node in s.nodes[:-1]}
    for node in (n for n in source.nodes if n not in inside):
        try:
            if node in stairs:
                reader.add(node, replace(stairs[node].activation, name=_title(node)), stairs[node].source)
            else:
                reader.read(node)
        except RanvierError as refused:
            problems += refused.diagnostics
            reader.skip(node)
    if problems:
        raise RanvierError(problems)
    graph = reader.graph(path.stem)
    _confirm(graph, source, reader.answer)
    return graph


@dataclass
class _Reader:
    source: OnnxGraph
    ops: list[Op] = field(default_factory=list)
    read_by: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.entry,) = self.source.inputs
        (self.answer, *_) = self.source.outputs
        self.values[self.entry] = self.entry

    def read(self, node: OnnxNode) -> None:
        """Add what ``node`` computes; raises RV665 where it cannot be."""
        reader = READERS.get(node.op)
        if reader is None:
            raise _refused(node, "has no counterpart in a network of spikes and weighted sums")
        reader(self, node)

    def skip(self, node: OnnxNode) -> None:
        """Let the result of a refused node stand for itself, so that the others can be judged."""
        shape = self.shape(node.outputs[0])
        self.add(node, Reshape(_title(node), shape, shape))

    def graph(self, name: str) -> Graph:
        """All that was read, as far as it reaches the output."""
        shape = self.frame(self.entry)
        output = self.values[self.source.outputs[0]]
        whole = Graph(name, Entry(self.entry, shape), tuple(self.ops), self.read_by, output)
        check_shapes(whole)
        return pruned(whole)

    def add(self, node: OnnxNode, op: Op, *sources: str) -> None:
        """``op`` as the result of ``node``, reading the tensors ``sources``."""
        self.ops.append(op)
        self.read_by[op.name] = tuple(self.values[s] for s in sources)
        self.values[node.outputs[0]] = op.name

    def constant(self, node: OnnxNode, index: int) -> FloatArray | None:
        """Constant input ``index`` in float64; None where it is absent or no constant."""
        name = node.inputs[index] if index < len(node.inputs) else ""
        found = self.source.constants.get(name)
        return None if found is None else np.asarray(found, np.float64)

    def shape(self, tensor: str) -> Shape:
        """Shape of a tensor, batch axis included."""
        return tuple(self.source.shapes[tensor])

    def frame(self, tensor: str) -> Shape:
        """Shape of one sample of ``tensor``."""
        return self.shape(tensor)[1:] or (1,)

    def live(self, node: OnnxNode) -> tuple[str, ...]:
        """The inputs of ``node`` that are no constants."""
        return tuple(n for n in node.inputs if n and n not in self.source.constants)


def _conv(r: _Reader, n: OnnxNode) -> None:
    weight = r.constant(n, 1)
    if weight is None:
        raise _refused(n, "has weights that are computed")
    axes = weight.ndim - 2
    dilation = n.integers("dilations") or (1,) * axes
    reach = tuple((k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True))
    stride = n.integers("strides") or (1,) * axes
    shape = r.frame(n.inputs[0])
    padding = _padding(n, shape[1:], reach, stride)
    groups = n.integer("group", 1)
    op = Conv(_title(n), weight, shape, r.constant(n, 2), stride, padding, dilation, groups)
    r.add(n, op, n.inputs[0])


def _gemm(r: _Reader, n: OnnxNode) -> None:
    weight, bias = r.constant(n, 1), r.constant(n, 2)
    if weight is None or n.integer("transA", 0) or (bias is None and len(n.inputs) > 2 and n.inputs[2]):
        raise _refused(n, "multiplies two computed tensors, or a transposed one")
    weight = n.number("alpha", 1.0) * (weight if n.integer("transB", 0) else weight.T)
    if bias is not None:
        bias = n.number("beta", 1.0) * np.broadcast_to(bias.reshape(-1), (weight.shape[0],))
    r.add(n, Dense(_title(n), weight, bias), n.inputs[0])


def _matmul(r: _Reader, n: OnnxNode) -> None:
    weight = r.constant(n, 1)
    if weight is None or weight.ndim != 2 or len(r.frame(n.inputs[0])) != 1:
        raise _refused(n, "multiplies computed tensors, or more than one axis of features")
    bias = r.constant(n, 2)  # a row added behind it, which the reader of files puts there
    rows = None if bias is None else np.broadcast_to(bias.reshape(-1), (weight.shape[1],))
    r.add(n, Dense(_title(n), weight.T, rows), n.inputs[0])


def _add(r: _Reader, n: OnnxNode) -> None:
    live, shape = r.live(n), r.frame(n.outputs[0])
    if len(live) == len(n.inputs):
        if n.op == "Sub":
            raise _refused(n, "takes a difference of two computed tensors")
        if any(r.shape(s) != r.shape(n.outputs[0]) for s in live):
            raise _refused(n, "adds tensors of different shapes")
        r.add(n, Reshape(_title(n), shape, shape), *live)
        return
    sign = -1.0 if n.op == "Sub" else 1.0
    first = r.constant(n, 0)
    given = first if first is not None else r.constant(n, 1)
    assert given is not None
    factor = sign if first is not None else 1.0
    shift = given if first is not None else sign * given
    r.add(n, Scale(_title(n), shape, np.array(factor), _spread(n, shift, shape)), *live)


def _mul(r: _Reader, n: OnnxNode) -> None:
    live, shape = r.live(n), r.frame(n.outputs[0])
    given = r.constant(n, 1) if n.op == "Div" or r.constant(n, 0) is None else r.constant(n, 0)
    if len(live) != 1 or given is None:
        raise _refused(n, "multiplies or divides two computed tensors")
    factor = 1.0 / given if n.op == "Div" else given
    r.add(n, Scale(_title(n), shape, _spread(n, factor, shape), np.array(0.0)), *live)


def _normalise(r: _Reader, n: OnnxNode) -> None:
    given = [r.constant(n, i) for i in range(1, 5)]
    if any(v is None for v in given) or n.integer("training_mode", 0):
        raise _refused(n, "normalises by the batch at hand")
    scale, bias, mean, variance = (np.asarray(v) for v in given)
    factor = scale / np.sqrt(variance + n.number("epsilon", 1e-5))
    r.add(n, Scale(_title(n), r.frame(n.inputs[0]), factor, bias - mean * factor), n.inputs[0])


def _relu(r: _Reader, n: OnnxNode) -> None:
    r.add(n, Activation(_title(n), r.frame(n.inputs[0])), n.inputs[0])


def _clip(r: _Reader, n: OnnxNode) -> None:
    low, high = r.constant(n, 1), r.constant(n, 2)
    least = n.number("min", -np.inf) if low is None else float(low.reshape(-1)[0])
    most = n.number("max", np.inf) if high is None else float(high.reshape(-1)[0])
    if least != 0.0 or most <= 0.0:
        raise _refused(n, f"clips to {least:g} to {most:g}; spike counts start at 0")
    bounded, shape = most < UNBOUNDED, r.frame(n.inputs[0])
    op = Activation(_title(n), shape, "clip", most) if bounded else Activation(_title(n), shape)
    r.add(n, op, n.inputs[0])


def _max_pool(r: _Reader, n: OnnxNode) -> None:
    if len(n.outputs) > 1 or any(d != 1 for d in n.integers("dilations") or ()):
        raise _refused(n, "has dilated windows or gives positions")
    shape, kernel, stride, padding = _windows(r, n)
    r.add(n, MaxPool(_title(n), shape, kernel, stride, padding), n.inputs[0])


def _average_pool(r: _Reader, n: OnnxNode) -> None:
    shape, kernel, stride, padding = _windows(r, n)
    if any(map(any, padding)) and not n.integer("count_include_pad", 0):
        raise _refused(n, "averages over windows of unequal size at the border")
    r.add(n, Pool(_title(n), "average", shape, kernel, stride, padding), n.inputs[0])


def _global_average(r: _Reader, n: OnnxNode) -> None:
    shape = r.frame(n.inputs[0])
    axes = n.integers("axes")
    if axes is None and n.op == "ReduceMean":
        given = r.constant(n, 1)
        axes = None if given is None else tuple(int(a) for a in given.reshape(-1))
    wanted = tuple(range(2, len(shape) + 1))
    if len(shape) < 2 or (axes is not None and tuple(sorted(a % (len(shape) + 1) for a in axes)) != wanted):
        raise _refused(n, "averages over other axes than the spatial ones")
    title, kernel = _title(n), shape[1:]
    pool = Pool(title, "average", shape, kernel, kernel, ((0, 0),) * len(kernel))
    r.add(n, pool, n.inputs[0])
    if r.frame(n.outputs[0]) != pool.out_shape:
        r.values[f"{title}!"] = title
        r.add(n, Reshape(f"{title}.flat", pool.out_shape, r.frame(n.outputs[0])), f"{title}!")


def _reshape(r: _Reader, n: OnnxNode) -> None:
    before, after = r.frame(n.inputs[0]), r.frame(n.outputs[0])
    if r.shape(n.inputs[0])[0] != r.shape(n.outputs[0])[0] or size(before) != size(after):
        raise _refused(n, f"moves values between samples: {r.shape(n.inputs[0])} to {r.shape(n.outputs[0])}")
    r.add(n, Reshape(_title(n), before, after), n.inputs[0])


def _concat(r: _Reader, n: OnnxNode) -> None:
    shape = r.frame(n.outputs[0])
    if n.integer("axis", 1) % (len(shape) + 1) != 1 or len(r.live(n)) != len(n.inputs):
        raise _refused(n, "joins along another axis than the channels, or constants")
    parts, start = [], 0
    for i, tensor in enumerate(n.inputs):
        part = placed(f"{_title(n)}.{i}", size(r.frame(tensor)), start, shape)
        r.add(n, part, tensor)
        r.values[f"{part.name}!"] = part.name
        parts.append(f"{part.name}!")
        start += part.in_size
    r.add(n, Reshape(_title(n), shape, shape), *parts)


def placed(name: str, count: int, start: int, shape: Shape) -> Sparse:
    """``count`` values put into a larger frame of ``shape`` from flat position ``start`` on."""
    rows = np.clip(np.arange(size(shape) + 1) - start, 0, count)
    return Sparse(name, np.ones(count), np.arange(count), rows, count, shape)


def _last(r: _Reader, n: OnnxNode) -> None:
    if n.outputs[0] not in r.source.outputs:
        raise _refused(n, "normalises over all classes in the middle of the network")
    r.values[n.outputs[0]] = r.values[n.inputs[0]]
    r.answer = n.inputs[0]


READERS: Mapping[str, Callable[[_Reader, OnnxNode], None]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _add,
    "Sub": _add,
    "Mul": _mul,
    "Div": _mul,
    "BatchNormalization": _normalise,
    "Relu": _relu,
    "Clip": _clip,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "ReduceMean": _global_average,
    "Concat": _concat,
    **dict.fromkeys(RESHAPING, _reshape),
    **dict.fromkeys(LAST, _last),
}


def _confirm(graph: Graph, source: OnnxGraph, answer: str) -> None:
    """Raise RV667 unless ``graph`` gives the file's own answers, node by node in float64, on random input."""
    (entry,) = source.inputs
    sample = np.random.default_rng(0).normal(size=source.inputs[entry])
    wanted = np.asarray(evaluate(source, {entry: sample})[answer], np.float64).reshape(-1)
    found = Evaluator(graph).outputs(sample.reshape(1, *graph.entry.shape)).reshape(-1)
    if found.shape != wanted.shape or not np.abs(found - wanted).max() <= TOLERANCE * max(np.abs(wanted).max(), 1.0):
        message = "what was read does not compute what the file computes"
        raise error("RV667", source.file, message, "export the network with a batch of one sample, in evaluation mode")


def _windows(r: _Reader, n: OnnxNode) -> tuple[Shape, Shape, Shape, tuple[tuple[int, int], ...]]:
    """Shape, kernel, stride and padding of a pool."""
    shape, kernel = r.frame(n.inputs[0]), n.integers("kernel_shape")
    assert kernel is not None
    stride = n.integers("strides") or (1,) * len(kernel)
    padding = _padding(n, shape[1:], kernel, stride)
    wanted = r.frame(n.outputs[0])[1:]
    axes = zip(shape[1:], kernel, stride, padding, strict=True)
    if tuple((w + lo + hi - k) // s + 1 for w, k, s, (lo, hi) in axes) != wanted:
        raise _refused(n, "has windows that hang over the edge (ceil_mode)")
    return shape, kernel, stride, padding


def _padding(n: OnnxNode, spatial: Shape, reach: Shape, stride: Shape) -> tuple[tuple[int, int], ...]:
    auto, pads = n.text("auto_pad", "NOTSET"), n.integers("pads")
    if auto in ("NOTSET", "VALID"):
        pads = pads if pads is not None and auto == "NOTSET" else (0,) * (2 * len(reach))
        return tuple(zip(pads[: len(reach)], pads[len(reach) :], strict=True))
    totals = [max((-(-w // s) - 1) * s + k - w, 0) for w, k, s in zip(spatial, reach, stride, strict=True)]
    halves = [(t // 2, t - t // 2) for t in totals]
    return tuple(halves if auto == "SAME_UPPER" else [(b, a) for a, b in halves])


def _spread(n: OnnxNode, values: FloatArray, shape: Shape) -> FloatArray:
    """A constant operand as a factor or shift: one number, or one per element."""
    if values.size == 1:
        return values.reshape(())
    try:
        return np.broadcast_to(values, (1, *shape)).reshape(-1)
    except ValueError:
        raise _refused(n, f"combines shapes {values.shape} and {shape}") from None


def _title(n: OnnxNode) -> str:
    return (n.name.strip("/").replace("/", ".") or n.outputs[0]).replace(" ", "_")


def _refused(n: OnnxNode, why: str) -> RanvierError:
    fix = (
        "a network can be converted that is made of convolutions, linear layers, batch norms, pools, sums, ReLU, "
        "clipped ReLU and quantized (QCFS) activations; replace the layer and train again"
    )
    return error("RV665", n.place, f"{n.op} {why}", fix, op=n.op)
