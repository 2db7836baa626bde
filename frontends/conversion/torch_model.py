"""ReLU networks in torch modules as graphs: one recorded run in evaluation mode, read call by call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import FloatArray, Shape, size
from ranvier.compiler.ir.linear import Linear, Reshape
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.graph import Activation, Entry, Graph, MaxPool, Op, check_shapes
from ranvier.frontends.conversion.onnx_model import placed
from ranvier.frontends.conversion.pooling import pruned
from ranvier.frontends.conversion.probe import identified
from ranvier.frontends.torch import layers
from ranvier.frontends.torch.capture import Event, Kind, Trace, record, tensors
from ranvier.frontends.torch.isolate import class_path, unwrap

ENTRY = "input"
TOLERANCE = 1e-3
IGNORED = frozenset(("size", "dim", "numel", "shape", "device", "dtype", "ndim", "type", "is_floating_point"))
SAME = frozenset(("contiguous", "clone", "detach", "dropout", "dropout2d", "alpha_dropout", "to", "float"))
RESHAPING = frozenset(("flatten", "view", "reshape", "unflatten", "squeeze", "unsqueeze"))
LAST = frozenset(("softmax", "log_softmax", "Softmax", "LogSoftmax"))
ADDING = frozenset(("add", "iadd", "radd"))


def read_module(module: nn.Module, samples: NDArray[Any]) -> Graph:
    """The graph of the ReLU network ``module``, recorded on ``samples`` (batch, *shape) in evaluation mode.

    Raises ``RanvierError``: RV666 for calls without a counterpart (all at once, with file and line), RV667 where
    the graph does not give the module's own answers.
    """
    batch = torch.as_tensor(np.asarray(samples, dtype=np.float32))
    try:
        trace = record(unwrap(module), (batch,), _kind)
    except RanvierError:
        raise
    except Exception as problem:
        message = f"it fails on data of shape {list(batch.shape)}: {type(problem).__name__}: {problem}"
        fix = "give calibration data as the module takes them: (samples, *shape)"
        raise error("RV667", type(module).__name__, message, fix) from problem
    graph = _Reader(trace).graph(type(module).__name__)
    _confirm(graph, trace)
    return graph


def _kind(module: nn.Module) -> Kind:
    """Layers of torch.nn, and modules without parts, which may be activations of the user's own, are taken whole."""
    leaf = layers.is_layer(module) or not any(True for _ in module.children())
    return "layer" if leaf and not isinstance(module, nn.Sequential) else "function"


class _Reader:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.batch = trace.inputs[0].shape[0]
        self.ops: list[Op] = []
        self.sources: dict[str, tuple[str, ...]] = {}
        self.values: dict[int, str] = {id(trace.inputs[0]): ENTRY}
        self.names: set[str] = {ENTRY}

    def graph(self, title: str) -> Graph:
        """All that was recorded, as far as it reaches the output; raises every problem at once."""
        problems: list[Diagnostic] = []
        for event in self.trace.events:
            try:
                self.read(event)
            except RanvierError as refused:
                problems += refused.diagnostics
                for out in tensors(event.out):
                    self.apply(out, [Reshape(self.unique("refused"), tuple(out.shape[1:]), tuple(out.shape[1:]))], ())
        if problems:
            raise RanvierError(problems)
        outputs = list(tensors(self.trace.outputs))
        if len(outputs) != 1 or id(outputs[0]) not in self.values:
            message = "forward does not return one tensor that depends on its input"
            raise error("RV666", title, message, "return the scores of the classes alone")
        entry = Entry(ENTRY, tuple(self.trace.inputs[0].shape[1:]))
        graph = Graph(title, entry, tuple(self.ops), self.sources, self.values[id(outputs[0])])
        check_shapes(graph)
        return pruned(graph)

    def read(self, event: Event) -> None:
        """Give meaning to the result of ``event``; raises RV666 where it has no counterpart."""
        if event.kind == "layer":
            self._module(event)
            return
        name = event.name.split(".")[-1].strip("_")
        if name == "get":
            name = event.name.split(".")[-2]
        live = [t for t in tensors((event.args, dict(event.kwargs))) if id(t) in self.values]
        if not live or name in IGNORED or not any(True for _ in tensors(event.out)):
            return
        reader = FUNCTIONS.get(name)
        if reader is None:
            raise _refused(event, name)
        reader(self, event, live)

    def unique(self, name: str) -> str:
        """``name``, with a number if it is taken."""
        found, number = name, 2
        while found in self.names:
            found, number = f"{name}_{number}", number + 1
        self.names.add(found)
        return found

    def apply(self, out: Any, ops: Sequence[Op], sources: Sequence[str]) -> None:
        """``ops``, one after the other, from the sum of ``sources`` to the tensor ``out``."""
        names = tuple(sources)
        for op in ops:
            self.ops.append(op)
            self.sources[op.name] = names
            names = (op.name,)
        self.values[id(out)] = names[0]

    def _module(self, event: Event) -> None:
        module = self.trace.modules[event.name]
        live = [t for t in tensors((event.args, dict(event.kwargs))) if id(t) in self.values]
        if len(live) != 1:
            raise _refused(event, f"{type(module).__name__} on {len(live)} computed tensors")
        (x,), kind, path = live, type(module).__name__, class_path(type(module))
        shape, name = tuple(x.shape[1:]), self.unique(event.name or kind)
        source = self.values[id(x)]
        if kind in layers.ALIASES or kind in LAST:
            self.values[id(event.out)] = source
        elif path in layers.RESHAPES:
            self._reshape(event, x)
        elif path in layers.LAYERS:
            self.apply(event.out, layers.LAYERS[path](module, name, shape), (source,))
        elif kind in ("MaxPool1d", "MaxPool2d"):
            pool = _max_pool(event, name, shape, module.kernel_size, module.stride, module.padding, module.dilation,
                             module.ceil_mode)  # fmt: skip
            self.apply(event.out, [pool], (source,))
        else:
            self.apply(event.out, [_activation(event, module, name, shape)], (source,))

    def _reshape(self, event: Event, x: Any) -> None:
        out = event.out
        before, after = tuple(x.shape[1:]), tuple(out.shape[1:])
        if out.shape[0] != x.shape[0] or size(before) != size(after):
            raise _refused(event, f"a reshape from {list(x.shape)} to {list(out.shape)}, which moves values "
                           "between samples,")  # fmt: skip
        self.apply(out, [Reshape(self.unique("reshape"), before, after or (1,))], (self.values[id(x)],))


