"""NIR files written for the training frameworks: read by their importers, they spike as the network does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier.runtimes import reference
from ranvier.runtimes.exports.nir import export_nir
from support.nir_frameworks import (
    IMPORT,
    NEURON,
    SEEDS,
    STEPS,
    layered,
    pictures,
    recurrent,
    single,
    stimulus,
    torch,
    with_state,
)

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("quiet")]


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
