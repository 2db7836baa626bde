# ruff: noqa: PLC0415 - onnx may be absent: it is imported when a file is read
"""From the bytes of an ONNX file to plain nodes and arrays; nothing is trusted."""

import ast
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.compiler.diagnostics import Diagnostic, RanvierError, error
from ranvier.compiler.ir.arrays import Shape
from ranvier.frontends.onnx.model import Array, Attribute, OnnxGraph, OnnxNode
from ranvier.frontends.onnx.wire import MAX_BYTES, check_size

MAX_ELEMENTS = 2**24
MAX_TEXT = 4096
SCOPES, CLASSES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"
DOUBLE = 11
READABLE = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16})
"""Tensor types: floats, whole numbers and truth values."""


def parse(path: Path, sizes: Mapping[str, int]) -> OnnxGraph:
    """The graph of the file at ``path`` with its dynamic axes bound to ``sizes``, or to 1."""
    data = _bytes(path)
    check_size(data, str(path))
    onnx = _library(str(path))
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as problem:  # the parser's own class of errors differs between its implementations
        raise _damaged(path, f"the protobuf parser says: {problem}") from problem
    if not model.graph.node:
        raise _damaged(path, "it has no nodes")
    _check_version(model, path)
    return _Parser(str(path), sizes).graph(model.graph)


def _bytes(path: Path) -> bytes:
    try:
        length = path.stat().st_size
        if length > MAX_BYTES:
            raise error(
                "RV281",
                str(path),
                f"the file has {length} bytes; up to {MAX_BYTES} are read.",
                "Split the network, or store its weights in float32.",
                bytes=length,
            )
        return path.read_bytes()
    except OSError as problem:
        raise error(
            "RV280", str(path), f"cannot be read: {problem.strerror}.", "Give an existing .onnx file."
        ) from None


def _library(place: str) -> Any:
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError:
        raise error(
            "RV282", place, "reading ONNX files needs the onnx package.", "pip install 'ranvier[onnx]'"
        ) from None
    return onnx


def _damaged(path: Path, why: str) -> RanvierError:
    return error("RV280", str(path), f"this is no ONNX file that can be read: {why}.", "Export the network again.")


def _check_version(model: Any, path: Path) -> None:
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions or not 7 <= versions[0] <= 30:
        found = versions[0] if versions else "none"
        raise error(
            "RV284",
            str(path),
            f"it is written for operator set {found}; 7 to 30 are read.",
            "Export it again with torch.onnx.export(..., dynamo=True), or convert it with onnx.version_converter.",
        )


