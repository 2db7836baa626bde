"""Executors with a planted fault: layer, first step and cause are found from what they recorded alone."""

import numpy as np
import pytest

from ranvier.runtimes import oracle
from ranvier.runtimes.verify.explain.bench import Bench
from ranvier.runtimes.verify.explain.faults import faults_of
from ranvier.runtimes.verify.explain.layers import units
from support.faults import PLANT
from support.planted import first_shown, made

RECORD = ("spikes", "membrane")
SEEDS = range(8)


def view_of(bench: Bench, chip, inputs):
    scales = {p.name: units(p) for p in chip.populations}
    return bench.frame.recorded(oracle.run(chip, inputs, RECORD), scales, on_wire=True)


def test_an_executor_without_fault_has_none():
    for seed in SEEDS:
        source, chip, inputs = made(seed, on_lattice=seed % 2 == 0)
        bench = Bench(chip, source, inputs)
        assert faults_of(bench, "lava", view_of(bench, chip, inputs)) == ()


@pytest.mark.parametrize("kind", PLANT)
def test_faulty_executors_are_located_and_what_they_do_is_told(kind: str):
    shown = told = 0
    for seed in SEEDS:
        source, chip, inputs = made(seed, on_lattice=kind == "comparison")
        fault = PLANT[kind](np.random.default_rng(500 + seed), chip)
        if fault is None:
            continue
        layers = [p.name for p in sorted(chip.populations, key=lambda p: p.latency)]
        wanted = first_shown(oracle.run(chip, inputs, RECORD), oracle.run(fault.chip, inputs, RECORD), layers)
        if wanted is None:
            continue
        shown += 1
        bench = Bench(chip, source, inputs)
        (found,) = faults_of(bench, "lava", view_of(bench, fault.chip, inputs))
        assert (found.first.step, found.layer) == wanted
        assert found.layer == fault.layer
        assert found.cause in (fault.cause, None), (found.cause, found.change, fault.cause)
        told += found.cause is not None
        assert (found.cause is None) == (found.change is None)
    assert shown >= (2 if kind == "comparison" else 4), f"only {shown} faults show"
    assert told >= (shown // 2 if kind == "reset" else shown), f"{told} of {shown} told"
