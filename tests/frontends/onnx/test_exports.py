"""Networks of the frameworks, exported by torch and read back: spike for spike what onnxruntime computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import nn

import ranvier
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.verify import check_network
from ranvier.frontends.onnx import load_onnx
from support.onnx_files import assert_same_spikes, export, run_steps, run_whole, stripped

pytest.importorskip("onnxscript")
STEPS = 4


def snn(name: str, **options: Any) -> Callable[[int], Any]:
    return lambda _n: getattr(pytest.importorskip("snntorch"), name)(**options)


def recurrent(name: str, **options: Any) -> Callable[[int], Any]:
    return lambda n: getattr(pytest.importorskip("snntorch"), name)(linear_features=n, **options)


class SnnTorch(nn.Module):
    """The tutorial's loop over time."""

    def __init__(self, first: str, second: str, static: bool = False) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 9), nn.Linear(9, 5)
        self.lif1, self.lif2 = SNNTORCH[first](9), SNNTORCH[second](5)
        self.static = static

    def forward(self, x: Any) -> Any:
        first, second = (self.start(lif) for lif in (self.lif1, self.lif2))
        shown = []
        for t in range(STEPS):
            first = self.lif1(self.fc1(x if self.static else x[t]), *self.kept(self.lif1, first))
            second = self.lif2(self.fc2(first[0]), *self.kept(self.lif2, second))
            shown.append(second[0])
        return torch.stack(shown)

    @staticmethod
    def start(lif: Any) -> Any:
        found = getattr(lif, f"init_{type(lif).__name__.lower()}")()
        return found if isinstance(found, tuple) else (found,)

    @staticmethod
    def kept(lif: Any, results: Any) -> Any:
        return results if type(lif).__name__.startswith("R") else results[-(2 if "Syn" in type(lif).__name__ else 1) :]


SNNTORCH = {
    "leaky": snn("Leaky", beta=0.9),
    "leaky_zero": snn("Leaky", beta=0.8, threshold=0.7, reset_mechanism="zero"),
    "leaky_none": snn("Leaky", beta=0.9, threshold=0.3, reset_mechanism="none"),
    "leaky_per_neuron": lambda n: snn("Leaky", beta=torch.rand(n), threshold=torch.rand(n) + 0.4)(n),
    "synaptic": snn("Synaptic", alpha=0.8, beta=0.7),
    "synaptic_zero": snn("Synaptic", alpha=0.8, beta=0.7, reset_mechanism="zero"),
    "lapicque": snn("Lapicque", beta=0.9, threshold=0.2),
    "lapicque_zero": snn("Lapicque", beta=0.9, threshold=0.2, reset_mechanism="zero"),
    "rleaky": recurrent("RLeaky", beta=0.9),
    "rleaky_zero": recurrent("RLeaky", beta=0.9, reset_mechanism="zero"),
    "rleaky_one_to_one": snn("RLeaky", beta=0.9, all_to_all=False, V=0.4),
    "rsynaptic": recurrent("RSynaptic", alpha=0.6, beta=0.9),
}


def spiking_jelly(*kinds: str) -> Any:
    base = pytest.importorskip("spikingjelly.activation_based.layer")
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = base.Conv2d(1, 3, 3, padding=1, step_mode="m"), base.BatchNorm2d(3, step_mode="m")
            self.conv2 = base.Conv2d(3, 3, 3, padding=1, groups=3, step_mode="m")
            self.pool, self.flat = base.AvgPool2d(2, step_mode="m"), base.Flatten(step_mode="m")
            self.fc = base.Linear(27, 5, step_mode="m")
            self.lif1, self.lif2, self.lif3 = (SPIKINGJELLY[kind](neuron) for kind in kinds)
            self.bn1.running_mean.uniform_(-0.3, 0.3)
            self.bn1.running_var.uniform_(0.3, 0.6)

        def forward(self, x: Any) -> Any:
            first = self.lif1(self.bn1(self.conv1(x)))
            return self.lif3(self.fc(self.flat(self.pool(first + self.lif2(self.conv2(first))))))

    return Residual()


SPIKINGJELLY = {
    "if": lambda neuron: neuron.IFNode(step_mode="m"),
    "if_soft": lambda neuron: neuron.IFNode(step_mode="m", v_reset=None, v_threshold=0.6),
    "lif": lambda neuron: neuron.LIFNode(tau=3.0, step_mode="m"),
    "lif_reset_below": lambda neuron: neuron.LIFNode(tau=2.0, v_reset=-0.3, v_threshold=0.4, step_mode="m"),
    "lif_no_decay_input": lambda neuron: neuron.LIFNode(tau=2.0, v_reset=None, decay_input=False, step_mode="m"),
    "plif": lambda neuron: neuron.ParametricLIFNode(init_tau=1.5, v_reset=None, v_threshold=0.5, step_mode="m"),
}


