"""The search against brute force, and the costs that it compares."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.schedule.choices import CHOICES, OWN, Choice, Rules, Schedule, every, uniform
from ranvier.compiler.schedule.cost import LEVELS, MEMORIES, OPERANDS, by_operand, costs, dram_pj
from ranvier.compiler.schedule.manager import INCOMING, OUTGOING, Event
from ranvier.compiler.schedule.networks import chip_workload
from ranvier.compiler.schedule.plan import Moved, planned
from ranvier.compiler.schedule.search import Evaluator, Objective, Point, front, search
from ranvier.compiler.schedule.tables import Role
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
    assert cost.level_pj("compute") == pytest.approx(
        sum(layer.operations(workload.steps) * plan.core.array.op_pj.v for layer in workload.layers)
    )
    assert cost.level_pj("dram") == pytest.approx(sum(dram_pj(moved, plan.core) for moved in plan.moved.values()))
    assert sum(by_operand(plan).values()) == plan.dram_bits
    assert (cost.spans[1:, 0] == cost.spans[:-1, 1]).all()
    words = sum(m.read_words + m.written_words for m in plan.moved.values())
    assert cost.cycles >= max(words, int(np.sum(cost.spans[:, 1] > cost.spans[:, 0])))


@given(workloads(2), CAPACITIES, RULES, st.sampled_from(CHOICES))
def test_operands_and_levels_sum_to_the_totals(workload: Workload, capacity: int, rules: Rules, choice: Choice) -> None:
    plan = planned(workload, uniform(workload, choice), small_core(capacity), rules)
    cost, names = costs(plan), [node.name for node in workload.nodes]
    whole, parts = cost.operands(), [cost.operands(name) for name in names]
    for operand, level in product(OPERANDS, MEMORIES):
        assert whole[operand][level] == pytest.approx(sum(part[operand][level] for part in parts))
    for level in MEMORIES:
        assert sum(levels[level] for levels in whole.values()) == pytest.approx(cost.level_pj(level))
    for name, part in zip(names, parts, strict=True):
        assert sum(sum(levels.values()) for levels in part.values()) == pytest.approx(
            sum(cost.levels(name).values()) - cost.compute_pj[name]
        )
    assert cost.total_pj == pytest.approx(
        cost.level_pj("compute") + sum(sum(levels.values()) for levels in whole.values())
    )
    for operand, roles in OPERANDS.items():
        off_chip = sum(dram_pj(moved, plan.core) for (_, role), moved in plan.moved.items() if role in roles)
        assert whole[operand]["dram"] == pytest.approx(off_chip)
    assert (whole["states"]["registers"] > 0) == any(layer.stateful for layer in workload.layers)


def test_the_store_pays_its_end_of_every_transfer_for_the_operand_that_moves() -> None:
    """What a store of another size adds or saves is what its words cost, operand by operand."""
    workload = chip_workload(conv_network(3), 4)
    schedule = uniform(workload, CHOICES[0])
    plans = [planned(workload, schedule, small_core(capacity)) for capacity in (400, 1_000_000)]
    tight, wide = (costs(plan).operands() for plan in plans)
    access, word = plans[0].core.store.access_pj_per_bit.v, plans[0].core.store.word_bits.v
    for operand, roles in OPERANDS.items():
        pj = []
        for plan in plans:
            tiles, total = plan.tables.tiles, 0.0
            for kind, tile in plan.events.tolist():
                if kind == Event.RUN:
                    continue
                role = Role.INPUT if tiles.node[tile] < plan.tables.sources else Role(int(tiles.role[tile]))
                if role in roles and kind in (*INCOMING, *OUTGOING):
                    total += (
                        -(-int(tiles.bits[tile]) // word) * word * (access.write if kind in INCOMING else access.read)
                    )
            pj.append(total)
        assert tight[operand]["store"] - wide[operand]["store"] == pytest.approx(pj[0] - pj[1])
        assert pj[0] > pj[1]
        for level in ("registers", "buffers"):
            assert tight[operand][level] == wide[operand][level]


def test_a_density_scales_products_and_nothing_else() -> None:
    chip = conv_network(3)
    shares = {"in": 0.5, "p0": 0.25, "p1": 0.0}
    dense, sparse = (chip_workload(chip, 4, density) for density in ({}, shares))
    assert [layer.density for layer in dense.layers] == [1.0, 1.0, 1.0]
    assert [layer.density for layer in sparse.layers[:2]] == [0.5, 0.25]
    products = [kernel.operations(sparse.layers[2].width) for kernel in sparse.layers[2].kernels]
    assert sparse.layers[2].density == pytest.approx(0.25 * products[1] / sum(products))
    for schedule in every(3):
        a, b = (costs(planned(w, schedule, small_core(900))) for w in (dense, sparse))
        np.testing.assert_array_equal(a.plan.events, b.plan.events)
        assert a.cycles == b.cycles
        assert a.operands() == b.operands()
        for layer in sparse.layers:
            assert b.compute_pj[layer.name] == pytest.approx(layer.density * a.compute_pj[layer.name])


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
