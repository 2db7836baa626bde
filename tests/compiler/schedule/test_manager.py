"""Orders of computations and the memory manager, event by event, on workloads small enough to follow by hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.schedule.choices import (
    CHOICES,
    NAMED,
    PUBLISHED,
    Choice,
    Rules,
    describe,
    every,
    fuse_ids,
    parse_schedule,
)
from ranvier.compiler.schedule.manager import Event
from ranvier.compiler.schedule.plan import Plan, planned
from ranvier.compiler.schedule.tables import Role
from ranvier.compiler.schedule.uses import uses
from ranvier.compiler.schedule.workload import Operand, Source, Workload, same, tile_starts, window
from support.schedules import RULES, conv_layer, small_core, workloads

ST_LBL, ST_LF, TB_LBL, TB_LF = CHOICES


def chain(count: int, steps: int = 2, width: int = 2, **sizes: int) -> Workload:
    """``count`` layers, each a block of its own, with maps of ``width`` columns."""
    layers = tuple(conv_layer(f"l{n}", "in" if n == 0 else f"l{n - 1}", (width, width), **sizes) for n in range(count))
    blocks = tuple((layer.name,) for layer in layers)
    return Workload("chain", steps, (Source("in", width, 4, 1),), layers, blocks, (width,) * count, (layers[-1].name,))


def told(plan: Plan) -> list[str]:
    """The events in words: FETCH W l0, MAKE O l1 step 0 tile 1, RUN l1 step 0 tile 1."""
    names = [node.name for node in plan.workload.nodes]
    tiles, found = plan.tables.tiles, []
    for kind, what in plan.events.tolist():
        if kind == Event.RUN:
            node, step, column = plan.sequence[what]
            found.append(f"RUN {names[node]}.{step}.{column}")
            continue
        node, role = int(tiles.node[what]), Role(int(tiles.role[what]))
        if role is Role.WEIGHT:
            place = ""
        elif role is Role.STATE:
            place = f".{what - plan.tables.nodes.state_tile[node]}"
        else:
            count = int(plan.tables.nodes.tiles[node])
            number = int(what - plan.tables.nodes.output_tile[node])
            place = f".{number // count}.{number % count}"
        letter = "I" if node < plan.tables.sources else "IWOV"[role]
        found.append(f"{Event(kind).name} {letter} {names[node]}{place}")
    return found


def runs(plan: Plan) -> list[str]:
    return [text.removeprefix("RUN ") for text in told(plan) if text.startswith("RUN")]


def schedule(*names: str) -> tuple[Choice, ...]:
    return tuple(NAMED[name] for name in names)


def test_barriers_stand_between_fused_stacks_of_different_kinds() -> None:
    assert fuse_ids((ST_LF, ST_LF, TB_LF, TB_LF, ST_LF)) == (0, 0, 1, 1, 2)
    assert fuse_ids((TB_LF, ST_LF)) == (0, 1)
    assert fuse_ids((ST_LF, ST_LBL, TB_LF)) == (0, 0, 0), "an unfused block ends both stacks"
    assert fuse_ids((ST_LF, TB_LF, TB_LBL, ST_LF, TB_LF)) == (0, 1, 1, 1, 2)
    assert fuse_ids((ST_LBL, TB_LBL)) == (0, 0)


def test_time_is_outermost_one_step_at_a_time() -> None:
    plan = planned(chain(2), schedule("ST-LBL", "ST-LBL"), small_core(10**6))
    assert runs(plan) == ["l0.0.0", "l1.0.0", "l0.1.0", "l1.1.0"]


def test_fused_columns_run_through_the_stack_deepest_first() -> None:
    plan = planned(chain(2, width=3), schedule("ST-LF", "ST-LF"), small_core(10**6))
    assert runs(plan)[:6] == ["l0.0.0", "l0.0.1", "l1.0.0", "l0.0.2", "l1.0.1", "l1.0.2"]


def test_batched_blocks_hold_all_steps() -> None:
    plan = planned(chain(2), schedule("TB-LBL", "ST-LBL"), small_core(10**6))
    assert runs(plan) == ["l0.0.0", "l1.0.0", "l1.1.0"]


def test_a_barrier_ends_a_stack_before_the_next_begins() -> None:
    blocks = schedule("TB-LF", "ST-LF")
    held = runs(planned(chain(2, width=4), blocks, small_core(10**6)))
    assert held == [*(f"l0.0.{n}" for n in range(4)), *(f"l1.{t}.{n}" for t in range(2) for n in range(4))]
    open_ = runs(planned(chain(2, width=4), blocks, small_core(10**6), Rules(barriers=False)))
    assert open_.index("l1.0.0") < open_.index("l0.0.3")


def test_a_store_that_holds_everything_is_filled_once_and_freed() -> None:
    plan = planned(chain(1), schedule("ST-LBL"), small_core(10**6))
    assert told(plan) == [
        "MAKE O l0.0.0", "FETCH I in.0.0", "MAKE V l0.0", "FETCH W l0", "RUN l0.0.0",
        "WRITE O l0.0.0", "FREE O l0.0.0", "FREE I in.0.0",
        "MAKE O l0.1.0", "FETCH I in.1.0", "RUN l0.1.0",
        "FREE W l0", "FREE V l0.0", "WRITE O l0.1.0", "FREE O l0.1.0", "FREE I in.1.0",
    ]  # fmt: skip
    assert plan.evictions == 0


def test_operands_that_do_not_fit_are_streamed_largest_first() -> None:
    """8 bits of input, 8 of output and 96 of state fit; the weights pass by in every step."""
    plan = planned(chain(1, weights=20_000), schedule("ST-LBL"), small_core(12_000))
    assert [text for text in told(plan) if " W " in text] == ["READ W l0", "READ W l0"]
    assert [text for text in told(plan) if " V " in text] == ["MAKE V l0.0", "FREE V l0.0"]


def test_room_for_the_array_s_own_tile_is_kept() -> None:
    """The array holds 32 by 32 weights of 8 bits: what is left beside the state is less, so the state is streamed."""
    plan = planned(chain(1, weights=20_000), schedule("ST-LBL"), small_core(8192 + 111))
    states = [text for text in told(plan) if " V " in text]
    assert states == ["SEND V l0.0", "READ V l0.0"]


def test_a_layer_that_streams_flushes_what_it_does_not_need() -> None:
    """The second layer's weights do not fit; the state of the first would."""
    small, large = chain(2), conv_layer("l1", "l0", (2, 2), weights=4000)
    workload = replace(small, layers=(small.layers[0], large))
    for flush in (False, True):
        plan = planned(workload, schedule("ST-LBL", "ST-LBL"), small_core(3000), Rules(flush=flush))
        words = told(plan)
        before = words[: words.index("RUN l1.0.0")]
        assert "READ W l1" in before
        assert ("EVICT W l0" in before) == flush
        assert ("WRITE V l0.0" in before) == flush


