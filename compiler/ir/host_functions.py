"""What each host function computes, and what it costs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.hosted import HostFunction, HostKind

Values = NDArray[np.float64]

FLAT = 1e3
"""Where the tanh of the approximated gelu is 1 in float64 by far; beyond, its cube would overflow."""


@dataclass(frozen=True)
class Definition:
    """``compute(function, arguments)`` on arrays (rows, *in_shape); ``operations(function)`` for one row.

    ``options`` and ``constants``: the names that a function of this kind has, each of them. ``arguments``: how many
    arrive.
    """

    compute: Callable[[HostFunction, Sequence[Values]], Values]
    operations: Callable[[HostFunction], int]
    options: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    arguments: int = 1


def compute(function: HostFunction, arriving: NDArray[Any]) -> Values:
    """The values of ``function`` (rows, *out_shape) for frames that arrive (rows, in_size)."""
    sizes = [size(shape) for shape in function.in_shapes]
    parts = np.split(np.asarray(arriving, np.float64), np.cumsum(sizes)[:-1], axis=1)
    rows = arriving.shape[0]
    arguments = [part.reshape(rows, *shape) for part, shape in zip(parts, function.in_shapes, strict=True)]
    return DEFINITIONS[function.kind].compute(function, arguments).reshape(rows, *function.out_shape)


def operations(function: HostFunction) -> int:
    """Multiplications, additions, comparisons, roots, exponentials and divisions for one frame, each counted as one."""
    return DEFINITIONS[function.kind].operations(function)


def _softmax(function: HostFunction, arguments: Sequence[Values]) -> Values:
    """``exp(x - max x) / sum exp(x - max x)`` along ``axis``, of the elements where ``allowed`` is not 0."""
    (x,) = arguments
    axis = int(function.options["axis"]) + 1
    x = np.where(function.constants["allowed"] != 0.0, x, -np.inf)
    powers: Values = np.exp(x - x.max(axis=axis, keepdims=True))
    shares: Values = powers / powers.sum(axis=axis, keepdims=True)
    return shares


def sigmoid(x: Values) -> Values:
    """``1 / (1 + exp(-x))``, by the exponential that does not overflow."""
    power: Values = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, power) / (1.0 + power)


def _gelu(function: HostFunction, arguments: Sequence[Values]) -> Values:
    """``x P(X <= x)`` of a standard normal X: exact, or by ``tanh`` (Hendrycks and Gimpel, 2016) where that is 1."""
    (x,) = arguments
    if function.options["tanh"]:
        near = np.clip(x, -FLAT, FLAT)
        return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (near + 0.044715 * near**3)))
    from scipy.special import erfc  # noqa: PLC0415 what one function needs alone is imported there

    return x * (0.5 * np.asarray(erfc(x * -math.sqrt(0.5))))


def _layer_norm(function: HostFunction, arguments: Sequence[Values]) -> Values:
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` over the last ``axes`` axes (Ba et al., 2016)."""
    (x,) = arguments
    axes = _trailing(function)
    centred = x - x.mean(axis=axes, keepdims=True)
    return _normalised(function, centred, axes) + function.constants["bias"]


