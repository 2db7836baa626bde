"""The training frameworks beside NIR: their importers, random networks for them, and their spikes step by step."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from ranvier.compiler.ir.linear import Conv, Dense, Pool, Reshape
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Node, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.frontends.nir import load_nir
from ranvier.runtimes import reference

torch = pytest.importorskip("torch")
nn = torch.nn

STEPS = 60
SEEDS = (0, 1)


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


def snntorch_neuron(kind: str, n: int, **options: Any) -> Any:
    snn = pytest.importorskip("snntorch")
    recurrent = {"linear_features": n} if kind.startswith("R") else {}
    synapse = full(n, alpha=between(0.5, 0.9)) if kind.endswith("Synaptic") else {}
    values = full(n, beta=between(0.6, 0.95), threshold=between(0.5, 1.5)) | synapse | recurrent
    return getattr(snn, kind)(**values, init_hidden=True, **options)


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


def import_snntorch(path: Path, _: int) -> Any:
    return pytest.importorskip("snntorch.import_nir").import_from_nir(nir.read(path, type_check=False))


def import_norse(path: Path, _: int) -> Any:
    return pytest.importorskip("norse.torch").from_nir(nir.read(path, type_check=False), dt=1e-3)


def import_spikingjelly(path: Path, _: int) -> Any:
    return pytest.importorskip("spikingjelly.activation_based.nir_exchange").import_from_nir(
        nir.read(path, type_check=False), dt=1e-4
    )


def import_sinabs(path: Path, samples: int) -> Any:
    return pytest.importorskip("sinabs.nir").from_nir(nir.read(path, type_check=False), batch_size=samples)


IMPORT: dict[str, Callable[[Path, int], Any]] = {
    "snntorch": import_snntorch,
    "norse": import_norse,
    "spikingjelly": import_spikingjelly,
    "sinabs": import_sinabs,
}
NEURON: dict[str, dict[str, Any]] = {
    "snntorch": {},
    "norse": {},
    "spikingjelly": {"compare": ">="},
    "sinabs": {"compare": ">=", "max_spikes": 0, "reset": "subtract"},
}