def test_the_published_order_of_evictions() -> None:
    """Ascending 100 * remaining uses - layer: what is used less often goes first, of equals the deeper layer's."""
    workload = chain(3, steps=3, weights=40, state=12)
    plan = planned(workload, schedule("ST-LBL", "ST-LBL", "ST-LBL"), small_core(200), Rules("dead", False, "uses"))
    words = told(plan)
    first = next(n for n, text in enumerate(words) if text.startswith("EVICT"))
    gone = [text for text in words if text.startswith("EVICT")]
    assert words[first] in {"EVICT W l0", "EVICT V l0.0"}
    assert gone, "the store is too small for all"
    assert plan.peak_bits <= 200


@given(workloads(), st.sampled_from([200, 500, 1500]), st.integers(0, 63))
def test_what_leaves_has_the_smallest_key_of_what_could(workload: Workload, capacity: int, number: int) -> None:
    """Against keys that are counted anew: 100 * (uses from now on) - layer."""
    rules = Rules(evict="uses")
    plan = planned(workload, list(every(3))[number], small_core(capacity), rules)
    lists = uses(plan.tables, plan.sequence, rules)
    ends = lists.use[lists.group]
    used = [set(lists.tile[a:b].tolist()) for a, b in pairwise(ends)]
    inside: set[int] = set()
    gone: list[tuple[int, set[int]]] = []
    now = 0
    for kind, what in plan.events.tolist():
        if kind == Event.RUN:
            key = {t: 100 * sum(t in later for later in used[now:]) - int(plan.tables.tiles.node[t]) for t in inside}
            for tile, others in gone:
                left = 100 * sum(tile in later for later in used[now:]) - int(plan.tables.tiles.node[tile])
                assert all(left <= key[other] for other in others & inside - used[now])
            now, gone = now + 1, []
        elif kind in {Event.FETCH, Event.MAKE}:
            inside.add(what)
        elif kind in {Event.EVICT, Event.FREE}:
            inside.remove(what)
            if kind == Event.EVICT:
                gone.append((what, set(inside)))


