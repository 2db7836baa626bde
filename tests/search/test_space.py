"""Ids, repair and the closed forms, against published numbers and against the modules themselves."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.search import SPACES, Architecture, Skeleton, Space
from ranvier.search.memory import certainly_over
from ranvier.search.modules import CellNet, Lif
from ranvier.search.space import EDGES, smallest
from ranvier.tuning.budget import Budget

BENCH = Skeleton((3, 32, 32), 10, (128, 256), 1024, votes=10)
SMALL = Skeleton((2, 9, 8), 3, (2, 4), 5, votes=2, steps=3)
ids = st.tuples(*(st.integers(0, 15_624),) * 2)


def network(space: Space, skeleton: Skeleton, first: int, second: int) -> Architecture:
    return Architecture(space, skeleton, (space.decode(first), space.decode(second)))


@pytest.mark.parametrize(
    ("number", "ops", "parameters"),
    [
        (3131, (1, 1, 0, 0, 0, 1), 17_179_620),
        (3166, (1, 3, 1, 0, 0, 1), 17_917_668),
        (12541, (1, 3, 1, 0, 0, 4), 18_655_716),
        (12907, (2, 1, 1, 3, 0, 4), 19_393_764),
        (12807, (2, 1, 2, 2, 0, 4), 20_131_812),
    ],
)
def test_published_networks_of_the_bench(number: int, ops: tuple[int, ...], parameters: int) -> None:
    space = SPACES["spikenas"]
    # The logs write the edges as (0,1), (0,2), (0,3), (1,2), (1,3), (2,3), as the digits stand.
    assert space.decode(number) == ops
    assert space.encode(ops) == number
    assert network(space, BENCH, number, number).parameters == parameters


@given(st.integers(0, 15_624))
@settings(max_examples=25)
def test_each_spiking_edge_of_the_bench_costs_the_published_number(number: int) -> None:
    space = SPACES["spikenas"]
    n = sum(op >= 2 for op in space.decode(number))
    found = network(space, BENCH, number, number)
    assert found.parameters == 17_179_620 + 738_048 * n
    assert found.neurons == 197_632 + 196_608 * n


def test_the_seven_sizes_of_the_bench() -> None:
    space = SPACES["spikenas"]
    sizes = [0] * 7
    for number in range(space.size):
        sizes[sum(op >= 2 for op in space.decode(number))] += 1
    assert sizes == [64, 576, 2160, 4320, 4860, 2916, 729]


@given(ids, st.sampled_from(["spikenas", "snasnet"]))
@settings(max_examples=10)
def test_the_closed_forms_count_what_the_modules_hold(chosen: tuple[int, int], name: str) -> None:
    found = network(SPACES[name], SMALL, *chosen)
    net = CellNet(found).eval()
    assert sum(p.numel() for p in net.parameters()) == found.parameters
    kernels = [p for p in net.parameters() if p.ndim > 1]
    assert sum(p.numel() for p in kernels) == found.weights
    net(torch.rand(1, *SMALL.shape))
    reached = {e for e in net.modules() if isinstance(e, Lif) and e.v is not None}
    dead = any(found.space.repaired(cell) != cell for cell in found.cells)
    held = sum(lif.v.numel() for lif in reached if lif.v is not None)
    assert held <= found.neurons
    assert held == found.neurons or dead


@given(ids, st.sampled_from(["spikenas", "snasnet"]))
@settings(max_examples=15)
def test_repaired_cells_compute_the_same(chosen: tuple[int, int], name: str) -> None:
    whole = network(SPACES[name], SMALL, *chosen)
    first, second = (whole.space.repaired(cell) for cell in whole.cells)
    if first is None or second is None:
        net = CellNet(whole).eval()
        answers = net(torch.rand(4, *SMALL.shape))
        assert torch.equal(answers, answers[:1].expand_as(answers))
        return
    less = replace(whole, cells=(first, second))
    torch.manual_seed(0)
    net, kept = CellNet(whole).eval(), CellNet(less).eval()
    own = net.state_dict()
    kept.load_state_dict({name: own[name] for name in kept.state_dict()})
    images = 3 * torch.rand(4, *SMALL.shape)
    assert torch.allclose(net(images), kept(images), atol=1e-6)
    assert less.parameters <= whole.parameters


@given(ids, st.sampled_from(["spikenas", "snasnet"]))
@settings(max_examples=5)
def test_frames_that_are_all_one_image_are_that_image(chosen: tuple[int, int], name: str) -> None:
    net = CellNet(network(SPACES[name], SMALL, *chosen)).eval()
    images = 3 * torch.rand(3, *SMALL.shape)
    frames = images[:, None].repeat(1, SMALL.steps, 1, 1, 1)
    assert torch.equal(net(images), net(frames))


def test_every_cell_that_leads_somewhere_comes_once() -> None:
    space = SPACES["small"]
    repaired = {space.repaired(ops) for ops in product(range(3), repeat=len(EDGES))} - {None}
    cells = list(space.cells())
    assert set(cells) == repaired
    assert len(cells) == len(repaired)
    assert cells == sorted(cells, key=space.encode)


@given(ids)
@settings(max_examples=25)
def test_nothing_is_smaller_than_the_smallest(chosen: tuple[int, int]) -> None:
    found = network(SPACES["snasnet"], SMALL, *chosen)
    assert smallest(found.space, SMALL).closed_form_bytes(8, 24) <= found.closed_form_bytes(8, 24)


@pytest.mark.parametrize(
    ("million", "most", "winner"), [(17.6, 0, 3131), (18, 1, 3166), (19, 2, 12541), (20, 3, 12907), (21, 5, 12807)]
)
def test_budgets_of_the_bench_admit_the_published_numbers_of_spiking_edges(
    million: float, most: int, winner: int
) -> None:
    """A budget of parameters is one of bytes where each takes 8 bits."""
    space, budget = SPACES["spikenas"], Budget(memory=million * 1e6)
    by_edges = [network(space, BENCH, number, number) for number in ((5**n - 1) // 4 * 3 for n in range(7))]
    assert [sum(op >= 2 for op in found.cells[0]) for found in by_edges] == list(range(7))
    for gate in (
        [not certainly_over(found, budget, 8) for found in by_edges],
        [found.parameters <= budget.memory for found in by_edges],
        [found.closed_form_bytes(8, 0) <= budget.memory for found in by_edges],
    ):
        assert gate == [n <= most for n in range(7)]
    best = network(space, BENCH, winner, winner)
    assert best.parameters <= budget.memory
    assert not certainly_over(best, budget, 8)


@pytest.mark.parametrize("number", [-1, 15_625])
def test_ids_outside_the_space_are_refused(number: int) -> None:
    with pytest.raises(RanvierError, match="RV580"):
        SPACES["spikenas"].decode(number)


@pytest.mark.parametrize(
    "changed", [{"classes": 0}, {"shape": (1, 3, 8)}, {"channels": (0, 4)}, {"steps": 0}, {"votes": -1}]
)
def test_skeletons_without_a_network_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(RanvierError, match="RV581"):
        replace(SMALL, **changed)  # type: ignore[arg-type]
