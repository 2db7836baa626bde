"""Files that the frameworks' own exporters write: read with the preset, which is reported, and compiled."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

import ranvier
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.network import Network
from support import kinds
from support.nir_files import write_chain

norse = pytest.importorskip("norse.torch")
snn = pytest.importorskip("snntorch")
pytestmark = pytest.mark.filterwarnings("ignore")
STEPS, SAMPLES = 40, 3


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The importers warn about parameters that they do not read."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def full(n: int, **values: float) -> dict[str, Any]:
    return {name: torch.full((n,), value) for name, value in values.items()}


def dense(inputs: int, outputs: int, strength: float) -> nn.Linear:
    """A layer with rather positive weights."""
    made = nn.Linear(inputs, outputs)
    with torch.no_grad():
        made.weight.copy_(strength * (made.weight + 0.25 * made.weight.abs().max()))
    return made


def _snntorch() -> Any:
    from snntorch.export_nir import export_to_nir  # noqa: PLC0415 - imported where it is used, like all exporters

    options: dict[str, Any] = {"init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
    net = nn.Sequential(
        dense(6, 10, 1.5), snn.RLeaky(linear_features=10, **full(10, beta=0.9, threshold=1.0), **options),
        dense(10, 3, 1.5), snn.Leaky(**full(3, beta=0.8, threshold=1.0), **options),
    )  # fmt: skip
    return export_to_nir(net, torch.zeros(1, 6), ignore_dims=[0])


def _norse() -> Any:
    def lif(n: int) -> Any:
        values = full(n, tau_mem_inv=150.0, tau_syn_inv=300.0, v_th=0.5, v_reset=0.0, v_leak=0.0)
        return norse.LIFCell(norse.LIFParameters(**values))

    net = norse.SequentialState(dense(6, 10, 5.0), lif(10), dense(10, 3, 5.0), lif(3))
    return norse.to_nir(net, torch.zeros(6), dt=1e-3)


def _spikingjelly() -> Any:
    from spikingjelly.activation_based import layer, neuron  # noqa: PLC0415
    from spikingjelly.activation_based.nir_exchange import export_to_nir  # noqa: PLC0415

    conv = layer.Conv2d(2, 4, 3, padding=1)
    conv.weight.data = 2.0 * (conv.weight.data + 0.1)
    linear = layer.Linear(36, 3)
    linear.weight.data = 3.0 * (linear.weight.data + 0.05)
    net = nn.Sequential(conv, neuron.IFNode(), layer.AvgPool2d(2), layer.Flatten(), linear, neuron.LIFNode(tau=3.0))
    return export_to_nir(net, torch.zeros(1, 2, 6, 6), dt=1e-4)


def _sinabs() -> Any:
    from sinabs.layers import IAFSqueeze, LIFSqueeze  # noqa: PLC0415
    from sinabs.nir import to_nir  # noqa: PLC0415

    leaky = LIFSqueeze(**full(3, tau_mem=8.0, spike_threshold=0.3), batch_size=1)
    net = nn.Sequential(dense(6, 10, 2.0), IAFSqueeze(batch_size=1), dense(10, 3, 2.0), leaky)
    return to_nir(net, torch.zeros(4, 6))


def _rockpool() -> Any:
    """CubaLIF as Rockpool writes it: ``r = tau_mem exp(-dt / tau_mem) / dt``, exponential decays."""
    tau_mem, tau_syn, dt = np.full(3, 20e-3), np.full(3, 10e-3), 1e-3
    r = tau_mem * np.exp(-dt / tau_mem) / dt
    values = {"v_leak": np.zeros(3), "v_threshold": np.ones(3), "v_reset": np.zeros(3), "w_in": np.ones(3)}
    node = nir.CubaLIF(tau_mem=tau_mem, tau_syn=tau_syn, r=r, **values)
    return np.random.default_rng(0).normal(0.1, 0.3, (3, 6)), node


EXPORTED: Mapping[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "snntorch": (_snntorch, {"reset": "value"}),
    "norse": (_norse, {}),
    "spikingjelly": (_spikingjelly, {}),
    "sinabs": (_sinabs, {}),
    "rockpool": (_rockpool, {}),
}


def read(name: str, folder: Path) -> Network:
    """The network in the file of exporter ``name``."""
    torch.manual_seed(3)
    make, options = EXPORTED[name]
    made = make()
    if name == "rockpool":
        write_chain(folder / "n.nir", (6,), nir.Linear(made[0]), made[1], out=3)
    else:
        nir.write(folder / "n.nir", made)
    network: Network = ranvier.load(folder / "n.nir", preset=name, **options)
    return network


def stimulus(net: Network) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(1).random((SAMPLES, STEPS, *net.inputs[0].shape)) < 0.4).astype(np.float64)


@pytest.mark.parametrize("name", EXPORTED)
def test_the_preset_is_reported(name: str, tmp_path: Path) -> None:
    notes = [note.text for note in read(name, tmp_path).notes if note.code == "RV120"]
    assert any(f"preset {name}" in text or f"preset '{name}'" in text for text in notes), notes


@pytest.mark.parametrize("name", EXPORTED)
def test_compiled_all_executors_agree(name: str, tmp_path: Path) -> None:
    net = read(name, tmp_path)
    x = stimulus(net)
    app = ranvier.compile(net, "loihi2", x)
    found = ranvier.verify(app, net, (x, None), ("simulator", "oracle"))
    assert found.agrees
    assert app.run(x).outputs.any()
    assert all(layer.fraction > 0.85 for layer in found.agreement.values())


@pytest.mark.parametrize("name", EXPORTED)
def test_written_again_it_is_the_same_program(name: str, tmp_path: Path) -> None:
    net = read(name, tmp_path)
    ranvier.export_nir(net, tmp_path / "again.nir")
    for index, each in enumerate((net, ranvier.load(tmp_path / "again.nir"))):
        ranvier.compile(each, "loihi2", stimulus(net)).save(tmp_path / f"{index}.rnv")
    assert (tmp_path / "0.rnv").read_bytes() == (tmp_path / "1.rnv").read_bytes()


@pytest.mark.parametrize("kind", [kind for kind in kinds.MODELS if kind != "alpha"])
def test_neurons_that_nir_does_not_have_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    net = kinds.network(kind)
    with pytest.raises(RanvierError) as found:
        ranvier.export_nir(net, tmp_path / "n.nir")
    strange = {p.name for p in net.populations if type(p.model).__name__ != "Lif"}
    assert {(d.code, d.place) for d in found.value.diagnostics} == {("RV682", name) for name in strange}
    assert all(type(kinds.MODELS[kind]).__name__ in d.message for d in found.value.diagnostics)
    assert all(".rnv" in d.fix for d in found.value.diagnostics)
    assert not (tmp_path / "n.nir").exists()
