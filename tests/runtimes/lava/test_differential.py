"""Lava's own processes and the oracle agree, over all registers, weights, exponents and overflows."""

import numpy as np
import pytest

from ranvier.compiler.ir.chip import Port
from ranvier.compiler.ir.linear import SignMode
from ranvier.runtimes import oracle
from support.lava_networks import (
    GRID,
    assert_lava_agrees,
    connect,
    conv,
    dense,
    lava_processes,
    lif,
    network,
    sparse,
    spikes,
)

pytestmark = pytest.mark.usefixtures("lava")


def test_stock_neurons_over_all_registers() -> None:
    rng = np.random.default_rng(1)
    neurons = 400
    registers = {
        "du": rng.choice([-1, 0, 1, 400, 2047, 4094, 4095], neurons),
        "dv": rng.choice([0, 1, 128, 2048, 4095, 4096], neurons),
        "vth": rng.choice([0, 1, 64, 5000, 131071], neurons),
        "bias": rng.choice([0, 1, -1, 4095, -4095, 77], neurons) << rng.choice([0, 1, 6, 7], neurons),
    }
    chip = network(Port("input", (60,)), [lif("out", (neurons,), 1, params=registers)],
                   [connect("input", "out", dense(rng, neurons, 60))])  # fmt: skip
    assert lava_processes(chip) == {"LIFReset", "Dense"}
    assert_lava_agrees(chip, spikes(rng, 3, 25, (60,)))


@pytest.mark.parametrize("sign", ["mixed", "excitatory", "inhibitory"])
def test_weights_of_the_whole_grid_with_exponents_of_both_signs(sign: SignMode) -> None:
    rng = np.random.default_rng(2)
    layers, wires = [], []
    for exponent in (-7, -3, -1, 0, 1, 4, 7):
        for kind, make in (("d", dense), ("s", sparse)):
            name = f"{kind}{exponent}"
            layers.append(lif(name, (30,), 1, params={"du": 2000, "vth": 50 << max(exponent, 0)}))
            wires.append(connect("input", name, make(rng, 30, 40, sign), exponent, sign=sign))
    low, high, _ = GRID[sign]
    drawn = wires[0].synapse
    assert isinstance(drawn, type(dense(rng, 1, 1)))
    assert (drawn.weight.min(), drawn.weight.max()) == (low, high)
    chip = network(Port("input", (40,)), layers, wires)
    assert lava_processes(chip) == {"LIFReset", "Dense", "Sparse"}
    assert_lava_agrees(chip, spikes(rng, 2, 12, (40,)))


def test_current_that_wraps_at_24_bits() -> None:
    rng = np.random.default_rng(3)
    chip = network(
        Port("input", (512,)),
        [lif("sums", (20,), 1, params={"du": -1, "dv": 0, "vth": 131071})],
        [connect("input", "sums", dense(rng, 20, 512, "excitatory"), sign="excitatory")],
    )
    inputs = spikes(rng, 2, 30, (512,), 0.9)
    assert any(event.where != "input_sums" for event in oracle.run(chip, inputs).overflows)
    assert_lava_agrees(chip, inputs)


def test_sums_that_wrap_at_32_bits() -> None:
    rng = np.random.default_rng(4)
    layers = [lif("dense", (20,), 1), lif("sparse", (20,), 1)]
    chip = network(
        Port("input", (64,), bits=24),
        layers,
        [connect("input", "dense", dense(rng, 20, 64), 6), connect("input", "sparse", sparse(rng, 20, 64), 6)],
    )
    inputs = rng.integers(-(2**23) + 1, 2**23, (2, 6, 64)).astype(np.int32)
    assert {"input_dense", "input_sparse"} <= {event.where for event in oracle.run(chip, inputs).overflows}
    assert_lava_agrees(chip, inputs)


def test_convolutions_with_every_option() -> None:
    rng = np.random.default_rng(5)
    shape = (2, 6, 7)
    options = {
        "plain": conv(rng, shape, 3),
        "odd_kernel": conv(rng, shape, 2, kernel=(1, 3), padding=((0, 0), (1, 1))),
        "strided": conv(rng, shape, 3, stride=(2, 1), padding=((0, 0), (2, 2))),
        "dilated": conv(rng, shape, 2, dilation=(2, 3)),
        "grouped": conv(rng, shape, 4, groups=2),
    }
    layers = [lif(name, synapse.out_shape, 1) for name, synapse in options.items()]
    wires = [connect("input", name, synapse) for name, synapse in options.items()]
    flat = lif("flat", (5,), 2)
    wires.append(connect("grouped", "flat", dense(rng, 5, layers[-1].size)))
    chip = network(Port("input", shape), [*layers, flat], wires)
    assert lava_processes(chip) == {"LIFReset", "Conv", "Dense"}
    assert_lava_agrees(chip, spikes(rng, 2, 8, shape))


def test_graded_convolution_that_wraps_at_24_bits() -> None:
    rng = np.random.default_rng(6)
    synapse = conv(rng, (2, 5, 5), 3)
    chip = network(Port("input", (2, 5, 5), bits=16), [lif("out", (3, 5, 5), 1)], [connect("input", "out", synapse)])
    inputs = rng.integers(-(2**15) + 1, 2**15, (2, 5, 2, 5, 5)).astype(np.int32)
    assert any(event.where == "input_out" for event in oracle.run(chip, inputs).overflows)
    assert "Conv" in lava_processes(chip)
    assert_lava_agrees(chip, inputs)


def test_convolutions_that_lava_cannot_do_are_unrolled() -> None:
    rng = np.random.default_rng(7)
    shape = (1, 5, 5)
    uneven = conv(rng, shape, 2, padding=((0, 1), (1, 0)))
    late = conv(rng, shape, 2)
    layers = [lif("uneven", uneven.out_shape, 1), lif("late", late.out_shape, 3)]
    wires = [connect("input", "uneven", uneven), connect("input", "late", late, delay=2)]
    chip = network(Port("input", shape), layers, wires)
    assert lava_processes(chip) == {"LIFReset", "Sparse", "DelaySparse"}
    assert_lava_agrees(chip, spikes(rng, 2, 8, shape))
