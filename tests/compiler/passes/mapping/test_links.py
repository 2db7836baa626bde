"""The load of mesh links: kept up to date by every swap, and levelled for hardly any hops."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis.flows import Flows, mesh_load
from ranvier.compiler.ir.program import CoreSite
from ranvier.compiler.passes.mapping import swaps
from ranvier.compiler.passes.mapping.compiled import random_state
from ranvier.compiler.passes.mapping.curve import hilbert
from ranvier.compiler.passes.mapping.effort import Effort, silent
from ranvier.compiler.passes.mapping.link_kernels import POWER, Links, fill, spread
from ranvier.compiler.passes.mapping.placement_kernels import Graph, Placed, Places, total_cost
from ranvier.compiler.passes.mapping.swaps import Costs, Site, Swaps
from support.placing import walked

SITES: list[Site] = [(chip, x, y) for chip in (0, 1) for x, y in hilbert(3, 3)]
LAYERS = (4, 16, 24, 24, 20, 16, 12, 8, 4)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Flows, list[int]]:
    """Flows between cores, and different places for these."""
    cores = draw(st.integers(2, 10))
    pairs = [(a, b) for a in range(cores) for b in range(cores) if a != b]
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=25, unique=True))
    messages = draw(st.lists(st.integers(1, 9), min_size=len(chosen), max_size=len(chosen)))
    order = draw(st.permutations(range(len(SITES))))[:cores]
    sources, targets = np.array(chosen).T
    return Flows(cores, sources, targets, np.array(messages, dtype=np.float64)), list(order)


def search(flow: Flows, order: list[int], weight: float) -> tuple[Graph, Links, Places, Placed]:
    graph = Graph(*swaps._both_ways(flow))
    chip, x, y = (np.array(axis, dtype=np.int32) for axis in zip(*SITES, strict=True))
    state = Placed(np.array(order, dtype=np.int32), np.full(len(SITES), -1, dtype=np.int32))
    state.tenant[state.place] = np.arange(flow.cores)
    links = Links(*swaps._each_way(flow, graph), np.zeros(2 * 9 * 4), np.array([3, 3]), weight)
    return graph, links, Places(chip, x, y, np.array([1.0, 2.0, 30.0])), state


@given(cases())
def test_the_links_carry_what_a_walk_along_them_finds(case: tuple[Flows, list[int]]) -> None:
    flow, order = case
    graph, links, places, state = search(flow, order, 1.0)
    fill(graph, links, places, state.place)
    _, hops, busiest, _ = walked(flow, [CoreSite(i, *SITES[p]) for i, p in enumerate(order)])
    assert (links.loads.max(), links.loads.sum()) == (busiest, hops)


@given(cases(), st.integers(0, 9), st.floats(0.001, 10.0))
def test_changes_add_up_to_the_costs_counted_anew(case: tuple[Flows, list[int]], seed: int, weight: float) -> None:
    flow, order = case
    graph, links, places, state = search(flow, order, weight)
    fill(graph, links, places, state.place)
    before, busy = total_cost(graph, places, state), np.sum(links.loads**POWER)
    apart, change = spread(graph, links, places, state, random_state(seed), 60, 4, (50.0, 1.0))
    held = links.loads.copy()
    links.loads[:] = 0
    fill(graph, links, places, state.place)
    np.testing.assert_array_equal(held, links.loads)
    after = total_cost(graph, places, state)
    np.testing.assert_allclose(apart, after - before, atol=1e-9)
    np.testing.assert_allclose(change, after - before + weight * (np.sum(held**POWER) - busy), rtol=1e-6, atol=1e-6)
    assert len(set(state.place.tolist())) == flow.cores
    assert [state.tenant[p] for p in state.place] == list(range(flow.cores))


def test_the_busiest_link_gets_lighter_for_at_most_a_hundredth_more_hops() -> None:
    ends = np.cumsum(LAYERS)
    layers = [range(end - n, end) for end, n in zip(ends, LAYERS, strict=True)]
    pairs = [(a, b) for one, two in pairwise(layers) for a in one for b in two]
    sources, targets = np.array(pairs).T
    messages = np.random.default_rng(1).integers(1, 6, len(pairs)).astype(np.float64)
    flow, sites = Flows(128, sources, targets, messages), [(0, *point) for point in hilbert(16, 8)]
    swapping = Swaps(Costs(), Effort.named("normal"), 0, silent)
    levelled = mesh_load(flow, [CoreSite(i, *sites[p]) for i, p in enumerate(swapping(flow, sites))])
    # The same search without its second half.
    started = np.arange(128, dtype=np.int32)
    chip, x, y = (np.array(axis, dtype=np.int32) for axis in zip(*sites, strict=True))
    state = Placed(started, started.copy())
    graph = Graph(*swaps._both_ways(flow))
    places = Places(chip, x, y, np.array([1.0, 1.0, 30.0]))
    near = swapping._near(
        swaps._Search(flow, graph, places, state, random_state(0), float(graph.sent.mean())), swapping.effort
    )
    alone = mesh_load(flow, [CoreSite(i, *sites[p]) for i, p in enumerate(near)])
    assert levelled.hops <= 1.01 * alone.hops
    assert levelled.busiest_link < 0.9 * alone.busiest_link
