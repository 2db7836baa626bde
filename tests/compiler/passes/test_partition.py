"""Partition: every limit kept on every network and target, or refused with the figures."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import h5py
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.arrays import Shape
from ranvier.compiler.ir.chip import (
    ChipNetwork,
    Connection,
    ConvSynapse,
    DenseSynapse,
    Population,
    Port,
    SparseSynapse,
    Weights,
)
from ranvier.compiler.ir.network import Readout
from ranvier.compiler.ir.program import Piece
from ranvier.compiler.ir.programs import Features, chip_lif
from ranvier.compiler.passes.partition import Partition, Partitioned
from ranvier.targets.load import load_target
from ranvier.targets.schema import Target
from support.data import test_data
from support.mapping import lif_population, violations
from support.networks import Limits, chip_networks

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")


def network(ports: Sequence[Port], populations: Sequence[Population], connections: Sequence[Connection]) -> ChipNetwork:
    last = populations[-1].name
    return ChipNetwork("net", "loihi2", tuple(ports), tuple(populations), tuple(connections), Readout(last))


def weights(*shape: int, seed: int = 0) -> Weights:
    """Nonzero mixed weights at full precision."""
    values = 2 * np.random.default_rng(seed).integers(-128, 128, shape)
    return np.where(values == 0, 2, values).astype(np.int32)


def dense(source: str, target: str, sources: int, targets: int) -> Connection:
    return Connection(f"{source}_{target}", source, target, DenseSynapse(weights(targets, sources)), 0, "mixed", 0)


def mlp(*sizes: int) -> ChipNetwork:
    names = ["in", *(f"fc{i}" for i in range(1, len(sizes)))]
    populations = [lif_population(n, (k,), i) for i, (n, k) in enumerate(zip(names[1:], sizes[1:], strict=True), 1)]
    connections = [dense(a, b, m, n) for a, b, m, n in zip(names, names[1:], sizes, sizes[1:], strict=False)]
    return network([Port("in", (sizes[0],))], populations, connections)


def conv(
    source: str, target: str, in_shape: Shape, outputs: int, kernel: int = 3, stride: int = 1, pad: int = 1
) -> Connection:
    spatial = tuple((n + 2 * pad - kernel) // stride + 1 for n in in_shape[1:])
    synapse = ConvSynapse(
        weights(outputs, in_shape[0], kernel, kernel),
        in_shape,
        (outputs, *spatial),
        (stride, stride),
        ((pad, pad), (pad, pad)),
        (1, 1),
        1,
    )
    return Connection(f"{source}_{target}", source, target, synapse, 0, "mixed", 0)


def cores_of(pieces: Sequence[Piece], name: str | None = None) -> int:
    return len({p.core for p in pieces if name in (None, p.population)})


def capped(target: Target, caps: Mapping[str, int], pool_bytes: int | None = None) -> Target:
    """The target with other limits on some resources, all of them hard."""
    resources = tuple(
        r.model_copy(
            update={
                "cap": r.cap.model_copy(update={"v": caps.get(r.name, r.cap.v)}),
                "enforce": "error" if r.name in caps else r.enforce,
                "warn_above": None,
            }
        )
        for r in target.core.resources
    )
    pools = tuple(
        p.model_copy(update={"cap_bytes": p.cap_bytes.model_copy(update={"v": pool_bytes or p.cap_bytes.v})})
        for p in target.core.pools
    )
    return target.model_copy(update={"core": target.core.model_copy(update={"resources": resources, "pools": pools})})


def assert_tiles(chip: ChipNetwork, pieces: Sequence[Piece]) -> None:
    for p in chip.populations:
        ranges = sorted((q.start, q.stop) for q in pieces if q.population == p.name)
        assert ranges[0][0] == 0
        assert ranges[-1][1] == p.size
        assert all(a[1] == b[0] for a, b in pairwise(ranges))
    used = {piece.core for piece in pieces}
    assert used == set(range(len(used)))


@st.composite
def small_targets(draw: st.DrawFn) -> Target:
    if draw(st.booleans()):
        names = ("neurons", "synmem_bits", "in_axons", "out_axons", "compartment_profiles", "vth_profiles")
        highs = (24, 8000, 60, 60, 6, 6)
        chosen = draw(st.sets(st.sampled_from(range(len(names))), min_size=1))
        caps = {names[i]: draw(st.integers(1, highs[i])) for i in sorted(chosen)}
        return capped(LOIHI1, caps)
    caps = {"neurons": draw(st.integers(1, 24))}
    for name in ("in_axons", "out_axons"):
        if draw(st.booleans()):
            caps[name] = draw(st.integers(1, 60))
    return capped(LOIHI2, caps, draw(st.integers(200, 5000)))


def outcome(target: Target, chip: ChipNetwork) -> Partitioned | RanvierError:
    try:
        return Partition(target)(chip)
    except RanvierError as refused:
        return refused


@given(st.data(), small_targets())
def test_every_limit_is_kept_or_the_refusal_is_true(data: st.DataObject, target: Target) -> None:
    limits = Limits(stock_only=not target.programmable, max_neurons=20)
    chip = data.draw(chip_networks(limits))
    assume(all(c.delay <= target.synapse.max_delay for c in chip.connections))
    done = outcome(target, chip)
    if isinstance(done, RanvierError):
        assert {d.code for d in done.diagnostics} == {"RV521"}
        singles = [
            Piece(p.name, i, i + 1, core)
            for core, (p, i) in enumerate((p, i) for p in chip.populations for i in range(p.size))
        ]
        # Even with every neuron on a core of its own, the same resources are exceeded.
        broken = {rule for _, rule, _, _ in violations(chip, target, singles)}
        assert {d.figures["resource"] for d in done.diagnostics} <= broken
        return
    assert violations(chip, target, done.pieces) == []
    assert_tiles(chip, done.pieces)
    assert done == Partition(target)(chip)


@given(st.data(), st.integers(1, 9))
def test_the_users_limit_of_neurons_is_kept(data: st.DataObject, most: int) -> None:
    chip = data.draw(chip_networks(Limits(max_neurons=20)))
    done = Partition(LOIHI2, max_neurons=most)(chip)
    assert_tiles(chip, done.pieces)
    for core in {p.core for p in done.pieces}:
        assert sum(p.stop - p.start for p in done.pieces if p.core == core) <= most


def test_small_layers_share_a_core_and_pieces_are_balanced() -> None:
    done = Partition(LOIHI1)(mlp(64, 2500, 30, 10))
    sizes = [p.stop - p.start for p in done.pieces if p.population == "fc1"]
    assert (len(sizes), max(sizes) - min(sizes)) == (3, 1)
    # The 2500 lists of fc2 do not fit beside a third of fc1; fc3 joins it.
    assert cores_of(done.pieces) == 4
    assert done.pieces[-1].core == done.pieces[-2].core == 3


def test_the_published_mlp_takes_the_cores_of_the_memory_formula() -> None:
    # 1156-512-10: 1156 lists of 512 weights at 9 bits each are 5.08 cores.
    done = Partition(LOIHI1)(mlp(1156, 512, 10))
    assert cores_of(done.pieces, "fc1") == 6
    assert violations(mlp(1156, 512, 10), LOIHI1, done.pieces) == []


def test_trained_mnist_network_fits_in_five_cores() -> None:
    with h5py.File(test_data("lava_dl", "mnist_784_128_64_10.net")) as file:
        layers = [file["layer"][str(i)]["weight"][()].astype(np.int32) for i in range(3)]
    populations = [lif_population(f"l{i}", (w.shape[0],), i + 1) for i, w in enumerate(layers)]
    sources = ["in", "l0", "l1"]
    connections = [
        Connection(f"c{i}", sources[i], f"l{i}", DenseSynapse(w), 0, "mixed", 0) for i, w in enumerate(layers)
    ]
    chip = network([Port("in", (784,))], populations, connections)
    done = Partition(LOIHI2)(chip)
    assert cores_of(done.pieces) <= 5
    assert violations(chip, LOIHI2, done.pieces, hard_only=False) == []
    assert done.warnings == ()


def test_a_convolution_is_cut_into_patches_which_share_the_fewest_inputs() -> None:
    chip = network(
        [Port("in", (2, 16, 16))],
        [lif_population("conv", (16, 16, 16))],
        [conv("in", "conv", (2, 16, 16), 16)],
    )
    done = Partition(LOIHI1)(chip)
    # A quarter of the plane of all 16 channels on each of four cores, with a row and a column beside it as input.
    assert cores_of(done.pieces) == 4
    first = [(p.start, p.stop) for p in done.pieces if p.core == 0]
    assert first == [(256 * c + 16 * row, 256 * c + 16 * row + 8) for c in range(16) for row in range(8)]
    assert [p.use["in_axons"] for p in done.pieces if p.use] == [81, 81, 81, 81]
    assert violations(chip, LOIHI1, done.pieces) == []


def test_a_convolution_is_cut_by_channels_where_its_kernels_bind() -> None:
    chip = network(
        [Port("in", (64, 4, 4))],
        [lif_population("conv", (512, 4, 4))],
        [conv("in", "conv", (64, 4, 4), 512)],
    )
    done = Partition(LOIHI2)(chip)
    # The kernels are 332 KB in blocks of 64, the states 197 KB, and a core has 157 KB to fill.
    assert [(p.start, p.stop) for p in done.pieces] == [(i * 2048, (i + 1) * 2048) for i in range(4)]
    assert violations(chip, LOIHI2, done.pieces) == []


def test_a_wide_convolution_is_cut_by_rows_when_its_input_axons_bind() -> None:
    chip = network(
        [Port("in", (1, 80, 80))],
        [lif_population("conv", (1, 80, 80))],
        [conv("in", "conv", (1, 80, 80), 1)],
    )
    done = Partition(LOIHI1)(chip)
    assert violations(chip, LOIHI1, done.pieces) == []
    assert all(p.stop - p.start <= 1024 for p in done.pieces)
    assert done.pieces[0].use["in_axons"] < 80 * 80 / 4


def test_output_axons_make_the_source_layer_smaller() -> None:
    sparse = np.ones((9000, 1000), dtype=bool)
    indptr = np.arange(9001) * 1000
    synapse = SparseSynapse(np.full(9_000_000, 2, np.int32), np.nonzero(sparse)[1], indptr, 1000)
    chip = network(
        [Port("in", (8,))],
        [lif_population("a", (1000,)), lif_population("b", (9000,), 2)],
        [dense("in", "a", 8, 1000), Connection("a_b", "a", "b", synapse, 0, "mixed", 0)],
    )
    done = Partition(LOIHI1)(chip)
    targets = cores_of(done.pieces, "b")
    assert targets > 8
    # Each of the 1000 neurons needs a slot for every core of b, and a core has 4096.
    assert cores_of(done.pieces, "a") >= targets * 1000 / 4096
    assert all(p.use["out_axons"] <= 4096 for p in done.pieces if p.use)


def test_recurrence_counts_its_own_axons() -> None:
    chip = network(
        [Port("in", (4,))],
        [lif_population("rec", (2000,))],
        [dense("in", "rec", 4, 2000), dense("rec", "rec", 2000, 2000)],
    )
    done = Partition(LOIHI1)(chip)
    pieces = done.pieces
    assert all(p.use["in_axons"] == 2004 for p in pieces)
    for p in pieces:
        assert p.use["out_axons"] == (p.stop - p.start) * len(pieces) <= 4096


def test_all_refusals_come_at_once_with_figures_causes_and_the_key() -> None:
    chip = network(
        [Port("in", (5000,)), Port("aux", (200,))],
        [lif_population("a", (10,)), lif_population("b", (10,), 2)],
        [
            dense("in", "a", 5000, 10),
            dense("aux", "a", 200, 10),
            dense("in", "b", 5000, 10),
        ],
    )
    with pytest.raises(RanvierError) as caught:
        Partition(LOIHI1)(chip)
    first, second = caught.value.diagnostics
    assert (first.code, first.place, second.place) == ("RV521", "a", "b")
    assert first.figures["used"] == 5200
    assert first.figures["limit"] == 4096
    assert first.figures["key"] == "loihi1.core.in_axons"
    assert first.figures["causes"] == "in_a (5000), aux_a (200)"
    assert "in_axons uses 5200 of 4096 (126 %)" in first.message
    assert "Davies et al." in first.message
    assert "share weights" in first.fix
    assert second.figures["used"] == 5000


def test_the_neuron_that_does_not_fit_is_found_though_another_has_more_synapses() -> None:
    conv_in = conv("in", "p", (2, 4, 4), 1)
    # Beside its 8 synapses from 4 pixels, the corner has 8 more from as many neurons; inner neurons have 18 from 9.
    indptr = np.concatenate([[0], np.full(16, 8)])
    skip = SparseSynapse(np.full(8, 2, np.int32), np.arange(8), indptr, 8)
    chip = network(
        [Port("in", (2, 4, 4)), Port("skip", (8,))],
        [lif_population("p", (1, 4, 4))],
        [conv_in, Connection("skip_p", "skip", "p", skip, 0, "mixed", 0)],
    )
    with pytest.raises(RanvierError) as caught:
        Partition(capped(LOIHI1, {"in_axons": 11}))(chip)
    (found,) = caught.value.diagnostics
    assert (found.figures["used"], found.figures["limit"]) == (12, 11)
    assert cores_of(Partition(capped(LOIHI1, {"in_axons": 12}))(chip).pieces) > 1


def test_too_many_cores_for_the_chips_allowed() -> None:
    with pytest.raises(RanvierError) as caught:
        Partition(LOIHI1, chips=1)(mlp(10, 1024 * 129))
    (found,) = caught.value.diagnostics
    assert found.code == "RV522"
    assert (found.figures["used"], found.figures["limit"]) == (129, 128)
    # The neurons alone need these, whatever else they need: a bound. What was cut and packed is a number.
    assert "needs at least 129 cores of 128" in found.message
    with pytest.raises(RanvierError, match=r"RV522 fc1: the network needs \d+ cores of 128"):
        Partition(LOIHI1, chips=1)(mlp(4000, 4000))
    assert cores_of(Partition(LOIHI1, chips=2)(mlp(10, 1024 * 129)).pieces) == 129


def test_a_delay_that_no_synapse_holds() -> None:
    chip = mlp(4, 4)
    late = replace(chip.connections[0], delay=63)
    with pytest.raises(RanvierError, match=r"RV520 in_fc1: a delay of 63 steps exceeds the 62"):
        Partition(LOIHI2)(replace(chip, connections=(late,)))


def test_a_neuron_that_the_chip_lacks() -> None:
    soft = Population(
        "soft",
        (4,),
        chip_lif(Features(reset="subtract")),
        dict.fromkeys(("du", "dv", "bias", "threshold", "reset_amount"), np.asarray(64)),
        dict.fromkeys(("u", "v"), np.asarray(0)),
        1,
    )
    chip = network([Port("in", (4,))], [soft], [dense("in", "soft", 4, 4)])
    with pytest.raises(RanvierError, match="RV508"):
        Partition(LOIHI1)(chip)
    assert cores_of(Partition(LOIHI2)(chip).pieces) == 1


def test_a_doubtful_limit_warns_and_does_not_refuse() -> None:
    done = Partition(LOIHI2)(mlp(5000, 16))
    (warning,) = done.warnings
    assert (warning.code, warning.severity, warning.place) == ("RV523", "warning", "fc1")
    assert "5000 of 4096" in warning.message
    many = lif_population("fc1", (60,), vth=np.arange(60) % 10)
    chip = replace(mlp(4, 60), populations=(many,))
    (warning,) = Partition(LOIHI1)(chip).warnings
    assert warning.figures["resource"] == "vth_profiles"
    assert warning.figures["used"] == 10


def test_a_large_network_takes_seconds() -> None:
    start = time.perf_counter()
    chip = network(
        [Port("in", (3, 128, 128))],
        [lif_population("c1", (64, 128, 128)), lif_population("c2", (128, 64, 64), 2)],
        [conv("in", "c1", (3, 128, 128), 64), conv("c1", "c2", (64, 128, 128), 128, stride=2)],
    )
    done = Partition(LOIHI2)(chip)
    assert cores_of(done.pieces) >= (64 * 128 * 128 + 128 * 64 * 64) / 8192
    assert_tiles(chip, done.pieces)
    assert time.perf_counter() - start < 20