Reading = Callable[[_Reader, Event, list[Any]], None]


def _same(r: _Reader, event: Event, live: list[Any]) -> None:
    r.values[id(event.out)] = r.values[id(live[0])]


def _reshape(r: _Reader, event: Event, live: list[Any]) -> None:
    r._reshape(event, live[0])


def _add(r: _Reader, event: Event, live: list[Any]) -> None:
    shape = tuple(event.out.shape[1:])
    if len(live) != 2 or any(t.shape != event.out.shape for t in live) or event.kwargs.get("alpha", 1) != 1:
        raise _refused(event, "adding a constant, or tensors of different shapes,")
    r.apply(event.out, [Reshape(r.unique("add"), shape, shape)], [r.values[id(t)] for t in live])


def _cat(r: _Reader, event: Event, live: list[Any]) -> None:
    given = event.args[1] if len(event.args) > 1 else event.kwargs.get("dim", event.kwargs.get("axis", 0))
    parts = list(tensors(event.args[:1])) or list(tensors(dict(event.kwargs)))
    if given % event.out.ndim != 1 or len(live) != len(parts):
        raise _refused(event, "joining along another axis than the channels, or with constants,")
    shape, start, placing = tuple(event.out.shape[1:]), 0, []
    for part in live:
        count = part[0].numel()
        op = placed(r.unique("cat.part"), count, start, shape)
        r.ops.append(op)
        r.sources[op.name] = (r.values[id(part)],)
        placing.append(op.name)
        start += count
    r.apply(event.out, [Reshape(r.unique("cat"), shape, shape)], placing)


def _function(r: _Reader, event: Event, live: list[Any]) -> None:
    """An activation function: asked what it does, with the arguments it had."""
    name = event.name.split(".")[-1].strip("_")

    def call(x: torch.Tensor) -> torch.Tensor:
        swapped = [x if a is live[0] else a for a in event.args]
        options = {k: x if v is live[0] else v for k, v in event.kwargs.items() if k != "inplace"}
        function = getattr(torch.nn.functional, name, None) or getattr(torch, name)
        result: torch.Tensor = function(*swapped, **options)
        return result

    found = _asked(r.unique(name), tuple(live[0].shape[1:]), call) if len(live) == 1 else None
    if found is None:
        raise _refused(event, f"{name} with these arguments")
    r.apply(event.out, [found], [r.values[id(live[0])]])


def _max_pooling(r: _Reader, event: Event, live: list[Any]) -> None:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    defaults: dict[str, Any] = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
    given = defaults | dict(zip(names, event.args[1:], strict=False)) | dict(event.kwargs)
    pool = _max_pool(event, r.unique("max_pool"), tuple(live[0].shape[1:]), *(given[n] for n in names))
    r.apply(event.out, [pool], [r.values[id(live[0])]])


def _average_pooling(r: _Reader, event: Event, live: list[Any]) -> None:
    names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    given = dict(zip(names, event.args[1:], strict=False)) | {k: v for k, v in event.kwargs.items() if k in names}
    renamed = {"kernel_size": "kernel", "divisor_override": "divisor"}
    options = {renamed.get(k, k): v for k, v in given.items()}
    made = layers.average_pool(r.unique("avg_pool"), tuple(live[0].shape[1:]), **options)
    r.apply(event.out, made, [r.values[id(live[0])]])


