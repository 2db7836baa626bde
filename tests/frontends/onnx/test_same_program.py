"""The same network as a torch module and as an ONNX file of it compiles to the same program, byte for byte."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ranvier
from ranvier.compiler.ir.network import Network, Neurons
from ranvier.compiler.ir.text import dump
from ranvier.compiler.pipeline import prepare
from ranvier.frontends.onnx import load_onnx
from support.onnx_files import export, stripped
from support.onnx_networks import (
    STEPS,
    AlphaShaped,
    Convolutional,
    Currents,
    Decoded,
    Largest,
    Leak,
    OneToOne,
    Recurrent,
    Residual,
    Sequential,
    SequentialStep,
    Tutorial,
    TutorialStep,
    from_model,
    lively,
    sinabs_lif,
)

pytest.importorskip("onnxscript")
SEQUENCE, FRAME, IMAGES, LARGER, BATCH_FIRST = (
    (STEPS, 1, 12),
    (1, 12),
    (STEPS, 1, 2, 6, 6),
    (STEPS, 1, 2, 8, 8),
    (1, STEPS, 12),
)
CASES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "snntorch": (Tutorial, SEQUENCE),
    "snntorch static": (lambda: Tutorial(static=True), FRAME),
    "snntorch no reset": (lambda: Tutorial(reset_mechanism="none", threshold=0.4), SEQUENCE),
    "snntorch currents": (Currents, SEQUENCE),
    "snntorch alpha": (AlphaShaped, SEQUENCE),
    "snntorch alpha, no reset": (lambda: AlphaShaped(reset_mechanism="none"), SEQUENCE),
    "neurons fed by neurons": (OneToOne, SEQUENCE),
    "snntorch recurrent": (Recurrent, SEQUENCE),
    "batch norm, max pool": (Convolutional, LARGER),
    "sew": (lambda: Residual("IFNode"), IMAGES),
    "norse": (lambda: Sequential("LIF", "LIFBox"), SEQUENCE),
    "norse recurrent": (lambda: Sequential("LIFRecurrent", "IAF"), SEQUENCE),
    "norse largest": (lambda: Sequential("LIF", "LI", largest=True), SEQUENCE),
    "last layer, mean": (lambda: Decoded("mean"), SEQUENCE),
    "last layer, largest": (lambda: Decoded("max"), SEQUENCE),
    "sinabs from_model": (from_model, (STEPS, 2, 6, 6)),
    "sinabs leak": (Leak, BATCH_FIRST),
}


ALL = os.environ.get("HYPOTHESIS_PROFILE") == "all"
QUICK = (
    "snntorch currents", "snntorch alpha", "neurons fed by neurons", "batch norm, max pool", "norse recurrent",
    "last layer, mean", "sinabs leak",
)  # fmt: skip
"""Those that always run; exporting takes long, so that the others do under HYPOTHESIS_PROFILE=all alone."""
thorough = pytest.mark.skipif(not ALL, reason="exports take long")


def from_torch(make: Callable[[], Any], shape: tuple[int, ...], **options: Any) -> Network:
    sample = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    batched = torch.cat([sample] * 2, 1) if shape[:2] == (STEPS, 1) else sample
    return plain(ranvier.load(lively(make()), sample=batched, coding="current", **options))


def from_onnx(path: Path, **options: Any) -> Network:
    return plain(ranvier.load(path, coding="current", **options))


def plain(network: Network) -> Network:
    """Without what says where a network comes from: its name and its notes."""
    return replace(network, name="net", notes=())


def program(network: Network, folder: Path) -> bytes:
    """The artifact, calibrated on the same data for every network of the same shape."""
    x = np.random.default_rng(0).uniform(0, 2, (4, STEPS, *network.inputs[0].shape))
    ranvier.compile(network, target="loihi2", calibrate=x).save(folder / "program.rnv")
    return (folder / "program.rnv").read_bytes()


def exported(make: Callable[[], Any], shape: tuple[int, ...], folder: Path, **options: Any) -> Path:
    """The file that torch writes of the network."""
    return export(lively(make()), (torch.rand(shape),), folder / "net.onnx", **options)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The export of the network with this name, made once."""
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = exported(*CASES[name], tmp_path_factory.mktemp("exported"))
        return made[name]

    return of


@pytest.mark.parametrize("name", CASES if ALL else QUICK)
def test_a_network_with_its_loop_unrolled(name: str, file: Any, tmp_path: Path) -> None:
    assert program(from_onnx(file(name)), tmp_path) == program(from_torch(*CASES[name]), tmp_path)


@pytest.mark.parametrize("name", ["snntorch recurrent", "sew"] if ALL else ["neurons fed by neurons"])
def test_a_file_that_the_exporter_has_not_optimized(name: str, tmp_path: Path) -> None:
    read = from_onnx(exported(*CASES[name], tmp_path, optimize=False))
    assert program(read, tmp_path) == program(from_torch(*CASES[name]), tmp_path)


