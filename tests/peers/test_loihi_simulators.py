"""``loihi.cuba_lif`` against two independent simulators of Loihi 1, bit for bit: nengo-loihi and brian2-loihi.

Both have one silent step of refractoriness, which is the step of the spike, as Loihi's default is. Where they differ
from Lava and so from us, which is past the 24-bit membrane for brian2-loihi, they are not asked.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, Population, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.programs import STATE_MAX, Features, chip_lif
from ranvier.runtimes import oracle, simulator
from support.peers import ask

BOTH = ("nengo-loihi", "brian2-loihi")
STEPS = 60


def lif(name: str, size: int, latency: int, **params: Any) -> Population:
    """A stock population."""
    registers = {"du": 300, "dv": 200, "vth": 400, "bias": 0} | params
    held = {key: np.asarray(value, np.int64) for key, value in registers.items()}
    return Population(name, (size,), chip_lif(Features()), held, {"u": np.array(0), "v": np.array(0)}, latency)


def network(seed: int, first: dict[str, Any], delays: tuple[int, ...] = (0, 0, 0, 0), exponent: int = 0) -> ChipNetwork:
    """20 inputs, 30 recurrent neurons, 12 neurons that also feed back, with even weights of both signs."""
    rng = np.random.default_rng(seed)
    ends = (("in", "a"), ("a", "a"), ("a", "b"), ("b", "a"))
    sizes = {"in": 20, "a": 30, "b": 12}
    links = tuple(
        Connection(f"{s}_{t}", s, t, dense(rng, sizes[t], sizes[s], 60 >> max(exponent, 0)), exponent, "mixed", delay)
        for (s, t), delay in zip(ends, delays, strict=True)
    )
    populations = lif("a", 30, 1, **first), lif("b", 12, 2 + delays[2], du=1500, dv=0, vth=700)
    return ChipNetwork("judged", "loihi1", (Port("in", (20,)),), populations, links, Readout("b"))


def dense(rng: np.random.Generator, targets: int, sources: int, most: int) -> DenseSynapse:
    """Even weights, a few more positive ones."""
    return DenseSynapse((2 * rng.integers(-most, most + most // 4, (targets, sources))).astype(np.int32))


def spikes(seed: int, inputs: int = 20, rate: float = 0.2) -> NDArray[np.uint8]:
    """Two samples."""
    return (np.random.default_rng(seed).random((2, STEPS, inputs)) < rate).astype(np.uint8)


def judged(peer: str, chip: ChipNetwork, frames: NDArray[Any], folder: Path) -> dict[str, NDArray[Any]]:
    """The oracle's arrays, once ``peer`` and the simulator have equalled every spike and state of them."""
    answer = ask(peer, chip, frames, folder)
    assert answer.refused == ""
    exact = oracle.run(chip, frames, ("spikes", "states"))
    fast = simulator.run(chip, frames, ("spikes", "states"))
    wanted = {f"spikes:{name}": value for name, value in exact.spikes.items()}
    wanted |= {f"{s}:{name}": value for name, states in exact.states.items() for s, value in states.items()}
    assert answer.arrays.keys() == wanted.keys()
    for key, value in wanted.items():
        what, _, name = key.partition(":")
        ours = fast.spikes[name] if what == "spikes" else fast.states[name][what]
        assert np.array_equal(ours, value), key
        different = np.argwhere(answer.arrays[key] != value)
        assert different.size == 0, (key, len(different), different[0])
    return wanted


@pytest.mark.parametrize("peer", BOTH)
@pytest.mark.parametrize(("du", "dv"), [(0, 0), (300, 200), (4095, 1000), (1023, 4095)])
def test_decays_recurrence_and_refractory(peer: str, du: int, dv: int, tmp_path: Path) -> None:
    found = judged(peer, network(du + dv, {"du": du, "dv": dv, "vth": 900}), spikes(1), tmp_path)
    assert 0.001 < found["spikes:a"].mean() < 0.999
    assert found["u:a"].min() < 0 < found["u:a"].max()


@pytest.mark.parametrize("peer", BOTH)
@pytest.mark.parametrize("exponent", [-1, 2])
def test_weight_exponents(peer: str, exponent: int, tmp_path: Path) -> None:
    found = judged(peer, network(7, {"vth": 300}, exponent=exponent), spikes(2), tmp_path)
    assert found["spikes:b"].any()


def test_delays(tmp_path: Path) -> None:
    found = judged("brian2-loihi", network(8, {"vth": 500}, delays=(0, 3, 5, 1)), spikes(3), tmp_path)
    assert found["spikes:b"].any()
    refused = ask("nengo-loihi", network(8, {}, delays=(0, 3, 5, 1)), spikes(3), tmp_path).refused
    assert "no delays" in refused


def test_biases_and_registers_of_each_neuron(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    own = {"bias": rng.integers(-900, 2000, 30), "vth": rng.integers(100, 900, 30), "dv": rng.integers(0, 4096, 30)}
    chip = network(9, own)
    silent = np.zeros((1, STEPS, 20), np.uint8)
    found = judged("nengo-loihi", chip, np.concatenate([spikes(4), silent]), tmp_path)
    assert found["spikes:a"][2].any()
    biased = replace(chip, populations=(lif("a", 30, 1, bias=5), chip.populations[1]))
    assert "bias" in ask("brian2-loihi", biased, spikes(4), tmp_path).refused


def strong(weight: int, **params: int) -> ChipNetwork:
    """128 inputs that all push eight neurons in one direction."""
    synapse = DenseSynapse(np.full((8, 128), weight, np.int32) - 2 * np.arange(8, dtype=np.int32)[:, None])
    links = (Connection("in_a", "in", "a", synapse, 0, "mixed", 0),)
    return ChipNetwork("strong", "loihi1", (Port("in", (128,)),), (lif("a", 8, 1, **params),), links, Readout("a"))


def test_currents_wrap_at_24_bits(tmp_path: Path) -> None:
    frames = spikes(5, 128, 0.9)
    found = judged("nengo-loihi", strong(250, du=0, dv=100, vth=131071), frames, tmp_path)
    rising = np.diff(found["u:a"], axis=1)
    assert rising.max() > 0 > rising.min()
    assert found["u:a"].min() < -(2**22)


def test_membranes_stop_at_24_bits(tmp_path: Path) -> None:
    found = judged("nengo-loihi", strong(-200, du=4095, dv=0), spikes(6, 128, 0.5), tmp_path)
    assert found["v:a"].min() == -STATE_MAX
