"""Events of recorded spikes, against a count synapse by synapse."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ranvier.compiler.analysis.energy import energy
from ranvier.compiler.analysis.events import Events, events, layer_format
from ranvier.compiler.analysis.traced import traced
from ranvier.compiler.ir.chip import ChipNetwork, Population
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.program import CoreSite, Piece, Placement
from ranvier.runtimes import oracle
from ranvier.runtimes.recording import LayerStats
from ranvier.targets.load import load_target
from support.networks import Limits, chip_networks, inputs_for

LOIHI2 = load_target("loihi2")
Slow = dict[str, Counter[Any]]
SMALL = Limits(max_neurons=16)


@st.composite
def runs(draw: st.DrawFn, limits: Limits = SMALL) -> tuple[ChipNetwork, Placement, NDArray[np.int32]]:
    """A network in pieces, cores anywhere on two chips of which one has no known mesh, and what enters."""
    chip = draw(chip_networks(limits))
    cuts = [(p, start) for p in chip.populations for start in range(0, p.size, draw(st.integers(1, 9)))]
    cores = draw(st.lists(st.integers(0, 5), min_size=len(cuts), max_size=len(cuts)))
    ends = [*(start for _, start in cuts[1:]), 0]
    pieces = tuple(
        Piece(p.name, start, end or p.size, core) for (p, start), end, core in zip(cuts, ends, cores, strict=True)
    )
    spots = [(0, x, y) for x in range(3) for y in range(3)] + [(1, -1, -1)]
    sites = [CoreSite(i, *draw(st.sampled_from(spots))) for i in range(1 + max(piece.core for piece in pieces))]
    return chip, Placement(pieces, tuple(s for s in sites if s.core in set(cores))), draw(inputs_for(chip, 2, 6))


def slow(chip: ChipNetwork, placement: Placement, sent: Mapping[str, NDArray[Any]]) -> Slow:
    """Every event by kind, one spike at a time; keys are layers, or (core, sample, chip step)."""
    home = {(p.population, n): p.core for p in placement.pieces for n in range(p.start, p.stop)}
    site = {s.core: s for s in placement.sites}
    ends = {c.name: synapse_matrix(c.synapse).tocsc() for c in chip.connections}
    kinds = ("operations", "messages", "east_west", "north_south", "away", "fired", "out", "in", "on_core")
    found: Slow = {kind: Counter() for kind in kinds}
    for name, values in sent.items():
        node = chip.by_name[name]
        late = node.latency if isinstance(node, Population) else 0
        flat = values.reshape(*values.shape[:2], -1)
        for sample, step, neuron in np.argwhere(flat).tolist():
            when, goals = (sample, step + late), set()
            for c in chip.connections:
                for target in _stored(ends[c.name], neuron) if c.source == name else ():
                    core = home[c.target, target]
                    goals.add(core)
                    found["operations"][c.target] += 1
                    found["on_core"][core, *when, layer_format(chip, c.target)] += 1
            for core in goals:
                found["in"][core, *when] += 1
            if name in {p.name for p in chip.populations}:
                own = home[name, neuron]
                found["fired"][own, *when] += 1
                found["out"][own, *when] += len(goals)
                found["messages"][name] += len(goals)
                for a, b in ((site[own], site[core]) for core in goals):
                    found["away"][name] += a.chip != b.chip
                    known = a.chip == b.chip and min(a.x, b.x) >= 0
                    found["east_west"][name] += abs(a.x - b.x) * known
                    found["north_south"][name] += abs(a.y - b.y) * known
    return found


@given(runs())
def test_every_event_is_counted_where_and_when_it_happens(
    case: tuple[ChipNetwork, Placement, NDArray[np.int32]],
) -> None:
    chip, placement, x = case
    ran = oracle.run(chip, x, ("spikes",))
    sent = {chip.ports[0].name: x, **ran.spikes}
    found, wanted = traced(chip, placement, sent), slow(chip, placement, sent)
    chip_steps = x.shape[1] + chip.latency
    assert (found.samples, found.steps, found.chip_steps, found.exact) == (*x.shape[:2], chip_steps, True)
    assert found.between_chips == sum(wanted["away"].values())
    for p in chip.populations:
        layer = found.layers[p.name]
        got = (layer.synaptic_operations, layer.messages, layer.east_west, layer.north_south)
        assert got == tuple(wanted[k][p.name] for k in ("operations", "messages", "east_west", "north_south"))
        assert layer.neuron_updates == p.size * x.shape[0] * chip_steps
        assert layer.spikes == np.count_nonzero(ran.spikes[p.name])
    for core, events_ in found.cores.items():
        for kind, rows in (("fired", events_.spikes), ("out", events_.messages_out), ("in", events_.messages_in)):
            table = rows.reshape(x.shape[0], chip_steps)
            assert {(core, *np.atleast_1d(i)): table[*i] for i in np.argwhere(table).tolist()} == _of(
                core, wanted[kind]
            )
        for kind, rows in events_.synaptic_operations.items():
            assert rows.sum() == sum(n for (c, _, _, k), n in wanted["on_core"].items() if (c, k) == (core, kind))


def _stored(matrix: Any, source: int) -> list[int]:
    return [int(target) for target in matrix.indices[matrix.indptr[source] : matrix.indptr[source + 1]]]


def _of(core: int, counted: Counter[Any]) -> dict[Any, int]:
    return {key: n for key, n in counted.items() if key[0] == core and n}


@given(runs(replace(SMALL, conv=False)))
def test_where_every_neuron_always_fires_counts_alone_give_the_same_messages(
    case: tuple[ChipNetwork, Placement, NDArray[np.int32]],
) -> None:
    """However many connections lead from a neuron to a core."""
    chip, placement, inputs = case
    samples, steps = lead = inputs.shape[:2]
    sent = {name: np.ones((*lead, *node.shape), np.int64) for name, node in chip.by_name.items()}
    counts = {p.name: LayerStats(p.size, p.size * lead[0] * lead[1], 0) for p in chip.populations}
    entered = {port.name: int(sent[port.name].sum()) for port in chip.ports}
    followed, counted = traced(chip, placement, sent), events(chip, placement, counts, samples, steps, entered)
    for name, layer in followed.layers.items():
        other = counted.layers[name]
        assert (layer.messages, layer.east_west, layer.north_south) == pytest.approx(
            (other.messages, other.east_west, other.north_south)
        )
    assert followed.between_chips == pytest.approx(counted.between_chips)
    assert {n: (p.messages, p.east_west) for n, p in followed.once.items()} == {
        n: (p.messages, p.east_west) for n, p in counted.once.items()
    }
    for core, there in followed.cores.items():
        arrived = counted.cores[core].messages_in.sum() * there.messages_in.size
        assert there.messages_in.sum() == pytest.approx(arrived)


@given(runs())
def test_on_one_core_counts_alone_give_the_same_energy(case: tuple[ChipNetwork, Placement, NDArray[np.int32]]) -> None:
    chip, placement, x = case
    ran = oracle.run(chip, x, ("spikes",))
    exact = traced(chip, placement, {chip.ports[0].name: x, **ran.spikes})
    samples, steps = x.shape[:2]
    means = events(chip, placement, ran.stats, samples, steps, {chip.ports[0].name: int(np.count_nonzero(x))})
    assert {n: (e.neuron_updates, e.spikes) for n, e in exact.layers.items()} == {
        n: (e.neuron_updates, e.spikes) for n, e in means.layers.items()
    }
    for name, stats in ran.stats.items():
        assert exact.layers[name].synaptic_operations == stats.synaptic_operations
    a, b = (energy(LOIHI2, happened).dynamic_nj for happened in (exact, means))
    assert a is not None
    assert b is not None
    assert _without_network(exact) == pytest.approx(_without_network(means))


def _without_network(happened: Events) -> float:
    return sum(layer.total - layer.network for layer in energy(LOIHI2, happened).layers.values())
