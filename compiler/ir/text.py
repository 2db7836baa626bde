"""The text form of every IR object: readable, and it parses back to an equal object.

An object is written as a call with keywords, one field a line where it is long; arrays stand as
``tensor("<key>", <dtype>, <shape>)`` and live in a separate table. Only the kinds in ``KINDS`` can
appear, nothing is evaluated, and a malformed text ends in a diagnostic with line and column.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.diagnostics import RanvierError, error
from ranvier.compiler.ir import chip, coding, hosted, hosted_plan, linear, network, neurons, program, steps

Tensors = dict[str, NDArray[Any]]

KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        network.Network, network.Input, network.Neurons, network.Edge, network.Readout, network.Payload,
        network.Observed, network.Note, neurons.Lif, neurons.RegisterLif, neurons.AdaptiveLif, neurons.FeedbackLif,
        neurons.TwoCompartment, neurons.Resonator, neurons.SigmaDelta, neurons.GradedLif, neurons.Quantizer,
        linear.Dense, linear.Sparse, linear.Conv, linear.ConvTranspose, linear.Pool, linear.Scale,
        linear.Reshape, linear.Grid,
        steps.StepProgram, steps.Op, steps.State,
        chip.ChipNetwork, chip.Port, chip.Population, chip.Connection, chip.DenseSynapse,
        chip.SparseSynapse, chip.ConvSynapse, chip.Rounding,
        program.Program, program.Placement, program.Piece, program.CoreSite, *coding.CODERS.values(),
        hosted.HostFunction, hosted.HostPart, hosted.Crossing, hosted_plan.HostedPlan, hosted_plan.ChipSlot,
    )
}  # fmt: skip
MAX_TEXT = 16 * 2**20
MAX_TOKENS = 2_000_000
MAX_DEPTH = 40
INLINE = 100
TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?(?:\d+\.\d*(?:e[+-]?\d+)?|\d+(?:e[+-]?\d+)?|inf|nan)(?![\w.]))"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<string>"(?:[^"\\\n]++|\\["\\nrt])*+")|(?P<mark>[()\[\]{},=:]))"""
)
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
UNESCAPES = {v: k for k, v in ESCAPES.items()}


def dump(value: object) -> tuple[str, Tensors]:
    """The text of an IR object, and the tensors that the text refers to by path."""
    tensors: Tensors = {}
    return _write(value, tensors, "", "") + "\n", tensors


def _write(value: object, tensors: Tensors, path: str, indent: str) -> str:
    if isinstance(value, np.ndarray):
        assert path not in tensors, f"two tensors at {path}"
        tensors[path] = value
        return f'tensor({_quoted(path)}, "{value.dtype}", {_write(value.shape, tensors, path, indent)})'
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    deeper = indent + "  "
    if isinstance(value, tuple):
        parts = [_write(v, tensors, f"{path}/{_label(v, i)}", deeper) for i, v in enumerate(value)]
        return _join("(", parts, ",)" if len(parts) == 1 else ")", indent)
    if isinstance(value, Mapping):
        parts = [
            f"{_write(k, tensors, path, deeper)}: {_write(v, tensors, f'{path}/{k}', deeper)}" for k, v in value.items()
        ]
        return _join("{", parts, "}", indent)
    assert type(value).__name__ in KINDS, value
    fields = [f.name for f in dataclasses.fields(value)]  # type: ignore[arg-type]
    parts = [f"{n}={_write(getattr(value, n), tensors, f'{path}/{n}', deeper)}" for n in fields]
    return _join(f"{type(value).__name__}(", parts, ")", indent)


def _quoted(value: str) -> str:
    return '"' + "".join(ESCAPES.get(c, c) for c in value) + '"'


def _label(value: object, index: int) -> str:
    name = getattr(value, "name", None)
    return f"{index}.{name}" if isinstance(name, str) and name else str(index)


def _join(opening: str, parts: list[str], closing: str, indent: str) -> str:
    line = opening + ", ".join(parts) + closing
    if len(line) + len(indent) <= INLINE and "\n" not in line:
        return line
    inner = "".join(f"\n{indent}  {part}," for part in parts)
    return f"{opening}{inner}\n{indent}{closing.lstrip(',')}"


@lru_cache
def _hints(kind: type) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


@lru_cache
def _required(kind: type) -> frozenset[str]:
    """The fields without a default: a text written before a field existed still reads."""
    missing = dataclasses.MISSING
    fields = dataclasses.fields(kind)
    return frozenset(f.name for f in fields if f.default is missing and f.default_factory is missing)


