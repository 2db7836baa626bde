"""The search against brute force, and the costs that it compares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.schedule.choices import CHOICES, OWN, Rules, Schedule, every, uniform
from ranvier.compiler.schedule.cost import LEVELS, by_operand, costs, dram_pj
from ranvier.compiler.schedule.networks import chip_workload
from ranvier.compiler.schedule.plan import Moved, planned
from ranvier.compiler.schedule.search import Evaluator, Objective, Point, front, search
from ranvier.compiler.schedule.workload import Workload
from support.schedules import RULES, conv_network, small_core, workloads

CAPACITIES = st.sampled_from([200, 700, 2000, 6000])
OBJECTIVES: list[Objective] = ["energy", "traffic", "cycles"]


def brute_force(workload: Workload, capacity: int, rules: Rules) -> dict[Schedule, tuple[float, int, int]]:
    found = {}
    for schedule in every(len(workload.blocks)):
        plan = planned(workload, schedule, small_core(capacity), rules)
        cost = costs(plan)
        found[schedule] = (cost.total_pj, plan.dram_bits, cost.cycles)
    return found


@settings(max_examples=12)
@given(workloads(3), CAPACITIES, RULES, st.sampled_from(OBJECTIVES))
def test_the_search_is_brute_force_on_three_blocks(
    workload: Workload, capacity: int, rules: Rules, objective: Objective
) -> None:
    everything = brute_force(workload, capacity, rules)
    assert len(everything) == 4**3
    found = search(Evaluator(workload, small_core(capacity), rules), objective)
    assert found.exact
    assert found.tried == 64
    least = min(values[OBJECTIVES.index(objective)] for values in everything.values())
    best = found.best
    assert everything[best.schedule] == (best.energy_pj, best.dram_bits, best.cycles)
    assert everything[best.schedule][OBJECTIVES.index(objective)] == least


def test_the_objective_decides() -> None:
    """Here what moves least is not what costs least: the first block fused, or layer by layer."""
    evaluate = Evaluator(chip_workload(conv_network(3), 4), small_core(900))
    energy, traffic = (search(evaluate, objective).best for objective in ("energy", "traffic"))
    assert energy.energy_pj < traffic.energy_pj
    assert energy.dram_bits > traffic.dram_bits
    assert [str(choice) for choice in traffic.schedule] == ["TB-LF", "TB-LBL", "TB-LBL"]


@settings(max_examples=12)
@given(workloads(3), CAPACITIES, st.sampled_from(OBJECTIVES))
def test_the_beam_finds_what_brute_force_finds_on_three_blocks(
    workload: Workload, capacity: int, objective: Objective
) -> None:
    exact = search(Evaluator(workload, small_core(capacity)), objective)
    beam = search(Evaluator(workload, small_core(capacity)), objective, exact_up_to=0)
    assert not beam.exact
    assert beam.best.worth(objective)[0] == exact.best.worth(objective)[0]


@settings(max_examples=2)
@given(workloads(5), CAPACITIES)
def test_the_beam_on_five_blocks(workload: Workload, capacity: int) -> None:
    """Within five parts in a hundred of the best of all 1024 schedules, looking at a fraction of them, never better."""
    exact = search(Evaluator(workload, small_core(capacity)), "energy", exact_up_to=4**5)
    beam = search(Evaluator(workload, small_core(capacity)), "energy")
    assert exact.exact
    assert exact.tried == 1024
    assert beam.tried < 512
    assert 1.0 <= beam.best.energy_pj / exact.best.energy_pj < 1.05


@given(workloads(2), CAPACITIES, RULES, st.sampled_from(CHOICES))
def test_energy_is_the_sum_of_its_levels_and_time_the_sum_of_its_parts(
    workload: Workload, capacity: int, rules: Rules, choice: object
) -> None:
    schedule = next(s for s in every(2) if s == (choice, choice))
    plan = planned(workload, schedule, small_core(capacity), rules)
    cost = costs(plan)
    assert cost.total_pj == pytest.approx(sum(cost.level_pj(level) for level in LEVELS))
    assert cost.level_pj("dram") == pytest.approx(sum(dram_pj(moved, plan.core) for moved in plan.moved.values()))
    assert sum(by_operand(plan).values()) == plan.dram_bits
    assert (cost.spans[1:, 0] == cost.spans[:-1, 1]).all()
    words = sum(m.read_words + m.written_words for m in plan.moved.values())
    assert cost.cycles >= max(words, int(np.sum(cost.spans[:, 1] > cost.spans[:, 0])))


def test_dram_is_paid_in_whole_words() -> None:
    core = small_core(1000)
    assert dram_pj(Moved(65, 1, 2, 1), core) == 2 * 700 + 750


def point(traffic: int, energy: float, cycles: int = 1) -> Point:
    return Point((), {"weights": traffic}, energy, cycles, 1)


def test_the_front_holds_what_nothing_dominates() -> None:
    good, cheap, bad, twin = point(1, 9.0), point(5, 2.0), point(6, 9.0), point(1, 9.0)
    assert front([bad, good, cheap, twin]) == (good, cheap)
    assert front([]) == ()


@settings(max_examples=6)
@given(workloads(3), CAPACITIES)
def test_nothing_that_was_tried_dominates_the_front(workload: Workload, capacity: int) -> None:
    evaluate = Evaluator(workload, small_core(capacity), OWN)
    found = search(evaluate)
    for one in found.pareto:
        assert not any(other.dominates(one) for other in evaluate.points())
    for other in evaluate.points():
        assert other in found.pareto or any(
            one.dominates(other) or one.worth("traffic")[:4] == other.worth("traffic")[:4] for one in found.pareto
        )
    assert set(found.uniform) == set(CHOICES)
    assert evaluate(uniform(workload, CHOICES[0])) == found.uniform[CHOICES[0]]
