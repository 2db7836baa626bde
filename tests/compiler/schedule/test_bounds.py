"""Bounds from below: under every schedule's costs, and a proof that nothing is better than what the search says."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[3]))

from benchmarks.schedule_workloads import sew

from ranvier.compiler.schedule.bounds import below, bounds
from ranvier.compiler.schedule.choices import CHOICES, OWN, Rules, every, uniform
from ranvier.compiler.schedule.networks import chip_workload
from ranvier.compiler.schedule.search import Evaluator, Objective, search
from ranvier.compiler.schedule.workload import Operand, Workload, same, whole
from ranvier.targets.load import load_hierarchy
from support.schedules import RULES, conv_network, small_core, workloads

CAPACITIES = st.sampled_from([60, 200, 700, 2000, 6000, 100_000])
OBJECTIVES: list[Objective] = ["energy", "traffic", "cycles"]


def check(workload: Workload, capacity: int, rules: Rules) -> None:
    core = small_core(capacity)
    evaluate, found = Evaluator(workload, core, rules), bounds(workload, core, rules)
    for schedule in every(len(workload.blocks)):
        point = evaluate(schedule)
        for objective in OBJECTIVES if point is not None else ():
            least = found.of(objective)
            bound = sum(least[block, CHOICES.index(choice)] for block, choice in enumerate(schedule))
            assert point is not None
            assert bound <= point.worth(objective)[0], (objective, schedule)


@settings(max_examples=25)
@given(workloads(3), CAPACITIES, RULES)
def test_no_schedule_costs_less_than_its_bound(workload: Workload, capacity: int, rules: Rules) -> None:
    check(workload, capacity, rules)


@settings(max_examples=8)
@given(workloads(2), CAPACITIES, RULES, st.integers(0, 2))
def test_delayed_readers_and_skipped_columns_do_not_raise_a_bound(
    workload: Workload, capacity: int, rules: Rules, number: int
) -> None:
    """Columns that nobody reads; a layer that also reads itself late, or a second one that reads the data late."""
    first, second, *others = workload.layers
    data = workload.sources[0]
    holes = Operand(data.name, tuple((x, x + 1) if x % 2 else (0, 0) for x in range(first.width)))
    late = Operand(first.name, same(first.width), 1)
    first = replace(first, operands=(holes, late) if number == 1 else (holes,))
    if number == 2:
        again = Operand(data.name, whole(second.width, data.width), 1)
        second = replace(second, operands=(*second.operands, again))
    check(replace(workload, layers=(first, second, *others)), capacity, rules)


@pytest.mark.parametrize("capacity", [60, 400, 1500, 4000])
@pytest.mark.parametrize("loop", [False, True])
def test_bounds_of_networks_with_branches_and_loops(capacity: int, loop: bool) -> None:
    check(chip_workload(conv_network(5, loop=loop), 4), capacity, OWN)


@settings(max_examples=4)
@given(workloads(4), CAPACITIES, RULES, st.sampled_from(OBJECTIVES))
def test_a_proof_is_brute_force(workload: Workload, capacity: int, rules: Rules, objective: Objective) -> None:
    core = small_core(capacity)
    everything = search(Evaluator(workload, core, rules), objective)
    proved = search(Evaluator(workload, core, rules), objective, exact_up_to=0, prove=True)
    assert everything.tried == 256
    assert proved.exact
    assert proved.best.worth(objective)[0] == everything.best.worth(objective)[0] >= proved.bound


def test_a_proof_looks_on_where_the_beam_may_be_wrong() -> None:
    """Here the bound does not settle it; whoever asks for a proof gets more schedules tried, and the same or better."""
    workload, core = chip_workload(conv_network(3, (16, 16, 8, 8, 4, 2)), 4), small_core(1200)
    beam = search(Evaluator(workload, core), "traffic", exact_up_to=0)
    proved = search(Evaluator(workload, core), "traffic", exact_up_to=0, prove=True)
    assert not beam.exact
    assert proved.exact
    assert beam.tried < proved.tried < 256
    assert proved.bound < proved.best.dram_bits <= beam.best.dram_bits


def test_what_may_be_better_is_what_lies_below_the_limit() -> None:
    table = np.arange(12, dtype=float).reshape(3, 4)
    sums = {s: sum(table[b, CHOICES.index(c)] for b, c in enumerate(s)) for s in every(3)}
    for limit in (0.0, 12.0, 15.0, 17.5, 99.0):
        assert list(below(table, partial(float, limit))) == [s for s, total in sums.items() if total < limit]


def test_the_schedule_found_for_sew_is_proved_without_another_look() -> None:
    """All 4^7: the bound is met, in bits exactly, in energy but for a part in a million."""
    core = load_hierarchy("stems_1mb").core
    evaluate = Evaluator(sew(), core)
    least = bounds(sew(), core, OWN)
    best = evaluate(CHOICES[3:] * 2 + CHOICES[2:3] * 5)
    assert best is not None
    assert best.dram_bits == least.traffic.min(axis=1).sum()
    assert 1.0 <= best.energy_pj / least.energy.min(axis=1).sum() < 1 + 2e-6
    assert list(below(least.energy, lambda: best.energy_pj)) == [best.schedule]
    assert evaluate(uniform(sew(), CHOICES[0])) is not None
