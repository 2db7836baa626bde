"""NIR files of the training frameworks: read, they spike step by step as the framework does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.nir_frameworks import (
    SEEDS,
    STEPS,
    agree,
    between,
    full,
    louder,
    nn,
    snntorch_neuron,
    stepped,
    stimulus,
    torch,
    with_state,
)

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("quiet")]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("kind", "mechanism", "delay", "reset"),
    [
        *((kind, "subtract", True, "delayed_subtract") for kind in ("Leaky", "Synaptic", "RLeaky", "RSynaptic")),
        *((kind, "zero", True, "delayed_value") for kind in ("Leaky", "Synaptic", "RLeaky", "RSynaptic")),
        *((kind, "zero", False, "value") for kind in ("Leaky", "Synaptic", "RLeaky")),
    ],
)
def test_snntorch_exports(kind: str, mechanism: str, delay: bool, reset: Any, seed: int, tmp_path: Path) -> None:
    pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir  # noqa: PLC0415 - the framework may be absent

    torch.manual_seed(seed)
    options = {"reset_mechanism": mechanism, "reset_delay": delay}
    net = louder(nn.Sequential(nn.Linear(6, 8), snntorch_neuron(kind, 8, **options), nn.Linear(8, 3)), 1.5)
    net.append(snntorch_neuron(kind.removeprefix("R"), 3, **options))
    graph = export_to_nir(net, torch.zeros(1, 6), ignore_dims=[0])
    x = stimulus(6)
    for module in (net[1], net[3]):
        module.reset_mem()
    agree(graph, x, stepped(net, x), tmp_path, preset="snntorch", reset=reset)


def _norse(kind: str, n: int) -> Any:
    norse = pytest.importorskip("norse.torch")
    if kind == "IAF":
        return norse.IAFCell(norse.IAFParameters(**full(n, v_th=between(0.5, 1.5), v_reset=0.0)))
    values = full(n, tau_mem_inv=between(50, 400), v_th=between(0.2, 1), v_reset=0.0)
    if kind == "LIFBox":
        return norse.LIFBoxCell(norse.LIFBoxParameters(**values, **full(n, v_leak=between(-0.1, 0.1))))
    return norse.LIFCell(norse.LIFParameters(**values, **full(n, tau_syn_inv=between(100, 500), v_leak=0.0)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["LIF", "LIFBox", "IAF"])
def test_norse_exports(kind: str, seed: int, tmp_path: Path) -> None:
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(seed)
    net = norse.SequentialState(*louder([nn.Linear(6, 8), _norse(kind, 8), nn.Linear(8, 3), _norse(kind, 3)], 5.0))
    graph = norse.to_nir(net, torch.zeros(6), dt=1e-3)
    x = stimulus(6)
    agree(graph, x, with_state(net, x), tmp_path, preset="norse")


def _spikingjelly(kind: str) -> Any:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    threshold, tau = between(0.5, 1.5), between(1.5, 4.0)
    made: dict[str, Callable[[], Any]] = {
        "IF": lambda: neuron.IFNode(v_threshold=threshold),
        "IF to a value": lambda: neuron.IFNode(v_threshold=threshold, v_reset=-0.25),
        "LIF": lambda: neuron.LIFNode(tau, v_threshold=threshold / 2),
        "LIF, input not decayed": lambda: neuron.LIFNode(tau, decay_input=False, v_threshold=threshold),
        "LIF to a value": lambda: neuron.LIFNode(tau, v_threshold=threshold / 2, v_reset=-0.25),
        "ParametricLIF": lambda: neuron.ParametricLIFNode(tau, v_threshold=threshold / 2),
        "CUBALIF": lambda: neuron.CUBALIFNode(c_decay=between(0.3, 0.8), v_decay=between(0.5, 0.9)),
    }
    return made[kind]()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "kind", ["IF", "IF to a value", "LIF", "LIF, input not decayed", "LIF to a value", "ParametricLIF", "CUBALIF"]
)
def test_spikingjelly_exports(kind: str, seed: int, tmp_path: Path) -> None:
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import functional, layer  # noqa: PLC0415 - the framework may be absent

    torch.manual_seed(seed)
    layers = [layer.Conv2d(2, 4, 3, padding=1), _spikingjelly(kind), layer.AvgPool2d(2), layer.Flatten()]
    net = louder(nn.Sequential(*layers, layer.Linear(36, 3), _spikingjelly(kind)), 4.0)
    graph = exchange.export_to_nir(net, torch.zeros(1, 2, 6, 6), dt=1e-4)
    x = stimulus(2, 6, 6)
    functional.reset_net(net)
    agree(graph, x, stepped(net, x), tmp_path, preset="spikingjelly")


SINABS: dict[str, dict[str, Any]] = {
    "IAF": {},
    "IAF with a floor": {"floor": -1.0},
    "IAF, one spike": {"max_spikes": 1},
    "IAF, reset to 0": {"reset": "value"},
    "LIF": {},
}


def _sinabs(kind: str, n: int) -> Any:
    layers, activation = pytest.importorskip("sinabs.layers"), pytest.importorskip("sinabs.activation")
    if kind == "LIF":
        values = full(n, tau_mem=between(4, 20), spike_threshold=between(0.1, 0.3))
        return layers.LIFSqueeze(**values, batch_size=2)
    options = {
        "IAF with a floor": {"min_v_mem": -1.0},
        "IAF, one spike": {"spike_fn": activation.SingleSpike},
        "IAF, reset to 0": {"reset_fn": activation.MembraneReset()},
    }
    return layers.IAFSqueeze(batch_size=2, **options.get(kind, {}))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", list(SINABS))
def test_sinabs_exports(kind: str, seed: int, tmp_path: Path) -> None:
    to_nir = pytest.importorskip("sinabs.nir").to_nir
    torch.manual_seed(seed)
    net = louder(nn.Sequential(nn.Linear(6, 8), _sinabs(kind, 8), nn.Linear(8, 3), _sinabs(kind, 3)), 4.0)
    x = stimulus(6)
    spikes = net(x.reshape(-1, 6)).detach().reshape(2, STEPS, 3).numpy()
    agree(to_nir(net, x.reshape(-1, 6)), x, spikes, tmp_path, preset="sinabs", **SINABS[kind])
