"""Functions of the host against torch in float64: values, extremes without warnings, and counted operations."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.arrays import Shape, size
from ranvier.compiler.ir.host_functions import DEFINITIONS, compute, operations
from ranvier.compiler.ir.hosted import HostFunction, HostKind

torch: Any = pytest.importorskip("torch")
functional = torch.nn.functional

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
SPREADS = st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e4, 1e150])
SEEDS = st.integers(0, 2**32 - 1)


def made(kind: HostKind, *shapes: Shape, out: Shape | None = None, constants: Any = None, **options: float) -> Any:
    given = {name: np.asarray(value) for name, value in (constants or {}).items()}
    return HostFunction("f", kind, shapes, shapes[0] if out is None else out, options, given)


def computed(function: HostFunction, *arguments: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What the host computes, without a single warning of numpy."""
    rows = np.concatenate([a.reshape(a.shape[0], -1) for a in arguments], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compute(function, rows)
    assert found.shape == (rows.shape[0], *function.out_shape)
    return found


def near(mine: np.ndarray[Any, Any], theirs: Any) -> None:
    np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-12, atol=1e-300)


ELEMENTWISE: Mapping[HostKind, Callable[[Any], Any]] = {
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}
OF_POSITIVE: Mapping[HostKind, Callable[[Any], Any]] = {
    "exp": torch.exp,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
}


@pytest.mark.parametrize("kind", ELEMENTWISE)
@given(SHAPES, SPREADS, SEEDS)
def test_elementwise_functions(kind: HostKind, shape: Shape, spread: float, seed: int) -> None:
    x = np.random.default_rng(seed).normal(0.0, spread, (2, *shape))
    near(computed(made(kind, shape), x), ELEMENTWISE[kind](torch.from_numpy(x)))


@pytest.mark.parametrize("kind", OF_POSITIVE)
@given(SHAPES, SPREADS, SEEDS, st.booleans())
def test_functions_with_a_domain(kind: HostKind, shape: Shape, spread: float, seed: int, positive: bool) -> None:
    """Infinite or not a number where torch is; without a warning."""
    x = np.random.default_rng(seed).normal(0.0, spread, (2, *shape))
    x = np.abs(x) if positive else x
    near(computed(made(kind, shape), x), OF_POSITIVE[kind](torch.from_numpy(x)))


@given(SHAPES, st.sampled_from([0.0, 1e-3, 1.0, 5.0, 1e4, 1e150]), SEEDS, st.booleans())
def test_gelu(shape: Shape, spread: float, seed: int, tanh: bool) -> None:
    x = np.random.default_rng(seed).normal(0.0, spread, (2, *shape))
    theirs = functional.gelu(torch.from_numpy(x), approximate="tanh" if tanh else "none").numpy()
    np.testing.assert_allclose(computed(made("gelu", shape, tanh=float(tanh)), x), theirs, rtol=1e-10, atol=1e-14)


@given(SHAPES, SPREADS, SEEDS, st.data())
def test_softmax_of_what_is_allowed(shape: Shape, spread: float, seed: int, data: st.DataObject) -> None:
    rng, axis = np.random.default_rng(seed), data.draw(st.integers(0, len(shape) - 1))
    x, allowed = rng.normal(0.0, spread, (2, *shape)), rng.random(shape) < 0.6
    np.moveaxis(allowed, axis, 0)[0] = True
    mask = torch.from_numpy(np.where(allowed, 0.0, -np.inf))
    function = made("softmax", shape, constants={"allowed": allowed.astype(float)}, axis=axis)
    near(computed(function, x), torch.softmax(torch.from_numpy(x) + mask, axis + 1))
    np.testing.assert_allclose(computed(function, x).sum(axis=axis + 1), 1.0)


