"""Networks with delays, loops over layers, relays and transposed convolutions in Lava."""

import pytest

from ranvier.compiler.pipeline import Options, lower, prepare
from ranvier.runtimes.observe import observe
from ranvier.targets.load import load_target
from support.lava_networks import assert_lava_agrees
from support.topologies import spikes_for, topologies

pytestmark = pytest.mark.usefixtures("lava")


@pytest.mark.parametrize("name", ["axons", "across", "relays", "transposed"])
def test_lava_agrees(name: str) -> None:
    network = topologies()[name]
    inputs, prepared = spikes_for(network, 2, 10), prepare(network)
    assert_lava_agrees(lower(prepared, load_target("loihi2"), observe(prepared, inputs), Options()), inputs)
