"""Hand-written step functions without any names of modules: read as the neurons they are, spike for spike."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.frontends.onnx import load_onnx
from support.onnx_files import Writer, assert_same_spikes, run_steps, run_whole

NEURONS, INPUTS, STEPS = 4, 3, 9


@dataclass(frozen=True)
class Neuron:
    leak: float
    synapse: float
    threshold: float
    strict: bool
    reset: str
    value: float
    floor: float | None
    drive: float


neurons = st.builds(
    Neuron,
    st.sampled_from([1.0, 0.9, 0.5, 0.25]),
    st.sampled_from([0.0, 0.0, 0.75, 0.3]),
    st.sampled_from([1.0, 0.6, 2.0]),
    st.booleans(),
    st.sampled_from(["none", "subtract", "value"]),
    st.sampled_from([0.0, -0.25, 0.125]),
    st.sampled_from([None, -0.5]),
    st.sampled_from([0.0, 0.125]),
)


def one_step(w: Writer, n: Neuron, x: str, v: str, i: str) -> tuple[str, str, str]:
    """(spikes, membrane, current) after a step, as frameworks write it."""
    i = w("Add", w("Mul", np.float32(n.synapse), i), x) if n.synapse else x
    h = w("Add", w("Add", w("Mul", v, np.float32(n.leak)), i), np.float32(n.drive))
    fired = w("Greater" if n.strict else "GreaterOrEqual", w("Sub", h, np.float32(n.threshold)), np.float32(0))
    spikes = w("Cast", fired)
    if n.reset == "subtract":
        after = w("Sub", h, w("Mul", spikes, np.float32(n.threshold)))
    elif n.reset == "value":
        after = w("Where", fired, np.full((1, NEURONS), n.value, np.float32), h)
    else:
        after = h
    return spikes, after if n.floor is None else w("Max", after, np.float32(n.floor)), i


def weights(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.integers(-8, 9, (NEURONS, INPUTS)) / 8, random.integers(-4, 5, NEURONS) / 8


@settings(max_examples=25, deadline=None)
@given(neurons, st.integers(0, 1000))
def test_unrolled(n: Neuron, seed: int) -> None:
    weight, bias = weights(seed)
    w = Writer()
    names = w.constant(weight.astype(np.float32)), w.constant(bias.astype(np.float32))
    v, i = (w.constant(np.zeros((1, NEURONS), np.float32)) for _ in range(2))
    shown = []
    for t in range(STEPS):
        frame = w("Gather", "x", np.array(t))
        spikes, v, i = one_step(w, n, w("Gemm", frame, *names, transB=1), v, i)
        shown.append(w("Unsqueeze", spikes, np.array([0])))
    frames = (np.random.default_rng(seed).integers(-8, 17, (STEPS, 1, INPUTS)) / 4).astype(np.float32)
    with TemporaryDirectory() as folder:
        path = w.save(Path(folder) / "net.onnx", {"x": (STEPS, 1, INPUTS)}, [w("Concat", *shown, axis=0)])
        network = load_onnx(path)
        assert_same_spikes(network, frames, run_whole(path, frames))
    model = network.populations[0].model
    assert model.compare == (">" if n.strict else ">=")
    assert model.reset == n.reset
    assert np.allclose(model.keep_membrane, n.leak)
    assert np.allclose(model.keep_current, n.synapse)


@settings(max_examples=25, deadline=None)
@given(neurons, neurons, st.integers(0, 1000))
def test_single_steps_with_states(first: Neuron, second: Neuron, seed: int) -> None:
    weight, bias = weights(seed)
    w = Writer()
    current = w("Gemm", "x", weight.astype(np.float32), bias.astype(np.float32), transB=1)
    s1, v1, i1 = one_step(w, first, current, "v1", "i1")
    square = np.random.default_rng(seed).integers(-8, 9, (NEURONS, NEURONS)) / 4
    s2, v2, i2 = one_step(w, second, w("MatMul", s1, square.astype(np.float32)), "v2", "i2")
    states = {"v1": v1, "v2": v2} | ({"i1": i1} if first.synapse else {}) | ({"i2": i2} if second.synapse else {})
    shape = (1, NEURONS)
    frames = (np.random.default_rng(seed).integers(-8, 17, (20, 1, INPUTS)) / 4).astype(np.float32)
    with TemporaryDirectory() as folder:
        inputs = {"x": (1, INPUTS), **dict.fromkeys(states, shape)}
        path = w.save(Path(folder) / "net.onnx", inputs, [s2, *states.values()])
        network = load_onnx(path, states=states)
        assert_same_spikes(network, frames, run_steps(path, frames, {n: (o, shape) for n, o in states.items()}))


def test_states_are_paired_by_what_they_depend_on(tmp_path: Path) -> None:
    n = Neuron(0.5, 0.75, 1.0, strict=True, reset="subtract", value=0.0, floor=None, drive=0.0)
    w = Writer()
    spikes, v, i = one_step(w, n, w("MatMul", "x", np.eye(NEURONS, dtype=np.float32)), "v", "i")
    inputs = {"i": (1, NEURONS), "x": (1, NEURONS), "v": (1, NEURONS)}
    network = load_onnx(w.save(tmp_path / "net.onnx", inputs, [spikes, v, i]))
    assert float(network.populations[0].model.keep_current) == 0.75
    assert float(network.populations[0].model.keep_membrane) == 0.5