def _adaptive(r: _Reader, event: Event, live: list[Any]) -> None:
    target = event.args[1] if len(event.args) > 1 else event.kwargs["output_size"]
    made = layers.adaptive_pool(r.unique("avg_pool"), tuple(live[0].shape[1:]), target)
    r.apply(event.out, made, [r.values[id(live[0])]])


def _mean(r: _Reader, event: Event, live: list[Any]) -> None:
    x = live[0]
    given = event.args[1] if len(event.args) > 1 else event.kwargs.get("dim")
    axes = sorted(a % x.ndim for a in ((given,) if isinstance(given, int) else given or ()))
    if axes != list(range(2, x.ndim)) or x.ndim < 3:
        raise _refused(event, "a mean over other axes than the spatial ones")
    shape = tuple(x.shape[1:])
    made: list[Linear] = list(layers.adaptive_pool(r.unique("mean"), shape, 1))
    made.append(Reshape(r.unique("mean.flat"), made[-1].out_shape, tuple(event.out.shape[1:])))
    r.apply(event.out, made, [r.values[id(x)]])


FUNCTIONS: Mapping[str, Reading] = {
    **dict.fromkeys(SAME | LAST, _same),
    **dict.fromkeys(RESHAPING, _reshape),
    **dict.fromkeys(ADDING, _add),
    **dict.fromkeys(("relu", "relu6", "hardtanh", "clamp", "clip", "clamp_min"), _function),
    **dict.fromkeys(("max_pool2d", "max_pool1d", "boolean_dispatch"), _max_pooling),
    **dict.fromkeys(("avg_pool2d", "avg_pool1d"), _average_pooling),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_avg_pool1d"), _adaptive),
    "mean": _mean,
    "cat": _cat,
    "concat": _cat,
}


def _activation(event: Event, module: nn.Module, name: str, shape: Shape) -> Activation:
    found = _asked(name, shape, module)
    if found is None:
        raise _refused(event, f"{name} ({type(module).__name__})")
    return found


def _asked(name: str, shape: Shape, call: Callable[[torch.Tensor], torch.Tensor]) -> Activation | None:
    def function(x: FloatArray) -> FloatArray:
        with torch.no_grad():
            return call(torch.as_tensor(x, dtype=torch.float32)).double().numpy()

    try:
        return identified(name, shape, function)
    except Exception:  # noqa: BLE001 what does not take a plain vector is no activation
        return None


def _max_pool(
    event: Event, name: str, shape: Shape, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any
) -> MaxPool:
    axes = len(shape) - 1
    kernels, pads, dilations = (_each(v, axes) for v in (kernel, padding, dilation))
    strides = kernels if stride is None or stride == [] else _each(stride, axes)
    pool = MaxPool(name, shape, kernels, strides, tuple((p, p) for p in pads))
    if any(d != 1 for d in dilations) or pool.out_shape != tuple(event.out.shape[1:]):
        raise _refused(event, f"max pooling with dilation or ceil_mode={ceil_mode}")
    return pool


def _each(value: Any, axes: int) -> Shape:
    return (int(value),) * axes if isinstance(value, int) else tuple(int(v) for v in value)


def _confirm(graph: Graph, trace: Trace) -> None:
    """Raise RV667 unless the graph gives what the module gave, up to float32."""
    (out,) = tensors(trace.outputs)
    wanted = out.detach().double().numpy().reshape(len(out), -1)
    found = Evaluator(graph).outputs(trace.inputs[0].double().numpy())
    if any(e.name.split(".")[-1] in LAST or _is_last(trace, e) for e in trace.events):
        agrees = bool((found.argmax(axis=1) == wanted.argmax(axis=1)).all())
    else:
        agrees = float(np.abs(found - wanted).max()) <= TOLERANCE * max(float(np.abs(wanted).max()), 1.0)
    if not agrees:
        message = "what was read does not compute what the module computes"
        fix = "write the forward pass with torch.nn layers, and without reading values out of tensors"
        raise error("RV667", graph.name, message, fix)


def _is_last(trace: Trace, event: Event) -> bool:
    return event.kind == "layer" and type(trace.modules[event.name]).__name__ in LAST


def _refused(event: Event, what: str) -> RanvierError:
    place = event.name if event.kind == "layer" and event.name else str(event.site)
    return error(
        "RV666",
        place,
        f"{what} has no counterpart in a network of spikes and weighted sums",
        "a network can be converted that is made of convolutions, linear layers, batch norms, pools, sums, ReLU, "
        "clipped ReLU and quantized (QCFS) activations; replace the call and train again",
    )
