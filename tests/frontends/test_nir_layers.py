"""NIR's linear nodes against torch, and the shapes that the reader infers by itself."""

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch.nn import functional

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.matrix import linear_matrix, linear_offset
from ranvier.frontends.nir import load_nir
from support.nir_files import integrate_and_fire, write_chain

RNG = np.random.default_rng(3)


def outcome(path: Path, x: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and values of the first layer's output for one frame x."""
    op = load_nir(path, dt=1.0, reset="value").linears[0]
    return op.out_shape, linear_matrix(op) @ x.ravel() + linear_offset(op)


def check(path: Path, x: np.ndarray, wanted: torch.Tensor) -> None:
    shape, values = outcome(path, x)
    assert shape == tuple(wanted.shape)
    np.testing.assert_allclose(values, wanted.numpy().ravel(), atol=1e-10)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups"),
    [
        ((3, 5), (1, 1), (0, 0), (1, 1), 1),
        ((3, 3), (2, 1), (1, 0), (1, 1), 2),
        ((2, 3), (1, 2), (1, 2), (2, 1), 4),
        ((2, 4), (1, 1), "same", (1, 2), 1),
        ((3, 3), (2, 2), "valid", (1, 1), 1),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_conv2d_is_torchs(tmp_path: Path, kernel: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> None:
    weight, bias, x = RNG.normal(size=(8, 4 // groups, *kernel)), RNG.normal(size=8), RNG.normal(size=(4, 9, 8))
    t = [torch.from_numpy(a) for a in (x, weight, bias)]
    wanted = functional.conv2d(t[0][None], t[1], t[2], stride, padding, dilation, groups)[0]
    conv = nir.Conv2d((9, 8), weight, stride, padding, dilation, groups, bias)
    check(write_chain(tmp_path / "n.nir", (4, 9, 8), conv, integrate_and_fire(*wanted.shape)), x, wanted)


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_conv1d_is_torchs(tmp_path: Path, stride: int, padding: int, dilation: int) -> None:
    weight, bias, x = RNG.normal(size=(5, 3, 4)), RNG.normal(size=5), RNG.normal(size=(3, 12))
    t = [torch.from_numpy(a) for a in (x, weight, bias)]
    wanted = functional.conv1d(t[0][None], t[1], t[2], stride, padding, dilation)[0]
    conv = nir.Conv1d(12, weight, stride, padding, dilation, 1, bias)
    check(write_chain(tmp_path / "n.nir", (3, 12), conv, integrate_and_fire(*wanted.shape)), x, wanted)


@pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
def test_pools_are_torchs_with_padding_counted(tmp_path: Path, kind: Any) -> None:
    x = RNG.normal(size=(3, 7, 8))
    wanted = functional.avg_pool2d(torch.from_numpy(x)[None], (3, 2), (2, 2), (1, 0))[0]
    pool = kind(np.array([3, 2]), np.array([2, 2]), np.array([1, 0]))
    path = write_chain(tmp_path / "n.nir", (3, 7, 8), pool, integrate_and_fire(*wanted.shape))
    check(path, x, wanted if kind is nir.AvgPool2d else wanted * 6)


def test_affine_linear_and_scale(tmp_path: Path) -> None:
    weight, bias, x = RNG.normal(size=(4, 6)), RNG.normal(size=4), RNG.normal(size=6)
    affine = write_chain(tmp_path / "a.nir", (6,), nir.Affine(weight, bias), integrate_and_fire(4))
    check(affine, x, torch.from_numpy(weight @ x + bias))
    check(
        write_chain(tmp_path / "l.nir", (6,), nir.Linear(weight), integrate_and_fire(4)),
        x,
        torch.from_numpy(weight @ x),
    )
    factor = RNG.normal(size=(2, 3))
    scale = write_chain(tmp_path / "s.nir", (2, 3), nir.Scale(factor), integrate_and_fire(2, 3))
    check(scale, x, torch.from_numpy(factor * x.reshape(2, 3)))
    channels = write_chain(tmp_path / "c.nir", (2, 3), nir.Scale(factor[:, :1]), integrate_and_fire(2, 3))
    check(channels, x, torch.from_numpy(factor[:, :1] * x.reshape(2, 3)))


@pytest.mark.parametrize(
    ("start", "end", "wanted"), [(0, -1, (24,)), (1, 2, (2, 12)), (0, 1, (6, 4)), (-1, -1, (2, 3, 4))]
)
def test_flatten_has_no_batch_axis(tmp_path: Path, start: int, end: int, wanted: tuple[int, ...]) -> None:
    flatten = nir.Flatten({"input": np.array([2, 3, 4])}, start, end)
    path = write_chain(tmp_path / "n.nir", (2, 3, 4), flatten, integrate_and_fire(*wanted))
    assert load_nir(path, dt=1.0, reset="value").populations[0].shape == wanted


def test_a_flat_vector_takes_its_image_shape_from_the_convolution(tmp_path: Path) -> None:
    conv = nir.Conv2d((4, 5), np.ones((1, 2, 3, 3)), 1, 0, 1, 1, np.zeros(1))
    network = load_nir(write_chain(tmp_path / "n.nir", (40,), conv, integrate_and_fire(1, 2, 3)), dt=1.0, reset="value")
    assert network.linears[0].out_shape == (1, 2, 3)


def test_the_files_own_output_type_is_not_believed(tmp_path: Path) -> None:
    conv = nir.Conv2d((8, 8), np.ones((4, 2, 3, 5)), 1, 0, 1, 1, np.zeros(4))
    nodes = {
        "in": nir.Input(np.array([2, 8, 8])),
        "c": conv,
        "n": integrate_and_fire(4, 6, 4),
        "o": nir.Output(np.array([4, 6, 6])),
    }
    nir.write(tmp_path / "n.nir", nir.NIRGraph(nodes, [("in", "c"), ("c", "n"), ("n", "o")], type_check=False))
    network = load_nir(tmp_path / "n.nir", dt=1.0, reset="value")
    assert network.populations[0].shape == (4, 6, 4)
    assert any(note.code == "RV125" and "(4, 6, 6)" in note.text for note in network.notes)


@pytest.mark.parametrize(
    ("shape", "node", "code", "figure"),
    [
        ((5,), nir.Linear(np.ones((3, 4))), "RV107", "4 values"),
        ((3, 4), nir.Linear(np.ones((3, 4))), "RV107", "12 values"),
        ((2, 4, 4), nir.Linear(np.ones((2, 3, 4))), "RV108", "(2, 3, 4)"),
        ((3, 4, 4), nir.Conv2d((4, 4), np.ones((1, 2, 3, 3)), 1, 0, 1, 1, np.zeros(1)), "RV107", "2 channels"),
        ((2, 4, 4), nir.Conv2d((4, 4), np.ones((1, 2, 5, 3)), 1, 0, 1, 1, np.zeros(1)), "RV108", "spanning 5"),
        ((2, 4, 4), nir.Conv2d((4, 4), np.ones((1, 2, 3, 3)), -1, 0, 1, 1, np.zeros(1)), "RV103", "stride"),
        ((2, 4, 4), nir.Conv2d((4, 4), np.ones((3, 1, 3, 3)), 1, 0, 1, 2, np.zeros(3)), "RV108", "2 groups"),
        ((2, 4, 4), nir.Conv2d((4, 4), np.ones((2, 2, 3, 3)), 1, 0, 1, 1, np.zeros(5)), "RV108", "5 biases"),
        ((2, 4, 4), nir.Conv2d((4, 4), np.ones((2, 2, 3, 3)), 2, "same", 1, 1, np.zeros(2)), "RV108", "'same'"),
        ((4, 4), nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), "RV107", "(4, 4)"),
        ((2, 3), nir.Scale(np.ones(4)), "RV107", "(4,)"),
        ((2, 3), nir.Flatten({"input": np.array([2, 3])}, 1, 4), "RV108", "1 to 4"),
        ((4,), nir.Linear(np.full((2, 4), np.nan)), "RV103", "NaN"),
        ((10**5, 10**5), nir.Scale(np.ones(1)), "RV109", "16777216"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_figures(
    tmp_path: Path, shape: tuple[int, ...], node: Any, code: str, figure: str
) -> None:
    with pytest.raises(RanvierError) as found:
        load_nir(write_chain(tmp_path / "n.nir", shape, node, integrate_and_fire(2)), dt=1.0, reset="value")
    assert [d.code for d in found.value.diagnostics] == [code]
    assert figure in found.value.diagnostics[0].message
