"""Fused convolutions: the cost is exact, messages and cores never grow, every limit holds."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranvier.compiler.analysis.resources import Demand, Mapper
from ranvier.compiler.analysis.resources_blocks import Block
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.chip import ChipNetwork, Connection, ConvSynapse, DenseSynapse, Port
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import Piece
from ranvier.compiler.passes.mapping.effort import silent
from ranvier.compiler.passes.mapping.fusion import Fusion
from ranvier.compiler.passes.mapping.loads import Loads
from ranvier.compiler.passes.mapping.packing import Packer
from ranvier.compiler.passes.partition import Partition
from ranvier.targets.load import load_target
from ranvier.targets.schema import Target
from support.mapping import lif_population, violations
from support.placing import messages_between

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")
# (output channels, kernel, stride, one group per channel) of a layer.
Layer = tuple[int, int, int, bool]
LAYERS = st.tuples(st.integers(1, 4), st.sampled_from([1, 2, 3]), st.sampled_from([1, 1, 2]), st.booleans())


def convolutions(shape: Shape, layers: Sequence[Layer], dense: int = 0) -> ChipNetwork:
    """A chain of convolutions, padded so that a stride of 1 keeps the size, and perhaps a dense layer."""
    populations, connections, source = [], [], "in"
    port = Port("in", shape)
    for i, (outputs, kernel, stride, depthwise) in enumerate(layers):
        groups, channels = (shape[0], shape[0]) if depthwise else (1, outputs)
        pad = ((kernel - 1) // 2, kernel // 2)
        after = (channels, *((n - 1) // stride + 1 for n in shape[1:]))
        weight = np.full((channels, shape[0] // groups, kernel, kernel), 2, np.int32)
        synapse = ConvSynapse(weight, shape, after, (stride, stride), (pad, pad), (1, 1), groups)
        connections.append(Connection(f"c{i}", source, f"l{i}", synapse, 0, "mixed", 0))
        populations.append(lif_population(f"l{i}", after, i + 1))
        source, shape = f"l{i}", after
    if dense:
        synapse_ = DenseSynapse(np.full((dense, prod(shape)), 2, np.int32))
        connections.append(Connection("fc", source, "out", synapse_, 0, "mixed", 0))
        populations.append(lif_population("out", (dense,), len(layers) + 1))
    return ChipNetwork("net", "loihi1", (port,), tuple(populations), tuple(connections), Readout(populations[-1].name))


def pieces_of(cores: Sequence[Sequence[Block]]) -> list[Piece]:
    return [Piece(b.population, *r, number) for number, core in enumerate(cores) for b in core for r in b.ranges()]


def both(chip: ChipNetwork, target: Target, most: int | None) -> tuple[Fusion, list[list[Block]], list[list[Block]]]:
    """The fusion, the cores as packed, and those after it."""
    loads = Loads(Mapper(chip, target), most)
    cores, slots = Packer(loads).run()
    fusion = Fusion(loads, slots, silent)
    return fusion, cores, [list(core) for core in fusion(cores)]


@given(
    st.tuples(st.integers(1, 3), st.integers(3, 7), st.integers(3, 7)),
    st.lists(LAYERS, min_size=2, max_size=4),
    st.integers(0, 6),
    st.integers(6, 40),
    st.booleans(),
)
def test_messages_and_cores_never_grow_and_limits_hold(
    shape: Shape, layers: list[Layer], dense: int, most: int, native: bool
) -> None:
    chip, target = convolutions(shape, layers, dense), LOIHI2 if native else LOIHI1
    fusion, cores, fused = both(chip, target, most)
    for found in (cores, fused):
        # The account of the search is that of the messages themselves, neuron by neuron.
        assert fusion.messages(found) == sum(messages_between(chip, pieces_of(found), {}).values())
    assert fusion.messages(fused) <= fusion.messages(cores)
    assert len(fused) <= len(cores)
    assert violations(chip, target, pieces_of(fused)) == []
    assert all(sum(block.size for block in core) <= most for core in fused)
    for p in chip.populations:
        held = np.sort(np.concatenate([b.indices() for core in fused for b in core if b.population == p.name]))
        assert held.tolist() == list(range(p.size))


def test_a_pointwise_layer_lies_where_its_depthwise_layer_does() -> None:
    chip = convolutions((4, 16, 16), [(4, 3, 1, True), (4, 1, 1, False)])
    fusion, cores, fused = both(chip, LOIHI1, 512)
    assert (len(cores), fusion.messages(cores)) == (4, 1024)
    assert (len(fused), fusion.messages(fused)) == (4, 0)
    done = Partition(LOIHI1, max_neurons=512)(chip)
    assert sum(messages_between(chip, done.pieces, {}).values()) == 0


def test_rates_decide_which_layers_are_fused() -> None:
    # Two pointwise layers after each other: cores hold two layers of the three, and the louder messages stay.
    chip = convolutions((1, 12, 12), [(1, 1, 1, False), (1, 3, 1, False), (1, 3, 1, False)])
    for loud, pair in (("l0", {"l0", "l1"}), ("l1", {"l1", "l2"})):
        rates = {name: 10.0 if name == loud else 0.1 for name in ("l0", "l1", "l2")}
        _, _, fused = both(replace(chip, rates=rates), LOIHI1, 72)
        together = [{block.population for block in core} for core in fused]
        assert pair in together


@pytest.mark.parametrize("limit", ["synmem_bits", "in_axons", "out_axons"])
def test_a_group_that_breaks_a_limit_is_not_made(limit: str) -> None:
    chip = convolutions((4, 16, 16), [(4, 3, 1, True), (4, 1, 1, False)])
    _, cores, fused = both(chip, LOIHI1, 512)
    assert pieces_of(fused) != pieces_of(cores)
    used = {u.resource: u.used for u in Loads(Mapper(chip, LOIHI1)).usages(demand_of(chip, fused, 0))}[limit]
    rules = tuple(
        r.model_copy(update={"cap": r.cap.model_copy(update={"v": used - 1})}) if r.name == limit else r
        for r in LOIHI1.core.resources
    )
    tight = LOIHI1.model_copy(update={"core": LOIHI1.core.model_copy(update={"resources": rules})})
    _, _, found = both(chip, tight, 512)
    assert violations(chip, tight, pieces_of(found)) == []
    assert pieces_of(found) != pieces_of(fused)


def demand_of(chip: ChipNetwork, cores: Sequence[Sequence[Block]], core: int) -> Demand:
    """What one core takes, its output slots for the targets on all cores included."""
    loads = Loads(Mapper(chip, LOIHI1))
    return loads.core(cores[core], loads.mapper.out_slots(block for one in cores for block in one))
