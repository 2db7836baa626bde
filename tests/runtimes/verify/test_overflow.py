"""Overflows are counted, located in a named register, and told to the user."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.runtimes import oracle, simulator
from ranvier.runtimes.recording import OverflowEvent
from ranvier.runtimes.simulator.plan import lower
from ranvier.runtimes.verify.overflow import diagnose, joined, locate, register_of
from support.networks import chip_networks, inputs_for
from support.verification import population, row, with_params


def silent_overflow():
    """512 inputs of weight 126 onto neuron 2, no current decay: what Lava wraps without a word."""
    weight = np.zeros((4, 512))
    weight[2] = 126
    layer = replace(population("layer", 4, 1, 131071), shape=(2, 2))
    return with_params(row([layer], [weight]), "layer", du=-1, dv=4096)


def test_the_classic_silent_overflow_is_reported_with_neuron_and_step():
    """64 * 512 * 126 = 4128768 a step: the third step passes 2^23 = 8388608."""
    chip = silent_overflow()
    found = locate(chip, oracle.run(chip, np.ones((1, 3, 512))).overflows)
    assert [o.to_json() for o in found] == [
        {"population": "layer", "register": "u", "operation": "wrap_once", "bits": 24, "count": 1, "sample": 0,
         "step": 2, "neuron": [1, 0]}
    ]  # fmt: skip
    (told,) = diagnose(found)
    assert (told.code, told.place, told.severity) == ("RV801", "layer", "error")
    assert "u wrapped at 24 bits 1 times" in told.message
    assert "step 2, neuron (1, 0)" in told.message
    assert "current decay" in told.fix
    assert told.figures["neuron"] == "1,0"


def test_a_clipped_membrane_is_a_warning():
    chip = with_params(row([population("layer", 1, 1, 131071)], [np.full((1, 1), 2)]), "layer", bias=4095 << 7)
    found = locate(chip, oracle.run(chip, np.zeros((1, 20, 1))).overflows)
    assert [(o.register, o.operation, o.bits, o.wrapped) for o in found] == [("membrane", "clip", 24, False)]
    assert found[0].step == 2**23 // (4095 << 7)
    (told,) = diagnose(found)
    assert told.severity == "warning"
    assert "clipped" in told.message


def four_that_cancel(branches=4):
    """Connections that deliver 2^30 = 64 * 128 * 1024 << 7 each when all senders send 64."""
    chip = row([population("layer", 1, 1, 131071)], [np.full((1, 1024), 128)])
    (only,) = chip.connections
    connections = tuple(replace(only, name=f"branch{k}", exponent=7) for k in range(branches))
    return replace(chip, ports=(replace(chip.ports[0], bits=8),), connections=connections)


@pytest.mark.parametrize("run", [oracle.run, simulator.run])
def test_a_sum_of_connections_that_wraps_to_nothing_is_told(run):
    """4 * 2^30 is 0 in 32 bits: no later register would show it."""
    chip = four_that_cancel()
    recording = run(chip, np.full((2, 3, 1024), 64))
    assert [(e.where, e.count, e.sample, e.step) for e in recording.overflows] == [("a", 6, 0, 0)]
    assert not recording.outputs.any()
    (found,) = locate(chip, recording.overflows)
    assert (found.register, found.operation, found.bits) == ("sum of all connections", "accumulator", 32)
    assert run(four_that_cancel(1), np.full((2, 3, 1024), 63)).overflows[0].where != "a"


def test_the_simulator_sums_in_64_bits_only_where_32_may_not_do():
    assert lower(four_that_cancel(2)).wide == {"layer"}
    assert lower(four_that_cancel(1)).wide == frozenset()
    small = replace(four_that_cancel(2), ports=(replace(four_that_cancel().ports[0], bits=0),))
    assert lower(small).wide == frozenset()


def test_one_diagnostic_per_population_adds_up_its_registers():
    chip = row([population("a", 1, 1, 1), population("b", 1, 2, 1)], [np.full((1, 1), 2)] * 2)
    results = {op.kind: op.result for op in chip.populations[0].program.ops if op.kind in ("clip", "wrap_once")}
    events = [
        OverflowEvent("b", results["clip"], 5, 1, 4, 0),
        OverflowEvent("b", results["wrap_once"], 7, 0, 9, 0),
        OverflowEvent("a", "to a", 1, 0, 2, 0),
    ]
    told = diagnose(locate(chip, events))
    assert [d.place for d in told] == ["a", "b"]
    assert told[0].message.startswith("sum of to a wrapped at 32 bits 1 times")
    assert (told[1].figures["count"], told[1].figures["register"], told[1].figures["step"]) == (12, "u", 9)
    assert diagnose(()) == ()


@pytest.mark.parametrize("features", [Features(), Features(reset="subtract", refractory=True, floor=True)])
def test_every_lossy_operation_belongs_to_a_register(features):
    program = chip_lif(features)
    homes = [register_of(program, op.result) for op in program.ops if op.kind in ("wrap", "wrap_once", "clip")]
    assert homes[:3] == ["u", "u", "u"]
    assert set(homes[3:6]) == {"membrane"}
    assert homes[6:] == (["v"] if features.reset == "subtract" else [])


def test_events_of_later_batches_are_renumbered():
    first, later = OverflowEvent("a", "x", 2, 1, 5, 0), OverflowEvent("a", "x", 3, 0, 2, 1)
    new = OverflowEvent("a", "y", 1, 2, 0, 0)
    assert joined([first], [later, new], 10) == [replace(first, count=5), replace(new, sample=12)]


@given(st.data())
def test_batches_join_to_the_overflows_of_the_whole(data):
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip, max_samples=6))
    events: list[OverflowEvent] = []
    for start in range(0, len(inputs), 2):
        events = joined(events, oracle.run(chip, inputs[start : start + 2]).overflows, start)
    assert locate(chip, events) == locate(chip, oracle.run(chip, inputs).overflows)
