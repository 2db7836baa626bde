"""Loop orders: which are legal with a state, and what they cost on the array."""

from dataclasses import replace
from itertools import permutations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.schedule.loops import MAX_FACTORS, REDUCTIONS, Loop, Nest, best, factors, legal, orders
from ranvier.targets.load import load_hierarchy

CORE = load_hierarchy("stems_1mb").core
DIMS = ("K", "C", "OY", "OX", "FY", "FX", "T")


def nest(state: int = 12, internal: bool = True, **sizes: int) -> Nest:
    given = {"K": 64, "C": 64, "OY": 8, "OX": 8, "FY": 3, "FX": 3, "T": 4} | sizes
    return Nest(tuple((d, given[d]) for d in DIMS), 1, 1, 4, 12, 1, state, state > 0, internal)


def test_time_inside_a_reduction_is_rejected() -> None:
    finished = (("FX", 3), ("C", 2), ("T", 4), ("K", 2), ("T", 2))
    assert legal(finished, stateful=True)
    assert not legal((("FX", 3), ("T", 4), ("C", 2)), stateful=True)
    assert not legal((("T", 4), ("K", 2), ("FY", 3)), stateful=True)
    assert legal((("FX", 3), ("T", 4), ("C", 2)), stateful=False)
    assert legal((("T", 4), ("K", 2), ("FY", 1)), stateful=True), "a loop that runs once is none"


@given(st.lists(st.tuples(st.sampled_from(DIMS), st.sampled_from([2, 3, 5])), max_size=5), st.booleans())
def test_the_orders_are_all_legal_permutations(loops: list[Loop], stateful: bool) -> None:
    found = list(orders(loops, stateful))
    assert len(found) == len(set(found))
    assert set(found) == {order for order in permutations(loops) if legal(order, stateful)}


@given(st.lists(st.integers(1, 400), min_size=7, max_size=7))
def test_factors_multiply_to_the_sizes(numbers: list[int]) -> None:
    sizes = list(zip(DIMS, numbers, strict=True))
    found = factors(sizes)
    for dim, size in sizes:
        assert prod(factor for name, factor in found if name == dim) == size
    assert len(found) <= max(MAX_FACTORS, sum(size > 1 for size in numbers))


def test_the_best_order_is_legal_and_counts_every_cycle() -> None:
    cost = best(nest(), CORE)
    assert legal(cost.order, stateful=True)
    assert cost.cycles == 2 * 2 * 8 * 8 * 3 * 3 * 4
    assert cost.compute == pytest.approx(64 * 64 * 64 * 9 * 4 * 0.02)
    assert {dim for dim, _ in cost.order} & REDUCTIONS


def test_inputs_of_four_bits_cost_more() -> None:
    one = best(nest(), CORE)
    four = best(Nest(nest().sizes, 1, 4, 4, 12, 1, 12, True, True), CORE)
    assert four.compute == pytest.approx(one.compute * 16 / 7)


def test_a_state_is_reused_along_time() -> None:
    """All steps in one computation keep the state below the store; step by step it crosses every level."""
    together = best(nest(), CORE)
    single = best(nest(internal=False, T=1), CORE)
    crossing = 64 * 8 * 8 * 12
    access = CORE.store.access_pj_per_bit.v
    assert single.store["state"] == pytest.approx(crossing * (access.read + access.write))
    assert together.store["state"] == 0.0
    assert together.registers["state"] > 0.0
    assert together.energy < 4 * single.energy


def test_without_reuse_above_the_buffers_everything_crosses_the_store_once() -> None:
    """Operands that fit the local buffers are read once from the store and written once to it."""
    small = Nest((("K", 32), ("C", 32), ("OY", 2), ("OX", 2), ("FY", 1), ("FX", 1), ("T", 1)), 1, 1, 4, 12, 1, 0, False,
                 False)  # fmt: skip
    cost, access = best(small, CORE), CORE.store.access_pj_per_bit.v
    assert cost.store == pytest.approx(
        {"input": 1024 * access.read, "weight": 4096 * access.read, "output": 1024 * access.write, "state": 0.0}
    )
    levels = (cost.registers, cost.buffers, cost.store)
    assert cost.energy == pytest.approx(cost.compute + sum(sum(level.values()) for level in levels))


def test_registers_are_read_and_written_at_every_operation_by_what_shares_them() -> None:
    """One cycle: 32 inputs shared along the outputs, a weight for each element, 32 sums shared along the inputs."""
    one = Nest((("K", 32), ("C", 32), ("OY", 1), ("OX", 1), ("FY", 1), ("FX", 1), ("T", 1)), 1, 1, 4, 12, 1, 0, False,
               False)  # fmt: skip
    cost, pj = best(one, CORE), 0.002
    assert cost.cycles == 1
    assert cost.registers == pytest.approx(
        {"input": 2 * 32 * pj, "weight": 2 * 1024 * 4 * pj, "output": 32 * (2 * 12 + 1) * pj, "state": 0.0}
    )


@pytest.mark.parametrize("density", [0.0, 0.25, 1.0])
def test_products_with_zeros_are_not_made_and_nothing_else_changes(density: float) -> None:
    dense, sparse = best(nest(), CORE), best(replace(nest(), density=density), CORE)
    assert sparse.compute == pytest.approx(density * dense.compute)
    assert (sparse.registers, sparse.buffers, sparse.store) == (dense.registers, dense.buffers, dense.store)
    assert (sparse.cycles, sparse.order) == (dense.cycles, dense.order)
