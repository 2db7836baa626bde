"""Columns and annealing: fewer messages between cores, every limit as before, the same for the same seed."""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis.flows import flows, homes_of
from ranvier.compiler.analysis.resources import Mapper
from ranvier.compiler.analysis.resources_blocks import blocks_of, ranges_block
from ranvier.compiler.analysis.traffic import cut_size
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, SparseSynapse
from ranvier.compiler.ir.matrix import synapse_matrix
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import CoreSite, Piece, Placement
from ranvier.compiler.passes.mapping import refinement
from ranvier.compiler.passes.mapping.axon_kernels import listed, transposed
from ranvier.compiler.passes.mapping.axons import Axons, axons_of
from ranvier.compiler.passes.mapping.effort import Effort
from ranvier.compiler.passes.mapping.engines import ENGINES, Engine
from ranvier.compiler.passes.mapping.growth_kernels import grown
from ranvier.compiler.passes.mapping.legality import Assignment, Legality
from ranvier.compiler.passes.mapping.loads import Loads
from ranvier.compiler.passes.mapping.packing import Packer
from ranvier.compiler.passes.mapping.partition_kernels import Assigned, Hypergraph, cost_of, count_members
from ranvier.compiler.passes.mapping.refinement import Refinement, columns
from ranvier.compiler.passes.partition import Partition
from ranvier.targets.load import load_target
from ranvier.targets.schema import Target
from support.mapping import connection_cost, lif_population, violations

LOIHI1 = load_target("loihi1")


def layered(layers: int, size: int, fan: int, seed: int = 0, local: bool = True) -> ChipNetwork:
    """Sparse layers, each neuron to ``fan`` others of the next layer: near it, or anywhere."""
    random = np.random.default_rng(seed)
    connections = []
    for i in range(layers - 1):
        reached = random.integers(-fan, fan + 1, (size, fan)) + np.arange(size)[:, None]
        targets = (reached if local else random.integers(0, size, (size, fan))) % size
        pairs = np.unique(np.stack([targets.reshape(-1), np.repeat(np.arange(size), fan)], axis=1), axis=0)
        pointers = np.concatenate([[0], np.cumsum(np.bincount(pairs[:, 0], minlength=size))])
        synapse = SparseSynapse(np.full(len(pairs), 2, np.int32), pairs[:, 1], pointers, size)
        connections.append(Connection(f"c{i}", f"l{i}", f"l{i + 1}", synapse, 0, "mixed", 0))
    populations = tuple(lif_population(f"l{i}", (size,), i + 1) for i in range(layers))
    return ChipNetwork("layers", "loihi1", (), populations, tuple(connections), Readout(f"l{layers - 1}"))


def messages(chip: ChipNetwork, pieces: Sequence[Piece]) -> int:
    return cut_size(chip, Placement(tuple(pieces), tuple(CoreSite(c, 0, -1, -1) for c in {p.core for p in pieces})))


def unrefined(chip: ChipNetwork, most: int) -> int:
    """Messages of the blocks packed in order."""
    cores, _ = Packer(Loads(Mapper(chip, LOIHI1), most)).run()
    pieces = [Piece(b.population, *r, number) for number, core in enumerate(cores) for b in core for r in b.ranges()]
    return messages(chip, pieces)


@given(st.integers(2, 5), st.integers(8, 60), st.integers(1, 8), st.integers(5, 30), st.booleans(), st.integers(0, 99))
def test_messages_never_grow_and_limits_hold(
    layers: int, size: int, fan: int, most: int, local: bool, seed: int
) -> None:
    chip = layered(layers, size, fan, seed, local)
    done = Partition(LOIHI1, max_neurons=most, seed=seed)(chip)
    assert messages(chip, done.pieces) <= unrefined(chip, most)
    assert violations(chip, LOIHI1, done.pieces) == []
    homes = homes_of(chip, done.pieces)
    counts = np.bincount(np.concatenate(list(homes.values())))
    assert counts.max() <= most
    assert counts.min() > 0
    assert done == Partition(LOIHI1, max_neurons=most, seed=seed)(chip)


def test_input_axons_bind_refined_cores_too() -> None:
    target = capped("in_axons", 30)
    chip = layered(4, 60, 6)
    done = Partition(target)(chip)
    assert violations(chip, target, done.pieces) == []


def test_columns_through_layers_save_messages_and_annealing_saves_more() -> None:
    chip = layered(8, 256, 8)
    plain, quick, normal = (
        unrefined(chip, 66),
        *(messages(chip, Partition(LOIHI1, 66, effort=Effort.named(e))(chip).pieces) for e in ("quick", "normal")),
    )
    assert normal <= quick < 0.95 * plain