def norse(first: str, second: str) -> Any:
    library = pytest.importorskip("norse.torch")

    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            cells = {
                "lif": library.LIFCell(),
                "box": library.LIFBoxCell(library.LIFBoxParameters(tau_mem_inv=torch.as_tensor(600.0))),
                "recurrent": library.LIFRecurrentCell(9, 9),
                "iaf": library.IAFCell(),
            }
            self.net = library.SequentialState(nn.Linear(6, 9), cells[first], nn.Linear(9, 5), cells[second])

        def forward(self, x: Any) -> Any:
            state, shown = None, []
            for t in range(STEPS):
                out, state = self.net(x[t], state)
                shown.append(out)
            return torch.stack(shown)

    return Steps()


def sinabs(first: dict[str, Any], second: dict[str, Any]) -> Any:
    library = pytest.importorskip("sinabs.layers")
    made = [library.LIF(**o) if "tau_mem" in o else library.IAF(**o) for o in (first, second)]
    return nn.Sequential(nn.Linear(6, 9), made[0], nn.Linear(9, 5), made[1])


def spike_rule(name: str, *args: int) -> Any:
    rule = getattr(pytest.importorskip("sinabs.activation"), name)
    return rule(*args) if args else rule


SEQUENCE, IMAGES, BATCH_FIRST = (STEPS, 1, 6), (STEPS, 1, 1, 6, 6), (1, STEPS, 6)
CASES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "leaky": (lambda: SnnTorch("leaky", "leaky_zero"), SEQUENCE),
    "leaky_none": (lambda: SnnTorch("leaky_per_neuron", "leaky_none"), SEQUENCE),
    "synaptic": (lambda: SnnTorch("synaptic", "synaptic_zero"), SEQUENCE),
    "lapicque": (lambda: SnnTorch("lapicque", "lapicque_zero"), SEQUENCE),
    "rleaky": (lambda: SnnTorch("rleaky", "rleaky_zero"), SEQUENCE),
    "rsynaptic": (lambda: SnnTorch("rleaky_one_to_one", "rsynaptic"), SEQUENCE),
    "static": (lambda: SnnTorch("leaky", "leaky", static=True), (1, 6)),
    "static_synaptic": (lambda: SnnTorch("synaptic", "leaky", static=True), (1, 6)),
    "spikingjelly": (lambda: spiking_jelly("if", "if_soft", "lif"), IMAGES),
    "spikingjelly_plif": (lambda: spiking_jelly("lif_reset_below", "lif_no_decay_input", "plif"), IMAGES),
    "norse": (lambda: norse("lif", "box"), SEQUENCE),
    "norse_recurrent": (lambda: norse("recurrent", "iaf"), SEQUENCE),
    "sinabs": (lambda: sinabs({"min_v_mem": -1.0}, {}), BATCH_FIRST),
    "sinabs_rules": (lambda: sinabs(single(), maximum()), BATCH_FIRST),
}


def single() -> dict[str, Any]:
    return {"tau_mem": 10.0, "tau_syn": 5.0, "spike_fn": spike_rule("SingleSpike")}


def maximum() -> dict[str, Any]:
    return {"tau_mem": 8.0, "spike_fn": spike_rule("MaxSpike", 3), "spike_threshold": 0.7}


def lively(module: Any) -> Any:
    """The module with weights large enough for spikes in every layer, whatever drew random numbers before."""
    dice = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for layer in (m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d)):
            reach = 2.0 / float(layer.weight[0].numel()) ** 0.5
            layer.weight.uniform_(-0.5 * reach, reach, generator=dice)
    return module


