"""Loads of links and routers against messages that are walked one hop after the other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis.flows import Flows, mesh_load
from ranvier.compiler.analysis.links import links
from ranvier.compiler.ir.program import CoreSite


@st.composite
def loads(draw: st.DrawFn) -> tuple[Flows, list[CoreSite]]:
    """Cores at random tiles of up to three chips, several on one tile, and messages between them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cores = draw(st.integers(2, 12))
    sites = [CoreSite(n, 2 * int(rng.integers(0, 3)), *map(int, rng.integers(0, 4, 2))) for n in range(cores)]
    pairs = np.array([(a, b) for a in range(cores) for b in range(cores) if a != b and rng.random() < 0.4])
    pairs = pairs.reshape(-1, 2).astype(np.int64)
    return Flows(cores, pairs[:, 0], pairs[:, 1], rng.integers(1, 50, len(pairs)).astype(np.float64)), sites


@given(loads())
def test_every_message_goes_its_way(drawn: tuple[Flows, list[CoreSite]]) -> None:
    flow, sites = drawn
    walked: dict[tuple[int, tuple[int, int], tuple[int, int]], float] = {}
    handled: dict[tuple[int, int, int], float] = {}
    for source, target, load in zip(flow.sources, flow.targets, flow.messages, strict=True):
        a, b = sites[source], sites[target]
        x, y = a.x, a.y
        handled[a.chip, x, y] = handled.get((a.chip, x, y), 0.0) + load
        while a.chip == b.chip and (x, y) != (b.x, b.y):
            onward = (x + np.sign(b.x - x), y) if x != b.x else (x, y + np.sign(b.y - y))
            step = (a.chip, (x, y), (int(onward[0]), int(onward[1])))
            walked[step] = walked.get(step, 0.0) + load
            x, y = step[2]
            handled[a.chip, x, y] = handled.get((a.chip, x, y), 0.0) + load
    found = links(flow, sites)
    number = {int(chip): n for n, chip in enumerate(found.chips)}
    ways = {(1, 0): found.east, (-1, 0): found.west, (0, 1): found.north, (0, -1): found.south}
    for (chip, (x0, y0), (x1, y1)), load in walked.items():
        held = ways[x1 - x0, y1 - y0]
        assert held[number[chip], min(y0, y1), min(x0, x1)] == load
    for (chip, x, y), load in handled.items():
        assert found.routers[number[chip], y, x] == load
    assert sum(way.sum() for way in ways.values()) == sum(walked.values()) == mesh_load(flow, sites).hops
    assert found.routers.sum() == sum(handled.values())
    load, chip, start, stop = found.busiest()
    assert load == max(walked.values(), default=0.0) == mesh_load(flow, sites).busiest_link
    assert not walked or walked[chip, start, stop] == load