@given(SHAPES, st.sampled_from([1e-3, 1.0, 1e4]), SEEDS, st.data())
def test_norms(shape: Shape, spread: float, seed: int, data: st.DataObject) -> None:
    rng, axes = np.random.default_rng(seed), data.draw(st.integers(1, len(shape)))
    x, inner = rng.normal(0.3, spread, (2, *shape)), shape[len(shape) - axes :]
    weight, bias = rng.normal(size=inner), rng.normal(size=inner)
    eps = data.draw(st.sampled_from([1e-5, 1e-2]))
    given_x, given_weight, given_bias = (torch.from_numpy(a) for a in (x, weight, bias))
    layer = made("layer_norm", shape, constants={"weight": weight, "bias": bias}, axes=axes, eps=eps)
    wanted = functional.layer_norm(given_x, list(inner), given_weight, given_bias, eps)
    np.testing.assert_allclose(computed(layer, x), wanted.numpy(), rtol=1e-9, atol=1e-9)
    rms = made("rms_norm", shape, constants={"weight": weight}, axes=axes, eps=eps)
    near(computed(rms, x), functional.rms_norm(given_x, list(inner), given_weight, eps))


@given(SHAPES, SEEDS, st.data())
def test_products_stretch_axes_of_length_one(shape: Shape, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    other = tuple(data.draw(st.sampled_from([1, n])) for n in shape)[data.draw(st.integers(0, len(shape))) :] or (1,)
    x, y = rng.normal(size=(2, *shape)), rng.normal(size=(2, *other))
    stretched = torch.from_numpy(y).reshape(2, *(1,) * (len(shape) - len(other)), *other)
    near(computed(made("product", shape, other), x, y), torch.from_numpy(x) * stretched)
    near(computed(made("product", other, shape, out=shape), y, x), torch.from_numpy(x) * stretched)
    near(computed(made("quotient", shape, other), x, y), torch.from_numpy(x) / stretched)


@given(st.tuples(*[st.integers(1, 4)] * 3), st.lists(st.integers(1, 3), max_size=2).map(tuple), SEEDS, st.booleans())
def test_matrix_products(sizes: tuple[int, int, int], lead: Shape, seed: int, shared: bool) -> None:
    (rows, inner, columns), rng = sizes, np.random.default_rng(seed)
    before = (1,) * len(lead) if shared else lead
    left, right = (*lead, rows, inner), (*before, inner, columns)
    x, y = rng.normal(size=(2, *left)), rng.normal(size=(2, *right))
    function = made("matrix_product", left, right, out=(*lead, rows, columns))
    wanted = torch.from_numpy(x) @ torch.from_numpy(y)
    np.testing.assert_allclose(computed(function, x, y), wanted.numpy(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (made("softmax", (3, 4), constants={"allowed": 1.0}, axis=1), 60),
        (made("silu", (5,)), 20),
        (made("gelu", (5,), tanh=0.0), 25),
        (made("gelu", (5,), tanh=1.0), 60),
        (made("sigmoid", (5,)), 15),
        (made("tanh", (5,)), 20),
        (made("relu", (5,)), 5),
        (made("exp", (5,)), 5),
        (made("sqrt", (5,)), 5),
        (made("rsqrt", (5,)), 10),
        (made("reciprocal", (5,)), 5),
        (made("layer_norm", (2, 3, 4), constants={"weight": 1.0, "bias": 0.0}, axes=1, eps=0.0), 7 * 24 + 5 * 6),
        (made("rms_norm", (2, 3, 4), constants={"weight": 1.0}, axes=2, eps=0.0), 4 * 24 + 4 * 2),
        (made("product", (2, 3), (2, 1)), 6),
        (made("quotient", (2, 3), (2, 1)), 6),
        (made("matrix_product", (2, 3, 4), (2, 4, 5), out=(2, 3, 5)), 7 * 30),
    ],
)
def test_operations_are_counted_for_one_frame(function: HostFunction, count: int) -> None:
    assert operations(function) == count
    names = DEFINITIONS[function.kind]
    assert (set(names.options), set(names.constants)) == (set(function.options), set(function.constants))
    assert names.arguments == len(function.in_shapes)
    assert function.in_size == sum(size(shape) for shape in function.in_shapes)


def test_every_kind_is_defined() -> None:
    assert set(DEFINITIONS) == set(get_args(HostKind))
