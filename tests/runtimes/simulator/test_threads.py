"""Runs at once from several threads of a user, each on threads of its own: the same values as the oracle's.

Plans, weights and machine code are computed when they are first asked for and kept; several threads compute the same at
once, one result stays, and what the others took must live until their runs end.
"""

import gc
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.runtimes import oracle
from ranvier.runtimes.recording import Records
from ranvier.runtimes.simulator import machine, run
from ranvier.runtimes.simulator.choice import Synapses
from ranvier.runtimes.simulator.plan import lower
from support.networks import Limits, chip_networks, inputs_for
from support.recordings import assert_equal

Case = tuple[ChipNetwork, NDArray[np.int32]]
EVERYTHING: Records = ("spikes", "states", "membrane")
CASES = chip_networks(Limits(stock_only=True)).flatmap(lambda chip: st.tuples(st.just(chip), inputs_for(chip)))
WAYS: tuple[Synapses, ...] = ("product", "measured", "scatter")
USERS, ROUNDS = 4, 2

FREED = (
    "import gc\n"
    "from ranvier.compiler.ir.programs import Features, float_lif\n"
    "from ranvier.runtimes.simulator import machine\n"
    "from ranvier.runtimes.simulator.ranges import Traits\n"
    "for _ in range(3):\n"
    "    machine.kernel(float_lif(Features(current=False)), Traits())\n"
    "    machine.kernel.cache_clear()\n"
    "    gc.collect()\n"
    "print(len(machine._compiled(machine.module(float_lif(Features()), Traits(), 256))) > 0)"
)


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Threads take turns after every few operations."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@settings(max_examples=max(2, settings().max_examples // 10))
@given(st.lists(CASES, min_size=2, max_size=4))
def test_runs_at_once_equal_the_oracle(cases: list[Case]) -> None:
    expected = [oracle.run(chip, inputs, EVERYTHING) for chip, inputs in cases]
    start = Barrier(USERS)

    def use(user: int) -> None:
        for number, (chip, inputs) in enumerate(cases * ROUNDS):
            start.wait(60)
            found = run(chip, inputs, EVERYTHING, threads=1 + user % 2, batch=1, synapses=WAYS[number % len(WAYS)])
            assert_equal(found, expected[number % len(cases)])
            if user == 0:
                gc.collect()

    machine.kernel.cache_clear()  # so that all users make the machine code at once
    for chip, _ in cases[1:]:
        lower(chip)  # so that they share its plan, and make the arrays of that at once
    with ThreadPoolExecutor(USERS) as pool:
        list(pool.map(use, range(USERS)))


def test_machine_code_that_is_freed_takes_nothing_with_it() -> None:
    """In a process of its own, which a code generator that is freed twice would end."""
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
