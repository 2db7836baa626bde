"""Every linear layer's matrix against loops, and against scipy's correlation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from ranvier.compiler.ir.chip import ConvSynapse, DenseSynapse, SparseSynapse
from ranvier.compiler.ir.linear import Conv, ConvTranspose, Dense, Pool, Reshape, Scale, Sparse
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset, synapse_matrix
from ranvier.compiler.ir.network import Network, Readout
from ranvier.compiler.passes.canonicalize import Canonicalize
from support import scalar


@st.composite
def convs(draw: st.DrawFn) -> Conv:
    axes = draw(st.integers(1, 2))
    groups = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(axes))
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(axes))
    spatial = tuple(d * (k - 1) + 1 + draw(st.integers(0, 3)) for d, k in zip(dilation, kernel, strict=True))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    inside, outside = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weight = rng.integers(-9, 10, (outside, inside, *kernel))
    in_shape = (groups * inside, *spatial)
    return Conv("c", weight, in_shape, np.arange(outside), stride, padding, dilation, groups)


def by_loops(c: Conv, x: np.ndarray) -> np.ndarray:
    """One output at a time, from the definition of a cross-correlation."""
    padded = np.pad(x.reshape(c.in_shape), ((0, 0), *c.padding))
    out = np.zeros(c.out_shape)
    inside, per_group = c.weight.shape[1], c.weight.shape[0] // c.groups
    for index in np.ndindex(*c.out_shape):
        channel, place = index[0], index[1:]
        for i, *tap in np.ndindex(inside, *c.kernel):
            axes = zip(place, tap, c.stride, c.dilation, strict=True)
            source = tuple(p * s + t * d for p, t, s, d in axes)
            out[index] += c.weight[(channel, i, *tap)] * padded[(channel // per_group * inside + i, *source)]
    return out.ravel()


@given(convs())
def test_convolutions_equal_loops(conv):
    x = np.random.default_rng(0).integers(-9, 10, conv.in_size)
    assert np.array_equal(linear_matrix(conv) @ x, by_loops(conv, x))
    assert linear_matrix(conv).shape == (np.prod(conv.out_shape), conv.in_size)
    shaped = linear_offset(conv).reshape(conv.out_shape)
    assert np.array_equal(
        shaped, np.broadcast_to(np.arange(len(shaped)).reshape(-1, *[1] * (shaped.ndim - 1)), shaped.shape)
    )


def test_a_plain_convolution_is_scipys_correlation():
    rng = np.random.default_rng(0)
    conv = Conv("c", rng.normal(size=(3, 2, 3, 2)), (2, 6, 5))
    x = rng.normal(size=conv.in_shape)
    expected = [signal.correlate(x, weight, "valid")[0] for weight in conv.weight]
    assert np.allclose((linear_matrix(conv) @ x.ravel()).reshape(conv.out_shape), expected)


@given(convs(), st.integers(0, 2**32 - 1))
def test_a_transposed_convolution_is_the_transpose_of_a_convolution(conv, seed):
    """<y, conv(x)> = <conv_transpose(y), x>, for the convolution with the same weight."""
    conv = replace(conv, padding=tuple((lo, lo) for lo, _ in conv.padding))
    rest = [(n + 2 * p - d * (k - 1) - 1) % s for n, (p, _), d, k, s in zip(
        conv.in_shape[1:], conv.padding, conv.dilation, conv.kernel, conv.stride, strict=True)]  # fmt: skip
    back = ConvTranspose("t", conv.weight, conv.out_shape, None, conv.stride, tuple(p for p, _ in conv.padding),
                         tuple(rest), conv.dilation, conv.groups)  # fmt: skip
    assert back.out_shape == conv.in_shape
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=conv.in_size), rng.normal(size=back.in_size)
    assert np.isclose(y @ (linear_matrix(conv) @ x), (linear_matrix(back) @ y) @ x)
    made = Canonicalize()(Network("n", (back,), (), Readout("t"))).nodes[0]
    reach = min(d * (k - 1) - p for d, k, p in zip(back.dilation, back.kernel, back.padding, strict=True))
    assert isinstance(made, Conv) == (max(back.stride) == 1 and reach >= 0)
    assert (linear_matrix(made) != linear_matrix(back)).nnz == 0
    assert made.out_shape[-1] == back.out_shape[-1]


def test_a_transposed_convolution_adds_its_bias_to_each_channel():
    op = ConvTranspose("t", np.ones((1, 2, 2, 2)), (1, 1, 1), [1.0, 2.0], output_padding=(0, 0))
    assert linear_offset(op).tolist() == [1, 1, 1, 1, 2, 2, 2, 2]


@given(convs())
def test_chip_convolutions_have_the_synapses_of_the_definition(conv):
    if len(conv.in_shape) == 2:
        return
    chip = ConvSynapse(conv.weight.astype(np.int32), conv.in_shape, conv.out_shape, conv.stride, conv.padding,
                       conv.dilation, conv.groups)  # fmt: skip
    assert_same_synapses(chip)


def assert_same_synapses(synapse):
    matrix = synapse_matrix(synapse)
    expected = np.zeros(matrix.shape, np.int64)
    for target, source, weight in scalar.synapses(synapse):
        expected[target, source] += weight
    assert matrix.dtype == np.int64
    assert np.array_equal(matrix.toarray(), expected)


def test_dense_and_sparse_synapses():
    assert_same_synapses(DenseSynapse(np.array([[1, -2, 0], [256, 0, 4]], np.int32)))
    rows = SparseSynapse(np.array([5, 6, 7], np.int32), np.array([2, 0, 1]), np.array([0, 2, 2, 3]), 4)
    assert_same_synapses(rows)
    assert synapse_matrix(rows).toarray().tolist() == [[6, 0, 5, 0], [0, 0, 0, 0], [0, 7, 0, 0]]


@pytest.mark.parametrize(("kind", "factor"), [("sum", 1.0), ("average", 0.25)])
def test_pools_keep_channels_apart_and_average_over_padding_too(kind, factor):
    pool = Pool("p", kind, (2, 3, 3), (2, 2), (2, 2), ((1, 0), (1, 0)))
    x = np.arange(18.0).reshape(2, 3, 3)
    padded = np.pad(x, ((0, 0), (1, 0), (1, 0)))
    expected = padded.reshape(2, 2, 2, 2, 2).sum(axis=(2, 4)) * factor
    assert pool.out_shape == (2, 2, 2)
    assert np.allclose((linear_matrix(pool) @ x.ravel()).reshape(2, 2, 2), expected)


def test_dense_sparse_reshape():
    dense = Dense("d", [[1.0, 2.0]], [3.0])
    assert linear_matrix(dense).toarray().tolist() == [[1, 2]]
    assert linear_offset(dense).tolist() == [3]
    assert linear_offset(Dense("d", [[1.0, 2.0]])).tolist() == [0]
    sparse = Sparse("s", [4.0, 5.0], [1, 0], [0, 1, 2], 2, (2,))
    assert linear_matrix(sparse).toarray().tolist() == [[0, 4], [5, 0]]
    assert linear_matrix(Reshape("r", (2, 1), (2,))).toarray().tolist() == [[1, 0], [0, 1]]
    assert linear_offset(sparse).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("factor", "expected"), [(2.0, [2, 2, 2, 2]), ([1.0, 3.0], [1, 1, 3, 3]), ([1.0, 2.0, 3.0, 4.0], [1, 2, 3, 4])]
)
def test_scales_are_for_all_per_channel_or_per_element(factor, expected):
    scale = Scale("s", (2, 2), factor, factor)
    assert linear_matrix(scale).diagonal().tolist() == expected
    assert linear_offset(scale).tolist() == expected


def test_zero_weights_have_no_synapses():
    conv = Conv("c", np.zeros((1, 1, 2, 2)), (1, 3, 3))
    assert linear_matrix(conv).nnz == 0
    assert linear_matrix(conv).shape == (4, 9)
