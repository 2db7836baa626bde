"""torch.nn layers against their matrices in the network, and those that are refused."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset
from ranvier.frontends.torch.confirm import apply
from ranvier.frontends.torch.isolate import class_path
from ranvier.frontends.torch.layers import LAYERS, refusal


def compare(module: nn.Module, shape: tuple[int, ...]) -> None:
    """The layer in float64 on random frames against the chain of its operations, by matrix and by rows."""
    module = module.double().eval()
    frames = torch.randn(3, *shape, dtype=torch.float64)
    with torch.no_grad():
        expected = module(frames)
    rows = by_rows = frames.reshape(3, -1).numpy()
    ops = LAYERS[class_path(type(module))](module, "layer", shape)
    for op in ops:
        rows = (linear_matrix(op) @ rows.T).T + linear_offset(op)
        by_rows = apply(op, by_rows)
    assert ops[-1].out_shape == tuple(expected.shape[1:])
    np.testing.assert_allclose(rows, expected.reshape(3, -1).numpy(), atol=1e-10)
    np.testing.assert_allclose(by_rows, rows, atol=1e-10)


sizes = st.integers(4, 9)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@given(st.data(), sizes, sizes, st.integers(0, 2**31))
def test_conv2d(data: Any, height: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    groups = data.draw(st.sampled_from([1, 2, 4]))
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = data.draw(st.sampled_from([1, 2]))
    padding: Any = data.draw(st.sampled_from([0, 1, 2, "valid", "same"]))
    stride = 1 if padding == "same" else stride
    extra = 0 if isinstance(padding, str) else 2 * padding
    assume(
        padding == "same" or all(n + extra > dilation * (k - 1) for n, k in zip((height, width), kernel, strict=True))
    )
    bias = data.draw(st.booleans())
    module = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups, bias)
    compare(module, (4, height, width))


@given(st.integers(5, 12), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.sampled_from([1, 3]))
def test_conv1d(length: int, kernel: int, stride: int, padding: int, groups: int) -> None:
    compare(nn.Conv1d(3, 6, kernel, stride, padding, groups=groups), (3, length))


@given(sizes, sizes, st.integers(2, 3), st.one_of(st.none(), st.integers(1, 3)), st.integers(0, 1), st.booleans())
def test_average_pool(height: int, width: int, kernel: int, stride: int | None, padding: int, counted: bool) -> None:
    compare(nn.AvgPool2d(kernel, stride, padding, count_include_pad=counted), (2, height, width))
    compare(nn.AvgPool1d(kernel, kernel if stride is None else stride, padding, count_include_pad=counted), (2, width))


@pytest.mark.parametrize("divisor", [1, 3])
def test_average_pool_with_its_own_divisor(divisor: int) -> None:
    compare(nn.AvgPool2d(2, padding=1, divisor_override=divisor), (2, 6, 4))


@given(sizes, sizes, st.integers(2, 4), st.integers(1, 4), st.integers(0, 1))
def test_ceil_mode_is_refused_exactly_where_it_matters(h: int, w: int, kernel: int, stride: int, pad: int) -> None:
    module = nn.AvgPool2d(kernel, stride, pad, ceil_mode=True)
    floored = nn.AvgPool2d(kernel, stride, pad)
    frame = torch.randn(1, 2, h, w)
    if module(frame).shape == floored(frame).shape:
        compare(module, (2, h, w))
    else:
        with pytest.raises(RanvierError, match="RV184"):
            compare(module, (2, h, w))


@given(st.data(), st.integers(2, 5), st.integers(2, 5), st.integers(0, 2**31))
def test_transposed_convolution(data: Any, height: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    groups, dilation = data.draw(st.sampled_from([1, 2])), data.draw(st.integers(1, 2))
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = data.draw(st.integers(0, 1))
    extra = tuple(data.draw(st.integers(0, max(s, dilation) - 1)) for s in stride)
    sizes = zip((height, width), stride, kernel, extra, strict=True)
    assume(all((n - 1) * s - 2 * padding + dilation * (k - 1) + e + 1 > 0 for n, s, k, e in sizes))
    bias = data.draw(st.booleans())
    module = nn.ConvTranspose2d(4, 6, kernel, stride, padding, extra, groups, bias, dilation)
    compare(module, (4, height, width))
    compare(nn.ConvTranspose1d(4, 2, 3, stride[0], padding, 0, groups, bias, dilation), (4, width))


@pytest.mark.parametrize("target", [1, (2, 3), (None, 1), 3, (3, 4)])
def test_adaptive_pool(target: Any) -> None:
    compare(nn.AdaptiveAvgPool2d(target), (2, 4, 6))


def test_adaptive_pool_1d() -> None:
    compare(nn.AdaptiveAvgPool1d(2), (3, 8))
    compare(nn.AdaptiveAvgPool1d(5), (3, 7))


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm(affine: bool) -> None:
    for module, shape in ((nn.BatchNorm2d(3, affine=affine), (3, 4, 2)), (nn.BatchNorm1d(3, affine=affine), (3,))):
        mean, variance = module.running_mean, module.running_var
        assert mean is not None
        assert variance is not None
        mean.normal_()
        variance.uniform_(0.01, 2)
        if affine:
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
        compare(module, shape)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias: bool) -> None:
    compare(nn.Linear(5, 3, bias=bias), (5,))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Linear(5, 3), (2, 4)),
        (nn.Conv2d(1, 1, 3), (1, 5)),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), (1, 5, 5)),
        (nn.ConvTranspose2d(1, 1, 3), (1, 5)),
        (nn.BatchNorm2d(3, track_running_stats=False), (3, 4, 4)),
    ],
)
def test_refused_options(module: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(RanvierError, match="RV184 here"):
        LAYERS[class_path(type(module))](module, "here", shape)


@pytest.mark.parametrize(
    ("module", "code"),
    [
        (nn.FractionalMaxPool2d(2, output_size=2), "RV182"),
        (nn.MaxPool3d(2), "RV182"),
        (nn.ReLU(), "RV181"),
        (nn.Sigmoid(), "RV181"),
        (nn.LSTM(3, 4), "RV183"),
        (nn.LayerNorm(3), "RV183"),
        (nn.ConvTranspose3d(1, 1, 3), "RV183"),
    ],
)
def test_refused_layers(module: nn.Module, code: str) -> None:
    found = refusal(module, "here", class_path(type(module)))
    assert found is not None
    assert [d.code for d in found.diagnostics] == [code]
    assert found.diagnostics[0].fix


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kernel", [2, 4, (2, 3)])
def test_same_padding_of_even_kernels_puts_more_behind(kernel: Any) -> None:
    compare(nn.Conv2d(1, 2, kernel, padding="same"), (1, 5, 6))