def whole(frames: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Frames (steps, ...) as the file takes them."""
    return frames[0].reshape(shape) if len(shape) == 2 else frames.reshape(shape)


@pytest.mark.parametrize("name", CASES)
def test_exports_are_read_spike_for_spike(name: str, tmp_path: Path) -> None:
    make, shape = CASES[name]
    torch.manual_seed(len(name))
    path = export(lively(make()), (torch.rand(shape),), tmp_path / f"{name}.onnx")
    network = check_network(load_onnx(path), "imported")
    bare = load_onnx(stripped(path))
    assert network.readout.kind == "spike_count"
    total = 0

    @settings(max_examples=6, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**31), st.sampled_from([1.0, 4.0, 12.0, 40.0]))
    @example(0, 40.0)
    @example(1, 150.0)
    def compare(seed: int, scale: float) -> None:
        nonlocal total
        random = np.random.default_rng(seed)
        frames = (scale * random.uniform(-0.5, 1, (STEPS, *network.inputs[0].shape))).astype(np.float32)
        frames = np.broadcast_to(frames[:1], frames.shape) if len(shape) == 2 else frames
        wanted = run_whole(path, whole(frames, shape))
        total += assert_same_spikes(network, frames, wanted)
        assert_same_spikes(bare, frames, wanted)

    compare()
    assert total > 0


def test_layers_and_populations_have_the_modules_names(tmp_path: Path) -> None:
    path = export(SnnTorch("rleaky", "rleaky"), (torch.rand(STEPS, 1, 6),), tmp_path / "net.onnx")
    network = ranvier.load(path)
    assert {n.name for n in network.nodes} == {
        "input",
        "fc1",
        "fc2",
        "lif1",
        "lif2",
        "lif1.recurrent",
        "lif2.recurrent",
    }
    assert network.readout == Readout("lif2", "spike_count")
    assert {(e.source, e.target, e.delay) for e in network.edges} >= {("lif1", "lif1.recurrent", 1), ("lif1", "fc2", 0)}


class Single(nn.Module):
    """One step that takes its states and returns them."""

    def __init__(self) -> None:
        super().__init__()
        library = pytest.importorskip("snntorch")
        self.fc1, self.lif1 = nn.Linear(6, 9), library.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(9, 5), library.Synaptic(alpha=0.8, beta=0.7)

    def forward(self, x: Any, mem1: Any, syn2: Any, mem2: Any) -> Any:
        spikes, mem1 = self.lif1(self.fc1(x), mem1)
        spikes, syn2, mem2 = self.lif2(self.fc2(spikes), syn2, mem2)
        return spikes, mem1, syn2, mem2


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_single_step_with_states(tmp_path: Path, dynamic: bool) -> None:
    batch = 3 if dynamic else 1
    inputs = torch.rand(batch, 6), torch.rand(batch, 9), torch.rand(batch, 5), torch.rand(batch, 5)
    shapes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},) * 4} if dynamic else {}
    names = {"output_names": ["spikes", "a", "b", "c"], "input_names": ["x", "mem1", "syn2", "mem2"]}
    path = export(lively(Single()), inputs, tmp_path / "step.onnx", **shapes, **names)
    network = load_onnx(path)
    frames = np.random.default_rng(0).uniform(-2, 4, (30, 1, 6)).astype(np.float32)
    states = {"mem1": ("a", (1, 9)), "syn2": ("b", (1, 5)), "mem2": ("c", (1, 5))}
    assert assert_same_spikes(network, frames, run_steps(path, frames, states)) > 0
    same = load_onnx(path, states={"mem1": "a", "syn2": "b", "mem2": "c"})
    assert [n.name for n in same.nodes] == [n.name for n in network.nodes]


@pytest.mark.parametrize("dynamic", [False, True])
def test_scan(tmp_path: Path, dynamic: bool) -> None:
    scan = pytest.importorskip("torch._higher_order_ops.scan").scan

    class Scanned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 9)

        def forward(self, x: Any) -> Any:
            def step(v: Any, current: Any) -> Any:
                h = 0.9 * v + current
                fired = (h - 1.0 >= 0).to(h.dtype)
                return h - fired * 1.0, fired

            return scan(step, torch.zeros(1, 9), self.fc(x))[1]

    shapes = {"dynamic_shapes": ({0: torch.export.Dim("time")},)} if dynamic else {}
    path = export(lively(Scanned()), (torch.rand(STEPS, 1, 6),), tmp_path / "scan.onnx", **shapes)
    network = load_onnx(path)
    assert network.populations[0].model.compare == ">="
    steps = 40 if dynamic else STEPS
    frames = np.random.default_rng(1).uniform(-2, 4, (steps, 1, 6)).astype(np.float32)
    assert assert_same_spikes(network, frames, run_whole(path, frames)) > 0


def test_an_exported_network_compiles(tmp_path: Path) -> None:
    path = export(lively(SnnTorch("leaky", "leaky")), (torch.rand(STEPS, 1, 6),), tmp_path / "net.onnx")
    x = np.random.default_rng(2).uniform(0, 2, (4, STEPS, 6))
    app = ranvier.compile(ranvier.load(path, coding="current"), target="loihi2", calibrate=x)
    assert app.run(x).outputs.shape == (4, STEPS, 5)
