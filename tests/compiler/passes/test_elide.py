"""Elision: full leak in the registers, said where it changes the network."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.analysis.carried import carried
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.neuron_steps.adaptive import adaptive_lif
from ranvier.compiler.passes.elide import Elide
from ranvier.compiler.passes.narrow import Narrow
from ranvier.runtimes import oracle
from support.networks import Limits, chip_networks, inputs_for
from support.registers import counter


@settings(max_examples=25)
@given(st.data())
def test_full_leak_is_keeping_nothing(data: st.DataObject):
    chip = data.draw(chip_networks(Limits(stock_only=True, max_neurons=8)))
    names = tuple(p.name for p in chip.populations)
    leaking = Elide(names)(chip)
    assert all(carried(p.program, p.params) == set() for p in leaking.populations)
    x = data.draw(inputs_for(chip))
    cleared = Narrow({name: {"u": 0, "v": 0} for name in names})(chip)
    np.testing.assert_array_equal(oracle.run(leaking, x).outputs, oracle.run(cleared, x).outputs)


def test_what_is_lost_is_said():
    chip = Elide(("n",))(counter(du=2047, dv=1024))
    (note,) = chip.notes
    assert (note.code, note.place) == ("RV852", "n")
    assert "0.5 of its current and 0.75 of its membrane" in note.text
    assert Elide(("n",))(counter(du=4095, dv=4096)).notes == ()


def test_other_layers_and_other_neurons_are_refused():
    chip = counter()
    with pytest.raises(RanvierError, match="RV850"):
        Elide(("hidden",))(chip)
    program = adaptive_lif("int", ">", "none", False, False)
    params = {name: np.array(0) for name in program.params}
    initial = {state.name: np.array(0) for state in program.states}
    other = replace(chip.populations[0], program=program, params=params, initial=initial)
    with pytest.raises(RanvierError, match="RV851") as refused:
        Elide(("n",))(replace(chip, populations=(other,)))
    assert "loihi2.adaptive_lif" in refused.value.diagnostics[0].message
