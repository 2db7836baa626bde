"""Columns and annealing: fewer messages between cores, every limit as before, the same for the same seed."""

import importlib.util
from collections.abc import Sequence

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
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import CoreSite, Piece, Placement
from ranvier.compiler.passes.mapping.effort import Effort
from ranvier.compiler.passes.mapping.loads import Loads
from ranvier.compiler.passes.mapping.packing import Packer
from ranvier.compiler.passes.mapping.refinement import columns
from ranvier.compiler.passes.partition import Partition
from ranvier.targets.load import load_target
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
    tight = LOIHI1.core.model_copy(
        update={
            "resources": tuple(
                r.model_copy(update={"cap": r.cap.model_copy(update={"v": 30})}) if r.name == "in_axons" else r
                for r in LOIHI1.core.resources
            )
        }
    )
    target = LOIHI1.model_copy(update={"core": tight})
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


@pytest.mark.parametrize(("sizes", "layers", "cores"), [([10, 20, 30], 1, 6), ([64] * 8, 2, 16), ([5, 5, 5], 2, 3)])
def test_columns_spread_each_layer_evenly_over_the_cores_of_its_group(
    sizes: list[int], layers: int, cores: int
) -> None:
    found = columns(sizes, layers, cores)
    assert found is not None
    assert set(found.tolist()) == set(range(cores))
    ends = np.cumsum(sizes)
    for i, size in enumerate(sizes):
        own = found[ends[i] - size : ends[i]]
        assert np.all(np.diff(own) >= 0)
        held = np.bincount(own)[own.min() :]
        assert held.max() - held.min() <= 1
    assert columns([100, 1], 1, 2) is None


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


def test_metis_is_another_start_or_its_absence_is_said() -> None:
    chip = layered(4, 256, 16, local=False)
    if importlib.util.find_spec("pymetis") is None:
        with pytest.raises(RanvierError, match="RV526 engine: METIS needs the package pymetis"):
            Partition(LOIHI1, 100, engine="metis")(chip)
        return
    done = Partition(LOIHI1, 100, engine="metis")(chip)
    assert messages(chip, done.pieces) <= unrefined(chip, 100)
    assert violations(chip, LOIHI1, done.pieces) == []