class _Parser:
    def __init__(self, file: str, sizes: Mapping[str, int]) -> None:
        self.file, self.sizes = file, sizes
        self.dynamic: dict[tuple[str, int], str] = {}
        self.problems: list[Diagnostic] = []
        self.double = False

    def graph(self, proto: Any) -> OnnxGraph:
        """The main graph; raises everything that is wrong with its tensors and nodes at once."""
        found = self._block(proto, top=True)
        if self.problems:
            raise RanvierError(self.problems)
        return found

    def _block(self, proto: Any, top: bool) -> OnnxGraph:
        constants = {}
        for tensor in proto.initializer:
            values = self._tensor(tensor, tensor.name)
            if values is not None:
                constants[_text(tensor.name)] = values
        inputs = {}
        for value in proto.input:
            if _text(value.name) not in constants:
                inputs[_text(value.name)] = self._shape(value) if top else ()
        nodes = tuple(self._node(node) for node in proto.node)
        outputs = tuple(_text(o.name) for o in proto.output)
        title, dynamic = _text(proto.name), dict(self.dynamic)
        return OnnxGraph(self.file, title, nodes, constants, inputs, outputs, {}, dynamic, self.double)

    def _shape(self, value: Any) -> Shape:
        sizes = []
        tensor = value.type.tensor_type
        self.double |= tensor.elem_type == DOUBLE
        if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
            self._problem("RV283", value.name, "the input is no tensor with a known number of axes")
            return ()
        for axis, dim in enumerate(tensor.shape.dim):
            if dim.HasField("dim_value"):
                sizes.append(int(dim.dim_value))
            else:
                name = _text(dim.dim_param) or f"{_text(value.name)}[{axis}]"
                self.dynamic[_text(value.name), axis] = name
                sizes.append(int(self.sizes.get(name, 1)))
        count = 1
        for n in sizes:
            count *= n
        if min(sizes, default=1) < 1 or count > MAX_ELEMENTS or len(sizes) > 8:
            self._problem("RV283", value.name, f"the input has shape {sizes}; 1 to {MAX_ELEMENTS} elements are read")
            return ()
        return tuple(sizes)

    def _node(self, node: Any) -> OnnxNode:
        attributes = {}
        for attribute in node.attribute:
            read = READERS.get(attribute.type)
            if read is None:
                self._problem(
                    "RV283", node.name, f"its attribute {_text(attribute.name)!r} has a type that is not read"
                )
            else:
                value = read(self, attribute, node.name)
                if value is not None:
                    attributes[_text(attribute.name)] = value
        entries = {_text(p.key): p.value for p in node.metadata_props}
        op = _text(node.op_type)
        return OnnxNode(
            op if node.domain in ("", "ai.onnx") else f"{_text(node.domain)}::{op}",
            tuple(_text(n) for n in node.input),
            tuple(_text(n) for n in node.output),
            attributes,
            _text(node.name),
            _names(entries.get(SCOPES, "")),
            _names(entries.get(CLASSES, "")),
        )

    def subgraph(self, attribute: Any, _node: str) -> OnnxGraph:
        """The body of a Scan."""
        return self._block(attribute.g, top=False)

    def tensor(self, attribute: Any, node: str) -> Array | None:
        """A tensor attribute."""
        return self._tensor(attribute.t, f"{node}.{attribute.name}")

    def _tensor(self, tensor: Any, name: str) -> Array | None:
        """The numbers of ``tensor``; None, and a problem noted, where it has none that can be used."""
        from onnx import numpy_helper

        if tensor.data_location == 1 or tensor.external_data:
            text = "its values lie in another file, which is not read"
            fix = "Export with external_data=False, or save it whole: onnx.save(onnx.load('x.onnx'), 'whole.onnx')."
            self._problem("RV281", name, text, fix)
            return None
        count = 1
        for dim in tensor.dims:
            count *= int(dim)
        if tensor.data_type not in READABLE or min(tensor.dims, default=0) < 0 or len(tensor.dims) > 8:
            self._problem("RV283", name, f"its type ({tensor.data_type}) or shape {list(tensor.dims)[:8]} is not read")
            return None
        if count > MAX_ELEMENTS:
            self._problem("RV281", name, f"it has {count} elements; up to {MAX_ELEMENTS} are read")
            return None
        try:
            values = np.asarray(numpy_helper.to_array(tensor))
        except Exception as problem:  # noqa: BLE001 a tensor whose payload does not fit its header
            self._problem("RV283", name, f"its values do not fit its shape {list(tensor.dims)}: {problem}")
            return None
        return self._finite(values, name)

    def _finite(self, values: Array, name: str) -> Array | None:
        if values.dtype.kind == "b":
            return values
        if values.dtype.kind in "iu":
            return values.astype(np.int64)
        self.double |= values.dtype == np.float64
        numbers = values.astype(np.float64)
        bad = np.flatnonzero(np.isnan(numbers))
        if bad.size:
            self._problem("RV283", name, f"{bad.size} of its {numbers.size} values are NaN, the first at {int(bad[0])}")
            return None
        return numbers

    def _problem(self, code: str, name: str, text: str, fix: str = "Correct the network and export it again.") -> None:
        place = f"{_text(name) or 'a tensor without a name'} in {self.file}"
        self.problems.append(Diagnostic(code, place, f"{text}.", fix))


def _integer(_parser: _Parser, a: Any, _node: str) -> Attribute:
    return int(a.i)


def _integer_list(_parser: _Parser, a: Any, _node: str) -> Attribute:
    return tuple(int(v) for v in a.ints)


def _float(_parser: _Parser, a: Any, _node: str) -> Attribute:
    return float(a.f)


def _float_list(_parser: _Parser, a: Any, _node: str) -> Attribute:
    return tuple(float(v) for v in a.floats)


def _string(_parser: _Parser, a: Any, _node: str) -> Attribute:
    return _text(a.s)


def _string_list(_parser: _Parser, a: Any, _node: str) -> Attribute:
    return tuple(_text(s) for s in a.strings)


READERS: Mapping[int, Callable[[_Parser, Any, str], Attribute | None]] = {
    1: _float,
    2: _integer,
    3: _string,
    4: _Parser.tensor,
    5: _Parser.subgraph,
    6: _float_list,
    7: _integer_list,
    8: _string_list,
}


def _text(value: str | bytes) -> str:
    """``value`` as it may be shown: printable, of bounded length. Names that are no UTF-8 arrive as bytes."""
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    short = value if len(value) <= MAX_TEXT else value[:MAX_TEXT]
    return short if short.isprintable() else "".join(c if c.isprintable() else "?" for c in short)


def _names(written: str | bytes) -> tuple[str, ...]:
    """A list of names as torch writes it, ``['', 'net', 'net.lif1']``; empty where it is anything else."""
    text = _text(written)
    if not text.startswith("["):
        return ()
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ()
    return _strings(found) if isinstance(found, list) else ()


def _strings(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(_text(v) for v in values if isinstance(v, str))