@pytest.mark.parametrize("name", ["snntorch currents", "batch norm, max pool", "norse recurrent", *["sew"] * ALL])
def test_a_file_without_names_differs_in_names_alone(name: str, file: Any) -> None:
    named, bare = (dump(prepare(network))[1] for network in (from_onnx(file(name)), from_onnx(stripped(file(name)))))
    assert list(named) != list(bare)
    assert len(named) == len(bare)
    assert all(np.array_equal(x, y) for x, y in zip(named.values(), bare.values(), strict=True))


def test_a_single_step_with_states(tmp_path: Path) -> None:
    states = torch.rand(1, 12), torch.rand(1, 10), torch.rand(1, 4)
    read = from_onnx(export(lively(TutorialStep()), states, tmp_path / "step.onnx"))
    assert program(read, tmp_path) == program(from_torch(Tutorial, SEQUENCE), tmp_path)


@thorough
def test_a_single_step_that_ends_with_an_integrator(tmp_path: Path) -> None:
    states = tuple(torch.rand(1, n) for n in (12, 9, 9, 5, 5))
    read = from_onnx(export(lively(SequentialStep()), states, tmp_path / "step.onnx"), readout="max_membrane")
    network = from_torch(lambda: Sequential("LIF", "LI", largest=True), SEQUENCE)
    assert program(read, tmp_path) == program(network, tmp_path)


class Loop(nn.Module):
    """A neuron written by hand, in a Python loop or as Scan."""

    def __init__(self, scanned: bool) -> None:
        super().__init__()
        self.fc, self.scanned = nn.Linear(12, 9), scanned

    @staticmethod
    def step(v: Any, current: Any) -> Any:
        h = 0.9 * v + current
        fired = (h - 1.0 >= 0).to(h.dtype)
        return h - fired * 1.0, fired

    def forward(self, x: Any) -> Any:
        if self.scanned:
            scan = pytest.importorskip("torch._higher_order_ops.scan").scan
            return scan(self.step, torch.zeros(1, 9), self.fc(x))[1]
        v, shown = torch.zeros(1, 9), []
        for current in self.fc(x):
            v, fired = self.step(v, current)
            shown.append(fired)
        return torch.stack(shown)


@thorough
def test_scan_is_the_loop_unrolled(tmp_path: Path) -> None:
    made = [program(from_onnx(exported(lambda s=s: Loop(s), SEQUENCE, tmp_path)), tmp_path) for s in (False, True)]  # type: ignore[misc]
    assert made[0] == made[1]


@pytest.mark.parametrize("make", [sinabs_lif, *[lambda: Residual("ParametricLIFNode", init_tau=1.7)] * ALL])
def test_exponentials_are_rounded_by_who_computes_them(make: Callable[[], Any], tmp_path: Path) -> None:
    """A decay that torch computes when it exports is exact; ``exp`` and ``sigmoid`` by another hand may be one bit off.

    The exporter's optimizer computes Sinabs' exponential, but not quite as torch does; left in the file it is exact.
    With SpikingJelly's sigmoid it is the other way round.
    """
    shape = BATCH_FIRST if make is sinabs_lif else IMAGES
    network, optimized = from_torch(make, shape), make is not sinabs_lif
    exact = from_onnx(exported(make, shape, tmp_path, optimize=optimized))
    assert program(exact, tmp_path) == program(network, tmp_path)
    rounded = from_onnx(exported(make, shape, tmp_path, optimize=not optimized))
    assert program(rounded, tmp_path) != program(network, tmp_path)
    for mine, theirs in zip(rounded.populations, network.populations, strict=True):
        for x, y in zip(vars(mine.model).values(), vars(theirs.model).values(), strict=True):
            assert np.allclose(x, y, rtol=3e-7) if isinstance(x, np.ndarray) else x == y


def test_a_threshold_whose_spikes_nobody_takes_is_not_in_the_file(tmp_path: Path) -> None:
    def without_threshold(node: Any) -> Any:
        spikeless = isinstance(node, Neurons) and node.name == "lif2"
        return replace(node, model=replace(node.model, threshold=np.array(np.inf))) if spikeless else node

    network = from_torch(Largest, SEQUENCE)
    read = from_onnx(exported(Largest, SEQUENCE, tmp_path))
    assert program(read, tmp_path) != program(network, tmp_path)
    silenced = replace(network, nodes=tuple(without_threshold(n) for n in network.nodes))
    assert program(read, tmp_path) == program(silenced, tmp_path)


def test_the_name_of_the_file_is_the_name_of_the_network(file: Any) -> None:
    assert load_onnx(file("norse recurrent")).name == "net"
