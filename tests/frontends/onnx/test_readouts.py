"""Networks that end without spikes: integrators and linear layers, read over time as the file computes them."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network
from ranvier.frontends.onnx import load_onnx
from ranvier.runtimes import reference
from support.onnx_files import Writer, run_whole

STEPS, INPUTS, CLASSES = 6, 4, 3
RNG = np.random.default_rng(4)
WEIGHT, BIAS = (RNG.normal(size=s).astype(np.float32) for s in ((INPUTS, CLASSES), (CLASSES,)))
KINDS = {"last": "last_membrane", "sum": "sum_membrane", "mean": "sum_membrane", "max": "max_membrane"}
ENDS = ("linear", "leaky", "with current", "Euler", "summed up")


def spiking(w: Writer, x: str, v: str, of: int = 1) -> tuple[str, str]:
    h = w("Add", w("Mul", v, np.float32(0.5)), x)
    s = w("Cast", w("Greater", w("Sub", h, np.float32(of)), np.float32(0)))
    return s, w("Sub", h, s)


def readout(w: Writer, end: str, x: str, v: str, i: str) -> tuple[str, str]:
    """(membrane, current) after a step."""
    if end == "linear":
        return x, i
    if end == "with current":
        i = w("Add", w("Mul", i, np.float32(0.75)), x)
        return w("Add", w("Mul", np.float32(0.5), v), i), i
    if end == "Euler":
        return w("Add", v, w("Mul", np.float32(0.1), w("Add", w("Sub", np.float32(0.25), v), x))), i
    return w("Add", v if end == "summed up" else w("Mul", v, np.float32(0.9)), x), i


def over_time(w: Writer, how: str, shown: list[str]) -> str:
    whole = w("Concat", *(w("Unsqueeze", s, np.array([0])) for s in shown), axis=0)
    if how == "last":
        return shown[-1]
    if how == "gathered":
        return w("Gather", whole, np.array(STEPS - 1))
    name = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "stacked": "Identity"}[how]
    axes = np.array([0]) if how == "sum" else None
    if axes is not None:
        return w(name, whole, axes, keepdims=0)
    return w(name, whole) if how == "stacked" else w(name, whole, np.array([0]), keepdims=0)


def written(folder: Path, end: str, how: str, steps: int = STEPS) -> Path:
    w = Writer()
    u, v, i = (w.constant(np.zeros((1, n), np.float32)) for n in (INPUTS, CLASSES, CLASSES))
    shown = []
    for t in range(steps):
        s, u = spiking(w, w("Gather", "x", np.array(t)), u)
        v, i = readout(w, end, w("Gemm", s, WEIGHT, BIAS), v, i)
        shown.append(v)
    return w.save(folder / "net.onnx", {"x": (steps, 1, INPUTS)}, [over_time(w, how, shown)])


def answer(network: Network, frames: np.ndarray, how: str) -> np.ndarray:
    x = frames.reshape(1, STEPS, INPUTS)
    membranes = reference.run(network, x, record=("membrane",)).membrane[network.readout.node][0]
    found = {"last": membranes[-1], "sum": membranes.sum(0), "mean": membranes.mean(0), "max": membranes.max(0)}
    return np.asarray(found[how])


@pytest.mark.parametrize(
    ("end", "how"), [(e, h) for e in ENDS for h in (*KINDS, "gathered") if (e, h) != ("linear", "last")]
)
def test_the_readout_is_what_the_file_computes(end: str, how: str, tmp_path: Path) -> None:
    path = written(tmp_path, end, how)
    network = load_onnx(path)
    said = "last" if how == "gathered" else how
    assert network.readout.kind == KINDS[said]
    assert [type(p.model).__name__ for p in network.populations] == ["Lif", "Lif"]
    for scale in (1.0, 5.0):
        frames = (scale * RNG.uniform(-0.5, 1.5, (STEPS, 1, INPUTS))).astype(np.float32)
        np.testing.assert_allclose(answer(network, frames, said), run_whole(path, frames).ravel(), atol=2e-5)


def test_a_readout_compiles(tmp_path: Path) -> None:
    x = RNG.uniform(0, 2, (4, STEPS, INPUTS))
    app = ranvier.compile(load_onnx(written(tmp_path, "linear", "max")), target="loihi2", calibrate=x)
    assert app.run(x).predictions.shape == (4,)


def test_all_steps_need_a_word_on_how_they_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "leaky", "stacked")
    with pytest.raises(RanvierError, match=r"readout='spike_count', 'last_membrane'") as found:
        load_onnx(path)
    assert found.value.diagnostics[0].code == "RV289"
    assert load_onnx(path, readout="max_membrane").readout.kind == "max_membrane"


def test_a_linear_layer_keeps_its_name_beside_its_readout(tmp_path: Path) -> None:
    path = written(tmp_path, "linear", "sum")
    model = onnx.load(path)
    for node in (n for n in model.graph.node if n.op_type == "Gemm"):
        node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'fc', 'linear']")
    onnx.save(model, path)
    network = load_onnx(path)
    assert network.readout.node == "fc.membrane"
    assert [op.name for op in network.linears] == ["fc"]


def test_one_step_of_a_linear_layer_alone_tells_nothing_of_time(tmp_path: Path) -> None:
    with pytest.raises(RanvierError, match="RV289"):
        load_onnx(written(tmp_path, "linear", "last"))


def weighted(w: Writer, spikes: str) -> str:
    return w("ReduceSum", w("Mul", spikes, np.linspace(1, 2, STEPS, dtype=np.float32).reshape(-1, 1)), np.array([0]))


def permuted(w: Writer, spikes: str) -> str:
    return w("Gather", spikes, np.array([2, 0, 1, 3]), axis=1)


def negative(w: Writer, spikes: str) -> str:
    return w("ReduceSum", w("Neg", spikes), np.array([0]))


def partial(w: Writer, spikes: str) -> str:
    return w("Gather", spikes, np.array([0, 1]), axis=1)


def largest(w: Writer, spikes: str) -> str:
    return w("ReduceMax", spikes, np.array([0]))


@pytest.mark.parametrize("shown", [weighted, permuted, negative, partial, largest])
def test_answers_that_no_readout_gives(shown: object, tmp_path: Path) -> None:
    w, spikes = Writer(), []
    v = w.constant(np.zeros((1, INPUTS), np.float32))
    for t in range(STEPS):
        s, v = spiking(w, w("Gather", "x", np.array(t)), v)
        spikes.append(s)
    assert callable(shown)
    output = shown(w, w("Concat", *spikes, axis=0))
    with pytest.raises(RanvierError) as found:
        load_onnx(w.save(tmp_path / "net.onnx", {"x": (STEPS, 1, INPUTS)}, [output]))
    assert [d.code for d in found.value.diagnostics] == ["RV289"]
