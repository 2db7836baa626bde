"""Layers whose source wires have several weight exponents mean what one with the same effective weights means."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ranvier.compiler.analysis.memory import memory
from ranvier.compiler.analysis.overflow import overflows
from ranvier.compiler.diagnostics import RanvierError
from ranvier.compiler.ir.chip import ChipNetwork, Connection, DenseSynapse, SparseSynapse
from ranvier.compiler.ir.linear import Dense, Sparse
from ranvier.compiler.ir.matrix import linear_matrix, synapse_matrix
from ranvier.compiler.ir.network import Edge, Input, Network, Neurons, Readout
from ranvier.compiler.ir.neurons import Lif
from ranvier.compiler.ir.text import dump, equal, parse
from ranvier.compiler.options import Options, options_from
from ranvier.compiler.passes.arrivals import arrival
from ranvier.compiler.passes.exponent_groups import most_groups
from ranvier.compiler.passes.scales import AS_GOOD, ScaleSearch
from ranvier.compiler.pipeline import build, lower, prepare
from ranvier.runtimes import oracle, reference, simulator
from ranvier.runtimes.observe import calibrate
from ranvier.runtimes.simulator.merged import merged
from ranvier.runtimes.verify.explain import groups
from ranvier.runtimes.verify.explain.bench import Bench
from ranvier.targets.load import load_target
from support.float_networks import dyadic_inputs, float_networks
from support.networks import Limits, chip_networks, inputs_for

LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")
RECORD = ("spikes", "membrane")
seeds = st.integers(0, 2**32 - 1)
grouped_options = st.builds(
    Options, weight_bits=st.integers(1, 8), per_channel=st.booleans(), rounding=st.sampled_from(["nearest", "output"]),
    correct_bias=st.booleans(), exponent_groups=st.integers(2, 8),
)  # fmt: skip


def spread_out(network: Network, seed: int) -> Network:
    """``network`` with the weights of every source wire of dense and sparse layers made smaller by a power of two."""
    rng, nodes = np.random.default_rng(seed), []
    for node in network.nodes:
        if isinstance(node, Dense):
            nodes.append(replace(node, weight=node.weight * 2.0 ** -rng.integers(0, 6, node.in_size)))
        elif isinstance(node, Sparse):
            factors = 2.0 ** -rng.integers(0, 6, node.in_size)
            nodes.append(replace(node, data=node.data * factors[node.indices]))
        else:
            nodes.append(node)
    return replace(network, nodes=tuple(nodes))


def lowered(network: Network, seed: int, options: Options) -> tuple[Network, ChipNetwork, np.ndarray]:
    prepared, inputs = spread_out(prepare(network), seed), dyadic_inputs(network, seed)
    assume(np.abs(inputs).max() > 0)
    return prepared, lower(prepared, LOIHI2, calibrate(prepared, inputs), options), inputs


def two_inputs(loud: float = 8.0) -> Network:
    """Four wires with large and four with small weights into ten neurons."""
    rng = np.random.default_rng(2)
    weight = rng.choice([-1.0, 1.0], (10, 8)) * rng.uniform(0.5, 1.0, (10, 8)) * np.repeat([loud, 1.0], 4)
    nodes = (
        Input("input", (8,), "spikes"),
        Dense("d", weight),
        Neurons("n", (10,), Lif(keep_membrane=0.9, threshold=9.0)),
    )
    return Network("two_inputs", nodes, (Edge("input", "d"), Edge("d", "n")), Readout("n"))


def trains(samples: int = 6, steps: int = 60) -> np.ndarray:
    return (np.random.default_rng(3).random((samples, steps, 8)) < 0.3).astype(np.int8)


def ungrouped(chip: ChipNetwork) -> ChipNetwork:
    """The same network with every layer in one connection of effective weights, exponent 0."""
    layers: dict[str, list[Connection]] = {}
    for c in chip.connections:
        layers.setdefault(c.layer, []).append(c)
    whole = []
    for name, parts in layers.items():
        if len(parts) == 1:
            whole += parts
            continue
        total = sum(synapse_matrix(c.synapse).toarray() << c.exponent for c in parts)
        whole.append(replace(parts[0], name=name, synapse=DenseSynapse(total), exponent=0, part_of=""))
    return replace(chip, connections=tuple(whole))


def assert_same(ours: object, theirs: object) -> None:
    """Two recordings have the same spikes, membranes, overflows and synaptic operations."""
    for name, spikes in theirs.spikes.items():
        np.testing.assert_array_equal(ours.spikes[name], spikes)
        np.testing.assert_array_equal(ours.membrane[name], theirs.membrane[name])
    assert {n: a.synaptic_operations for n, a in ours.stats.items()} == {
        n: a.synaptic_operations for n, a in theirs.stats.items()
    }


@settings(max_examples=6)
@given(float_networks(), seeds, grouped_options)
def test_groups_are_wires_of_the_layer_and_sum_to_its_effective_weights(
    network: Network, seed: int, options: Options
) -> None:
    try:
        prepared, chip, inputs = lowered(network, seed, options)
    except RanvierError:
        assume(False)
    wanted = oracle.run(chip, inputs, RECORD)
    assert_same(oracle.run(ungrouped(chip), inputs, RECORD), wanted)
    ours = simulator.run(chip, inputs, RECORD)
    assert_same(ours, wanted)
    assert ours.overflows == wanted.overflows
    for layer in {c.layer for c in chip.connections}:
        parts = [c for c in chip.connections if c.layer == layer]
        assert 1 <= len(parts) <= options.exponent_groups
        assert len({c.exponent for c in parts}) == len(parts)
        if len(parts) > 1:
            stored = np.concatenate([c.synapse.data for c in parts]).size
            source = prepared.by_name[layer]
            assert stored == (source.weight.size if isinstance(source, Dense) else source.data.size)
            wires = [set(c.synapse.indices.tolist()) for c in parts]
            assert sum(len(each) for each in wires) == len(set.union(*wires))


@settings(max_examples=6)
@given(st.data())
def test_what_may_wrap_is_counted_where_it_happens(data: st.DataObject) -> None:
    chip = data.draw(chip_networks(Limits(max_neurons=8)))
    parts = tuple(split for c in chip.connections for split in halves(c))
    chip = replace(chip, connections=parts)
    inputs = data.draw(inputs_for(chip))
    ours, wanted = simulator.run(chip, inputs, RECORD), oracle.run(chip, inputs, RECORD)
    assert_same(ours, wanted)
    assert ours.overflows == wanted.overflows


def halves(c: Connection) -> list[Connection]:
    """``c`` as two connections, of its even and its odd wires, with exponents of their own."""
    if c.synapse.kind == "conv":
        return [c]
    matrix, found = synapse_matrix(c.synapse).tocoo(), []
    for odd in (0, 1):
        held = matrix.col % 2 == odd
        rows, columns, values = matrix.row[held], matrix.col[held], matrix.data[held].astype(np.int32)
        order = np.lexsort((columns, rows))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=c.synapse.out_size))])
        synapse = SparseSynapse(values[order], columns[order], indptr, c.synapse.in_size)
        found.append(replace(c, name=f"{c.name}.{odd}", synapse=synapse, exponent=c.exponent + 9 * odd, part_of=c.name))
    return found


def test_loud_and_quiet_wires_get_their_own_steps() -> None:
    network, inputs = prepare(two_inputs()), trains()
    known = calibrate(network, inputs)
    chips = {n: lower(network, LOIHI2, known, Options(weight_bits=4, exponent_groups=n)) for n in (1, 2, 8)}
    assert [c.name for c in chips[1].connections] == ["d"]
    assert [(c.part_of, c.exponent) for c in chips[2].connections] == [("d", 0), ("d", 3)]
    assert [c.synapse.indices[:4].tolist() for c in chips[2].connections] == [[4, 5, 6, 7], [0, 1, 2, 3]]
    errors = {n: worst(chip, network) for n, chip in chips.items()}
    assert errors[2] < 0.3 * errors[1]
    assert len(chips[8].connections) == 2


def worst(chip: ChipNetwork, network: Network) -> float:
    """The mean square error of the weights from the quiet wires."""
    total = sum(synapse_matrix(c.synapse).toarray() * 2.0**c.exponent for c in chip.connections)
    exact = linear_matrix(network.by_name["d"]).toarray()
    return float(np.mean((total * 64 / chip.populations[0].scale - exact)[:, 4:] ** 2))


def test_what_rounding_cost_each_part_is_recorded() -> None:
    network, inputs = prepare(two_inputs()), trains()
    chip = lower(network, LOIHI2, calibrate(network, inputs), Options(weight_bits=4, exponent_groups=2))
    recorded = {r.place: r.worst for r in chip.roundings if r.parameter == "weight"}
    exact = linear_matrix(network.by_name["d"]).toarray()
    for c in chip.connections:
        held = np.unique(c.synapse.indices)
        got = synapse_matrix(c.synapse).toarray()[:, held] * 64 * 2.0**c.exponent / chip.populations[0].scale
        assert recorded[c.name] == pytest.approx(np.abs(got - exact[:, held]).max())


@settings(max_examples=15)
@given(seeds, st.integers(1, 8), st.integers(2, 8))
def test_more_exponents_never_err_more_at_a_given_scale(seed: int, bits: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(6, 9)) * 2.0 ** -rng.integers(0, 8, 9)
    nodes = (Input("input", (9,), "spikes"), Dense("d", weight), Neurons("n", (6,), Lif(threshold=1.0)))
    network = prepare(Network("n", nodes, (Edge("input", "d"), Edge("d", "n")), Readout("n")))
    a = arrival(network, network.by_name["d"], bits, {})
    search = ScaleSearch(network.populations[0], (a,), 2.0**20, 7)
    scale = 2.0 ** rng.uniform(6, 16)
    one, several = (replace(search, groups=n).fixed(scale) for n in (1, most))
    assert several.error <= AS_GOOD * one.error
    assert len(np.unique(several.exponents[0])) <= most
    assert 0 <= several.lowest <= several.highest <= 7


def test_groups_take_no_more_memory_than_one() -> None:
    network, inputs = prepare(two_inputs()), trains()
    sizes = []
    for most in (1, 2):
        program = build(network, LOIHI1, calibrate(network, inputs), Options(weight_bits=4, exponent_groups=most))
        report = memory(program.chip, program.placement, LOIHI1)
        formats = next(u.used for u in report.cores[0].usages if u.resource == "synapse_formats")
        sizes.append((report.weight_bytes, report.cores[0].in_axons, formats))
    assert sizes[0][:2] == sizes[1][:2]
    assert [formats for *_, formats in sizes] == [1, 2]


def test_formats_of_a_core_limit_the_groups() -> None:
    a = arrival(prepare(two_inputs()), prepare(two_inputs()).by_name["d"], 8, {})
    assert most_groups(LOIHI1, 8, [a]) == 8
    assert most_groups(LOIHI1, 8, [a] * 4) == 3
    assert most_groups(LOIHI1, 8, [a] * 20) == 1
    assert most_groups(LOIHI2, 8, [a] * 4) == 8


def test_the_kernels_run_the_parts_of_a_layer_as_one() -> None:
    network, inputs = prepare(two_inputs()), trains()
    chip = lower(network, LOIHI2, calibrate(network, inputs), Options(weight_bits=4, exponent_groups=4))
    for more in (0, 2):
        higher = replace(chip, connections=tuple(replace(c, exponent=c.exponent + more) for c in chip.connections))
        (one,) = merged(higher)
        assert (one.name, one.synapse.kind, one.exponent) == ("d", "dense", more)
        np.testing.assert_array_equal(
            synapse_matrix(one.synapse).toarray() << one.exponent,
            sum(synapse_matrix(c.synapse).toarray() << c.exponent for c in higher.connections),
        )


def test_weights_of_zero_cost_no_synaptic_operations() -> None:
    network, inputs = prepare(two_inputs()), trains()
    chip = lower(network, LOIHI2, calibrate(network, inputs), Options(weight_bits=4, exponent_groups=2))
    assert all(c.part_of for c in chip.connections)
    third = [np.where(np.arange(c.synapse.data.size) % 3 == 0, 0, c.synapse.data) for c in chip.connections]
    fewer = (replace(c, synapse=replace(c.synapse, data=d)) for c, d in zip(chip.connections, third, strict=True))
    chip = replace(chip, connections=tuple(fewer))
    wanted = oracle.run(ungrouped(chip), inputs, RECORD)
    assert_same(oracle.run(chip, inputs, RECORD), wanted)
    assert_same(simulator.run(chip, inputs, RECORD), wanted)


def test_the_proof_holds_and_the_text_reads_back() -> None:
    network, inputs = prepare(two_inputs()), trains()
    chip = lower(network, LOIHI2, calibrate(network, inputs), Options(weight_bits=4, exponent_groups=4))
    assert equal(parse(*dump(chip)), chip)
    proof = overflows(chip)
    assert {c.name for c in chip.connections} <= {bound.where for bound in proof.bounds}
    for frames in (trains(), np.ones((1, 80, 8), np.int8)):
        found = oracle.run(chip, frames, ("states",)).states["n"]["v"].reshape(-1, 10)
        assert (found >= proof.states["n"]["v"].low).all()
        assert (found <= proof.states["n"]["v"].high).all()


def test_each_approximation_of_a_grouped_network_can_be_swapped() -> None:
    network, inputs = prepare(two_inputs()), trains()
    chip = lower(network, LOIHI2, calibrate(network, inputs), Options(weight_bits=3, exponent_groups=4))
    assert len(chip.connections) > 1
    bench = Bench(chip, network, inputs)
    exact, deployed = (bench.run(parts, bench.pairs) for parts in (groups.EVERYTHING, groups.NOTHING))
    source, wanted = reference.run(network, inputs, RECORD), oracle.run(chip, inputs, RECORD)
    np.testing.assert_allclose(exact.membrane["n"], source.membrane["n"], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(deployed.sent["n"], wanted.spikes["n"])


def test_parts_of_a_dense_layer_are_listed_as_it_is_and_learn_as_one() -> None:
    torch = pytest.importorskip("torch")
    trainable = pytest.importorskip("ranvier.runtimes.trainable")
    network, inputs = prepare(two_inputs()), trains()
    chip = lower(network, LOIHI2, calibrate(network, inputs), Options(weight_bits=4, exponent_groups=2))
    assert [c.lists for c in chip.connections] == ["dense", "dense"]
    assert [sorted(c.wires.tolist()) for c in chip.connections] == [[4, 5, 6, 7], [0, 1, 2, 3]]
    module = trainable.TrainableNetwork(chip, ("weight",))
    wanted = oracle.run(chip, inputs, RECORD)
    np.testing.assert_array_equal(module.traces(torch.from_numpy(inputs))[1]["n"].detach(), wanted.membrane["n"])
    module(torch.from_numpy(inputs.astype(np.float32))).sum().backward()
    assert all(bool(torch.any(p.grad != 0)) for p in module.parameters())
    assert equal(module.deployed(), chip)


def test_numbers_of_groups_that_no_chip_has_are_refused() -> None:
    for number in (0, 9):
        with pytest.raises(RanvierError, match="RV420"):
            Options(exponent_groups=number)
    assert options_from(Options(exponent_groups=3).provenance()).exponent_groups == 3
