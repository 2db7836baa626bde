"""Schedules carried out: what is counted is what the model says, and the spikes are those of the plain order."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.network import Network
from ranvier.compiler.pipeline import prepare
from ranvier.compiler.schedule.choices import OWN, PUBLISHED, Rules, Schedule, every, parse_schedule
from ranvier.compiler.schedule.networks import chip_workload, network_workload
from ranvier.compiler.schedule.plan import Plan, planned
from ranvier.compiler.schedule.workload import Workload
from ranvier.runtimes import oracle, reference
from ranvier.runtimes.recording import Recording
from ranvier.runtimes.scheduled import ScheduledRun, run
from ranvier.targets.hierarchies import HierarchyCore
from support.float_networks import dyadic_inputs, float_networks
from support.networks import chip_networks, inputs_for
from support.schedules import RULES, conv_network, events, small_core

CAPACITIES = [60, 300, 2000, 10_000, 1_000_000]


def legal(workload: Workload, schedule: Schedule, core: HierarchyCore, rules: Rules) -> Plan | None:
    try:
        return planned(workload, schedule, core, rules)
    except RanvierError as refused:
        if {d.code for d in refused.diagnostics} == {"RV535"} and any(choice.batched for choice in schedule):
            return None
        raise


def agree(network: Network | ChipNetwork, plan: Plan, found: ScheduledRun, plain: Recording) -> None:
    assert dict(found.moved) == dict(plan.moved)
    assert sum(m.bits for m in found.moved.values()) == plan.dram_bits
    assert found.peak_bits == plan.peak_bits <= plan.core.store.size_bits.v
    assert plain.spikes.keys() == found.spikes.keys()
    for name in plain.spikes:
        np.testing.assert_array_equal(found.spikes[name], plain.spikes[name])
        np.testing.assert_array_equal(found.membrane[name], plain.membrane[name])
    np.testing.assert_array_equal(found.predictions, plain.predictions)
    assert network.name == plan.workload.name


@given(st.data())
def test_random_chip_networks_under_random_schedules(data: st.DataObject) -> None:
    chip = data.draw(chip_networks())
    inputs = data.draw(inputs_for(chip, 2, 6))
    workload = chip_workload(chip, inputs.shape[1])
    plain = oracle.run(chip, inputs, ("spikes", "membrane"))
    core, rules = small_core(data.draw(st.sampled_from(CAPACITIES))), data.draw(RULES)
    schedules = data.draw(st.lists(st.sampled_from(list(every(len(workload.blocks)))), max_size=6, unique=True))
    for schedule in [*schedules, parse_schedule("ST-LBL", workload)]:
        plan = legal(workload, schedule, core, rules)
        if plan is not None:
            agree(chip, plan, run(plan, chip, inputs), plain)


@given(float_networks(), st.integers(0, 2**16), st.sampled_from(CAPACITIES), RULES, st.data())
def test_random_float_networks_under_random_schedules(
    network: Network, seed: int, capacity: int, rules: Rules, data: st.DataObject
) -> None:
    try:
        folded = prepare(network)
    except RanvierError:
        return  # biases behind delays and loops without neurons have no folded form
    inputs = dyadic_inputs(network, seed, 2, 5)
    core = small_core(capacity)
    workload = network_workload(folded, 5, core.bits.v)
    plain = reference.run(folded, inputs, ("spikes", "membrane"))
    schedules = data.draw(st.lists(st.sampled_from(list(every(len(workload.blocks)))), max_size=4, unique=True))
    for schedule in [*schedules, parse_schedule("ST-LF", workload)]:
        plan = legal(workload, schedule, core, rules)
        if plan is not None:
            agree(folded, plan, run(plan, folded, inputs), plain)


@pytest.mark.parametrize("rules", [OWN, PUBLISHED], ids=["own", "published"])
@pytest.mark.parametrize("capacity", [400, 1500, 4000])
def test_every_schedule_of_a_network_of_three_blocks(rules: Rules, capacity: int) -> None:
    chip = conv_network(3)
    inputs = events(chip, 3)
    workload = chip_workload(chip, 3)
    assert workload.blocks == (("p0",), ("p1",), ("p2",))
    plain = oracle.run(chip, inputs, ("spikes", "membrane"))
    assert all(0 < np.mean(spikes) < 1 for spikes in plain.spikes.values())
    traffic = set()
    for schedule in every(3):
        plan = planned(workload, schedule, small_core(capacity), rules)
        agree(chip, plan, run(plan, chip, inputs), plain)
        traffic.add(plan.dram_bits)
    assert len(traffic) > 8, "schedules differ in what they move"


def test_recurrent_layers_run_batched_only_where_a_whole_loop_is_inside() -> None:
    chip = conv_network(5, loop=True)
    workload, inputs = chip_workload(chip, 4), events(chip, 4)
    plain = oracle.run(chip, inputs, ("spikes", "membrane"))
    done = {}
    for first, last in product(("ST-LBL", "TB-LF"), ("ST-LBL", "ST-LF", "TB-LBL", "TB-LF")):
        schedule = parse_schedule(f"{first},{first},{last}", workload)
        plan = legal(workload, schedule, small_core(3000), OWN)
        done[first, last] = plan is not None
        if plan is not None:
            agree(chip, plan, run(plan, chip, inputs), plain)
    assert {last for (_, last), ran in done.items() if not ran} == {"TB-LF"}


def test_another_number_of_steps_is_refused() -> None:
    chip = conv_network(3)
    plan = planned(chip_workload(chip, 3), parse_schedule("ST-LBL", chip_workload(chip, 3)), small_core(4000))
    with pytest.raises(RanvierError, match="RV538"):
        run(plan, chip, events(chip, 4))


@settings(max_examples=10)
@given(st.integers(0, 1000), st.sampled_from([300, 900, 2500]))
def test_the_machine_refuses_what_is_not_on_the_chip(seed: int, capacity: int) -> None:
    """Without its first fetch a plan cannot be carried out: the machine does not help."""
    chip = conv_network(seed)
    workload = chip_workload(chip, 2)
    plan = planned(workload, parse_schedule("ST-LF", workload), small_core(capacity))
    incoming = np.flatnonzero(np.isin(plan.events[:, 0], (0, 4)))
    events_left = np.delete(plan.events, incoming[seed % len(incoming)], axis=0)
    broken = Plan(workload, plan.schedule, plan.rules, plan.core, plan.tables, plan.sequence, events_left, 0)
    with pytest.raises((AssertionError, KeyError)):
        agree(chip, broken, run(broken, chip, events(chip, 2)), oracle.run(chip, events(chip, 2), ("spikes",)))
