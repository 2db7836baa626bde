"""Messages between cores and their load on the mesh, against counting neuron by neuron and link by link."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis.flows import Flows, flows, mesh_load
from ranvier.compiler.analysis.reasons import reasons
from ranvier.compiler.analysis.traffic import cut_size, load, traffic
from ranvier.compiler.ir.chip import ChipNetwork
from ranvier.compiler.ir.program import CoreSite, Piece, Placement
from ranvier.compiler.passes.partition import Partition
from ranvier.targets.load import load_target
from support.mapping import reach_matrix
from support.networks import Limits, chip_networks
from support.placing import home_table, messages_between, walked

LOIHI2 = load_target("loihi2")


@st.composite
def placed(draw: st.DrawFn) -> tuple[ChipNetwork, tuple[Piece, ...], list[CoreSite]]:
    """A network in pieces, cores anywhere on two chips of which one has no known mesh."""
    chip = draw(chip_networks(Limits(max_neurons=20)))
    pieces = Partition(LOIHI2, max_neurons=draw(st.integers(1, 9)))(chip).pieces
    spots = [(0, x, y) for x in range(4) for y in range(4)] + [(1, -1, -1)]
    cores = 1 + max(piece.core for piece in pieces)
    return chip, pieces, [CoreSite(i, *draw(st.sampled_from(spots))) for i in range(cores)]


@given(placed(), st.floats(0.1, 2.0))
def test_flows_and_their_load_equal_the_slow_count(
    case: tuple[ChipNetwork, tuple[Piece, ...], list[CoreSite]], rate: float
) -> None:
    chip, pieces, sites = case
    rates = {chip.populations[0].name: rate}
    found = flows(chip, pieces, rates)
    got = {(a, b): m for a, b, m in zip(found.sources.tolist(), found.targets.tolist(), found.messages, strict=True)}
    expected = messages_between(chip, pieces, rates)
    assert got == pytest.approx(expected)
    seen = mesh_load(found, sites)
    assert (seen.messages, seen.hops, seen.busiest_link, seen.between_chips) == pytest.approx(walked(found, sites))


@given(placed())
def test_traffic_of_every_neuron_adds_up_to_the_load(
    case: tuple[ChipNetwork, tuple[Piece, ...], list[CoreSite]],
) -> None:
    chip, pieces, sites = case
    placement = Placement(pieces, tuple(sites))
    each, whole = traffic(chip, placement), load(chip, placement, {p.name: 1.0 for p in chip.populations})
    own = [each[p.name] for p in chip.populations]
    assert sum(int(t.east_west.sum() + t.north_south.sum()) for t in own) == round(whole.hops)
    assert sum(int(t.between_chips.sum()) for t in own) == round(whole.between_chips)
    assert cut_size(chip, placement) == round(whole.messages)
    homes = home_table(chip, pieces)
    for name, found in each.items():
        goals: list[set[int]] = [set() for _ in range(found.messages.size)]
        for connection in chip.connections:
            if connection.source == name:
                target, matrix = np.array(homes[connection.target]), reach_matrix(connection)
                for i, cores in enumerate(goals):
                    cores.update(target[matrix[:, i]].tolist())
        assert found.messages.tolist() == [len(cores) for cores in goals]


def test_the_busiest_link_is_the_one_that_two_messages_share() -> None:
    sites = [CoreSite(0, 0, 0, 0), CoreSite(1, 0, 2, 0), CoreSite(2, 0, 1, 0), CoreSite(3, 0, 2, 1)]
    flow = Flows(4, np.array([0, 2, 1]), np.array([1, 3, 0]), np.array([3.0, 4.0, 5.0]))
    # East over 1-2: 3 + 4; west back over both links: 5; south at x = 2: 4.
    found = mesh_load(flow, sites)
    assert (found.hops, found.busiest_link) == (3 * 2 + 4 * 2 + 5 * 2, 7.0)


@given(placed())
def test_every_layer_has_a_reason_that_names_its_cores(
    case: tuple[ChipNetwork, tuple[Piece, ...], list[CoreSite]],
) -> None:
    chip, pieces, sites = case
    found = reasons(chip, Placement(pieces, tuple(sites)), LOIHI2)
    assert list(found) == [p.name for p in chip.populations]
    for name, text in found.items():
        held = {piece.core for piece in pieces if piece.population == name}
        words = f"core {held.pop()} because" if len(held) == 1 else "is on cores "
        assert words in text
        assert " % of " in text
