"""What the exporters and importers of the training frameworks get wrong today; ``docs/nir.md`` lists it."""

from pathlib import Path

import nir
import numpy as np
import pytest

from ranvier.compiler.diagnostics import RanvierError
from ranvier.runtimes import reference
from ranvier.runtimes.exports.nir import export_nir
from support.nir_frameworks import (
    NEURON,
    STEPS,
    agree,
    import_sinabs,
    import_snntorch,
    layered,
    nn,
    pictures,
    recurrent,
    single,
    snntorch_neuron,
    stimulus,
    torch,
    with_state,
)

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("quiet")]


def test_snntorch_cannot_export_neurons_with_one_value_for_a_layer() -> None:
    snn = pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir  # noqa: PLC0415 - the framework may be absent

    net = nn.Sequential(nn.Linear(6, 8), snn.Leaky(beta=0.9, init_hidden=True))
    with pytest.raises(ValueError, match="type mismatch"):
        export_to_nir(net, torch.zeros(1, 6), ignore_dims=[0])


def test_snntorch_cannot_export_recurrent_synapses_that_reset_at_once() -> None:
    pytest.importorskip("snntorch")
    from snntorch.export_nir import export_to_nir  # noqa: PLC0415 - the framework may be absent

    net = nn.Sequential(nn.Linear(6, 8), snntorch_neuron("RSynaptic", 8, reset_mechanism="zero", reset_delay=False))
    with pytest.raises(ValueError, match="empty graph"):
        export_to_nir(net, torch.zeros(1, 6), ignore_dims=[0])


def test_snntorch_cannot_import_recurrent_layers(tmp_path: Path) -> None:
    network = single(np.random.default_rng(0), recurrent, "LIF")
    with pytest.raises(RanvierError, match="cannot import recurrent layers"):
        export_nir(network, tmp_path / "n.nir", reader="snntorch", portable=True)
    export_nir(network, tmp_path / "n.nir", reader="snntorch")
    with pytest.raises(AttributeError, match="no attribute 'items'"):
        import_snntorch(tmp_path / "n.nir", 1)


def test_snntorch_imports_an_if_neuron_as_a_leaky_one(tmp_path: Path) -> None:
    node = nir.IF(r=np.ones(3), v_threshold=np.ones(3))
    graph = nir.NIRGraph.from_list(nir.Linear(np.eye(3)), node)
    imported = pytest.importorskip("snntorch.import_nir").import_from_nir(graph)
    (leaky,) = [m for m in imported.modules() if type(m).__name__ == "Leaky"]
    assert round(float(leaky.beta), 3) == 0.9
    export_nir(single(np.random.default_rng(0), layered, "IF"), tmp_path / "n.nir", reader="snntorch", portable=True)
    ours = [m for m in import_snntorch(tmp_path / "n.nir", 1).modules() if type(m).__name__ == "Leaky"]
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
        import_sinabs(tmp_path / "n.nir", 1)


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
    made = [with_state(import_sinabs(tmp_path / "n.nir", 1), x[i : i + 1]).reshape(STEPS, -1) for i in range(2)]
    np.testing.assert_array_equal(np.stack(made), held)
    assert (free != held).any()
