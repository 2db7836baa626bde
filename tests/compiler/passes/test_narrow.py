"""Narrowed states: what saturates and what stays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.steps import problems
from ranvier.compiler.ir.verify import check_chip
from ranvier.compiler.passes.narrow import Narrow
from ranvier.runtimes import oracle, simulator
from support.networks import Limits, chip_networks, inputs_for
from support.registers import counter


def membrane(chip: ChipNetwork, steps: int) -> list[int]:
    spikes = np.ones((1, steps, 1), np.int8)
    found = oracle.run(chip, spikes, ("states",)).states["n"]["v"]
    return [int(value) for value in found.reshape(-1)]


def test_a_narrow_membrane_saturates():
    assert membrane(counter(), 4) == [128, 256, 384, 512]
    assert membrane(Narrow({"n": {"v": 10}})(counter()), 5) == [128, 256, 384, 511, 511]
    assert membrane(Narrow({"n": {"v": 0}})(counter()), 3) == [0, 0, 0]


def test_low_bits_are_cleared():
    assert membrane(Narrow({"n": {"v": 24}}, {"n": {"v": 8}})(counter()), 5) == [0, 0, 0, 0, 0]
    assert membrane(Narrow({"n": {"v": 10}}, {"n": {"v": 7}})(counter()), 5) == [128, 256, 384, 384, 384]
    assert membrane(Narrow({"n": {"v": 24}}, {"n": {"v": 9}})(counter(start=-100)), 1) == [-512]


def test_the_start_is_narrowed_as_well():
    assert membrane(Narrow({"n": {"v": 8}})(counter(start=-5000)), 1) == [0]


def test_registers_of_full_width_and_layers_without_widths_stay():
    chip = counter(start=2**23 - 1)
    assert membrane(Narrow({"n": {"v": 24}})(chip), 1) == membrane(chip, 1)
    assert Narrow({})(chip).populations == chip.populations
    (population,) = Narrow({"n": {"u": 24}})(chip).populations
    assert population.params["u_most"] > 2**23, "what a current may be, which wraps above it"


def test_the_simulator_narrows_as_the_oracle_does():
    chip = Narrow({"n": {"u": 7, "v": 10}})(counter(dv=300, du=100))
    spikes = (np.random.default_rng(0).random((3, 40, 1)) < 0.7).astype(np.int8)
    ours, theirs = (run(chip, spikes, ("states",)).states["n"] for run in (simulator.run, oracle.run))
    assert theirs["v"].max() == 511
    for state in ("u", "v"):
        np.testing.assert_array_equal(ours[state], theirs[state])


@settings(max_examples=15)
@given(st.data())
def test_a_narrowed_network_is_legal_and_stays_within_its_widths(data: st.DataObject):
    chip = data.draw(chip_networks(Limits(max_neurons=8)))
    x, bits = data.draw(inputs_for(chip)), data.draw(st.integers(0, 24))
    narrow = Narrow({p.name: {s.name: bits for s in p.program.states} for p in chip.populations})(chip)
    check_chip(narrow)
    assert [problems(p.program) for p in narrow.populations] == [[]] * len(narrow.populations)
    states = oracle.run(narrow, x, ("states",)).states
    for p in narrow.populations:
        for state, values in states[p.name].items():
            register = next(s.bits for s in p.program.states if s.name == state)
            if bits < register:
                assert values.max(initial=0) <= (1 << max(bits - 1, 0)) - 1
                assert values.min(initial=0) >= (-(1 << (bits - 1)) if bits else 0)
