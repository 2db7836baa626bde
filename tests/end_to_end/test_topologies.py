"""Every topology through the whole way: float network, passes, chip network, executors; nothing differs anywhere."""

import numpy as np
import pytest

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.compiler.ir.text import dump, equal, parse
from ranvier.compiler.ir.verify import check_network
from ranvier.compiler.pipeline import Options, build, lower, prepare
from ranvier.runtimes import oracle, reference, simulator
from ranvier.runtimes.observe import observe
from ranvier.runtimes.recording import Recording
from ranvier.targets.load import load_target
from support.topologies import spikes_for, topologies

NETWORKS = topologies()
LOIHI2 = load_target("loihi2")
KEPT = ("spikes", "membrane")


def assert_equal(a: Recording, b: Recording) -> None:
    for name, spikes in a.spikes.items():
        np.testing.assert_array_equal(b.spikes[name], spikes, err_msg=name)
    np.testing.assert_array_equal(a.predictions, b.predictions)


def lowered(network: Network) -> ChipNetwork:
    prepared = prepare(network)
    return lower(prepared, LOIHI2, observe(prepared, spikes_for(network)), Options())


@pytest.mark.parametrize("name", NETWORKS)
def test_float_and_integer_networks_fire_alike(name: str) -> None:
    network = check_network(NETWORKS[name], "imported")
    inputs = spikes_for(network)
    imported, prepared = reference.run(network, inputs, KEPT), prepare(network)
    assert_equal(imported, reference.run(prepared, inputs, KEPT))
    assert_equal(imported, simulator.run(prepared, inputs, KEPT))
    chip = lowered(network)
    by_oracle, by_simulator = oracle.run(chip, inputs, KEPT), simulator.run(chip, inputs, KEPT)
    assert_equal(by_oracle, by_simulator)
    assert_equal(imported, by_oracle)
    assert not by_oracle.overflows
    assert all(spikes.any() for spikes in imported.spikes.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_placed_and_written_back_unchanged(name: str) -> None:
    network = NETWORKS[name]
    assert equal(parse(*dump(network)), network)
    program = build(prepare(network), LOIHI2)
    assert equal(parse(*dump(program)), program)
    assert program.placement.pieces


def test_each_axonal_delay_is_one_connection() -> None:
    network = NETWORKS["axons"]
    delays = {e.delay for e in network.edges if e.target.startswith("late.by")}
    chip = lowered(network)
    late = [c for c in chip.connections if (c.source, c.target) == ("n0", "n1")]
    assert {chip.network_delay(c) for c in late} == delays
    assert len(late) == len(delays) > 3
    assert {c.synapse.kind for c in late} == {"sparse"}
    entries = sum(int(np.count_nonzero(c.synapse.data)) for c in late if c.synapse.kind == "sparse")
    whole = next(op for op in network.linears if op.name == "b")
    assert entries == np.count_nonzero(whole.weight)


def test_loops_over_layers_are_retimed_without_slack() -> None:
    chip = lowered(NETWORKS["across"])
    assert [p.latency for p in chip.populations] == [1, 2, 3]
    delays = {(c.source, c.target): c.delay for c in chip.connections}
    assert delays["n2", "n0"] == delays["n1", "n0"] == 0


def test_a_transposed_convolution_without_stride_stays_a_convolution() -> None:
    kinds = {c.name: c.synapse.kind for c in lowered(NETWORKS["transposed_unit_stride"]).connections}
    assert kinds["op"] == "conv"
    assert {c.name: c.synapse.kind for c in lowered(NETWORKS["transposed"]).connections}["op"] == "sparse"