def test_rates_decide_which_spikes_stay_on_a_core() -> None:
    chip = layered(3, 128, 8, seed=2)
    for loud in ("l0", "l1"):
        rates = {name: 10.0 if name == loud else 0.1 for name in ("l0", "l1", "l2")}
        weighted = Partition(LOIHI1, 64)(
            ChipNetwork(chip.name, chip.target, (), chip.populations, chip.connections, chip.readout, rates=rates)
        )
        plain = Partition(LOIHI1, 64)(chip)
        sums = [flows(chip, done.pieces, rates).messages.sum() for done in (weighted, plain)]
        assert sums[0] <= sums[1]


@pytest.mark.parametrize(("sizes", "groups", "cores"), [([10, 20, 30], 3, 6), ([64] * 8, 4, 16), ([5, 5, 5], 2, 3)])
def test_columns_spread_each_layer_evenly_over_the_cores_of_its_group(
    sizes: list[int], groups: int, cores: int
) -> None:
    found = columns(sizes, groups, cores)
    assert found is not None
    assert set(found.tolist()) == set(range(cores))
    ends = np.cumsum(sizes)
    for i, size in enumerate(sizes):
        own = found[ends[i] - size : ends[i]]
        assert np.all(np.diff(own) >= 0)
        held = np.bincount(own)[own.min() :]
        assert held.max() - held.min() <= 1
    assert columns([100, 1], 2, 2) is None


PAIRS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), min_size=1, max_size=60)


@given(PAIRS)
def test_lists_by_counting_are_those_of_sets(pairs: list[tuple[int, int]]) -> None:
    sources, targets = (np.array(part, dtype=np.int32) for part in zip(*pairs, strict=True))
    pointers, members = listed(sources, targets, 12)
    for neuron in range(12):
        held = members[pointers[neuron] : pointers[neuron + 1]].tolist()
        reached = {b for a, b in pairs if a == neuron}
        assert len(held) == len(set(held))
        assert set(held) == (reached | {neuron} if reached else set())
    near, axons = transposed(pointers, members)
    both = {(int(v), e) for e in range(12) for v in members[pointers[e] : pointers[e + 1]]}
    assert {(v, int(e)) for v in range(12) for e in axons[near[v] : near[v + 1]]} == both
    assert axons.size == members.size


@given(PAIRS, st.lists(st.integers(0, 4), min_size=12, max_size=12))
def test_both_accounts_of_the_cost_are_that_of_the_definition(pairs: list[tuple[int, int]], cores: list[int]) -> None:
    sources, targets = (np.array(part, dtype=np.int32) for part in zip(*pairs, strict=True))
    lists = listed(sources, targets, 12)
    graph = Hypergraph(*lists, *transposed(*lists), np.arange(1.0, 13.0))
    core = np.array(cores, dtype=np.int32)
    wanted = sum((e + 1) * len({cores[b] for a, b in pairs if a == e} - {cores[e]}) for e in range(12))
    state = Assigned(core, np.zeros((12, 5), dtype=np.uint16), np.zeros(5, dtype=np.int64))
    assert cost_of(graph, core, 5) == count_members(graph, state) == wanted


def shuffled(chip: ChipNetwork, seed: int) -> ChipNetwork:
    """The network with the neurons of every layer in another order."""
    random = np.random.default_rng(seed)
    order = {p.name: random.permutation(p.size) for p in chip.populations}
    connections = []
    for c in chip.connections:
        assert isinstance(c.synapse, SparseSynapse)
        matrix = synapse_matrix(c.synapse)[order[c.target]][:, order[c.source]].tocsr()
        synapse = SparseSynapse(matrix.data.astype(np.int32), matrix.indices, matrix.indptr, matrix.shape[1])
        connections.append(replace(c, synapse=synapse))
    return replace(chip, connections=tuple(connections))


def test_the_order_of_neurons_hides_little() -> None:
    chip = layered(8, 256, 8)
    for effort, factor in (("quick", 1.6), ("normal", 1.35)):
        mapper = Partition(LOIHI1, 66, effort=Effort.named(effort))
        found = [messages(one, mapper(one).pieces) for one in (chip, shuffled(chip, 0))]
        assert found[1] < factor * found[0]
        assert found[1] < 0.5 * unrefined(shuffled(chip, 0), 66)


