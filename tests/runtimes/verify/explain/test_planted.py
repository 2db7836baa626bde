"""Planted faults are located: the right layer, the first step, and the cause, in every case in which anything shows."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ranvier
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.runtimes import oracle
from ranvier.runtimes.verify.explain.bench import Bench
from ranvier.runtimes.verify.explain.results import Suspect
from ranvier.runtimes.verify.explain.suspects import suspects_of
from support.cases import digits
from support.faults import PLANT, Fault, flipped_bit
from support.planted import first_shown, made

Values = NDArray[Any]
SEEDS = range(16)
LEAST_SHOWN: Mapping[str, int] = {"decay": 12, "reset": 12, "bit": 9, "delay": 10, "comparison": 4}
"""How many of the seeds must show anything at all, so that the tests cannot pass on nothing."""


def check(fault: Fault, chip: ChipNetwork, source: Network, inputs: Values, reference: ChipNetwork | None) -> bool:
    """Whether the fault shows at all; if so, that it is located."""
    record = ("spikes", "membrane")
    layers = [p.name for p in sorted(chip.populations, key=lambda p: p.latency)]
    shown = first_shown(oracle.run(chip, inputs, record), oracle.run(fault.chip, inputs, record), layers)
    if shown is None:
        return False
    found = [s for s in suspects_of(Bench(fault.chip, source, inputs), reference) if s.first is not None]
    assert [s.layer for s in found] == [fault.layer], (fault.layer, fault.cause, found)
    suspect: Suspect = found[0]
    assert suspect.first is not None
    assert suspect.cause == (fault.cause,)
    assert (suspect.first.step, suspect.first.layer) == shown
    (explaining,) = [d for d in suspect.departures if d.explains]
    assert explaining.approximation == fault.cause
    return True


def test_what_was_not_changed_is_not_suspected():
    for seed in SEEDS:
        for on_lattice in (False, True):
            source, chip, inputs = made(seed, on_lattice)
            assert suspects_of(Bench(chip, source, inputs)) == (), seed
            assert suspects_of(Bench(chip, source, inputs), chip) == (), seed


@pytest.mark.parametrize("kind", PLANT)
@pytest.mark.parametrize("known", [False, True], ids=["float network", "reference"])
def test_faults_in_random_networks_are_located(kind: str, known: bool):
    shown = 0
    for seed in SEEDS:
        source, chip, inputs = made(seed, kind == "comparison" or (kind != "decay" and seed % 4 == 0))
        fault = PLANT[kind](np.random.default_rng(1000 + seed), chip)
        if fault is not None:
            shown += check(fault, chip, source, inputs, chip if known else None)
    assert shown >= LEAST_SHOWN[kind], f"only {shown} of {len(SEEDS)} faults show"


def test_the_lowest_bit_is_found_beside_a_reference():
    """A weight one step off may be the nearest on the other side: only a reference tells that it is none."""
    shown = 0
    for seed in SEEDS:
        source, chip, inputs = made(seed, False)
        shown += check(flipped_bit(np.random.default_rng(seed), chip, lowest=1), chip, source, inputs, chip)
    assert shown >= 9


@pytest.mark.parametrize("kind", ["decay", "reset", "bit"])
def test_faults_in_the_digits_network_are_located(kind: str):
    """It has no delays, and no membrane of it ever meets its threshold exactly: two faults cannot show."""
    pytest.importorskip("snntorch")
    source, chip, inputs = digits_chip()
    shown = 0
    for seed in range(4):
        fault = PLANT[kind](np.random.default_rng(seed), chip)
        assert fault is not None
        shown += check(fault, chip, source, inputs, chip)
    assert shown >= 3, f"only {shown} faults show"


@cache
def digits_chip() -> tuple[Network, ChipNetwork, Values]:
    """The example network with a few of its images."""
    case = digits()
    program = ranvier.compile(case.network, "loihi2", case.calibration).program
    assert program.source is not None
    return program.source, program.chip, case.inputs[:8]
