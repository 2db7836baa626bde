"""The integer expressions of target files: parsed, checked and evaluated here, never by ``eval``.

An expression has integer literals, names, ``+ - * // **``, parentheses and the functions ``min``, ``max``,
``clog2`` (ceiling of the binary logarithm, ``clog2(0) = clog2(1) = 0``) and ``ceil_to(x, m)`` (``x`` rounded
up to a multiple of ``m``). Size, exponents and results are bounded, so a hostile file costs nothing.
"""

import ast
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_CHARACTERS: Final = 200
MAX_EXPONENT: Final = 64
MAX_BITS: Final = 256


class ExpressionError(ValueError):
    """An expression that is not one of ours, or that cannot be evaluated."""


def clog2(x: int) -> int:
    """The smallest k with ``2**k >= x``; 0 for x = 0."""
    if x < 0:
        raise ExpressionError(f"clog2 of the negative number {x}")
    return (x - 1).bit_length() if x > 0 else 0


def ceil_to(x: int, multiple: int) -> int:
    """``x`` rounded up to a multiple."""
    if multiple <= 0:
        raise ExpressionError(f"ceil_to needs a positive multiple, not {multiple}")
    return -(-x // multiple) * multiple


def _floor_divide(a: int, b: int) -> int:
    if b == 0:
        raise ExpressionError("division by zero")
    return a // b


def _power(a: int, b: int) -> int:
    if not 0 <= b <= MAX_EXPONENT:
        raise ExpressionError(f"the exponent {b} is outside 0..{MAX_EXPONENT}")
    return int(a**b)


_OPERATORS: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: _floor_divide,
    ast.Pow: _power,
}
# Function: least and greatest number of arguments.
_ARITY: Final[dict[str, tuple[int, int]]] = {"min": (1, 8), "max": (1, 8), "clog2": (1, 1), "ceil_to": (2, 2)}


def _call(name: str, arguments: list[int]) -> int:
    match name:
        case "min":
            return min(arguments)
        case "max":
            return max(arguments)
        case "clog2":
            return clog2(arguments[0])
        case _:
            return ceil_to(arguments[0], arguments[1])


def _bounded(value: int) -> int:
    if value.bit_length() > MAX_BITS:
        raise ExpressionError(f"a result needs more than {MAX_BITS} bits")
    return value


def _value(node: ast.expr, names: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return names[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _bounded(_OPERATORS[type(op)](_value(left, names), _value(right, names)))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, [_value(a, names) for a in arguments])
    raise AssertionError(f"{ast.dump(node)} passed the check")


def _check(node: ast.expr, names: Set[str]) -> None:
    match node:
        case ast.Constant(value=bool()):
            raise ExpressionError("True and False are no numbers here")
        case ast.Constant(value=int(number)):
            _bounded(number)
        case ast.Name(id=name):
            if name not in names:
                raise ExpressionError(f"unknown name {name!r}; known are {', '.join(sorted(names))}")
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _check(left, names)
            _check(right, names)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _ARITY:
            least, most = _ARITY[name]
            if not least <= len(arguments) <= most:
                raise ExpressionError(f"{name} takes {least} to {most} arguments, not {len(arguments)}")
            for argument in arguments:
                _check(argument, names)
        case _:
            raise ExpressionError(
                f"{ast.unparse(node)!r} is not allowed: only integers, names, + - * // **, parentheses, "
                f"{', '.join(_ARITY)}"
            )


@dataclass(frozen=True)
class Expression:
    """A checked expression over the given names."""

    text: str
    _tree: ast.expr

    def __call__(self, names: Mapping[str, int]) -> int:
        """Its value; ``ExpressionError`` for a division by zero, a wild exponent or a huge result."""
        return _value(self._tree, names)


@lru_cache(maxsize=256)
def parse(text: str, names: frozenset[str]) -> Expression:
    """Check ``text`` as an expression over ``names``; ``ExpressionError`` says what is wrong."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"{len(text)} characters are more than {MAX_CHARACTERS}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as problem:
        raise ExpressionError(f"not an expression ({type(problem).__name__})") from None
    _check(tree, names)
    return Expression(text, tree)
