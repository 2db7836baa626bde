"""Synaptic memory against worked figures, and the demand of blocks against a slow count."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis import resources_synapses
from ranvier.compiler.analysis.resources import Demand, Mapper, usages
from ranvier.compiler.analysis.resources_blocks import Block, block_shape, blocks_of, cut, splits
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, DenseSynapse, Port
from ranvier.compiler.ir.linear import SignMode
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import Piece
from ranvier.targets.load import load_target
from ranvier.targets.schema import Target
from support.mapping import connection_cost, core_counters, lif_population, list_bits, reach_matrix
from support.networks import Limits, chip_networks

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")
CORE_BITS = 1_048_576
Case = tuple[ChipNetwork, Block]


@pytest.mark.parametrize(
    ("length", "bits", "per_core"),
    [
        (64, 8, 116_508),
        (64, 3, 262_144),
        (64, 1, 524_288),
        (64, 8 + 10, 55_188),
        (64, 8 + 6, 69_905),
        (16, 8, 87_381),
        (1, 8, 16_384),
    ],
)
def test_synapses_per_core_are_the_worked_figures(length: int, bits: int, per_core: int) -> None:
    (stored,) = resources_synapses.list_bits(np.array([length]), bits, LOIHI1)
    assert CORE_BITS * length // int(stored) == per_core


@given(st.lists(st.integers(0, 700), max_size=5), st.integers(1, 30))
def test_list_bits_equals_the_loop(lengths: list[int], bits: int) -> None:
    found = resources_synapses.list_bits(np.array(lengths, dtype=np.int64), bits, LOIHI1)
    assert found.tolist() == [list_bits(n, bits) for n in lengths]


@pytest.mark.parametrize(
    ("values", "sign", "bits"),
    [
        ([254, -2], "mixed", 8),
        ([4, -8, 12], "mixed", 8),
        ([-8, 16], "mixed", 6),
        ([-256, 128], "mixed", 2),
        ([-256], "mixed", 1),
        ([0], "mixed", 1),
        ([255, 1], "excitatory", 8),
        ([-64, -128], "inhibitory", 2),
    ],
)
def test_weights_take_the_narrowest_field_that_holds_them(values: list[int], sign: SignMode, bits: int) -> None:
    synapse = DenseSynapse(np.array([values], dtype=np.int32))
    connection = Connection("c", "a", "b", synapse, 0, sign, 0)
    assert resources_synapses.weight_bits(connection, LOIHI1) == bits
    assert resources_synapses.weight_bits(connection, LOIHI2) == 8


@st.composite
def networks_and_blocks(draw: st.DrawFn) -> Case:
    chip = draw(chip_networks(Limits(stock_only=True, max_neurons=20)))
    population = draw(st.sampled_from(chip.populations))
    shape = block_shape(chip, population)
    ends = [sorted(draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True))) for n in shape]
    return chip, Block(population.name, shape, tuple((a, b) for a, b in ends))


UNSHARED = LOIHI1.model_copy(update={"synapse": LOIHI1.synapse.model_copy(update={"share_conv": "none"})})


@given(networks_and_blocks(), st.sampled_from([LOIHI1, LOIHI2, UNSHARED]))
def test_lists_and_reach_equal_the_unrolled_count(case: Case, target: Target) -> None:
    chip, block = case
    mapper = Mapper(chip, target)
    for connection in chip.into[block.population]:
        found = mapper.lists(connection, block)
        axons, bits, _ = connection_cost(connection, target, block.indices().tolist())
        assert (found.axons, found.bits) == (axons, bits)
        matrix = reach_matrix(connection)
        assert np.array_equal(resources_synapses.reach(connection, block), matrix[block.indices()].any(axis=0))
        assert np.array_equal(resources_synapses.fan_in(connection.synapse), matrix.sum(axis=1))


@pytest.mark.parametrize("target", [LOIHI1, LOIHI2, UNSHARED])
@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 2)])
def test_a_convolution_with_many_windows_alike(target: Target, stride: int, groups: int) -> None:
    spatial = (8 + 2 - 3) // stride + 1
    weight = np.full((4, 2 // groups, 3, 3), 2, np.int32)
    synapse = ConvSynapse(weight, (2, 8, 8), (4, spatial, spatial), (stride, stride), ((1, 1), (1, 1)), (1, 1), groups)
    connection = Connection("c", "in", "p", synapse, 0, "mixed", 0)
    population = lif_population("p", synapse.out_shape)
    chip = ChipNetwork("n", "loihi1", (Port("in", (2, 8, 8)),), (population,), (connection,), Readout("p"))
    for box in (((0, 4), (0, spatial), (0, spatial)), ((1, 3), (1, 3), (0, spatial)), ((3, 4), (0, 1), (2, 3))):
        block = Block("p", synapse.out_shape, box)
        found = Mapper(chip, target).lists(connection, block)
        axons, bits, _ = connection_cost(connection, target, block.indices().tolist())
        assert (found.axons, found.bits) == (axons, bits)


@given(networks_and_blocks())
def test_every_counter_equals_the_slow_count(case: Case) -> None:
    chip, block = case
    pieces = [Piece(block.population, a, b, 0) for a, b in block.ranges()]
    counters = core_counters(chip, LOIHI1, pieces)[0]
    demand = Mapper(chip, LOIHI1).demand(block)
    found = {**demand.counters(), "bits": demand.synapse_bits}
    # Output slots need all targets on cores: they are tested with whole partitions.
    assert {k: v for k, v in found.items() if k != "n_out_slots"} == {
        k: v for k, v in counters.items() if k != "n_out_slots"
    }


@given(st.sampled_from([(7,), (4, 3, 5), (1, 6, 6)]), st.integers(1, 40))
def test_cuts_tile_the_population_in_balance(shape: Shape, parts: int) -> None:
    for counts in splits(shape, parts):
        blocks = cut("p", shape, counts)
        assert len(blocks) == parts
        covered = np.concatenate([block.indices() for block in blocks])
        assert sorted(covered.tolist()) == list(range(int(np.prod(shape))))
        for axis in range(len(shape)):
            lengths = [block.box[axis][1] - block.box[axis][0] for block in blocks]
            assert max(lengths) - min(lengths) <= 1


@given(networks_and_blocks())
def test_blocks_come_back_from_their_pieces(case: Case) -> None:
    chip, block = case
    ranges = block.ranges()
    assert [i for a, b in ranges for i in range(a, b)] == block.indices().tolist()
    assert all(a[1] < b[0] for a, b in pairwise(ranges))
    assert blocks_of(chip, [Piece(block.population, a, b, 3) for a, b in ranges]) == {3: (block,)}


def test_usages_name_key_source_and_kind_of_limit() -> None:
    demand = Demand(neurons=10, state_bytes=240, in_lists=5000, synapse_bits=800)
    chip_usages = {u.resource: u for u in usages(demand, LOIHI2)}
    pool = chip_usages["core_memory"]
    assert (pool.used, pool.limit, pool.hard) == (24 * 10 + 100, 157_286, True)
    axons = chip_usages["in_axons"]
    assert (axons.used, axons.hard, axons.over, axons.doubtful) == (5000, False, True, True)
    assert axons.key == "loihi2.core.in_axons"
