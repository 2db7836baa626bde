"""Every synapse kernel in every kind of numbers equals the oracle, and the choice among them is the one expected."""

import re
from dataclasses import replace
from typing import Any

import pytest

from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.chip import ChipNetwork, Port
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import gpu, oracle
from ranvier.runtimes.gpu.routes import routes
from ranvier.runtimes.simulator.plan import lower
from support.gpu_networks import chain, conv, dense, frames, population, single, sparse
from support.recordings import assert_equal

IMAGE: tuple[Shape, Shape] = ((4, 7, 6), (8, 5, 5))
HUGE = 2**31 - 1

CASES = {
    # name: network, arithmetic, whether registers may wrap
    "even weights": (single(dense(-128, 127, 20, 30, scale=2)), "int8", False),
    "odd weights": (single(dense(-255, 254, 20, 30)), "float16", False),
    "weights of 12 bits": (single(dense(-2048, 2047, 20, 30)), "float16", False),
    "sums beyond float32": (single(dense(-2048, 2047, 20, 30), bits=12), "int32", False),
    "messages of 8 bits": (single(dense(-128, 127, 20, 30), bits=8), "int8", False),
    "few outputs": (single(dense(-128, 127, 3, 30, scale=2)), "int32", False),
    "sums beyond 32 bits": (single(dense(-HUGE, HUGE, 20, 30), bits=12), "int64", True),
    "exponent that wraps": (single(dense(-128, 127, 20, 30, scale=2), exponent=22), "int8", True),
    "exponent that fits": (single(dense(-128, 127, 20, 30, scale=2), exponent=3), "int8", False),
    "negative exponent": (single(dense(-128, 127, 20, 30, scale=2), exponent=-5), "int8", False),
    "image": (single(conv(-128, 127, IMAGE)), "int8", False),
    "image of 24 bits": (single(conv(-100_000, 100_000, IMAGE), bits=8), "int32", True),
    "strides": (
        single(
            conv(-9, 9, ((4, 9, 8), (8, 3, 3)), stride=(2, 3), padding=((1, 0), (0, 2)), dilation=(2, 1)), exponent=-1
        ),
        "int8",
        False,
    ),
    "depthwise": (single(conv(-256, 254, ((4, 7, 6), (4, 5, 5)), groups=4)), "int32", False),
    "groups": (single(conv(-9, 9, ((4, 7, 6), (16, 5, 5)), groups=2), bits=8), "int8", False),
    "rows": (single(sparse(-256, 254, 150, 30)), "int32", False),
    "rows that wrap": (single(sparse(-HUGE, HUGE, 20, 30), bits=8), "int64", True),
}


@pytest.mark.parametrize("name", CASES)
def test_equal(name: str) -> None:
    chip, arithmetic, careful = CASES[name]
    route = routes(chip, lower(chip))["c0"]
    assert (route.arithmetic, route.careful) == (arithmetic, careful)
    inputs = frames(chip, 2, 3)
    expected = oracle.run(chip, inputs, ("spikes", "states", "membrane"))
    assert careful == any(event.where == "c0" for event in expected.overflows)
    assert_equal(gpu.run(chip, inputs, ("spikes", "states", "membrane"), synapses="product"), expected)


@pytest.mark.parametrize("name", ["odd weights", "sums beyond 32 bits", "exponent that wraps", "negative exponent"])
def test_scattered(name: str) -> None:
    chip, _, _ = CASES[name]
    inputs = frames(chip, 2, 2, rate=0.1)
    assert_equal(gpu.run(chip, inputs, ("states",), synapses="scatter"), oracle.run(chip, inputs, ("states",)))


@pytest.mark.parametrize(
    ("name", "synapses"),
    [
        ("even weights", "product"),
        ("odd weights", "scatter"),
        ("few outputs", "product"),
        ("strides", "product"),
        ("rows", "product"),
    ],
)
def test_delayed(name: str, synapses: Any) -> None:
    chip, _, _ = CASES[name]
    chip = replace(chip, connections=(replace(chip.connections[0], delay=2),))
    inputs = frames(chip, 2, 4)
    assert_equal(gpu.run(chip, inputs, ("states",), synapses=synapses), oracle.run(chip, inputs, ("states",)))


def test_sum_of_connections_wraps() -> None:
    chip = single(dense(2**30, HUGE, 4, 6), du=400, dv=300, vth=20, bias=0)
    twice = (*chip.connections, type(chip.connections[0])(**(vars(chip.connections[0]) | {"name": "c1"})))
    chip = ChipNetwork("twice", "loihi2", chip.ports, chip.populations, twice, chip.readout)
    inputs = frames(chip, 3, 4, rate=0.3)
    expected = oracle.run(chip, inputs, ("states",))
    assert "a" in {event.where for event in expected.overflows}
    assert_equal(gpu.run(chip, inputs, ("states",), batch=2), expected)


def layered() -> ChipNetwork:
    """Counts of up to three spikes, a loop without extra delay, a convolution, and a silent network's tail."""
    counting = chip_lif(Features(max_spikes=3))
    params = dict.fromkeys(counting.params, 900)
    parts: list[Any] = [
        (conv(-128, 127, IMAGE), population("first", IMAGE[1], 1, counting, **params)),
        (dense(-256, 254, 9, 200), population("second", (9,), 2)),
    ]
    return chain(Port("in", IMAGE[0]), parts, loop=sparse(-64, 62, 200, 200))


def test_recurrence_runs_step_by_step() -> None:
    chip = layered()
    inputs = frames(chip, 2, 4, rate=0.2)
    assert lower(chip).longest_block == 1
    assert_equal(gpu.run(chip, inputs, ("spikes", "states")), oracle.run(chip, inputs, ("spikes", "states")))


def test_description_names_the_numbers() -> None:
    lines = gpu.describe(layered())
    assert len(lines) == 3
    assert "c0: tensor cores, int8 products summed in int32" in lines[0]
    assert re.search(r"loop: compressed rows, sums in int32, sums within \d{3} times 1", lines[2])
    assert "watched" in gpu.describe(CASES["rows that wrap"][0])[0]


def test_common_powers_of_two_are_put_back() -> None:
    scaled = single(dense(-4, 3, 20, 30, scale=1024))
    route = routes(scaled, lower(scaled))["c0"]
    assert (route.arithmetic, route.shift) == ("int8", 10)
    inputs = frames(scaled, 1, 3)
    assert_equal(gpu.run(scaled, inputs, ("states",)), oracle.run(scaled, inputs, ("states",)))
