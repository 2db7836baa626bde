"""What cannot be read is refused for what it is, all of it at once, with the way out."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.frontends.onnx import load_onnx
from support.onnx_files import Writer, export, stripped
from support.onnx_networks import AlphaShaped, Sequential, lively

ROW = (1, 3)


def codes(path: Path) -> list[str]:
    with pytest.raises(RanvierError) as found:
        load_onnx(path)
    return [d.code for d in found.value.diagnostics]


def neuron(w: Writer, x: str, v: str, leak: float = 0.5) -> tuple[str, str]:
    h = w("Add", w("Mul", v, np.float32(leak)), x)
    spikes = w("Cast", w("Greater", w("Sub", h, np.float32(1)), np.float32(0)))
    return spikes, w("Sub", h, spikes)


def test_an_export_that_lost_its_decay(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    snntorch = pytest.importorskip("snntorch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), snntorch.Leaky(beta=0.9, init_hidden=True))
    path = export(module, (torch.rand(1, 3),), tmp_path / "net.onnx")
    with pytest.raises(
        RanvierError, match=r"single step of snntorch\._neurons\.leaky\.Leaky without its states"
    ) as found:
        ranvier.load(path)
    assert found.value.diagnostics[0].code == "RV287"


def test_external_data_are_refused(tmp_path: Path) -> None:
    w = Writer()
    w("MatMul", "x", np.ones((3, 3), np.float32))
    model = w.model({"x": ROW}, ["t0"])
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0, location="data.bin")
    assert codes(tmp_path / "net.onnx") == ["RV281"]


def test_external_data_are_not_even_looked_for(tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret.bin", tmp_path / "inside"
    secret.write_bytes(np.ones(9, np.float32).tobytes())
    folder.mkdir()
    for location in ("../secret.bin", str(secret), "absent.bin", "/dev/zero"):
        w = Writer()
        w("MatMul", "x", np.ones((3, 3), np.float32))
        model = w.model({"x": ROW}, ["t0"])
        (tensor,) = model.graph.initializer
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        (folder / "net.onnx").write_bytes(model.SerializeToString())
        assert codes(folder / "net.onnx") == ["RV281"]


def test_a_file_of_two_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    assert codes(path) == ["RV281"]


@pytest.mark.parametrize("values", [np.inf, -np.inf, np.float32(3e38)])
def test_weights_without_bounds(tmp_path: Path, values: float) -> None:
    w = Writer()
    weight, v, shown = np.full((3, 3), values, np.float32), w.constant(np.zeros(ROW, np.float32)), []
    for t in range(4):
        spikes, v = neuron(w, w("MatMul", w("Gather", "x", np.array(t)), weight), v)
        shown.append(spikes)
    path = w.save(tmp_path / "net.onnx", {"x": (4, *ROW)}, [w("Concat", *shown, axis=0)])
    if np.isinf(values):
        assert codes(path) == ["RV283"]
    else:
        assert load_onnx(path).linears


def test_relu_networks_are_sent_to_the_conversion(tmp_path: Path) -> None:
    w = Writer()
    shown = w("Relu", w("MatMul", "x", np.ones((3, 3), np.float32)))
    with pytest.raises(RanvierError, match=r"ranvier\.convert") as found:
        load_onnx(w.save(tmp_path / "net.onnx", {"x": ROW}, [shown]))
    assert found.value.diagnostics[0].code == "RV285"


def test_unknown_operations_are_all_named(tmp_path: Path) -> None:
    w = Writer()
    w("Gelu", w("Hardmax", w("Gelu", "x")))
    assert codes(w.save(tmp_path / "net.onnx", {"x": ROW}, ["t2"])) == ["RV284", "RV284"]


def test_nan_weights_are_all_named(tmp_path: Path) -> None:
    w = Writer()
    for _ in range(2):
        w("MatMul", "x", np.full((3, 3), np.nan, np.float32))
    assert codes(w.save(tmp_path / "net.onnx", {"x": ROW}, ["t0"])) == ["RV283", "RV283"]


def cyclic(model: Any) -> None:
    model.graph.node[0].input[0] = model.graph.node[1].output[0]


def dangling(model: Any) -> None:
    model.graph.node[0].input[0] = "nothing"


def twice(model: Any) -> None:
    model.graph.node[1].output[0] = model.graph.node[0].output[0]


def misfit(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7


def huge(model: Any) -> None:
    for dim in model.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_value = 2**40


def negative(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -5


def no_outputs_made(model: Any) -> None:
    model.graph.output[0].name = "absent"


def short_tensor(model: Any) -> None:
    model.graph.initializer[0].raw_data = b"1234"


def text_tensor(model: Any) -> None:
    model.graph.initializer[0].data_type = onnx.TensorProto.STRING


def complex_tensor(model: Any) -> None:
    weight = np.ones((3, 3), np.complex64)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, model.graph.initializer[0].name))


def unknown_type(model: Any) -> None:
    model.graph.initializer[0].data_type = 99


def endless(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [-1, 3]


def two_gigabytes(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [2**15, 2**14]


def blown_up(model: Any) -> None:
    model.graph.node[0].op_type = "Expand"
    model.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(np.array([2**20, 2**20]), model.graph.initializer[0].name)
    )


def old(model: Any) -> None:
    model.opset_import[0].version = 6


def functions(model: Any) -> None:
    model.functions.add().name = "f"


SPOILED = [
    (cyclic, "RV283", "cycle"),
    (dangling, "RV283", "nothing makes"),
    (twice, "RV283", "made twice"),
    (misfit, "RV283", "cannot be computed"),
    (huge, "RV283", "elements are read"),
    (negative, "RV283", "elements are read"),
    (no_outputs_made, "RV283", "made by nothing"),
    (short_tensor, "RV283", "do not fit"),
    (text_tensor, "RV283", "is not read"),
    (complex_tensor, "RV283", "is not read"),
    (unknown_type, "RV283", "is not read"),
    (endless, "RV283", "is not read"),
    (two_gigabytes, "RV281", "536870912 elements"),
    (blown_up, "RV283", "too large"),
    (old, "RV284", "operator set 6"),
    (functions, "RV280", "functions of its own"),
]


@pytest.mark.parametrize(("spoil", "code", "reason"), SPOILED)
def test_spoiled_graphs(tmp_path: Path, spoil: Any, code: str, reason: str) -> None:
    w = Writer()
    w("Relu", w("MatMul", "x", np.ones((3, 3), np.float32)))
    model = w.model({"x": ROW}, ["t1"])
    spoil(model)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(RanvierError, match=reason) as found:
        load_onnx(tmp_path / "net.onnx")
    assert {d.code for d in found.value.diagnostics} == {code}


@pytest.mark.parametrize(
    "content", [b"", b"no protobuf", bytes(1000), b"\x08\x09", b"\x3a\xff\xff\xff\xff\x07" + bytes(99)]
)
def test_what_is_no_onnx_file_is_said_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    assert codes(path) == ["RV280"]
    assert codes(tmp_path / "absent.onnx") == ["RV280"]
    assert codes(tmp_path) == ["RV280"]


def test_too_many_small_objects(tmp_path: Path) -> None:
    node = b"\x0a\x00" * 400_000
    length = bytes([0x80 | len(node) & 127, 0x80 | len(node) >> 7 & 127, len(node) >> 14])
    (tmp_path / "net.onnx").write_bytes(b"\x3a" + length + node)
    assert codes(tmp_path / "net.onnx") in (["RV280"], ["RV284"])


def test_states_that_are_not_clear_or_do_not_exist(tmp_path: Path) -> None:
    w = Writer()
    spikes, after = neuron(w, "x", "v")
    path = w.save(tmp_path / "net.onnx", {"x": ROW, "v": ROW, "y": ROW}, [spikes, after])
    assert codes(path) == ["RV292"]
    with pytest.raises(RanvierError, match="RV292"):
        load_onnx(path, states={"v": "absent"})


def test_max_pool_and_products_of_signals(tmp_path: Path) -> None:
    w = Writer()
    v, shown = w.constant(np.zeros(ROW, np.float32)), []
    for t in range(4):
        x = w("Gather", "x", np.array(t))
        spikes, v = neuron(w, w("Mul", x, x), v)
        shown.append(spikes)
    assert codes(w.save(tmp_path / "net.onnx", {"x": (4, *ROW)}, [w("Concat", *shown, axis=0)])) == ["RV286"]


def test_neurons_of_another_kind(tmp_path: Path) -> None:
    w = Writer()
    v, shown = w.constant(np.zeros(ROW, np.float32)), []
    for t in range(5):
        spikes, v = neuron(w, w("MatMul", w("Gather", "x", np.array(t)), np.eye(3, dtype=np.float32)), v)
        v = w("Mul", v, w("Sub", np.float32(1), w("Mul", spikes, np.float32(0.5))))
        shown.append(spikes)
    assert codes(w.save(tmp_path / "net.onnx", {"x": (5, *ROW)}, [w("Concat", *shown, axis=0)])) == ["RV288"]


def unrolled(w: Writer, steps: int, batch: int = 1) -> list[str]:
    v, shown = w.constant(np.zeros((batch, 3), np.float32)), []
    for t in range(steps):
        spikes, v = neuron(w, w("MatMul", w("Gather", "x", np.array(t)), np.eye(3, dtype=np.float32)), v)
        shown.append(spikes)
    return [*shown, v]


def test_too_few_steps_batches_and_outputs(tmp_path: Path) -> None:
    w = Writer()
    *shown, _ = unrolled(w, 2)
    assert codes(w.save(tmp_path / "few.onnx", {"x": (2, *ROW)}, [w("Concat", *shown, axis=0)])) == ["RV287"]
    w = Writer()
    *shown, _ = unrolled(w, 4, batch=2)
    assert codes(w.save(tmp_path / "two.onnx", {"x": (4, 2, 3)}, [w("Concat", *shown, axis=0)])) == ["RV291"]
    w = Writer()
    *shown, after = unrolled(w, 4)
    assert codes(w.save(tmp_path / "after.onnx", {"x": (4, *ROW)}, [after])) == ["RV289"]


@pytest.mark.parametrize(
    ("neuron", "shape", "named"),
    [
        ("ALIF", (1, 5, 12), r"RV288 1 \(sinabs\.layers\.alif\.ALIF\) .*its threshold adapts"),
        (
            "LIFRefrac",
            (5, 1, 12),
            r"RV288 net\.1 \(norse\.torch\.module\.lif_refrac\.LIFRefracCell\) .*refractory counter",
        ),
    ],
)
def test_neurons_with_more_states_are_named(neuron: str, shape: tuple[int, ...], named: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = adaptive() if neuron == "ALIF" else Sequential(neuron, "LIFBox")
    path = export(lively(module), (torch.rand(shape),), tmp_path / "net.onnx")
    with pytest.raises(RanvierError, match=named):
        load_onnx(path)


def adaptive() -> Any:
    from torch import nn  # noqa: PLC0415 - slow

    layers = pytest.importorskip("sinabs.layers")
    single = pytest.importorskip("sinabs.activation").SingleSpike
    return nn.Sequential(nn.Linear(12, 9), layers.ALIF(tau_mem=10.0, tau_adapt=12.0, spike_fn=single))


def test_alpha_neurons_without_their_names_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = export(lively(AlphaShaped()), (torch.rand(5, 1, 12),), tmp_path / "net.onnx")
    assert codes(stripped(path)) == ["RV287"]


def test_frames_out_of_step(tmp_path: Path) -> None:
    w = Writer()
    v, shown = w.constant(np.zeros(ROW, np.float32)), []
    for t in range(4):
        spikes, v = neuron(w, w("MatMul", w("Gather", "x", np.array(3 - t)), np.eye(3, dtype=np.float32)), v)
        shown.append(spikes)
    assert codes(w.save(tmp_path / "net.onnx", {"x": (4, *ROW)}, [w("Concat", *shown, axis=0)])) == ["RV288"]


def test_a_leak_that_changes_with_time(tmp_path: Path) -> None:
    w = Writer()
    v, shown = w.constant(np.zeros(ROW, np.float32)), []
    for t in range(6):
        x = w("MatMul", w("Gather", "x", np.array(t)), np.eye(3, dtype=np.float32))
        spikes, v = neuron(w, x, v, leak=0.9 if t == 2 else 0.3)
        shown.append(spikes)
    assert codes(w.save(tmp_path / "net.onnx", {"x": (6, *ROW)}, [w("Concat", *shown, axis=0)])) == ["RV288"]


def test_what_only_running_the_file_shows(tmp_path: Path) -> None:
    w = Writer()
    v, shown = w.constant(np.zeros(ROW, np.float32)), []
    for t in range(6):
        x = w("MatMul", w("Gather", "x", np.array(t)), np.eye(3, dtype=np.float32))
        spikes, v = neuron(w, w("Mul", x, np.float32(4)) if t == 0 else x, v)
        shown.append(spikes)
    assert codes(w.save(tmp_path / "net.onnx", {"x": (6, *ROW)}, [w("Concat", *shown, axis=0)])) == ["RV290"]
