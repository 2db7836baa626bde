"""NIR with the training frameworks themselves: their files read, and files for them read back by their importers.

Spikes are compared step by step with the framework's own. What their exporters and importers get wrong today is
shown by the tests at the end; ``docs/nir.md`` lists it.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.linear import Conv, Dense, Pool, Reshape
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.nir import load_nir
from ranvier.runtimes import reference
from ranvier.runtimes.exports.nir import export_nir

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = pytest.mark.filterwarnings("ignore")
STEPS = 60
SEEDS = (0, 1)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The importers' warnings about parameters that they do not read are what is tested here."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def stimulus(*shape: int, rate: float = 0.4) -> Any:
    """Random spikes of two samples (2, steps, *shape)."""
    return (torch.rand(2, STEPS, *shape) < rate).float()


def full(n: int, **values: float) -> dict[str, Any]:
    """One tensor of ``n`` equal values for each name."""
    return {name: torch.full((n,), value) for name, value in values.items()}


def between(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def louder(net: Any, factor: float) -> Any:
    """``net`` with stronger and rather positive weights, so that spikes get through."""
    for module in net:
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data = factor * (module.weight.data + 0.25 * module.weight.data.abs().max())
    return net


def agree(graph: Any, x: Any, spikes: Any, path: Path, **options: Any) -> None:
    """The file of ``graph``, read with ``options``, spikes as the framework did, which was not silent."""
    nir.write(path / "n.nir", graph)
    read = load_nir(path / "n.nir", **options)
    outputs = reference.run(read, x.numpy().astype(float)).outputs
    assert outputs.any()
    np.testing.assert_array_equal(outputs, np.asarray(spikes))


def stepped(net: Any, x: Any) -> Any:
    """Spikes (samples, steps, *shape) of a stateful module that takes one step a call."""
    made = []
    for t in range(x.shape[1]):
        out = net(x[:, t])
        made.append((out[0] if isinstance(out, tuple) else out).detach())
    return torch.stack(made, 1).numpy()


def with_state(net: Any, x: Any) -> Any:
    """The same of a module that takes and returns its state."""
    made, state = [], None
    for t in range(x.shape[1]):
        out, state = net(x[:, t], state)
        made.append((out[0] if isinstance(out, tuple) else out).detach())
    return torch.stack(made, 1).numpy()


# Their exporters


def _snntorch(kind: str, n: int, **options: Any) -> Any:
    snn = pytest.importorskip("snntorch")
    recurrent = {"linear_features": n} if kind.startswith("R") else {}
    synapse = full(n, alpha=between(0.5, 0.9)) if kind.endswith("Synaptic") else {}
    values = full(n, beta=between(0.6, 0.95), threshold=between(0.5, 1.5)) | synapse | recurrent
    return getattr(snn, kind)(**values, init_hidden=True, **options)


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
    net = louder(nn.Sequential(nn.Linear(6, 8), _snntorch(kind, 8, **options), nn.Linear(8, 3)), 1.5)
    net.append(_snntorch(kind.removeprefix("R"), 3, **options))
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


# Their importers


def chain(*nodes: Node) -> Network:
    edges = tuple(Edge(a.name, b.name) for a, b in pairwise(nodes))
    return Network("net", nodes, edges, Readout(nodes[-1].name))


def layered(rng: np.random.Generator, model: Callable[[], Lif]) -> Network:
    """Two dense layers, the first with a bias."""
    return chain(
        Input("x", (6,), "spikes"), Dense("fc1", rng.normal(0.2, 1, (8, 6)), rng.normal(0, 0.1, 8)),
        Neurons("lif1", (8,), model()), Dense("fc2", rng.normal(0.2, 1, (3, 8))), Neurons("lif2", (3,), model()),
    )  # fmt: skip


def recurrent(rng: np.random.Generator, model: Callable[[], Lif]) -> Network:
    """The same with weights from the first layer back to itself."""
    net = layered(rng, model)
    back = Dense("rec", rng.normal(-0.1, 0.15, (8, 8)))
    edges = (*net.edges, Edge("lif1", "rec", 1), Edge("rec", "lif1"))
    return Network("net", (*net.nodes, back), edges, net.readout)


def pictures(rng: np.random.Generator, model: Callable[[], Lif]) -> Network:
    """Grouped and padded convolutions, an average and a matrix."""
    first = Conv("c1", rng.normal(0.1, 1, (4, 2, 3, 3)), (2, 6, 6), rng.normal(0, 0.1, 4), padding=((1, 1), (1, 0)))
    return chain(
        Input("x", (2, 6, 6), "spikes"), first, Neurons("lif1", first.out_shape, model()),
        Pool("p", "average", first.out_shape, (2, 2), (2, 2), ((0, 0), (0, 0))),
        Conv("c2", rng.normal(0.3, 1, (4, 2, 2, 1)), (4, 3, 2), groups=2), Neurons("lif2", (4, 2, 2), model()),
        Reshape("flat", (4, 2, 2), (16,)), Dense("fc", rng.normal(0.3, 1, (3, 16))), Neurons("lif3", (3,), model()),
    )  # fmt: skip


def single(rng: np.random.Generator, net: Callable[..., Network], kind: str, **options: Any) -> Network:
    """``net`` of neurons of one kind, all weights float32 numbers."""
    threshold = rng.uniform(0.5, 1.5)
    if options.get("reset") == "subtract":
        options["reset_amount"] = np.array(threshold)
    dynamics: dict[str, Any] = {
        "IF": {},
        "LIF": {"keep_membrane": rng.uniform(0.6, 0.95)},
        "gain": {"keep_membrane": 0.75, "gain": rng.uniform(0.5, 1.5)},
        "CubaLIF": {"keep_membrane": rng.uniform(0.6, 0.95), "keep_current": rng.uniform(0.3, 0.8), "gain": 0.5},
    }[kind]
    model = Lif(threshold=np.array(threshold), **{k: np.array(v) for k, v in dynamics.items()}, **options)
    return net(rng, lambda: model)


def _import_snntorch(path: Path, _: int) -> Any:
    return pytest.importorskip("snntorch.import_nir").import_from_nir(nir.read(path, type_check=False))


def _import_norse(path: Path, _: int) -> Any:
    return pytest.importorskip("norse.torch").from_nir(nir.read(path, type_check=False), dt=1e-3)


def _import_spikingjelly(path: Path, _: int) -> Any:
    return pytest.importorskip("spikingjelly.activation_based.nir_exchange").import_from_nir(
        nir.read(path, type_check=False), dt=1e-4
    )


def _import_sinabs(path: Path, samples: int) -> Any:
    return pytest.importorskip("sinabs.nir").from_nir(nir.read(path, type_check=False), batch_size=samples)


IMPORT: dict[str, Callable[[Path, int], Any]] = {
    "snntorch": _import_snntorch,
    "norse": _import_norse,
    "spikingjelly": _import_spikingjelly,
    "sinabs": _import_sinabs,
}
NEURON: dict[str, dict[str, Any]] = {
    "snntorch": {},
    "norse": {},
    "spikingjelly": {"compare": ">="},
    "sinabs": {"compare": ">=", "max_spikes": 0, "reset": "subtract"},
}
READ_BACK = [
    *((reader, layered, "gain") for reader in ("snntorch", "norse", "spikingjelly", "sinabs")),
    *(("snntorch", net, kind) for net in (layered, pictures) for kind in ("IF", "LIF", "CubaLIF")),
    *(("norse", net, kind) for net in (layered, pictures, recurrent) for kind in ("IF", "LIF", "CubaLIF")),
    *(("spikingjelly", net, k) for net in (layered, pictures, recurrent) for k in ("IF", "LIF", "CubaLIF")),
    *(("sinabs", net, kind) for net in (layered, recurrent) for kind in ("IF", "LIF")),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("reader", "net", "kind"), READ_BACK)
def test_their_importers_spike_as_the_network(reader: Any, net: Any, kind: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = single(rng, net, kind, **NEURON[reader])
    notes = export_nir(network, tmp_path / "n.nir", reader=reader, portable=True)
    assert {note.code for note in notes} <= {"RV687"}
    x = stimulus(*network.inputs[0].shape, rate=0.3)
    wanted = reference.run(network, x.numpy().astype(float)).outputs
    made = [with_state(IMPORT[reader](tmp_path / "n.nir", 1), x[i : i + 1]).reshape(STEPS, -1) for i in range(2)]
    assert wanted.any()
    np.testing.assert_array_equal(np.stack(made), wanted)


# What they get wrong


def test_snntorch_cannot_export_neurons_with_one_value_for_a_layer() -> None:
    snn = pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir  # noqa: PLC0415 - the framework may be absent

    net = nn.Sequential(nn.Linear(6, 8), snn.Leaky(beta=0.9, init_hidden=True))
    with pytest.raises(ValueError, match="type mismatch"):
        export_to_nir(net, torch.zeros(1, 6), ignore_dims=[0])


def test_snntorch_cannot_export_recurrent_synapses_that_reset_at_once() -> None:
    pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir  # noqa: PLC0415 - the framework may be absent

    net = nn.Sequential(nn.Linear(6, 8), _snntorch("RSynaptic", 8, reset_mechanism="zero", reset_delay=False))
    with pytest.raises(ValueError, match="empty graph"):
        export_to_nir(net, torch.zeros(1, 6), ignore_dims=[0])


def test_snntorch_cannot_import_recurrent_layers(tmp_path: Path) -> None:
    network = single(np.random.default_rng(0), recurrent, "LIF")
    with pytest.raises(RanvierError, match="cannot import recurrent layers"):
        export_nir(network, tmp_path / "n.nir", reader="snntorch", portable=True)
    export_nir(network, tmp_path / "n.nir", reader="snntorch")
    with pytest.raises(AttributeError, match="no attribute 'items'"):
        _import_snntorch(tmp_path / "n.nir", 1)


def test_snntorch_imports_an_if_neuron_as_a_leaky_one(tmp_path: Path) -> None:
    node = nir.IF(r=np.ones(3), v_threshold=np.ones(3))
    graph = nir.NIRGraph.from_list(nir.Linear(np.eye(3)), node)
    imported = pytest.importorskip("snntorch.import_nir").import_from_nir(graph)
    (leaky,) = [m for m in imported.modules() if type(m).__name__ == "Leaky"]
    assert round(float(leaky.beta), 3) == 0.9
    export_nir(single(np.random.default_rng(0), layered, "IF"), tmp_path / "n.nir", reader="snntorch", portable=True)
    ours = [m for m in _import_snntorch(tmp_path / "n.nir", 1).modules() if type(m).__name__ == "Leaky"]
    assert [float(m.beta.max()) for m in ours] == [1.0, 1.0]


def test_norse_writes_scalars_that_no_nir_file_can_hold(tmp_path: Path) -> None:
    norse = pytest.importorskip("norse.torch")
    graph = norse.to_nir(norse.SequentialState(nn.Linear(6, 8), norse.LIFBoxCell()), torch.zeros(6), dt=1e-3)
    assert float(graph.nodes["1"].tau) == pytest.approx(1e-5), "0.01 s, times dt"
    with pytest.raises(TypeError, match="Scalar datasets"):
        nir.write(tmp_path / "n.nir", graph)


def test_norse_does_not_read_reset_values_and_resistances(tmp_path: Path) -> None:
    x = stimulus(6)
    network = single(np.random.default_rng(1), layered, "LIF", reset_value=np.array(-0.5))
    with pytest.raises(RanvierError, match="it resets to 0"):
        export_nir(network, tmp_path / "n.nir", reader="norse", portable=True)
    made = []
    for value, r in ((0.0, 1.0), (-5.0, 1.0), (0.0, 7.0)):
        ones = np.ones(6, np.float32)
        lif = nir.LIF(tau=ones * 2e-3, r=ones * r, v_leak=ones * 0, v_threshold=ones * 0.4, v_reset=ones * value)
        graph = nir.NIRGraph.from_list(nir.Linear(np.eye(6, dtype=np.float32)), lif)
        made.append(with_state(pytest.importorskip("norse.torch").from_nir(graph, dt=1e-3), x))
    assert made[0].any()
    assert (made[0] == made[1]).all()
    assert (made[0] == made[2]).all()


def test_spikingjelly_refuses_to_export_soft_resets() -> None:
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    with pytest.raises(NotImplementedError, match="soft reset"):
        exchange.export_to_nir(nn.Sequential(nn.Linear(6, 8), neuron.IFNode(v_reset=None)), torch.zeros(1, 6))


def test_sinabs_writes_convolutions_that_no_nir_file_can_hold(tmp_path: Path) -> None:
    layers, to_nir = pytest.importorskip("sinabs.layers"), pytest.importorskip("sinabs.nir").to_nir
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), layers.IAFSqueeze(batch_size=2), layers.SumPool2d(2), nn.Flatten(),
        nn.Linear(36, 3), layers.IAFSqueeze(batch_size=2),
    )  # fmt: skip
    x = stimulus(2, 6, 6)
    spikes = net(x.reshape(-1, 2, 6, 6)).detach().reshape(2, STEPS, 3).numpy()
    graph = to_nir(net, x.reshape(-1, 2, 6, 6))
    with pytest.raises(TypeError, match="must be specified"):
        nir.write(tmp_path / "n.nir", graph)
    graph.nodes["0"].input_shape = (6, 6)
    graph.nodes["3"].input_type = {"input": np.array([4, 3, 3])}
    agree(graph, x, spikes, tmp_path, preset="sinabs")


def test_sinabs_drops_matrices_without_a_bias_and_cannot_import_leaky_images(tmp_path: Path) -> None:
    from_nir = pytest.importorskip("sinabs.nir").from_nir
    node = nir.IF(r=np.ones(3), v_threshold=np.ones(3))
    silenced = from_nir(nir.NIRGraph.from_list(nir.Linear(np.zeros((3, 3))), node), batch_size=1)
    out = silenced(torch.ones(4, 3))
    assert (out[0] if isinstance(out, tuple) else out).any(), "zero weights let spikes through"
    network = single(np.random.default_rng(0), pictures, "LIF", **NEURON["sinabs"])
    with pytest.raises(RanvierError, match="LIF layers of one axis"):
        export_nir(network, tmp_path / "n.nir", reader="sinabs", portable=True)
    export_nir(network, tmp_path / "n.nir", reader="sinabs")
    with pytest.raises(ValueError, match="truth value"):
        _import_sinabs(tmp_path / "n.nir", 1)


def test_sinabs_holds_if_neurons_above_minus_their_threshold(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = single(np.random.default_rng(3), pictures, "IF", **NEURON["sinabs"])
    with pytest.raises(RanvierError, match="above minus the threshold"):
        export_nir(network, tmp_path / "n.nir", reader="sinabs", portable=True)
    floor = -float(network.populations[0].model.threshold)
    bounded = single(np.random.default_rng(3), pictures, "IF", **NEURON["sinabs"], floor=floor)
    export_nir(bounded, tmp_path / "n.nir", reader="sinabs", portable=True)
    x = stimulus(2, 6, 6)
    free, held = (reference.run(n, x.numpy().astype(float)).outputs for n in (network, bounded))
    made = [with_state(_import_sinabs(tmp_path / "n.nir", 1), x[i : i + 1]).reshape(STEPS, -1) for i in range(2)]
    np.testing.assert_array_equal(np.stack(made), held)
    assert (free != held).any()
