"""Places of cores: never worse than the start, as good as any for a few cores, the same for the same seed."""

import importlib.util
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis.flows import Flows, mesh_load
from ranvier.compiler.ir.program import CoreSite
from ranvier.compiler.passes.mapping.curve import hilbert
from ranvier.compiler.passes.mapping.effort import Effort, silent
from ranvier.compiler.passes.mapping.swaps import Costs, Site, Swaps
from support.exact_placement import best_by_cp_sat
from support.placing import best_by_trying, hops_of


@st.composite
def random_flows(draw: st.DrawFn, most: int = 12) -> Flows:
    cores = draw(st.integers(2, most))
    pairs = [(a, b) for a in range(cores) for b in range(cores) if a != b]
    chosen = sorted(draw(st.sets(st.sampled_from(pairs), min_size=1, max_size=20)))
    messages = draw(st.lists(st.integers(1, 9), min_size=len(chosen), max_size=len(chosen)))
    sources, targets = np.array(chosen).T
    return Flows(cores, sources, targets, np.array(messages, dtype=np.float64))


def refined(flow: Flows, sites: list[Site], effort: str = "quick", seed: int = 0, crossing: float = 30.0) -> list[int]:
    swaps = Swaps(Costs(crossing=crossing), Effort.named(effort), seed, silent)
    return [int(i) for i in swaps(flow, sites)]


@given(random_flows(), st.integers(0, 3))
def test_every_core_has_a_place_of_its_own_and_no_worse_than_the_order(flow: Flows, seed: int) -> None:
    sites = [(0, x, y) for x, y in hilbert(4, 4)]
    order = refined(flow, sites, seed=seed)
    assert len(set(order)) == flow.cores
    assert set(order) <= set(range(16))
    points = [(x, y) for _, x, y in sites]
    assert hops_of(flow, points, order) <= hops_of(flow, points, range(flow.cores))
    assert order == refined(flow, sites, seed=seed)


@given(random_flows(6))
def test_six_cores_lie_as_well_as_they_can(flow: Flows) -> None:
    points = list(hilbert(3, 2))
    order = refined(flow, [(0, *p) for p in points], "normal")
    assert hops_of(flow, points, order) == best_by_trying(flow, points)


@pytest.mark.skipif(importlib.util.find_spec("ortools") is None, reason="ortools (CP-SAT) is not installed")
def test_seven_cores_lie_as_well_as_cp_sat_proves() -> None:
    random = np.random.default_rng(3)
    pairs = [(a, b) for a in range(7) for b in range(7) if a != b and random.random() < 0.25]
    sources, targets = np.array(pairs).T
    flow = Flows(7, sources, targets, random.integers(1, 6, len(pairs)).astype(np.float64))
    points = list(hilbert(4, 2))
    assert hops_of(flow, points, refined(flow, [(0, *p) for p in points], "normal")) == best_by_cp_sat(flow, points)


@given(random_flows(8))
def test_where_cores_are_cheap_to_join_nothing_leaves_its_chip(flow: Flows) -> None:
    # Two chips of eight places: all cores fit on one.
    sites = [(chip, x, y) for chip in (0, 1) for x, y in hilbert(4, 2)]
    order = refined(flow, sites, "normal", crossing=1000.0)
    assert mesh_load(flow, [CoreSite(i, *sites[place]) for i, place in enumerate(order)]).between_chips == 0


def test_north_south_hops_are_weighed_apart() -> None:
    flow = Flows(2, np.array([0]), np.array([1]), np.array([1.0]))
    sites = [(0, 0, 0), (0, 0, 1), (0, 3, 0)]
    dear = Swaps(Costs(1.0, 10.0), Effort.named("normal"), 0, silent)(flow, sites)
    assert sorted(dear.tolist()) == [0, 2]
    assert sorted(refined(flow, sites)) == [0, 1]


def test_more_effort_is_no_worse_on_the_layered_cores() -> None:
    sizes = (4, 16, 24, 24, 20, 16, 12, 8, 4)
    ends = np.cumsum(sizes)
    layers = [range(end - n, end) for end, n in zip(ends, sizes, strict=True)]
    pairs = [(a, b) for one, two in pairwise(layers) for a in one for b in two]
    sources, targets = np.array(pairs).T
    messages = np.random.default_rng(0).integers(1, 6, len(pairs)).astype(np.float64)
    flow, points = Flows(128, sources, targets, messages), list(hilbert(16, 8))
    start = hops_of(flow, points, range(128))
    quick, normal = (hops_of(flow, points, refined(flow, [(0, *p) for p in points], e)) for e in ("quick", "normal"))
    assert normal <= quick < 0.84 * start