def _rms_norm(function: HostFunction, arguments: Sequence[Values]) -> Values:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last ``axes`` axes (Zhang and Sennrich, NeurIPS 2019)."""
    return _normalised(function, arguments[0], _trailing(function))


def _normalised(function: HostFunction, x: Values, axes: Shape) -> Values:
    squares = np.mean(x * x, axis=axes, keepdims=True)
    normalised: Values = x / np.sqrt(squares + function.options["eps"]) * function.constants["weight"]
    return normalised


def _trailing(function: HostFunction) -> Shape:
    return tuple(range(-int(function.options["axes"]), 0))


def _product(_function: HostFunction, arguments: Sequence[Values]) -> Values:
    """``x y``, elementwise, axes of length one stretched."""
    x, y = _aligned(arguments)
    return x * y


def _quotient(_function: HostFunction, arguments: Sequence[Values]) -> Values:
    """``x / y``, likewise; by 0 infinity or not a number, which is for the caller to refuse."""
    x, y = _aligned(arguments)
    with np.errstate(all="ignore"):
        found: Values = x / y
    return found


def _matrix_product(_function: HostFunction, arguments: Sequence[Values]) -> Values:
    """``sum_k x_ik y_kj`` over the last two axes, those before stretched."""
    x, y = _aligned(arguments)
    return x @ y


def _plain(formula: Callable[[Values], Values]) -> Callable[[HostFunction, Sequence[Values]], Values]:
    """``formula`` of each element; outside its domain infinity or not a number, which is for the caller to refuse."""

    def made(_function: HostFunction, arguments: Sequence[Values]) -> Values:
        with np.errstate(all="ignore"):
            return formula(arguments[0])

    return made


def _aligned(arguments: Sequence[Values]) -> Sequence[Values]:
    """Both with as many axes: new ones of length one stand behind the rows."""
    most = max(x.ndim for x in arguments)
    return [x.reshape(x.shape[0], *(1,) * (most - x.ndim), *x.shape[1:]) for x in arguments]


def _each(count: int) -> Callable[[HostFunction], int]:
    return lambda function: count * size(function.out_shape)


def _norm_operations(each: int, group: int) -> Callable[[HostFunction], int]:
    def counted(function: HostFunction) -> int:
        shape = function.in_shapes[0]
        groups = size(shape[: len(shape) - int(function.options["axes"])])
        return each * size(shape) + group * groups

    return counted


def _matrix_operations(function: HostFunction) -> int:
    shared = function.in_shapes[0][-1]
    return (2 * shared - 1) * size(function.out_shape)


DEFINITIONS: Mapping[HostKind, Definition] = {
    # An element: a comparison (the largest), a subtraction, an exponential, an addition (the sum), a division.
    "softmax": Definition(_softmax, _each(5), ("axis",), ("allowed",)),
    # An element: an exponential, an addition, a division, a multiplication.
    "silu": Definition(lambda _, x: x[0] * sigmoid(x[0]), _each(4)),
    # An element: the cube and its sum 4, the factor 1, a tanh 4, and 3 around it; exact, an erf (one) and 4 around it.
    "gelu": Definition(_gelu, lambda f: (12 if f.options["tanh"] else 5) * size(f.out_shape), ("tanh",)),
    # An element: an exponential, an addition, a division.
    "sigmoid": Definition(lambda _, x: sigmoid(x[0]), _each(3)),
    # An element: an exponential, an addition, a subtraction, a division.
    "tanh": Definition(lambda _, x: np.tanh(x[0]), _each(4)),
    # An element: a comparison.
    "relu": Definition(lambda _, x: np.maximum(x[0], 0.0), _each(1)),
    # An element: an exponential.
    "exp": Definition(_plain(np.exp), _each(1)),
    # An element: a root.
    "sqrt": Definition(_plain(np.sqrt), _each(1)),
    # An element: a root and a division.
    "rsqrt": Definition(_plain(lambda x: 1.0 / np.sqrt(x)), _each(2)),
    # An element: a division.
    "reciprocal": Definition(_plain(lambda x: 1.0 / x), _each(1)),
    # An element: two sums, a subtraction, a square, a factor, weight and bias; a group: three divisions, eps, a root.
    "layer_norm": Definition(_layer_norm, _norm_operations(7, 5), ("axes", "eps"), ("weight", "bias")),
    # An element: a square, a sum, a factor, the weight; a group: two divisions, eps, a root.
    "rms_norm": Definition(_rms_norm, _norm_operations(4, 4), ("axes", "eps"), ("weight",)),
    # An element: a multiplication.
    "product": Definition(_product, _each(1), arguments=2),
    # An element: a division.
    "quotient": Definition(_quotient, _each(1), arguments=2),
    # An element of the result, over k: k multiplications and k - 1 additions.
    "matrix_product": Definition(_matrix_product, _matrix_operations, arguments=2),
}
