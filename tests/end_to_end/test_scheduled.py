"""Published networks on real recordings, carried out in the order of schedules: what moves, and what they send."""

from collections.abc import Callable

import numpy as np
import pytest

import ranvier
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.compiler.pipeline import prepare
from ranvier.compiler.schedule.networks import chip_workload, network_workload
from ranvier.compiler.schedule.plan import planned
from ranvier.compiler.schedule.search import Evaluator, search
from ranvier.exploration.execution import execute
from ranvier.runtimes import simulator
from support import cases
from support.data import test_data
from support.schedules import small_core
from support.sew import sew

KIB = 8 * 2**10


def nmnist() -> tuple[Network, np.ndarray]:
    """The convolutional network of the NIR paper, with twelve steps in the middle of four recordings."""
    network = ranvier.load(test_data("nir_paper", "cnn_sinabs.nir"), preset="sinabs")
    data = ranvier.load_data(test_data("nmnist", "nmnist_test100.npz"), bin_us=1000, steps=112)
    return network, data.inputs[:4, 100:]


def braille() -> tuple[Network, np.ndarray]:
    """A recurrent network of the NIR paper, with fifty steps of every hundredth tactile sample."""
    case = cases.braille("bias, reset to zero")
    return case.network, case.inputs[::100, 60:110]


def carried_out(network: Network | ChipNetwork, inputs: np.ndarray, store: int) -> list[int]:
    """Off-chip bits of the uniform schedules and the one found, each carried out with every bit and spike compared."""
    core = small_core(store)
    chip = isinstance(network, ChipNetwork)
    workload = (
        chip_workload(network, inputs.shape[1]) if chip else network_workload(network, inputs.shape[1], core.bits.v)
    )
    found = search(Evaluator(workload, core))
    assert len(found.uniform) == 4
    plans = [planned(workload, point.schedule, core) for point in (*found.uniform.values(), found.best)]
    executions = execute(network, plans, inputs)
    for execution in executions:
        assert execution.agrees, execution.schedule
        assert execution.counted_bits == execution.modelled_bits
        assert execution.compared >= inputs.shape[0] * inputs.shape[1]
    return [execution.counted_bits for execution in executions]


@pytest.mark.parametrize("integers", [False, True], ids=["float", "loihi2"])
@pytest.mark.parametrize("made", [nmnist, braille])
def test_published_networks(made: Callable[[], tuple[Network, np.ndarray]], integers: bool) -> None:
    source, inputs = made()
    assert inputs.any()
    network = ranvier.compile(source, calibrate=inputs).program.chip if integers else prepare(source)
    spikes = simulator.run(network, inputs[:1], ("spikes",)).spikes
    assert any(sent.any() for sent in spikes.values())
    tight = carried_out(network, inputs[:1], KIB if made is braille else 16 * KIB)
    roomy = carried_out(network, inputs[:1], 1024 * KIB)
    assert len(set(roomy)) == 1, "where everything has room no schedule moves more than another"
    assert roomy[0] <= min(tight) < max(tight)


def test_the_shapes_of_sew_at_a_quarter_of_their_pixels_and_a_sixteenth_of_their_channels() -> None:
    """Seven blocks with their sums and pools, every layer spiking; the store is smaller as well."""
    network = prepare(sew(7, side=64, channels=4, seed=5))
    inputs = np.random.default_rng(2).random((1, 3, 2, 64, 64))
    assert all(spikes.any() for spikes in simulator.run(network, inputs, ("spikes",)).spikes.values())
    moved = carried_out(network, inputs, 16 * KIB)
    assert len(set(moved)) >= 3