@dataclass
class _Parser:
    text: str
    tensors: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        self.tokens = self._tokens()
        self.kind, self.token, self.at = "", "", 0
        self.advance()

    def _tokens(self) -> Iterator[tuple[str, str, int]]:
        position = count = 0
        while position < len(self.text):
            match = TOKEN.match(self.text, position)
            if match is None or match.lastgroup is None:
                if not self.text[position:].strip():
                    break
                raise self.fail("unexpected character", position)
            yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
            position = match.end()
            count += 1
            if count > MAX_TOKENS:
                raise self.fail(f"more than {MAX_TOKENS} tokens", position)
        while True:
            yield "end", "", len(self.text)

    def fail(self, what: str, at: int | None = None) -> RanvierError:
        where = self.at if at is None else at
        line, column = self.text.count("\n", 0, where) + 1, where - self.text.rfind("\n", 0, where)
        return error("RV301", f"line {line}, column {column}", f"{what} near {self.text[where : where + 20]!r}",
                     "the text is damaged or was edited by hand: write it again with ranvier", line=line)  # fmt: skip

    def advance(self) -> None:
        self.kind, self.token, self.at = next(self.tokens)

    def take(self, token: str) -> bool:
        if self.kind == "mark" and self.token == token:
            self.advance()
            return True
        return False

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise self.fail(f"{token!r} expected")

    def value(self, depth: int = 0) -> object:
        if depth > MAX_DEPTH:
            raise self.fail("nested too deeply")
        if self.take("("):
            return self._tuple(depth)
        if self.take("{"):
            return self._mapping(depth)
        kind, token = self.kind, self.token
        if kind not in {"number", "string", "name"}:
            raise self.fail("a value expected")
        self.advance()
        if kind == "string":
            return re.sub(r"\\.", lambda m: UNESCAPES[m[0]], token[1:-1])
        if kind == "number" or token in {"inf", "nan"}:
            return self._number(token)
        if token in {"None", "True", "False"}:
            return {"None": None, "True": True, "False": False}[token]
        self.expect("(")
        return self._tensor(depth) if token == "tensor" else self._object(token, depth)

    def _number(self, token: str) -> int | float:
        if len(token) > 40:
            raise self.fail("a number of more than 40 characters")
        return int(token) if re.fullmatch(r"-?\d+", token) else float(token)

    def _tuple(self, depth: int) -> tuple[object, ...]:
        items: list[object] = []
        while not self.take(")"):
            items.append(self.value(depth + 1))
            if not self.take(","):
                self.expect(")")
                break
        return tuple(items)

    def _mapping(self, depth: int) -> Mapping[str, object]:
        items: dict[str, object] = {}
        while not self.take("}"):
            key = self.value(depth + 1)
            self.expect(":")
            if not isinstance(key, str) or key in items:
                raise self.fail("a new string key expected")
            items[key] = self.value(depth + 1)
            if not self.take(","):
                self.expect("}")
                break
        return items

    def _tensor(self, depth: int) -> NDArray[Any]:
        described = self._tuple(depth)
        array = self.tensors.get(str(described[0])) if described else None
        if array is None:
            raise self.fail(f"tensor {described[:1]} is missing")
        if (str(array.dtype), array.shape) != described[1:]:
            raise self.fail(f"tensor {described[0]} is {array.dtype} {array.shape}, the text says {described[1:]}")
        return array

    def _object(self, name: str, depth: int) -> object:
        kind = KINDS.get(name)
        if kind is None:
            raise self.fail(f"unknown kind {name}")
        values: dict[str, object] = {}
        while not self.take(")"):
            field = self.token
            if field in values:
                raise self.fail(f"{field} is given twice")
            self.advance()
            self.expect("=")
            values[field] = self.value(depth + 1)
            if not self.take(","):
                self.expect(")")
                break
        expected = _hints(kind)
        if not _required(kind) <= set(values) <= set(expected):
            raise self.fail(f"{name} takes {sorted(expected)}, found {sorted(values)}")
        wrong = [f for f, value in values.items() if not _matches(value, expected[f])]
        if wrong:
            raise self.fail(f"{name}.{wrong[0]} cannot be {values[wrong[0]]!r:.60}")
        try:
            built: object = kind(**values)
        except (TypeError, ValueError, AssertionError, AttributeError) as problem:
            raise self.fail(f"{name} is malformed ({problem})") from problem
        return built


def _matches(value: object, hint: Any) -> bool:
    """Whether ``value`` is what the type ``hint`` says, to the last element."""
    origin, inside = get_origin(hint), get_args(hint)
    alias = getattr(origin or hint, "__value__", None)
    if alias is not None:
        return _matches(value, alias)
    if origin in (Union, UnionType):
        return any(_matches(value, choice) for choice in inside)
    if origin is Literal:
        return isinstance(value, str) and value in inside
    if origin is np.ndarray:
        return isinstance(value, np.ndarray)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        hints = inside[:1] * len(value) if inside[-1] is Ellipsis else inside
        return len(hints) == len(value) and all(map(_matches, value, hints))
    if origin is not None:
        return isinstance(value, dict) and all(_matches(v, inside[1]) for v in value.values())
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint or (hint is type(None) and value is None)


def parse(text: str, tensors: Mapping[str, NDArray[Any]]) -> Any:
    """The object that ``text`` describes; raises ``RanvierError`` with line and column when it cannot be."""
    if len(text) > MAX_TEXT:
        raise error(
            "RV302",
            "text",
            f"{len(text)} characters, at most {MAX_TEXT} are read",
            "split the network",
            size=len(text),
        )
    parser = _Parser(text, tensors)
    value = parser.value()
    if parser.kind != "end":
        raise parser.fail("nothing more expected")
    return value


def equal(a: object, b: object) -> bool:
    """Whether two IR objects are the same: the same text and the same tensors, bit for bit."""
    (text_a, tensors_a), (text_b, tensors_b) = dump(a), dump(b)
    return text_a == text_b and all(
        np.array_equal(tensors_a[k], tensors_b[k], equal_nan=tensors_a[k].dtype.kind == "f") for k in tensors_a
    )