def test_farthest_use_first_moves_no_more_than_remaining_uses_here() -> None:
    workload = chain(3, steps=4)
    blocks = schedule("ST-LBL", "ST-LBL", "ST-LBL")
    uses, farthest = (planned(workload, blocks, small_core(1300), Rules(evict=rule)) for rule in ("uses", "farthest"))
    assert farthest.dram_bits <= uses.dram_bits
    assert farthest.evictions > 0


def test_states_leave_with_what_they_are_and_outputs_once() -> None:
    """A state is written whenever it leaves; weights never; DRAM keeps its copy of an output."""
    plan = planned(chain(3, steps=3), schedule("ST-LF", "TB-LF", "ST-LBL"), small_core(450), PUBLISHED)
    words = told(plan)
    assert not [text for text in words if text.startswith(("WRITE W", "SEND W"))]
    written = [text for text in words if text.startswith(("WRITE O", "SEND O"))]
    assert len(written) == len(set(written))


@given(workloads(), st.sampled_from([200, 700, 3000, 10**6]), RULES, st.integers(0, 63))
def test_what_every_plan_keeps_to(workload: Workload, capacity: int, rules: Rules, number: int) -> None:
    plan = planned(workload, list(every(3))[number], small_core(capacity), rules)
    inside: set[str] = set()
    bits = dict(zip([f"{i}" for i in range(plan.tables.tiles.bits.size)], plan.tables.tiles.bits, strict=True))
    held, dram = 0, {str(i) for i in np.flatnonzero(plan.tables.tiles.stored)}
    for kind, what in plan.events.tolist():
        tile = str(what)
        if kind in {Event.FETCH, Event.MAKE}:
            assert tile not in inside
            assert (tile in dram) == (kind == Event.FETCH)
            inside.add(tile)
            held += bits[tile]
        elif kind in {Event.EVICT, Event.FREE}:
            inside.remove(tile)
            held -= bits[tile]
        elif kind in {Event.WRITE, Event.SEND}:
            assert (tile in inside) == (kind == Event.WRITE)
            dram.add(tile)
        elif kind == Event.READ:
            assert tile in dram
            assert tile not in inside
        assert held <= capacity
    assert not inside, "everything is freed in the end"
    assert len(plan.sequence) == len({tuple(row) for row in plan.sequence.tolist()})


def test_windows_are_those_of_a_convolution() -> None:
    assert window(4, 4, 3, 1, 1) == ((0, 2), (0, 3), (1, 4), (2, 4))
    assert window(2, 4, 3, 2, 1) == ((0, 2), (1, 4))
    assert window(2, 5, 2, 1, 0, 3) == ((0, 4), (1, 5))
    assert same(2) == ((0, 1), (1, 2))
    assert tile_starts(5, 2) == (0, 2, 5)


def test_a_batched_block_in_a_loop_is_refused() -> None:
    workload = chain(2)
    back = replace(workload.layers[0], operands=(*workload.layers[0].operands, Operand("l1", same(2), 1)))
    looped = replace(workload, layers=(back, workload.layers[1]))
    planned(looped, schedule("ST-LF", "ST-LF"), small_core(10**6))
    with pytest.raises(RanvierError, match=r"RV535 l0: (.|\n)*one step at a time"):
        planned(looped, schedule("TB-LBL", "ST-LBL"), small_core(10**6))


def test_schedules_in_words() -> None:
    workload = chain(3)
    assert parse_schedule("tb-lf", workload) == (TB_LF,) * 3
    mixed = parse_schedule("TB-LF, TB-LF,ST-LBL", workload)
    assert describe(mixed) == "TB-LF x2, ST-LBL"
    for wrong in ("TB", "ST-LBL,ST-LBL", ""):
        with pytest.raises(RanvierError, match="RV534"):
            parse_schedule(wrong, workload)


def test_workloads_that_make_no_sense_are_refused() -> None:
    workload = chain(2)
    for code, wrong in (
        ("RV532", {"steps": 0}),
        ("RV533", {"blocks": (("l0",),)}),
        ("RV533", {"layers": workload.layers[::-1], "blocks": (("l1",), ("l0",))}),
        ("RV533", {"columns": (2,)}),
    ):
        with pytest.raises(RanvierError, match=code):
            replace(workload, **wrong)