@given(PAIRS, st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_grown_cores_have_the_sizes_asked_for(pairs: list[tuple[int, int]], sizes: list[int]) -> None:
    sources, targets = (np.array(part, dtype=np.int32) for part in zip(*pairs, strict=True))
    lists = listed(sources, targets, 12)
    graph = Hypergraph(*lists, *transposed(*lists), np.ones(12))
    wanted = [*np.diff(np.minimum(np.cumsum([0, *sizes]), 12)).tolist()]
    wanted.append(12 - sum(wanted))
    core = grown(graph, np.array(wanted))
    assert np.bincount(core, minlength=len(wanted)).tolist() == wanted


def capped(name: str, cap: int) -> Target:
    rules = tuple(
        r.model_copy(update={"cap": r.cap.model_copy(update={"v": cap})}) if r.name == name else r
        for r in LOIHI1.core.resources
    )
    return LOIHI1.model_copy(update={"core": LOIHI1.core.model_copy(update={"resources": rules})})


@given(st.integers(30, 90), st.sampled_from(["in_axons", "out_axons"]), st.integers(0, 20))
def test_what_breaks_a_limit_is_put_back_and_the_rest_kept(cap: int, limit: str, seed: int) -> None:
    chip, target = layered(4, 60, 6, seed), capped(limit, cap)
    loads = Loads(Mapper(chip, target), 40)
    cores, _ = Packer(loads).run()
    axons = axons_of(chip, {})
    assert axons is not None
    legality = Legality(loads, axons, cores)
    safe = legality.assignment()
    wanted = np.random.default_rng(seed).permutation(safe).astype(np.int32)
    kept = legality.retreat(wanted, safe)
    if kept is None:
        assert legality.checked(wanted) is None
        return
    assert np.all((kept.core == wanted) | (kept.core == safe))
    pieces = [Piece(b.population, *r, n) for n, core in enumerate(kept.blocks) for b in core for r in b.ranges()]
    assert violations(chip, target, pieces) == []


def test_a_start_may_leave_cores_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    # Packed on eight cores of 30 neurons; columns of 40 need six, here those of the highest numbers.
    chip = layered(4, 60, 6)
    cores, annealed = [], Refinement._annealed

    def starts(sizes: Sequence[int], _axons: Axons, count: int) -> Iterator[tuple[Assignment, float]]:
        found = columns(sizes, 1, count - 2)
        assert found is not None
        yield found + np.int32(2), 0.0

    def recorded(self: Refinement, axons: Axons, start: Assignment, count: int) -> tuple[Assignment, float]:
        cores.append((int(start.min()), int(start.max()), count))
        return annealed(self, axons, start, count)

    monkeypatch.setattr(refinement, "column_starts", starts)
    monkeypatch.setattr(Refinement, "_annealed", recorded)
    done = Partition(LOIHI1, max_neurons=40, effort=Effort.named("quick"))(chip)
    assert cores == [(2, 7, 8)]
    assert violations(chip, LOIHI1, done.pieces) == []


@given(st.sets(st.integers(0, 39), min_size=1), st.integers(0, 20))
def test_blocks_of_several_ranges_have_the_slow_figures(neurons: set[int], seed: int) -> None:
    chip = layered(2, 40, 4, seed, local=False)
    (connection,) = chip.connections
    block = ranges_block("l1", (40,), [(n, n + 1) for n in neurons])
    assert block.indices().tolist() == sorted(neurons)
    assert block.size == len(neurons)
    found = Mapper(chip, LOIHI1).lists(connection, block)
    assert (found.axons, found.bits) == connection_cost(connection, LOIHI1, sorted(neurons))[:2]
    pieces = [Piece("l1", start, stop, 4) for start, stop in block.ranges()]
    assert blocks_of(chip, pieces) == {4: (block,)}


@pytest.mark.parametrize(
    ("engine", "package", "name"), [("metis", "pymetis", "METIS"), ("mtkahypar", "mtkahypar", "Mt-KaHyPar")]
)
def test_another_engine_gives_a_start_or_its_absence_is_said(engine: Engine, package: str, name: str) -> None:
    chip = layered(4, 256, 16, local=False)
    if importlib.util.find_spec(package) is None:
        with pytest.raises(RanvierError, match=f"RV526 engine: {name} needs the package {package}"):
            Partition(LOIHI1, 100, engine=engine)(chip)
        return
    axons = axons_of(chip, {})
    assert axons is not None
    found = ENGINES[engine](axons, 11, 0)
    assert np.bincount(found, minlength=11).max() <= 1.05 * 1024 / 11
    assert np.array_equal(found, ENGINES[engine](axons, 11, 0))
    done = Partition(LOIHI1, 100, engine=engine)(chip)
    assert messages(chip, done.pieces) <= unrefined(chip, 100)
    assert violations(chip, LOIHI1, done.pieces) == []
