"""ReLU networks in ONNX files: read as ONNX itself computes them, or refused operator by operator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranvier
from ranvier.frontends.conversion.evaluate import Evaluator
from ranvier.frontends.conversion.onnx_model import read_onnx

onnx = pytest.importorskip("onnx")
Array = np.ndarray
RNG = np.random.default_rng(0)


def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(op, inputs.split(), [output], name=output, **attributes)


def write(path: Path, nodes: Sequence[Any], constants: dict[str, Array], shape: tuple[int, ...]) -> Path:
    """A file with input x (batch, *shape), whose answer is the last node's."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [value("x", onnx.TensorProto.FLOAT, ["n", *shape])],
        [value(nodes[-1].output[0], onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 15)], ir_version=8)
    onnx.save(model, path)
    return path


def real(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


CONSTANTS = {
    "w1": real(4, 2, 3, 3), "b1": real(4), "s": np.abs(real(4)), "t": real(4), "m": real(4), "v": np.abs(real(4)) + 0.5,
    "w2": real(4, 4, 3, 3), "half": np.float32(0.5), "shift": real(4, 1, 1), "low": np.float32(0),
    "high": np.float32(3),
    "to": np.array([1, -1], np.int64), "w3": real(7, 8), "b3": real(7), "w4": real(7, 3), "b4": real(3),
}  # fmt: skip
NODES = (
    node("Conv", "x w1 b1", "conv1", pads=[1, 1, 1, 1]),
    node("BatchNormalization", "conv1 s t m v", "norm", epsilon=1e-3),
    node("Relu", "norm", "relu1"),
    node("Conv", "relu1 w2", "conv2", auto_pad="SAME_UPPER"),
    node("Add", "conv2 relu1", "sum"),
    node("Mul", "half sum", "scaled"),
    node("Sub", "scaled shift", "shifted"),
    node("Clip", "shifted low high", "clip"),
    node("Concat", "clip relu1", "both", axis=1),
    node("MaxPool", "both", "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    node("GlobalAveragePool", "pool", "mean"),
    node("Reshape", "mean to", "flat"),
    node("Gemm", "flat w3 b3", "fc", transB=1, alpha=0.5),
    node("Relu", "fc", "relu2"),
    node("MatMul", "relu2 w4", "product"),
    node("Add", "b4 product", "scores"),
    node("Softmax", "scores", "share", axis=1),
)


def reference(path: Path, x: Array, name: str) -> Array:
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - onnx may be absent

    model = onnx.load(path)
    model.graph.output[0].name = name
    found: list[Any] = [ReferenceEvaluator(model).run(None, {"x": one[None]}) for one in x]
    return np.stack([values[0].reshape(-1) for values in found])


def test_every_operator_is_read_as_onnx_defines_it(tmp_path: Path) -> None:
    path, x = write(tmp_path / "all.onnx", NODES, CONSTANTS, (2, 7, 7)), real(6, 2, 7, 7)
    np.testing.assert_allclose(Evaluator(read_onnx(path)).outputs(x), reference(path, x, "scores"), atol=1e-5)


def test_the_converted_file_answers_as_the_file(tmp_path: Path) -> None:
    path, x = write(tmp_path / "all.onnx", NODES, CONSTANTS, (2, 7, 7)), real(50, 2, 7, 7)
    net = ranvier.convert(path, calibrate=x, percentile=100)
    labels = reference(path, x, "scores").argmax(axis=1)
    found = ranvier.accuracy_by_steps(net, x, labels, steps=(8, 256))
    assert found[256] >= 0.98
    assert {note.code for note in net.notes} >= {"RV671", "RV672"}


def test_max_pools_as_averages_say_what_they_cost(tmp_path: Path) -> None:
    path, x = write(tmp_path / "all.onnx", NODES, CONSTANTS, (2, 7, 7)), real(50, 2, 7, 7)
    net = ranvier.convert(path, calibrate=x, max_pool="average")
    (note,) = [note for note in net.notes if note.code == "RV673"]
    assert note.place == "pool"
    assert "% of the calibration data" in note.text
    assert " 0.00 %" not in note.text


def test_operators_without_a_counterpart_are_refused_together(tmp_path: Path) -> None:
    nodes = (
        node("Sigmoid", "x", "a"), node("Mul", "a x", "b"), node("Clip", "b one high", "c"), node("Relu", "c", "d"),
    )  # fmt: skip
    path = write(tmp_path / "bad.onnx", nodes, {"one": np.float32(1), "high": np.float32(2)}, (3,))
    with pytest.raises(ranvier.RanvierError) as refused:
        ranvier.convert(path, calibrate=real(5, 3))
    assert [d.code for d in refused.value.diagnostics] == ["RV665"] * 3
    assert [d.place.split()[0] for d in refused.value.diagnostics] == ["a", "b", "c"]


def test_wrong_calibration_data_and_options_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "all.onnx", NODES, CONSTANTS, (2, 7, 7))
    for data in (real(5, 2, 8, 8), real(5, 3, 2, 7, 7), real(0, 2, 7, 7)):
        with pytest.raises(ranvier.RanvierError, match="RV661"):
            ranvier.convert(path, calibrate=data)
    with pytest.raises(ranvier.RanvierError, match="RV664 all"):
        ranvier.convert(path, calibrate=None)
    with pytest.raises(ranvier.RanvierError, match="RV664 options"):
        ranvier.convert(path, calibrate=real(5, 2, 7, 7), percentile=101)


STAIRS = {"c": np.float32(1.7), "z": np.float32(0), "one": np.float32(1), "n": np.float32(4), "h": np.float32(0.5)}
QCFS: dict[str, Sequence[Any]] = {
    "published": (
        node("Div", "fc c", "a"), node("Clip", "a z one", "b"), node("Mul", "b n", "d"), node("Add", "d h", "e"),
        node("Floor", "e", "f"), node("Div", "f n", "g"), node("Mul", "g c", "stairs"),
    ),
    "clipped last": (
        node("Div", "fc c", "a"), node("Mul", "a n", "b"), node("Add", "h b", "d"), node("Floor", "d", "e"),
        node("Div", "e n", "f"), node("Clip", "f z one", "g"), node("Mul", "c g", "stairs"),
    ),
    "straight through": (
        node("Relu", "fc", "r"), node("Div", "r c", "a"), node("Min", "a one", "b"), node("Mul", "b n", "d"),
        node("Add", "d h", "e"), node("Floor", "e", "f"), node("Sub", "f e", "s"), node("Add", "e s", "g"),
        node("Div", "g n", "i"), node("Mul", "i c", "stairs"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("written", QCFS)
def test_quantized_activations_are_found_in_their_operators(written: str, tmp_path: Path) -> None:
    constants = STAIRS | {"w": real(5, 3)}
    nodes = (
        node("MatMul", "x w", "fc0"),
        node("Mul", "fc0 h", "fc"),
        *QCFS[written],
        node("MatMul", "stairs v", "out"),
    )
    path, x = write(tmp_path / "qcfs.onnx", nodes, constants | {"v": real(3, 2)}, (5,)), 3 * real(40, 5)
    graph = read_onnx(path)
    (found,) = graph.activations
    assert (found.kind, found.levels, found.name) == ("quantized", 4, "stairs")
    assert found.ceiling == pytest.approx(1.7, rel=1e-6)
    np.testing.assert_allclose(Evaluator(graph).outputs(x), reference(path, x, "out"), atol=1e-5)
    net = ranvier.convert(path, calibrate=x)
    assert ranvier.accuracy_by_steps(net, x, reference(path, x, "out").argmax(axis=1), steps=(4, 64))[64] >= 0.9


def test_a_staircase_that_is_none_is_refused_where_it_rounds(tmp_path: Path) -> None:
    uneven = (node("Mul", "x n", "a"), node("Floor", "a", "b"), node("Div", "b n", "d"), node("Clip", "d z one", "e"))
    branched = (*QCFS["published"][:5], node("Div", "f n", "g"), node("Mul", "g c", "i"), node("Add", "i f", "j"))
    first = (node("Identity", "x", "fc"),)
    for nodes in (uneven, (*first, *branched)):
        with pytest.raises(ranvier.RanvierError) as refused:
            read_onnx(write(tmp_path / "bad.onnx", nodes, STAIRS, (3,)))
        assert "Floor" in " ".join(d.message for d in refused.value.diagnostics)
        assert {d.code for d in refused.value.diagnostics} == {"RV665"}
