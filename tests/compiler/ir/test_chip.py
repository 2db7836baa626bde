"""Chip networks as data: copies, freezing, timing."""

from dataclasses import replace

import numpy as np
import pytest

from ranvier.compiler.ir.chip import Connection, DenseSynapse
from support.verification import layered_chip, population


def test_weights_are_read_only_copies_of_whole_32_bit_numbers():
    mine = np.array([[2, 4]])
    synapse = DenseSynapse(mine)
    mine[0, 0] = 6
    assert synapse.weight.tolist() == [[2, 4]]
    assert (synapse.in_size, synapse.out_size) == (2, 1)
    with pytest.raises(ValueError, match="read-only"):
        synapse.weight[0, 0] = 1
    for bad in (np.array([[1.5]]), np.array([[2**31]])):
        with pytest.raises(AssertionError):
            DenseSynapse(bad)


def test_delays_in_network_steps_take_out_the_latencies():
    chip = layered_chip()
    assert [chip.network_delay(c) for c in chip.connections] == [0, 0, 0]
    loop = Connection("loop", "last", "middle", chip.connections[0].synapse, 0, "mixed", 3)
    assert chip.network_delay(loop) == 3 + 1 + 3 - 2
    assert chip.latency == 3
    assert replace(chip, populations=(), connections=()).latency == 0


def test_lookups_by_name_and_target():
    chip = layered_chip()
    assert set(chip.by_name) == {"input", "first", "middle", "last"}
    assert [c.name for c in chip.into["middle"]] == ["to middle"]


def test_equal_parameters_are_kept_once():
    p = population("p", 3, 1, 5)
    spread = replace(
        p, params={**p.params, "vth": np.array([5, 5, 5])}, initial={**p.initial, "v": np.array([1, 2, 3])}
    )
    assert spread.params["vth"].shape == ()
    assert spread.initial["v"].shape == (3,)
